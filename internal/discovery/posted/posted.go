// Package posted is the source of services that were sent over HTTP. It is told
// of each service and keeps them all in one file, so that they survive a restart.
//
// A service may also have been pulled from somebody who knows all of theirs, such
// as a Swarm Listener. Then it is that one's word that keeps it: what is no longer
// in a later list of theirs is gone, and what was sent by hand stays.
package posted

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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

// MaxServices bounds how many services are kept: whoever may send services must
// not be able to fill the disk.
const MaxServices = 10_000

// confirmEvery is how often the source says again what it knows.
const confirmEvery = 30 * time.Second

// format is the form of the file; a file of another form is not read.
const format = 1

// Options are what New needs. Path is required.
type Options struct {
	// Path is the file that the services are kept in. Its directory exists.
	Path   string
	Logger *slog.Logger
}

// Source keeps the services that it is told of. All methods may be called from
// any goroutine.
type Source struct {
	path string
	wake chan struct{}

	mu     sync.Mutex
	posted map[string]entry // by service ID
}

// entry is a service and whose word keeps it: empty for who sent it by hand.
type entry struct {
	service *catalog.Service
	from    string
}

// stored is the shape of the file.
type stored struct {
	Format   int             `json:"format"`
	Services []storedService `json:"services"`
}

type storedService struct {
	From    string           `json:"from,omitempty"`
	Service *catalog.Service `json:"service"`
}

// New returns the source with the services that the last run left. A file that
// is damaged is moved aside, so that it can be looked at, and told of in the log:
// the source then begins empty.
func New(o Options) (*Source, error) {
	if o.Path == "" {
		return nil, errors.New("posted source: a path is required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
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

// Run answers at once, on each change and every 30 seconds, until ctx ends. What
// it no longer has was removed on purpose, so its answers are certain.
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
		list = append(list, e.service)
	}
	slices.SortFunc(list, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Put keeps a service in place of the one with its ID, and returns that one, or
// nil. The service must not be written to afterwards. It is on disk when Put
// returns; on an error nothing has changed. A service that says the same as the
// one before changes nothing.
func (s *Source) Put(service *catalog.Service) (before *catalog.Service, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.posted[service.ID]
	return e.service, s.change(map[string]entry{service.ID: {service, e.from}}, nil)
}

// Remove forgets the service with an ID, on disk, too. It reports whether there
// was one.
func (s *Source) Remove(id string) (had bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, had = s.posted[id]; !had {
		return false, nil
	}
	return true, s.change(nil, []string{id})
}

// Replace takes the whole list of somebody who knows all of theirs: it keeps
// those services on their word, and forgets those that were kept on their word
// alone and are no longer in the list. It reports whether anything changed.
func (s *Source) Replace(from string, services []*catalog.Service) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	put := make(map[string]entry, len(services))
	for _, service := range services {
		put[service.ID] = entry{service, from}
	}
	var remove []string
	for id, e := range s.posted {
		if _, still := put[id]; e.from == from && !still {
			remove = append(remove, id)
		}
	}
	before := s.posted
	err = s.change(put, remove)
	return !reflect.DeepEqual(before, s.posted), err
}

// change puts and removes, writes the file and wakes Run. The mutex is held.
func (s *Source) change(put map[string]entry, remove []string) error {
	next := make(map[string]entry, len(s.posted)+len(put))
	for id, e := range s.posted {
		next[id] = e
	}
	for _, id := range remove {
		delete(next, id)
	}
	for id, e := range put {
		if old, ok := next[id]; ok {
			e.service = keep(old.service, e.service)
		} else if e.service.Created.IsZero() {
			c := *e.service
			c.Created = time.Now().UTC().Truncate(time.Second)
			e.service = &c
		}
		next[id] = e
	}
	if len(next) > MaxServices {
		return fmt.Errorf("posted source: more than %d services", MaxServices)
	}
	if reflect.DeepEqual(next, s.posted) {
		return nil
	}
	if err := save(s.path, next); err != nil {
		return fmt.Errorf("posted source: %w", err)
	}
	s.posted = next
	select {
	case s.wake <- struct{}{}:
	default: // it is about to answer anyway
	}
	return nil
}

// keep returns the service to keep: the old pointer when the new service says
// the same, else the new one with the age of the old.
func keep(old, service *catalog.Service) *catalog.Service {
	c := *service
	if c.Created.IsZero() {
		c.Created = old.Created
	}
	if reflect.DeepEqual(*old, c) {
		return old
	}
	return &c
}

// decode reads the contents of the file.
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
		all[e.Service.ID] = entry{e.Service, e.From}
	}
	return all, nil
}

// save replaces the file. Only its owner may read it, as labels hold passwords.
func save(path string, all map[string]entry) error {
	list := stored{Format: format, Services: []storedService{}}
	for _, e := range all {
		list.Services = append(list.Services, storedService{e.from, e.service})
	}
	slices.SortFunc(list.Services, func(a, b storedService) int { return strings.Compare(a.Service.ID, b.Service.ID) })
	data, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o600)
}
