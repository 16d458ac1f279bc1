// Package file is the source that reads services from a YAML file: for instances
// that no engine runs.
//
//	services:
//	  - name: shop
//	    labels: {fairway.host: shop.example.com, fairway.path: /demo}
//	    instances: [{address: "10.0.0.5:8080"}, {address: "10.0.0.6:8080", weight: 50}]
//
// The file is watched by its directory, so that it can be replaced, and read every few
// seconds, for file systems without notices. One that is missing or has a fault is an
// error: what it said before stays in force.
package file

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/discovery/poll"
	"fairway/internal/files"
)

const maxSize = 16 << 20

// rereadEvery bounds how late a change is seen, and a removal is confirmed.
const rereadEvery = 2 * time.Second

// settleFor is how long the file must be left alone after a notice, since an editor that
// writes in place writes more than once.
const settleFor = 20 * time.Millisecond

// Options are what New needs. Name and Path are required.
type Options struct {
	Name   string // of the source
	Path   string // of the file
	Logger *slog.Logger
}

// Source reads one file.
type Source struct {
	name, path string
	log        *slog.Logger
	every      time.Duration // rereadEvery, but for tests

	// What follows belongs to the goroutine of Run.
	hash     [sha256.Size]byte
	services []*catalog.Service // what the contents with this hash said
}

// New returns a source that does nothing until Run. The file need not exist yet.
func New(o Options) (*Source, error) {
	if o.Name == "" || o.Path == "" {
		return nil, errors.New("file source: name and path are required")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("file source: %w", err)
	}
	return &Source{name: o.Name, path: path, log: o.Logger.With("source", o.Name), every: rereadEvery}, nil
}

// Name returns the source's name.
func (s *Source) Name() string { return s.name }

// Run reads the file at once, on each notice of a change and every two seconds.
func (s *Source) Run(ctx context.Context, out chan<- catalog.Answer) {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wake := make(chan struct{}, 1)
	watching.Go(func() { s.watch(ctx, wake) })
	poll.Run(ctx, s.every, wake, out, s.answer)
}

func (s *Source) answer(context.Context) catalog.Answer {
	data, err := files.Read(s.path, maxSize)
	if err != nil {
		return catalog.Answer{Err: fmt.Errorf("services file: %w", err)}
	}
	if hash := sha256.Sum256(data); hash != s.hash { // no file has the zero hash
		services, err := Parse(s.name, data)
		if err != nil {
			return catalog.Answer{Err: fmt.Errorf("services file %s: %w", s.path, err)}
		}
		s.services, s.hash = services, hash
	}
	// The receiver owns the slice, so each answer has one of its own.
	return catalog.Answer{Services: slices.Clone(s.services)}
}

// watch wakes the source when something in the file's directory changes. While that cannot
// be watched it tries again; what it misses, the next reading sees.
func (s *Source) watch(ctx context.Context, wake chan<- struct{}) {
	for again := true; again; again = clock.Sleep(ctx, rereadEvery) == nil {
		if err := s.watchOnce(ctx, wake); err != nil {
			s.log.Debug("cannot watch, the file is still read at an interval", "error", err)
		}
	}
}

// watchOnce watches until ctx ends or the watch breaks.
func (s *Source) watchOnce(ctx context.Context, wake chan<- struct{}) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer w.Close()
	dir := filepath.Dir(s.path)
	if err := w.Add(dir); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	settle := time.NewTimer(0) // something may have changed before the watch began
	defer settle.Stop()
	for {
		select {
		case e, open := <-w.Events:
			if !open {
				return errors.New("watch ended")
			}
			// Every name counts: a ConfigMap changes by a link beside the file.
			if e.Op != fsnotify.Chmod {
				settle.Reset(settleFor)
			}
			if e.Name == dir && e.Has(fsnotify.Remove|fsnotify.Rename) {
				return errors.New("directory moved away")
			}
		case err := <-w.Errors:
			return fmt.Errorf("watch %s: %w", dir, err)
		case <-settle.C:
			poll.Wake(wake)
		case <-ctx.Done():
			return nil
		}
	}
}
