// Package fleet manages HAProxy instances on many Docker hosts from one place.
//
// A document is a named HAProxy configuration with immutable revisions. A rollout puts one
// on the hosts of a document in waves, proves on each that HAProxy runs with it, watches
// what HAProxy counts, and restores what was there when something is wrong.
//
// Decisions are pure functions over a durable record (Next, Worse, Compare): after a kill
// at any moment the next run goes on.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"time"

	"fairway/internal/clock"
	"fairway/internal/feed"
	"fairway/internal/fleet/driver"
	"fairway/internal/history"
	"fairway/internal/metrics"
)

// Options are what New needs. Either Path or Map, and the rest but Logger and Metrics.
type Options struct {
	// Path is the fleet file, read again when it changes; the last valid version counts.
	Path string
	// Map stands for a fleet file that never changes.
	Map *Map
	// Documents and Records are the store; *history.Store is both.
	Documents Documents
	Records   Records
	// NewEngine makes a client for a Docker engine. It does not connect.
	NewEngine func(url string) (driver.Engine, error)
	// Watch is how often each host is observed, 30 s for zero; one that is unreachable or
	// has a pending revision is every 5 s.
	Watch time.Duration
	// OnEnded is called once the record says that a rollout has ended; nil for none. A kill
	// between the two loses the call.
	OnEnded func(Rollout)
	// Logger gets what happens; nil logs nothing.
	Logger *slog.Logger
	// Metrics gets those of the fleet; nil for none.
	Metrics *metrics.Set
}

const rereadAfter = 2 * time.Second

// Fleet is the hosts, their documents and rollouts. It is safe for concurrent use.
type Fleet struct {
	o      Options
	log    *slog.Logger
	store  *store
	pages  *http.Client // for statistics pages
	meters *meters
	limits limits

	// enlisting orders those who begin a rollout; mu is not held over writes to the disk.
	enlisting sync.Mutex

	mu      sync.Mutex
	m       *Map
	targets map[targetKey]*target
	engines map[string]driver.Engine
	runs    map[string]*run // rollouts that are under way, by document
	ready   bool            // the rollouts that the last run has left are under way
	life    context.Context //nolint:containedctx // of Run: rollouts live as long; nil before

	running sync.WaitGroup  // rollouts, and the watch of the fleet file
	news    feed.Feed[bool] // published when what readers of documents get may change
}

type targetKey struct{ host, document string }

// New reads the fleet file and the record. Nothing is done to a host before Run.
func New(o Options) (*Fleet, error) {
	if o.Documents == nil || o.Records == nil || o.NewEngine == nil || o.Path == "" && o.Map == nil {
		return nil, errors.New("fleet: documents, records, engines and a fleet file are required")
	}
	if o.Watch <= 0 {
		o.Watch = defaultWatch
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	// A kept connection leads nowhere once a container has another address.
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's own
	transport.DisableKeepAlives = true
	f := &Fleet{
		o: o, log: o.Logger, limits: defaultLimits(),
		pages: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		targets: map[targetKey]*target{}, engines: map[string]driver.Engine{}, runs: map[string]*run{},
		store: &store{documents: o.Documents, records: o.Records, steps: map[targetKey]Step{}, listed: map[string][]history.Revision{}},
	}
	m := o.Map
	if m == nil {
		var err error
		if m, err = ReadMap(o.Path); err != nil {
			return nil, err
		}
	}
	if err := f.use(m); err != nil {
		return nil, err
	}
	f.meters = newMeters(o.Metrics, f)
	return f, nil
}

// use puts a map into use. Targets that are the same keep their state.
func (f *Fleet) use(m *Map) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	engines, targets := map[string]driver.Engine{}, map[targetKey]*target{}
	for _, p := range m.Targets {
		engine := cmp.Or(f.engines[p.Docker], engines[p.Docker])
		if engine == nil {
			var err error
			if engine, err = f.o.NewEngine(p.Docker); err != nil {
				closeEngines(engines, f.engines)
				return fmt.Errorf("fleet: host %s: %w", p.Host, err)
			}
		}
		engines[p.Docker] = engine
		key := targetKey{p.Host, p.Document}
		if targets[key] = f.targets[key]; targets[key] == nil || !reflect.DeepEqual(targets[key].Target, p) {
			targets[key] = newTarget(p, driver.New(engine, p, f.pages))
		}
	}
	closeEngines(f.engines, engines)
	f.m, f.engines, f.targets = m, engines, targets
	f.changed() // readers may have other rights
	return nil
}

// closeEngines closes those that are not kept.
func closeEngines(engines, kept map[string]driver.Engine) {
	for url, engine := range engines {
		if closer, ok := engine.(interface{ Close() }); ok && kept[url] == nil {
			closer.Close()
		}
	}
}

func (f *Fleet) current() *Map {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.m
}

// target returns nil when the fleet has none such.
func (f *Fleet) target(host, document string) *target {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.targets[targetKey{host, document}]
}

// Run goes on with the rollouts of the last run, and watches the hosts until ctx ends. What
// is being done to a host is finished then.
func (f *Fleet) Run(ctx context.Context) error {
	defer f.running.Wait()
	f.mu.Lock()
	f.life = ctx
	f.mu.Unlock()
	for err := f.resume(); err != nil; err = f.resume() {
		f.log.Error("the fleet waits for its record to be readable", "error", err)
		if clock.Sleep(ctx, time.Second) != nil {
			return nil
		}
	}
	f.mu.Lock()
	f.ready = true
	f.mu.Unlock()
	if f.o.Path != "" {
		f.running.Go(func() { f.reread(ctx) })
	}
	f.watch(ctx)
	return nil
}

// Close drops the connections to the engines.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	closeEngines(f.engines, nil)
}

// reread follows the fleet file and the files it names. A fault is logged once.
func (f *Fleet) reread(ctx context.Context) {
	used, fault := f.current().fingerprint(f.o.Path), "" // what New has read, or nearly so
	for clock.Sleep(ctx, rereadAfter) == nil {
		if f.current().fingerprint(f.o.Path) == used {
			fault = ""
			continue
		}
		m, err := ReadMap(f.o.Path)
		if err == nil {
			err = f.use(m)
		}
		switch {
		case err == nil:
			used, fault = m.fingerprint(f.o.Path), ""
			f.log.Info("the fleet file was read again", "hosts", len(m.Targets))
		case err.Error() != fault:
			fault = err.Error()
			f.log.Error("the fleet file has a fault; the last valid version stays in use", "error", err)
		}
	}
}

// changed wakes the readers that wait, for any document: names that clients ask for
// leave nothing behind.
func (f *Fleet) changed() { f.news.Publish(new(bool)) }
