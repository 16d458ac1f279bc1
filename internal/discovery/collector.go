package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/catalog"
)

// The defaults of Options.
const (
	DefaultQuiet   = 50 * time.Millisecond
	DefaultBound   = 250 * time.Millisecond
	DefaultConfirm = 5 * time.Second
	DefaultSettle  = 2 * time.Second
	DefaultLinger  = 10 * time.Second
)

// Between two runs of a source that broke off.
const (
	restartFirst = time.Second
	restartMost  = 30 * time.Second
)

// Options are what New needs. Only Feed is required; a zero duration means its
// default, and a negative one means none at all.
type Options struct {
	// Sources have distinct names.
	Sources []Source
	// Feed gets the snapshots.
	Feed *catalog.Feed
	// Restored is the snapshot of the last run; nil for none. What it says of a
	// source counts until that source has answered.
	Restored *catalog.Snapshot
	// Quiet is how long answers must be silent before a snapshot is published.
	Quiet time.Duration
	// Bound is how long a snapshot may be put off by answers that keep coming.
	Bound time.Duration
	// Confirm is how long after a mass removal an answer confirms it.
	Confirm time.Duration
	// Settle is how long the very first snapshot waits for sources that have
	// neither answered nor failed yet.
	Settle time.Duration
	// Linger is how long a service of which nothing runs any more is said to have
	// run lately. It is longer than a restart of a container takes.
	Linger     time.Duration
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Collector merges the answers of its sources into snapshots.
type Collector struct {
	sources  []Source
	feed     *catalog.Feed
	restored *catalog.Snapshot
	quiet    time.Duration
	bound    time.Duration
	confirm  time.Duration
	settle   time.Duration
	log      *slog.Logger
	metrics  *metrics

	mu     sync.Mutex // guards states, for Sources
	states []*state   // sorted by name

	// What follows belongs to the goroutine of Run.
	merger    merger
	linger    linger
	lingers   time.Time // until when a service is said to have run lately; zero for none
	published *catalog.Snapshot
	taken     time.Time // when the newest answer came
}

// state is what the collector knows of one source.
type state struct {
	name        string
	heard       bool // has answered or failed in this run
	synced      bool // has answered in this run
	err         string
	lastSuccess time.Time
	held        map[string]time.Time
	services    []*catalog.Service // the last good answer, held services included
	nodes       []*catalog.Node
	certs       []catalog.Certificate
}

// tagged is an answer with the source it came from.
type tagged struct {
	from   *state
	answer catalog.Answer
}

// New returns a collector that does nothing until Run.
func New(o Options) (*Collector, error) {
	if o.Feed == nil {
		return nil, errors.New("collector: a feed is required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Collector{
		sources:  slices.Clone(o.Sources),
		feed:     o.Feed,
		restored: o.Restored,
		quiet:    orDefault(o.Quiet, DefaultQuiet),
		bound:    orDefault(o.Bound, DefaultBound),
		confirm:  orDefault(o.Confirm, DefaultConfirm),
		settle:   orDefault(o.Settle, DefaultSettle),
		log:      o.Logger,
		linger:   linger{period: orDefault(o.Linger, DefaultLinger)},
	}
	slices.SortFunc(c.sources, func(a, b Source) int { return strings.Compare(a.Name(), b.Name()) })
	for i, s := range c.sources {
		if i > 0 && c.sources[i-1].Name() == s.Name() {
			return nil, fmt.Errorf("collector: two sources are named %q", s.Name())
		}
		c.states = append(c.states, &state{name: s.Name()})
	}
	var err error
	if c.metrics, err = newMetrics(o.Registerer, c.states); err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	return c, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	switch {
	case d == 0:
		return otherwise
	case d < 0:
		return 0
	default:
		return d
	}
}

// Sources returns how the sources are doing right now, sorted by name. It may
// be called from any goroutine; what it returns belongs to the caller.
func (c *Collector) Sources() []catalog.SourceStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]catalog.SourceStatus, 0, len(c.states))
	for _, s := range c.states {
		list = append(list, s.status())
	}
	return list
}

// status is called by the goroutine of Run, or with the collector's mutex held.
func (s *state) status() catalog.SourceStatus {
	return catalog.SourceStatus{
		Name:        s.name,
		Synced:      s.synced,
		Stale:       s.err != "",
		Error:       s.err,
		Held:        slices.Sorted(maps.Keys(s.held)),
		LastSuccess: s.lastSuccess,
		Services:    len(s.services),
	}
}

// Run runs the sources and publishes snapshots until ctx ends; then it waits
// for the sources to return and returns nil. It may be called once.
func (c *Collector) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	answers := make(chan tagged)
	c.restore()
	for i, source := range c.sources {
		running.Go(func() { c.supervise(ctx, source, c.states[i], answers) })
	}

	timer := time.NewTimer(0)
	defer timer.Stop()
	pace := pacer{quiet: c.quiet, bound: c.bound, settled: time.Now().Add(c.settle)}
	switch {
	case !c.lingers.IsZero(): // of what was restored
		timer.Reset(time.Until(c.lingers))
	case len(c.sources) > 0:
		timer.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-answers:
			c.accept(t.from, t.answer)
			pace.answer(time.Now())
			timer.Reset(time.Until(pace.due(c.published == nil && !c.allHeard())))
		case <-timer.C:
			pace.published()
			c.publish()
			if !c.lingers.IsZero() {
				timer.Reset(time.Until(c.lingers))
			}
		}
	}
}

