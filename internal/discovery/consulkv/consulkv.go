// Package consulkv is the source that reads services files out of the keys of Consul: each key
// below a prefix is a document, as package file reads it.
//
// A document with a fault keeps what it said before, and the fault is the source's error while
// the other documents are followed on.
package consulkv

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/consul"
	"fairway/internal/discovery/file"
	"fairway/internal/discovery/poll"
)

// Name is the name of the source.
const Name = "consul-kv"

const (
	holdFor      = 25 * time.Second
	confirmAfter = 4800 * time.Millisecond // documents are gone: they are read again, after the pause
	pause        = 500 * time.Millisecond  // between two queries at least
	backoffFirst = 500 * time.Millisecond
	backoffMost  = 3 * time.Second
)

// Lister reads keys; *consul.Client is one.
type Lister interface {
	AwaitList(ctx context.Context, prefix string, index uint64, wait time.Duration) ([]consul.Pair, uint64, error)
}

// Source reads the documents below a prefix.
type Source struct {
	lister Lister
	prefix string
	log    *slog.Logger

	// What follows belongs to the goroutine of Run.
	last map[string]document // by key
}

// document is a key as it was last read.
type document struct {
	sum      [sha256.Size]byte
	services []*catalog.Service // of the newest without a fault
	fault    error              // of the newest
}

// New returns a source that does nothing until Run. The prefix is a path without a slash in front.
func New(lister Lister, prefix string, log *slog.Logger) (*Source, error) {
	prefix = strings.Trim(prefix, "/")
	if lister == nil || prefix == "" {
		return nil, errors.New("consul keys: a client and a prefix are required")
	}
	return &Source{lister: lister, prefix: prefix + "/", log: cmp.Or(log, slog.New(slog.DiscardHandler)).With("source", Name), last: map[string]document{}}, nil
}

// Name returns the source's name.
func (s *Source) Name() string { return Name }

// Run follows the keys until ctx ends.
func (s *Source) Run(ctx context.Context, out chan<- catalog.Answer) {
	var index uint64
	backoff := backoffFirst
	hold, confirm := holdFor, false
	for ctx.Err() == nil {
		pairs, next, err := s.lister.AwaitList(ctx, s.prefix, index, hold)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			index = 0
			if !poll.Send(ctx, out, catalog.Answer{Err: explain(err)}) {
				return
			}
			wait := poll.Jitter(backoff)
			if said := new(consul.Error); errors.As(err, &said) {
				wait = max(wait, said.After) // as long as Consul asks to be left alone
			}
			_ = clock.Sleep(ctx, wait)
			backoff = min(2*backoff, backoffMost)
			continue
		}
		index, backoff, hold = next, backoffFirst, holdFor
		services, changed, gone, fault := s.take(pairs)
		say := changed || confirm || fault == nil
		if confirm = gone; gone {
			hold = confirmAfter // the same answer again confirms it
		}
		// While a fault stands the source is not well in between: only what changed goes before it.
		if say && !poll.Send(ctx, out, catalog.Answer{Services: services}) {
			return
		}
		// What is sound is in force; that something is not, is said.
		if fault != nil && !poll.Send(ctx, out, catalog.Answer{Err: fault}) {
			return
		}
		_ = clock.Sleep(ctx, pause)
	}
}

// explain says what a token lacks.
func explain(err error) error {
	var said *consul.Error
	if errors.As(err, &said) && said.Status == 403 {
		return fmt.Errorf("%w; it needs key:read below the prefix", err)
	}
	return err
}

// take reads documents, in the order of their keys, and reports whether any changed, and
// whether some are gone.
func (s *Source) take(pairs []consul.Pair) (services []*catalog.Service, changed, gone bool, fault error) {
	next := make(map[string]document, len(pairs))
	pairs = slices.SortedFunc(slices.Values(pairs), func(a, b consul.Pair) int { return strings.Compare(a.Key, b.Key) })
	var faults []error
	for _, p := range pairs {
		if strings.HasSuffix(p.Key, "/") { // a directory, as pages of Consul make them
			continue
		}
		d := s.last[p.Key]
		if sum := sha256.Sum256(p.Value); sum != d.sum {
			changed = true
			list, err := file.Parse(Name, p.Value)
			if d.sum, d.fault = sum, err; err == nil {
				d.services = list
			}
		}
		if d.fault != nil {
			faults = append(faults, fmt.Errorf("consul key %s: %w", p.Key, d.fault))
		}
		next[p.Key] = d
		services = append(services, d.services...)
	}
	for key := range s.last {
		if _, there := next[key]; !there {
			gone = true
		}
	}
	s.last = next
	return services, changed || gone, gone, errors.Join(faults...)
}
