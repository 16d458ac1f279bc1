package consul

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/consul"
	"fairway/internal/discovery/poll"
)

var (
	errNoLeader = errors.New("consul knows no leader")
	errLess     = errors.New("consul: the token sees less than before: services may be missing")
)

// follower is one session: from the first list until something cannot be read.
type follower struct {
	*Source
	out     chan<- catalog.Answer
	results chan func() error // what queries found, for the loop
	jobs    sync.WaitGroup

	wanted   map[string]bool      // services that are read
	unread   map[string]bool      // of these, those that have not been read in this session
	doubts   map[string]time.Time // since when one cannot be read
	queue    []string             // to be read
	reading  map[string]bool
	watched  map[string]context.CancelFunc
	index    uint64 // of the names
	dirty    bool   // something has changed since the last round
	round    time.Time
	fresh    bool // something is to be said
	answered bool
	fails    int // of the questions for the leader, in a row
}

// session returns whether it answered, and why it ended.
func (s *Source) session(ctx context.Context, out chan<- catalog.Answer) (answered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{
		Source: s, out: out, results: make(chan func() error), wanted: map[string]bool{}, unread: map[string]bool{},
		doubts: map[string]time.Time{}, reading: map[string]bool{}, watched: map[string]context.CancelFunc{}, round: time.Now(),
	}
	defer func() { s.o.Metrics.watches.With(s.o.Name).Set(0) }()
	defer f.jobs.Wait() // after cancel
	defer cancel()
	leader, err := s.o.Reader.Leader(ctx, s.o.Datacenter)
	if err == nil && leader == "" {
		err = errNoLeader
	}
	if err != nil {
		return false, err
	}
	names, meta, err := s.o.Reader.Services(ctx, consul.Query{Datacenter: s.o.Datacenter})
	if err := s.count(err); err != nil {
		return false, err
	}
	if err := f.list(names, meta); err != nil {
		return false, err
	}
	f.index = meta.Index
	f.jobs.Go(func() { f.watchNames(ctx) })
	f.jobs.Go(func() { f.watchChecks(ctx) })
	err = f.loop(ctx)
	return f.answered, err
}

func (f *follower) loop(ctx context.Context) error {
	probe, recheck := time.NewTimer(probeEvery), time.NewTimer(poll.Jitter(recheckEvery))
	settle, tick := time.NewTimer(time.Hour), time.NewTicker(time.Second)
	for _, t := range []*time.Timer{probe, recheck, settle} {
		defer t.Stop()
	}
	defer tick.Stop()
	settle.Stop()
	settling := false
	for {
		f.fill(ctx)
		if f.fresh && !settling && len(f.unread) == 0 {
			settling = true
			settle.Reset(settleFor)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case found := <-f.results:
			if err := found(); err != nil {
				return err
			}
		case <-settle.C:
			settling = false
			if len(f.unread) > 0 {
				continue
			}
			gone, ok := f.answer(ctx)
			if !ok {
				return context.Cause(ctx)
			}
			if gone {
				recheck.Reset(confirmAfter)
			}
		case <-recheck.C:
			recheck.Reset(poll.Jitter(recheckEvery))
			f.jobs.Go(func() { f.readNames(ctx) })
		case <-probe.C:
			f.jobs.Go(func() { f.probe(ctx, probe) })
		case <-tick.C:
			if err := f.tick(); err != nil {
				return err
			}
		}
	}
}

// send has the loop look at what a query found, and returns once it has.
func (f *follower) send(ctx context.Context, found func() error) bool {
	looked := make(chan struct{})
	if !poll.Send(ctx, f.results, func() error { defer close(looked); return found() }) {
		return false
	}
	<-looked
	return ctx.Err() == nil
}

// count counts a query.
func (s *Source) count(err error) error {
	result := "ok"
	if err != nil {
		result = "error"
	}
	s.o.Metrics.queries.With(result, s.o.Name).Inc()
	return err
}

// watchNames follows the names and tags.
func (f *follower) watchNames(ctx context.Context) {
	pace := rate.NewLimiter(rate.Every(time.Second), 2)
	index := f.index // set before
	for pace.Wait(ctx) == nil {
		names, meta, err := f.o.Reader.Services(ctx, consul.Query{Datacenter: f.o.Datacenter, Index: index, Wait: poll.Jitter(holdFor)})
		if ctx.Err() != nil || !f.send(ctx, func() error {
			if err := f.count(err); err != nil {
				return err
			}
			f.reset(index, meta)
			f.dirty = f.dirty || meta.Index != index
			return f.list(names, meta)
		}) {
			return
		}
		index = meta.Index
	}
}

// readNames reads the names at once: what is gone is gone for sure then, and the answer is of now.
func (f *follower) readNames(ctx context.Context) {
	names, meta, err := f.o.Reader.Services(ctx, consul.Query{Datacenter: f.o.Datacenter})
	f.send(ctx, func() error {
		if err := f.count(err); err != nil {
			return err
		}
		f.fresh = true
		return f.list(names, meta)
	})
}