// pacer decides when to publish: after Quiet without an answer, or Bound after
// the first answer that has not been published, whichever is sooner.
type pacer struct {
	quiet, bound time.Duration
	settled      time.Time // until when the first snapshot waits for everybody
	first, last  time.Time // of the answers not published yet
}

func (p *pacer) answer(now time.Time) {
	if p.first.IsZero() {
		p.first = now
	}
	p.last = now
}

func (p *pacer) published() { p.first = time.Time{} }

// due returns when to publish. wait is true while the first snapshot is still to
// come and some source has not been heard.
func (p *pacer) due(wait bool) time.Time {
	due := p.last.Add(p.quiet)
	if latest := p.first.Add(p.bound); latest.Before(due) {
		due = latest
	}
	if wait && due.Before(p.settled) {
		due = p.settled
	}
	return due
}

// allHeard reports whether every source has answered or failed in this run.
func (c *Collector) allHeard() bool {
	return !slices.ContainsFunc(c.states, func(s *state) bool { return !s.heard })
}

// restore seeds the sources with what they said in the last run and publishes
// that at once. Services of sources that are no longer configured are dropped.
func (c *Collector) restore() {
	if c.restored == nil {
		return
	}
	restored := *c.restored
	restored.Services = c.linger.resume(restored.Services)
	services, nodes := split(&restored)
	lastSuccess := make(map[string]time.Time)
	for _, old := range c.restored.Sources {
		lastSuccess[old.Name] = old.LastSuccess
	}
	c.mu.Lock()
	for _, s := range c.states {
		s.services, s.nodes, s.lastSuccess = services[s.name], nodes[s.name], lastSuccess[s.name]
		for _, cert := range c.restored.Certificates {
			if cert.Source == s.name {
				s.certs = append(s.certs, cert)
			}
		}
	}
	c.mu.Unlock()
	c.taken = c.restored.Taken
	c.publish()
}

// accept takes in an answer.
func (c *Collector) accept(s *state, a catalog.Answer) {
	now := time.Now()
	c.taken = now
	c.metrics.answer(s.name, now, a.Err)
	before := s.err
	c.mu.Lock()
	defer c.mu.Unlock()
	s.heard = true
	if a.Err != nil {
		if s.err = a.Err.Error(); s.err == "" {
			s.err = "unknown error"
		}
		if before != s.err {
			c.log.Warn("source failed, its services are frozen", "source", s.name, "error", s.err, "services", len(s.services))
		}
		return
	}
	if before != "" {
		c.log.Info("source is back", "source", s.name)
	}
	held := len(s.held)
	s.err, s.synced, s.lastSuccess, s.nodes, s.certs = "", true, now, a.Nodes, a.Certificates
	if a.Certain {
		s.services, s.held = a.Services, nil
		return
	}
	s.services, s.held = guard(s.services, a.Services, s.held, now, c.confirm)
	switch {
	case len(s.held) > held:
		c.log.Warn("source lost most of its services at once, they are held until confirmed", "source", s.name, "held", len(s.held), "left", len(a.Services))
	case held > 0 && len(s.held) == 0:
		c.log.Info("held services are settled", "source", s.name, "services", len(s.services))
	}
}

// publish hands out a snapshot of what is known, unless that is what the newest
// one says already.
func (c *Collector) publish() {
	next := &catalog.Snapshot{Taken: c.taken, Restored: c.restored != nil && len(c.states) > 0}
	for _, s := range c.states {
		if s.synced {
			next.Restored = false
		}
		next.Sources = append(next.Sources, s.status())
		next.Certificates = append(next.Certificates, s.certs...)
	}
	next.Services, c.lingers = c.linger.mark(c.merger.services(c.states), time.Now())
	next.Nodes = c.merger.nodes(c.states)
	if c.published != nil {
		if same(c.published, next) {
			return
		}
		next.Revision = c.published.Revision
	} else if c.restored != nil {
		next.Revision = c.restored.Revision
	}
	next.Revision++
	c.published = next
	c.feed.Publish(next)
	c.metrics.snapshot(next)
	c.log.Debug("snapshot", "revision", next.Revision, "services", len(next.Services))
}

// supervise runs a source for as long as ctx lives. A source that panics or
// returns is told of as a failed answer and started again, after a pause that
// grows while it keeps breaking off.
func (c *Collector) supervise(ctx context.Context, source Source, s *state, answers chan<- tagged) {
	out := make(chan catalog.Answer)
	var relay sync.WaitGroup
	defer relay.Wait()
	send := func(a catalog.Answer) {
		select {
		case answers <- tagged{s, a}:
		case <-ctx.Done():
		}
	}
	relay.Go(func() {
		for {
			select {
			case a := <-out:
				send(a)
			case <-ctx.Done():
				return
			}
		}
	})
	pause := restartFirst
	for {
		began := time.Now()
		err := c.runOnce(ctx, source, out)
		if ctx.Err() != nil {
			return
		}
		send(catalog.Answer{Err: err})
		if time.Since(began) > restartMost {
			pause = restartFirst
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, restartMost)
	}
}

// runOnce runs a source until it breaks off and returns why. Only panics of the
// goroutine that runs Run are caught.
func (c *Collector) runOnce(ctx context.Context, source Source, out chan<- catalog.Answer) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("source panicked", "source", source.Name(), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("source panicked: %v", r)
		}
	}()
	source.Run(ctx, out)
	return errors.New("source stopped by itself")
}
