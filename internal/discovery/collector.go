// Package discovery runs the sources and merges what they say into one snapshot.
//
// A Source reads one outside system. The Collector keeps the last good answer of each source,
// so that one that fails freezes its own services alone, and publishes a snapshot when the
// answers have been quiet for a moment. See README.md for how to add a source.
package discovery

import (
	"cmp"
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

	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/discovery/poll"
	"fairway/internal/metrics"
)

// Between two runs of a source that broke off.
const (
	restartFirst = time.Second
	restartMost  = 30 * time.Second
)

// Options are what New needs. Only Feed is required; a zero duration means the default
// that is named with it, a negative one none at all.
type Options struct {
	// Sources have distinct names.
	Sources []Source
	// Feed gets the snapshots.
	Feed *catalog.Feed
	// Restored is the snapshot of the last run; nil for none.
	Restored *catalog.Snapshot
	// Quiet is how long answers must be silent before a snapshot is published (50 ms).
	Quiet time.Duration
	// Bound is how long a snapshot may be put off by answers that keep coming (250 ms).
	Bound time.Duration
	// Confirm is how long after a mass removal an answer confirms it (5 s).
	Confirm time.Duration
	// Shared are names of services that instances of several owners may be members of.
	Shared []string
	// Records keep what different records of owners are for apart; nil for none.
	Records Records
	// Settle is how long the first snapshot waits for sources that have not answered (2 s).
	Settle time.Duration
	// Linger is how long a service of which nothing runs is said to have run lately (10 s).
	Linger  time.Duration
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Collector merges the answers of its sources into snapshots.
type Collector struct {
	o      Options
	meters *meters

	mu     sync.Mutex // guards states, for Sources
	states []*state   // sorted by name, as the sources are

	// What follows belongs to the goroutine of Run.
	merger    merger
	linger    linger
	lingers   time.Time // until when a service is said to have run lately; zero for none
	published *catalog.Snapshot
	taken     time.Time // when the newest answer came
}

type state struct {
	catalog.SourceStatus
	heard    bool // has answered or failed in this run
	held     map[string]time.Time
	services []*catalog.Service // the last good answer, held services included
	nodes    []*catalog.Node
	certs    []catalog.Certificate
}

type tagged struct {
	from   *state
	answer catalog.Answer
}

// New returns a collector that does nothing until Run.
func New(o Options) (*Collector, error) {
	if o.Feed == nil {
		return nil, errors.New("collector: a feed is required")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	for d, otherwise := range map[*time.Duration]time.Duration{
		&o.Quiet: 50 * time.Millisecond, &o.Bound: 250 * time.Millisecond,
		&o.Confirm: 5 * time.Second, &o.Settle: 2 * time.Second, &o.Linger: 10 * time.Second,
	} {
		*d = max(0, cmp.Or(*d, otherwise))
	}
	o.Sources = slices.SortedFunc(slices.Values(o.Sources), func(a, b Source) int { return strings.Compare(a.Name(), b.Name()) })
	c := &Collector{o: o, merger: merger{shared: o.Shared, records: o.Records}, linger: linger{period: o.Linger}}
	for i, s := range o.Sources {
		if i > 0 && o.Sources[i-1].Name() == s.Name() {
			return nil, fmt.Errorf("collector: two sources are named %q", s.Name())
		}
		c.states = append(c.states, &state{SourceStatus: catalog.SourceStatus{Name: s.Name()}})
	}
	c.meters = newMeters(o.Metrics, c.states)
	return c, nil
}

// Sources returns how the sources are doing, sorted by name.
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
	status := s.SourceStatus
	status.Held, status.Services = slices.Sorted(maps.Keys(s.held)), len(s.services)
	return status
}

// Run runs the sources and publishes snapshots until ctx ends. It may be called once.
func (c *Collector) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	answers := make(chan tagged)
	c.restore()
	for i, source := range c.o.Sources {
		running.Go(func() { c.supervise(ctx, source, c.states[i], answers) })
	}

	timer := time.NewTimer(0)
	defer timer.Stop()
	settled := time.Now().Add(c.o.Settle) // until when the first snapshot waits for everybody
	var first time.Time                   // answer that is not published yet
	switch {
	case !c.lingers.IsZero(): // of what was restored
		timer.Reset(time.Until(c.lingers))
	case len(c.states) > 0:
		timer.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-answers:
			c.accept(t.from, t.answer)
			// It is published after Quiet without an answer, or Bound after the first.
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			due := now.Add(min(c.o.Quiet, first.Add(c.o.Bound).Sub(now)))
			if c.published == nil && !c.allHeard() && due.Before(settled) {
				due = settled
			}
			timer.Reset(time.Until(due))
		case <-timer.C:
			first = time.Time{}
			c.publish()
			if !c.lingers.IsZero() {
				timer.Reset(time.Until(c.lingers))
			}
		}
	}
}

func (c *Collector) allHeard() bool {
	return !slices.ContainsFunc(c.states, func(s *state) bool { return !s.heard })
}

// restore seeds the sources with what they said in the last run and publishes that.
func (c *Collector) restore() {
	if c.o.Restored == nil {
		return
	}
	services := c.linger.resume(c.o.Restored.Services)
	c.merger.resume(services)
	c.mu.Lock()
	for _, s := range c.states {
		s.services = partOf(s.Name, services)
		for _, old := range c.o.Restored.Sources {
			if old.Name == s.Name {
				s.LastSuccess = old.LastSuccess
			}
		}
		s.nodes = slices.DeleteFunc(slices.Clone(c.o.Restored.Nodes), func(n *catalog.Node) bool { return n.Source != s.Name })
		s.certs = slices.DeleteFunc(slices.Clone(c.o.Restored.Certificates), func(cert catalog.Certificate) bool { return cert.Source != s.Name })
	}
	c.mu.Unlock()
	c.taken = c.o.Restored.Taken
	c.publish()
}