// watchChecks waits for a change of any check, which is a reason for a round.
func (f *follower) watchChecks(ctx context.Context) {
	pace := rate.NewLimiter(rate.Every(time.Second), 2)
	var index uint64
	for pace.Wait(ctx) == nil {
		meta, err := f.o.Reader.Checks(ctx, consul.Query{Datacenter: f.o.Datacenter, Index: index, Wait: poll.Jitter(holdFor)})
		if ctx.Err() != nil || !f.send(ctx, func() error {
			if err := f.count(err); err != nil {
				return err
			}
			f.reset(index, meta)
			f.dirty = f.dirty || index > 0 && meta.Index != index
			return nil
		}) {
			return
		}
		index = meta.Index
	}
}

func (f *follower) reset(index uint64, meta consul.Meta) {
	if index > 0 && meta.Index == 0 {
		f.o.Metrics.resets.With(f.o.Name).Inc()
	}
}

// probe asks for the leader: of an agent without one held queries say nothing.
func (f *follower) probe(ctx context.Context, next *time.Timer) {
	leader, err := f.o.Reader.Leader(ctx, f.o.Datacenter)
	f.send(ctx, func() error {
		if err == nil && leader == "" {
			err = errNoLeader
		}
		if err == nil {
			f.fails = 0
			next.Reset(probeEvery)
			return nil
		}
		next.Reset(probeAgain)
		if f.fails++; f.fails < 2 {
			return nil
		}
		return err
	})
}

// doubt is the reason why an answer may be wrong; nil for none.
func (s *Source) doubt(names map[string][]string, meta consul.Meta) error {
	_, servers := names["consul"]
	switch {
	case meta.NoLeader:
		return errNoLeader
	case meta.Behind > behindMost:
		return fmt.Errorf("consul: the server that answers has not heard of the leader for %s", meta.Behind.Round(time.Second))
	case s.listed && meta.Filtered && !s.filtered:
		return errLess
	case s.names > 0 && len(names) == 0:
		return errors.New("consul suddenly has no service at all")
	case s.servers && !servers:
		return errors.New("consul suddenly does not know its own servers")
	}
	return nil
}

// list takes over the names. New ones are read at once.
func (f *follower) list(names map[string][]string, meta consul.Meta) error {
	if err := f.doubt(names, meta); err != nil {
		return err
	}
	_, f.servers = names["consul"]
	f.names, f.listed, f.filtered = len(names), true, meta.Filtered
	filtered := 0.0
	if meta.Filtered {
		filtered = 1
	}
	f.o.Metrics.filtered.With(f.o.Name).Set(filtered)
	f.o.Metrics.age.With(f.o.Name).Set(meta.Behind.Seconds())
	for name, tags := range names {
		if f.t.wants(name, tags) && !f.wanted[name] {
			f.wanted[name], f.unread[name] = true, true
			f.enqueue(name)
		}
	}
	for name := range f.wanted {
		if tags, there := names[name]; !there || !f.t.wants(name, tags) {
			f.drop(name)
		}
	}
	for name := range f.last {
		if !f.wanted[name] {
			delete(f.last, name)
			f.fresh = true
		}
	}
	f.fresh = f.fresh || !f.answered
	return nil
}

// drop forgets a service that is gone.
func (f *follower) drop(name string) {
	if cancel := f.watched[name]; cancel != nil {
		cancel()
	}
	for _, m := range []map[string]bool{f.wanted, f.unread} {
		delete(m, name)
	}
	delete(f.watched, name)
	delete(f.doubts, name)
	f.fresh = true
}

func (f *follower) enqueue(name string) {
	if !slices.Contains(f.queue, name) {
		f.queue = append(f.queue, name)
	}
}

// fill reads what is to be read, and holds queries for what has been, up to their bounds.
func (f *follower) fill(ctx context.Context) {
	for len(f.queue) > 0 && len(f.reading) < readAtOnce {
		name := f.queue[0]
		f.queue = f.queue[1:]
		if !f.wanted[name] || f.reading[name] {
			continue
		}
		f.reading[name] = true
		f.jobs.Go(func() { f.read(ctx, name) })
	}
	if len(f.unread) == 0 && len(f.watched) < min(f.o.Watches, len(f.wanted)) {
		for _, name := range f.newest() {
			if len(f.watched) < f.o.Watches && f.watched[name] == nil {
				f.watch(ctx, name)
			}
		}
	}
	f.o.Metrics.watches.With(f.o.Name).Set(float64(len(f.watched)))
}

// newest are the services that are known, those first that changed last.
func (f *follower) newest() []string {
	names := slices.Sorted(maps.Keys(f.last))
	slices.SortStableFunc(names, func(a, b string) int { return f.last[b].changed.Compare(f.last[a].changed) })
	return names
}

