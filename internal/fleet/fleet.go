// Package fleet manages HAProxy instances on many Docker hosts from one place.
//
// A document is a named HAProxy configuration with immutable revisions; history
// keeps them. A host is a Docker engine, and the containers on it that run
// HAProxy with a document. A rollout puts a revision on the hosts of a document
// in waves, proves on each that HAProxy runs with it, watches what HAProxy
// counts, and gives back what was there when something is wrong.
//
// What is decided is decided by pure functions over a durable record (Next,
// Worse, Compare); what is done to a host is done through a few commands with
// fixed arguments (see hand.go). A kill at any moment leaves a record from which
// the next run goes on.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"fairway/internal/history"
)

// Options are what New needs. Either Path or Map is required, and the rest but
// Logger and Registerer.
type Options struct {
	// Path is the fleet file. It is read again when it changes; what is wrong
	// with it then is logged, and what it said before holds on.
	Path string
	// Map stands for a fleet file that never changes.
	Map *Map
	// Documents and Records are the store; *history.Store is both.
	Documents Documents
	Records   Records
	// NewEngine makes a client for a Docker engine. It does not connect.
	NewEngine func(url string) (Engine, error)
	// Watch is how often each host is looked at; zero means 30 s. A host that
	// could not be reached, or is owed something, is looked at every 5 s.
	Watch time.Duration
	// OnEnded is called with each rollout that has ended, once the record says so, from
	// the goroutine of the rollout; nil for none. A kill between the two loses the call.
	OnEnded func(Rollout)
	// Logger gets what happens; nil logs nothing.
	Logger *slog.Logger
	// Registerer gets the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Times of the watch.
const (
	defaultWatch = 30 * time.Second
	watchSoon    = 5 * time.Second
	// watchAtOnce is how many hosts are looked at at the same moment.
	watchAtOnce = 16
	rereadAfter = 2 * time.Second
)

// Fleet is the hosts, their documents and what is done to them. All methods may
// be called from any goroutine.
type Fleet struct {
	o      Options
	log    *slog.Logger
	ledger *ledger
	pages  *http.Client // for statistics pages
	meters *meters

	limits limits

	// enlisting is held by those who begin a rollout, over the disk. It comes before
	// mu, which is not.
	enlisting sync.Mutex

	mu      sync.Mutex
	m       *Map
	spots   map[spotKey]*spot
	engines map[string]Engine
	runs    map[string]*run // rollouts that are under way, by document
	fresh   chan struct{}   // closed and replaced when what readers of documents get may change
	running sync.WaitGroup  // rollouts
	ready   bool            // what the last run has left is known
	life    context.Context //nolint:containedctx // of Run: rollouts live as long; nil before

	index index
}

type spotKey struct{ host, document string }

// New reads the fleet file and the record. Nothing is done to a host before Run.
func New(o Options) (*Fleet, error) {
	if o.Documents == nil || o.Records == nil || o.NewEngine == nil || o.Path == "" && o.Map == nil {
		return nil, errors.New("fleet: documents, records, engines and a fleet file are required")
	}
	if o.Watch <= 0 {
		o.Watch = defaultWatch
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	// A connection that is kept from one look to the next ends in nothing when a
	// container has got another address.
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's own
	transport.DisableKeepAlives = true
	f := &Fleet{
		o: o, log: o.Logger, limits: defaultLimits(),
		pages: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		spots: map[spotKey]*spot{}, engines: map[string]Engine{}, runs: map[string]*run{},
		fresh: make(chan struct{}), index: index{known: map[string][]history.Revision{}},
	}
	m := o.Map
	if m == nil {
		var err error
		if m, err = ReadMap(o.Path); err != nil {
			return nil, err
		}
	}
	f.ledger = &ledger{records: o.Records, known: map[spotKey]Step{}}
	var err error
	if f.meters, err = newMeters(o.Registerer, f); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	return f, f.use(m)
}

// use takes a map over: new places are taken up, places that are gone are let go,
// and those that have changed begin anew.
func (f *Fleet) use(m *Map) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	engines, spots := map[string]Engine{}, map[spotKey]*spot{}
	for _, p := range m.Places {
		key := spotKey{p.Host, p.Document}
		engine, ok := f.engines[p.Docker]
		if !ok {
			engine = engines[p.Docker]
		}
		if engine == nil {
			var err error
			if engine, err = f.o.NewEngine(p.Docker); err != nil {
				closeEngines(engines, f.engines) // those made before it
				return fmt.Errorf("fleet: host %s: %w", p.Host, err)
			}
		}
		engines[p.Docker] = engine
		if old := f.spots[key]; old != nil && old.place.same(p) {
			spots[key] = old
			continue
		}
		spots[key] = newSpot(p, newHand(engine, p, f.pages))
	}
	closeEngines(f.engines, engines)
	f.m, f.engines, f.spots = m, engines, spots
	f.changedLocked() // who may read, and what, may be another
	return nil
}

// closeEngines closes those that are not kept.
func closeEngines(engines, kept map[string]Engine) {
	for url, engine := range engines {
		if closer, ok := engine.(interface{ Close() }); ok && kept[url] == nil {
			closer.Close()
		}
	}
}

// current is the map that holds now.
func (f *Fleet) current() *Map {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.m
}

// spotOf returns the spot of a place; nil when the fleet has none such.
func (f *Fleet) spotOf(host, document string) *spot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.spots[spotKey{host, document}]
}