func (c *Collector) accept(s *state, a catalog.Answer) {
	now := time.Now()
	c.taken = now
	c.meters.answer(s.Name, now, a.Err)
	before := s.Error
	c.mu.Lock()
	defer c.mu.Unlock()
	s.heard, s.Stale, s.Error = true, a.Err != nil, ""
	if a.Err != nil {
		if s.Error = cmp.Or(a.Err.Error(), "unknown error"); before != s.Error {
			c.o.Logger.Warn("source failed, its services are frozen", "source", s.Name, "error", s.Error, "services", len(s.services))
		}
		return
	}
	if before != "" {
		c.o.Logger.Info("source is back", "source", s.Name)
	}
	held := len(s.held)
	s.Synced, s.LastSuccess, s.nodes, s.certs = true, now, a.Nodes, a.Certificates
	if a.Certain {
		s.services, s.held = a.Services, nil
		return
	}
	s.services, s.held = guard(s.services, a.Services, s.held, now, c.o.Confirm)
	switch {
	case len(s.held) > held:
		c.o.Logger.Warn("source lost most of its services at once, they are held until confirmed", "source", s.Name, "held", len(s.held), "left", len(a.Services))
	case held > 0 && len(s.held) == 0:
		c.o.Logger.Info("held services are settled", "source", s.Name, "services", len(s.services))
	}
}

// publish makes and publishes a snapshot of what is known, unless the newest is the same.
func (c *Collector) publish() {
	next := &catalog.Snapshot{Taken: c.taken, Restored: c.o.Restored != nil && len(c.states) > 0}
	for _, s := range c.states {
		if s.Synced {
			next.Restored = false
		}
		next.Sources = append(next.Sources, s.status())
		next.Certificates = append(next.Certificates, s.certs...)
	}
	next.Services, c.lingers = c.linger.mark(c.merger.services(c.states), time.Now())
	next.Nodes = mergeNodes(c.states)
	if c.published != nil {
		if same(c.published, next) {
			return
		}
		next.Revision = c.published.Revision
	} else if c.o.Restored != nil {
		next.Revision = c.o.Restored.Revision
	}
	next.Revision++
	c.published = next
	c.o.Feed.Publish(next)
	c.meters.revision.Set(float64(next.Revision))
	c.meters.services.Set(float64(len(next.Services)))
	c.o.Logger.Debug("snapshot", "revision", next.Revision, "services", len(next.Services))
}

// supervise runs a source until ctx ends. Each time that it breaks off is a failed answer.
func (c *Collector) supervise(ctx context.Context, source Source, s *state, answers chan<- tagged) {
	out := make(chan catalog.Answer)
	var relay sync.WaitGroup
	defer relay.Wait()
	relay.Go(func() {
		for {
			select {
			case a := <-out:
				poll.Send(ctx, answers, tagged{s, a})
			case <-ctx.Done():
				return
			}
		}
	})
	for pause := restartFirst; ; pause = min(2*pause, restartMost) {
		began := time.Now()
		err := c.runOnce(ctx, source, out)
		if ctx.Err() != nil {
			return
		}
		poll.Send(ctx, answers, tagged{s, catalog.Answer{Err: err}})
		if time.Since(began) > restartMost {
			pause = restartFirst
		}
		if clock.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// runOnce runs a source until it breaks off, also by a panic, and returns why.
func (c *Collector) runOnce(ctx context.Context, source Source, out chan<- catalog.Answer) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.o.Logger.Error("source panicked", "source", source.Name(), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("source panicked: %v", r)
		}
	}()
	source.Run(ctx, out)
	return errors.New("source stopped by itself")
}

// Source reads one outside system.
type Source interface {
	// Name is unique in a collector, and a function of the configuration alone.
	Name() string
	// Run sends answers until ctx ends, then returns. Each answer is everything the source
	// sees or the error that kept it from seeing. Run sends whenever something changed, and
	// every 30 s at least; after an answer in which services are gone it answers again within
	// six seconds, which confirms their removal. It selects on ctx with each send, never
	// closes out, and may be called again after it returned.
	Run(ctx context.Context, out chan<- catalog.Answer)
}

type meters struct {
	lastSuccess, up    *metrics.Vec[metrics.Gauge]
	answers            *metrics.Vec[metrics.Counter]
	revision, services *metrics.Gauge
}

// newMeters registers the metrics. Each source has its series from the start, so that
// one that never answers shows.
func newMeters(set *metrics.Set, states []*state) *meters {
	m := &meters{
		lastSuccess: set.GaugeVec("fairway_source_last_success_timestamp_seconds",
			"When the source last answered without an error in this run; 0 for never.", "source"),
		up: set.GaugeVec("fairway_source_up",
			"1 while the newest answer of the source was not an error.", "source"),
		answers: set.CounterVec("fairway_source_answers_total",
			"Answers of the source, by result (ok or error).", "result", "source"),
		revision: set.Gauge("fairway_snapshot_revision", "Revision of the newest snapshot."),
		services: set.Gauge("fairway_services", "Services in the newest snapshot."),
	}
	for _, s := range states {
		m.lastSuccess.With(s.Name)
		m.up.With(s.Name)
		m.answers.With("ok", s.Name)
		m.answers.With("error", s.Name)
	}
	return m
}

func (m *meters) answer(source string, now time.Time, err error) {
	if err != nil {
		m.up.With(source).Set(0)
		m.answers.With("error", source).Inc()
		return
	}
	m.up.With(source).Set(1)
	m.answers.With("ok", source).Inc()
	m.lastSuccess.With(source).Set(float64(now.UnixNano()) / 1e9)
}