// read reads a service once.
func (f *follower) read(ctx context.Context, name string) {
	entries, meta, err := f.o.Reader.Health(ctx, name, consul.Query{Datacenter: f.o.Datacenter})
	f.send(ctx, func() error {
		delete(f.reading, name)
		sound, err := f.found(name, entries, meta, err)
		if err == nil && sound && f.watched[name] == nil && len(f.watched) >= f.o.Watches && f.last[name].changed.After(f.round) {
			f.exchange(ctx, name)
		}
		return err
	})
}

// exchange watches a service that changed in the place of the one that has been quiet for longest.
func (f *follower) exchange(ctx context.Context, name string) {
	oldest := ""
	for other := range f.watched {
		if k := f.last[other]; k != nil && (oldest == "" || k.changed.Before(f.last[oldest].changed)) {
			oldest = other
		}
	}
	if oldest == "" || !f.last[oldest].changed.Before(f.last[name].changed) {
		return
	}
	f.watched[oldest]()
	delete(f.watched, oldest)
	f.watch(ctx, name)
}

// watch holds a query for a service.
func (f *follower) watch(ctx context.Context, name string) {
	ctx, cancel := context.WithCancel(ctx)
	f.watched[name] = cancel
	index := f.last[name].index
	f.jobs.Go(func() {
		defer cancel()
		pace := rate.NewLimiter(rate.Every(500*time.Millisecond), 2)
		for pace.Wait(ctx) == nil {
			entries, meta, err := f.o.Reader.Health(ctx, name, consul.Query{Datacenter: f.o.Datacenter, Index: index, Wait: poll.Jitter(holdFor)})
			sound := false
			if ctx.Err() != nil || !f.send(ctx, func() (fault error) {
				if ctx.Err() != nil {
					return nil
				}
				f.reset(index, meta)
				sound, fault = f.found(name, entries, meta, err)
				return fault
			}) {
				return
			}
			index = meta.Index
			if !sound {
				index = 0
				if clock.Sleep(ctx, max(poll.Jitter(time.Second), asked(err))) != nil {
					return
				}
			}
		}
	})
}

// found takes over what a service is. What may be wrong is passed over for a while,
// and then is an error for the whole source: there is no half answer.
func (f *follower) found(name string, entries []consul.Entry, meta consul.Meta, err error) (sound bool, fault error) {
	if !f.wanted[name] {
		return false, nil // it was dropped while it was read
	}
	switch {
	case f.count(err) != nil:
	case meta.NoLeader:
		err = errNoLeader
	case meta.Behind > behindMost:
		err = f.doubt(nil, consul.Meta{Behind: meta.Behind})
	case len(entries) == 0:
		err = fmt.Errorf("consul lists the service %q and shows no instance of it", name)
	}
	if err != nil {
		since, doubted := f.doubts[name]
		if !doubted {
			since = time.Now()
			f.doubts[name] = since
		}
		if time.Since(since) > doubtFor {
			return false, err
		}
		return false, nil
	}
	delete(f.doubts, name)
	service, nodes := f.t.service(name, entries)
	before := f.last[name]
	switch {
	case before == nil:
		before = &known{service: service, nodes: nodes, changed: time.Now()}
		f.last[name], f.fresh = before, true
	case !reflect.DeepEqual(before.service, service) || !reflect.DeepEqual(before.nodes, nodes):
		before.service, before.nodes, before.changed = service, nodes, time.Now()
		f.fresh = true
	}
	before.index = meta.Index
	delete(f.unread, name)
	return true, nil
}

// tick begins a round where one is due, and reads again what is in doubt.
func (f *follower) tick() error {
	now := time.Now()
	for name, since := range f.doubts {
		if now.Sub(since) > doubtFor {
			return fmt.Errorf("consul: the service %q cannot be read", name)
		}
		if f.watched[name] == nil {
			f.enqueue(name)
		}
	}
	if since := now.Sub(f.round); len(f.queue) > 0 || len(f.unread) > 0 || since < roundEvery || !f.dirty && since < roundAtLeast {
		return nil
	}
	f.round, f.dirty = now, false
	for _, name := range slices.Sorted(maps.Keys(f.wanted)) {
		if f.watched[name] == nil && !f.reading[name] {
			f.queue = append(f.queue, name)
		}
	}
	return nil
}

// answer says everything, and whether services are gone since the answer before.
func (f *follower) answer(ctx context.Context) (gone, ok bool) {
	var a catalog.Answer
	nodes := map[string]*catalog.Node{}
	said := make(map[string]bool, len(f.wanted))
	for _, name := range slices.Sorted(maps.Keys(f.wanted)) {
		k := f.last[name]
		if len(k.service.Instances) > 0 {
			a.Services = append(a.Services, k.service)
			said[name] = true
		}
		for _, n := range k.nodes {
			nodes[n.ID] = n // each list of a node is as old as its service
		}
	}
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		a.Nodes = append(a.Nodes, nodes[id])
	}
	for name := range f.said {
		gone = gone || !said[name]
	}
	f.said, f.fresh, f.answered = said, false, true
	return gone, poll.Send(ctx, f.out, a)
}
