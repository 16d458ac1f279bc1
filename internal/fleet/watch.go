package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
)

// watch looks at every host again and again, and gives those that are back what
// they are owed.
func (f *Fleet) watch(ctx context.Context) error {
	room := make(chan struct{}, watchAtOnce)
	var looking sync.WaitGroup
	defer looking.Wait()
	visited := map[*spot]time.Time{}
	for sleep(ctx, watchTick) == nil {
		f.mu.Lock()
		spots := make([]*spot, 0, len(f.spots))
		for _, s := range f.spots {
			spots = append(spots, s)
		}
		f.mu.Unlock()
		pending := f.pending()
		now, seen := time.Now(), map[*spot]time.Time{}
		for _, s := range spots {
			step, isPending := pending[spotKey{s.place.Host, s.place.Document}]
			if seen[s] = visited[s]; now.Sub(visited[s]) < f.every(s, isPending) {
				continue
			}
			seen[s] = now
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			looking.Go(func() {
				defer func() { <-room }()
				f.visit(ctx, s, step)
			})
		}
		visited = seen
	}
	return nil
}

// every is how often a host is looked at as things stand now.
func (f *Fleet) every(s *spot, pending bool) time.Duration {
	if _, _, _, _, err := s.last(); pending || err != nil {
		return min(f.o.Watch, watchSoon)
	}
	return f.o.Watch
}

// watchTick is how often the watch looks for somebody whose turn it is.
const watchTick = time.Second

// owed are the steps of hosts that shall get something when they are back, apart
// from those of documents with a rollout under way, which decides itself.
func (f *Fleet) pending() map[spotKey]Step {
	pending := f.ledger.steps()
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(pending, func(key spotKey, step Step) bool { return step.Pending == "" || f.runs[key.document] != nil })
	return pending
}

// visit looks at one host, gives it what it is owed, and takes a reading. A host
// that somebody else is working on is left alone.
func (f *Fleet) visit(ctx context.Context, s *spot, step Step) {
	select {
	case s.turn <- struct{}{}:
	default:
		return
	}
	reached := f.attend(ctx, s, step)
	s.leave() // nobody shall have to wait for statistics
	if reached {
		_, _ = s.read(ctx) // without it, less is known of the host
	}
}

// attend reconciles one host: it reads what the host has and applies its pending
// revision. It reports false if the host is unreachable. The caller has the host's
// turn.
func (f *Fleet) attend(ctx context.Context, s *spot, step Step) bool {
	bounded, cancel := context.WithTimeout(ctx, f.limits.look)
	defer cancel()
	sight, err := s.look(bounded, false)
	if err != nil {
		return false
	}
	if step.Pending == "" || ctx.Err() != nil {
		return true
	}
	// The rollout of another document cannot want this container; one of this
	// document may have begun since.
	f.mu.Lock()
	busy := f.runs[s.place.Document] != nil
	f.mu.Unlock()
	if busy || time.Now().Before(s.notBefore()) {
		return true
	}
	err = f.applyPending(ctx, s, sight, step)
	s.repaired(err)
	if err != nil {
		f.log.Warn("a host that is back could not be caught up", "host", s.place.Host, "document", s.place.Document, "error", err)
		return true
	}
	f.log.Info("a host that is back was caught up", "host", s.place.Host, "document", s.place.Document)
	f.changed()
	return true
}

// applyPending gives a host what it is owed. The caller has its turn.
func (f *Fleet) applyPending(ctx context.Context, s *spot, sight Sight, step Step) error {
	// A host that nobody touched is caught up when it has the file. With one that
	// was left in the middle of a change, what runs may be another thing than the
	// file, so that it is done again.
	doubt := step.Touched || step.State == Unknown || step.State == Lost
	if doubt || sight.Digest != step.Pending || !sight.runs() {
		known := sight.Digest == step.Had || sight.Digest == step.Want || sight.Digest == step.Pending
		if !known {
			if err := f.mayOverwrite(s, sight, Step{}, false); err != nil {
				return err
			}
		}
		content, err := f.byDigest(s, step.Pending)
		if err != nil {
			return err
		}
		ctx, cancel := finishing(ctx, f.limits.host)
		defer cancel()
		if !step.Touched {
			step.Touched = true
			if err := f.ledger.putStep(s.place.Document, step); err != nil {
				return err
			}
		}
		if err := s.hand.apply(ctx, content, false); err != nil {
			return err
		}
		s.saw(content)
	}
	switch step.Pending {
	case step.Want:
		step.State = Applied
	case step.Had:
		step.State = Returned
	}
	step.Pending, step.Error, step.Touched, step.Ended = "", "", false, time.Now().UTC()
	return f.ledger.putStep(s.place.Document, step)
}

// Pauses between attempts to give a host what it is owed.
const (
	firstWait = 5 * time.Second
	mostWait  = 10 * time.Minute
)

// repaired remembers how an attempt went; a failure makes the next one wait.
func (s *spot) repaired(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repair = err
	if err == nil {
		s.wait, s.after = 0, time.Time{}
		return
	}
	s.wait = min(max(2*s.wait, firstWait), mostWait)
	s.after = time.Now().Add(s.wait)
}

func (s *spot) notBefore() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after
}

// drifted looks at hosts and fails when the configuration of one was edited by
// hand. A host that cannot be reached is no reason.
func (f *Fleet) drifted(ctx context.Context, places []Place) error {
	var found []error
	for i, err := range f.everywhere(ctx, places, func(ctx context.Context, s *spot) error {
		sight, err := s.look(ctx, false)
		if err != nil {
			return nil //nolint:nilerr // it is told of when its turn comes
		}
		step := f.ledger.step(s.place.Host, s.place.Document)
		if step.Touched && (sight.Digest == step.Had || sight.Digest == step.Want) {
			return nil
		}
		return f.mayOverwrite(s, sight, Step{Pending: step.Pending}, false)
	}) {
		if err != nil {
			found = append(found, fmt.Errorf("host %s: %w", places[i].Host, err))
		}
	}
	return errors.Join(found...)
}

// everywhere runs do for each place, watchAtOnce at a time, with the turn of its host
// and a deadline of limits.look. errs[i] belongs to places[i].
func (f *Fleet) everywhere(ctx context.Context, places []Place, do func(ctx context.Context, s *spot) error) []error {
	errs := make([]error, len(places))
	room := make(chan struct{}, watchAtOnce)
	var all sync.WaitGroup
	for i, p := range places {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(ctx, f.limits.look)
			defer cancel()
			s := f.spotOf(p.Host, p.Document)
			if s == nil {
				errs[i] = unknown("host %s has no document %s", p.Host, p.Document)
				return
			}
			if err := s.take(ctx); err != nil {
				errs[i] = &AbsentError{errors.New("another operation on the host does not end")}
				return
			}
			defer s.leave()
			errs[i] = do(ctx, s)
		})
	}
	all.Wait()
	return errs
}
