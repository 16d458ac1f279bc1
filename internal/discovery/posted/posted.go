// Package posted is the source of services that were sent over HTTP, in a file that
// survives a restart. Those of a list that is complete, such as that of a Swarm Listener,
// stay for as long as they are in that list; others until they are removed.
package posted

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/atomicfile"
	"fairway/internal/catalog"
	"fairway/internal/discovery/poll"
)

// Name is the name of the source. It ends the IDs of its services.
const Name = "posted"

// MaxServices bounds how many services are kept, so that clients cannot fill the disk.
const MaxServices = 10_000

// confirmEvery is how often the source repeats its answer.
const confirmEvery = 30 * time.Second

// format is the form of the file; one of another form is not read.
const format = 1

// Options are what New needs. Path is required.
type Options struct {
	// Path is the file that the services are kept in. Its directory exists.
	Path   string
	Logger *slog.Logger
}

// Source keeps the services that are sent to it. It is safe for concurrent use.
type Source struct {
	path string
	wake chan struct{}

	mu     sync.Mutex
	posted map[string]entry // by service ID
}

// entry is a service, and the list that it comes from; empty for none.
type entry struct {
	From    string           `json:"from,omitempty"`
	Service *catalog.Service `json:"service"`
}

// stored is the shape of the file.
type stored struct {
	Format   int     `json:"format"`
	Services []entry `json:"services"`
}

// New returns the source with what the last run left. A damaged file is moved aside.
func New(o Options) (*Source, error) {
	if o.Path == "" {
		return nil, errors.New("posted source: a path is required")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	s := &Source{path: o.Path, wake: make(chan struct{}, 1), posted: map[string]entry{}}
	data, err := os.ReadFile(o.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("posted source: %w", err)
	}
	if s.posted, err = decode(data); err != nil {
		aside := o.Path + ".damaged"
		if mvErr := os.Rename(o.Path, aside); mvErr != nil {
			return nil, fmt.Errorf("posted source: %w; moving it aside: %w", err, mvErr)
		}
		o.Logger.Error("the file of posted services is damaged and was moved aside", "error", err, "file", aside)
	}
	return s, nil
}

// Name returns the source's name.
func (s *Source) Name() string { return Name }

// Run answers at once, on each change and every 30 seconds. What is gone was removed on
// purpose, so its answers are certain.
func (s *Source) Run(ctx context.Context, out chan<- catalog.Answer) {
	poll.Run(ctx, confirmEvery, s.wake, out, func(context.Context) catalog.Answer {
		return catalog.Answer{Services: s.Services(), Certain: true}
	})
}

// Services returns the services, sorted by ID. They must not be written to.
func (s *Source) Services() []*catalog.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*catalog.Service, 0, len(s.posted))
	for _, e := range s.posted {
		list = append(list, e.Service)
	}
	slices.SortFunc(list, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Put keeps a service on disk, and returns the one with its ID before, or nil. The service
// must not be written to afterwards. On an error nothing has changed.
func (s *Source) Put(service *catalog.Service) (before *catalog.Service, err error) {
	_, err = s.change(func(next map[string]entry) {
		e := next[service.ID]
		before = e.Service
		next[service.ID] = entry{e.From, aged(before, service)}
	})
	return before, err
}

// Remove forgets the service with an ID. It reports whether there was one.
func (s *Source) Remove(id string) (had bool, err error) {
	return s.change(func(next map[string]entry) { delete(next, id) })
}

// Replace takes a list that is complete: services from that list that are not in it are
// forgotten. It reports whether anything changed.
func (s *Source) Replace(from string, services []*catalog.Service) (changed bool, err error) {
	return s.change(func(next map[string]entry) {
		before := maps.Clone(next)
		maps.DeleteFunc(next, func(_ string, e entry) bool { return e.From == from })
		for _, service := range services {
			next[service.ID] = entry{from, aged(before[service.ID].Service, service)}
		}
	})
}

// change edits the services, writes the file and wakes Run.
func (s *Source) change(edit func(next map[string]entry)) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.posted)
	edit(next)
	if len(next) > MaxServices {
		return false, fmt.Errorf("posted source: more than %d services", MaxServices)
	}
	if reflect.DeepEqual(next, s.posted) {
		return false, nil
	}
	if err := save(s.path, next); err != nil {
		return false, fmt.Errorf("posted source: %w", err)
	}
	s.posted = next
	poll.Wake(s.wake)
	return true, nil
}

// aged returns a service which, without an age of its own, has that of the one before.
func aged(old, service *catalog.Service) *catalog.Service {
	c := *service
	switch {
	case !c.Created.IsZero():
	case old != nil:
		c.Created = old.Created
	default:
		c.Created = time.Now().UTC().Truncate(time.Second)
	}
	return &c
}

func decode(data []byte) (map[string]entry, error) {
	var f stored
	all := map[string]entry{}
	if err := json.Unmarshal(data, &f); err != nil {
		return all, err
	}
	if f.Format != format {
		return all, fmt.Errorf("format %d is not known", f.Format)
	}
	for i, e := range f.Services {
		if e.Service == nil || e.Service.ID == "" || slices.Contains(e.Service.Instances, nil) {
			return map[string]entry{}, fmt.Errorf("service %d is incomplete", i)
		}
		e.Service.Posted, e.Service.OwnLabels = true, true // files of earlier versions do not say it
		all[e.Service.ID] = e
	}
	return all, nil
}

// save replaces the file. Only its owner may read it, as labels hold passwords.
func save(path string, all map[string]entry) error {
	byID := func(a, b entry) int { return strings.Compare(a.Service.ID, b.Service.ID) }
	list := stored{Format: format, Services: append([]entry{}, slices.SortedFunc(maps.Values(all), byID)...)}
	data, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o600)
}