// Run takes up the rollouts that the last run has left, watches the hosts, and
// runs until ctx ends. Rollouts then stop between two hosts: what is being done
// to a host is finished, and the next run goes on.
func (f *Fleet) Run(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	f.mu.Lock()
	f.life = running
	f.mu.Unlock()
	for err := f.resume(); err != nil; err = f.resume() {
		f.log.Error("the fleet waits for its record to be readable", "error", err)
		if sleep(ctx, time.Second) != nil {
			f.running.Wait()
			return nil
		}
	}
	f.mu.Lock()
	f.ready = true
	f.mu.Unlock()
	if f.o.Path != "" {
		g.Go(func() error { return f.reread(running) })
	}
	g.Go(func() error { return f.watch(running) })
	err := g.Wait()
	f.running.Wait()
	return err
}

// Close drops the connections to the engines.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	closeEngines(f.engines, nil)
}

// reread follows the fleet file and the files it names.
func (f *Fleet) reread(ctx context.Context) error {
	before, _ := f.current().said(f.o.Path) // what New has read, or nearly so
	told := ""
	for sleep(ctx, rereadAfter) == nil {
		now, err := f.current().said(f.o.Path)
		if err == nil && now == before {
			told = ""
			continue
		}
		var m *Map
		if err == nil {
			if m, err = ReadMap(f.o.Path); err == nil {
				err = f.use(m)
			}
		}
		if err != nil {
			if told != err.Error() {
				told = err.Error()
				f.log.Error("the fleet file has a fault; what it said before holds on", "error", err)
			}
			continue
		}
		before, _ = m.said(f.o.Path)
		told = ""
		f.log.Info("the fleet file was read again", "hosts", len(m.Places))
	}
	return nil
}

// changed wakes those who wait for a document: they may get another answer.
func (f *Fleet) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changedLocked()
}

func (f *Fleet) changedLocked() {
	close(f.fresh)
	f.fresh = make(chan struct{})
}

// news is closed when readers may get another answer than now. It is one for all
// documents, so that names that clients ask for leave nothing behind.
func (f *Fleet) news() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fresh
}

// places returns the places of a document that hosts chooses, in the order of the
// file; no hosts choose all. A host without the document is an error.
func (m *Map) choose(document string, hosts []string) ([]Place, error) {
	all := m.of(document)
	if len(hosts) == 0 {
		return all, nil
	}
	var list []Place
	for _, p := range all {
		if slices.Contains(hosts, p.Host) {
			list = append(list, p)
		}
	}
	for _, host := range hosts {
		if _, ok := m.place(host, document); !ok {
			return nil, unknown("host %s has no document %s", host, document)
		}
	}
	return list, nil
}
