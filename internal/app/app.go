// Package app is the composition root: the shape of the configuration file, and the one
// place that knows how the parts are wired together. It never reads flags, the environment
// or signals; package main does.
package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"fairway/internal/acme/setup"
	"fairway/internal/admin"
	"fairway/internal/admin/access"
	"fairway/internal/admin/ui"
	"fairway/internal/api"
	"fairway/internal/app/lifecycle"
	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/containerlog"
	"fairway/internal/control"
	"fairway/internal/discovery"
	names "fairway/internal/dns/server"
	"fairway/internal/engine/certs"
	"fairway/internal/engine/haproxy"
	"fairway/internal/engine/traffic"
	"fairway/internal/fleet"
	"fairway/internal/heap"
	"fairway/internal/history"
	"fairway/internal/metrics"
	"fairway/internal/notify"
	"fairway/internal/notify/observe"
	"fairway/internal/plan"
	sink "fairway/internal/publish/consul"
	"fairway/internal/route"
	"fairway/internal/rules"
	"fairway/internal/series"
	"fairway/internal/serve"
)

// Options are what New needs besides the configuration. The zero value works.
type Options struct {
	// Logger gets what happens; nil logs nothing.
	Logger *slog.Logger
	// Stdout gets the access log that is configured as "-"; nil for nowhere.
	Stdout io.Writer
	// Environ is the environment, as of os.Environ, for the SSH agent and Docker Flow.
	Environ []string
	// Version is shown by the admin API and the metrics.
	Version string
	// Outlive is asked at the end of Run whether HAProxy may serve on for the next Fairway;
	// nil means never, and haproxy.stop-with-fairway forbids it.
	Outlive func() bool
}

// App is one Fairway, wired and with its listeners bound, but not yet running.
type App struct {
	cfg          Config
	env          map[string]string
	log          *slog.Logger
	engine       engine
	collector    *discovery.Collector
	control      *control.Control
	history      *history.Store
	feed         *catalog.Feed
	notifier     *notify.Notifier
	series       *series.Store               // nil when none are kept
	lastRequests func() map[string]time.Time // of routes, before this run; likewise
	rules        *rules.Rules
	admin        *admin.Server        // nil when switched off
	fleet        *fleet.Fleet         // nil without a fleet file
	drained      chan observe.Drained // how endpoints have left
	flow         *dockerFlow
	acme         *setup.Certificates // nil when no certificates are to be got
	certificates *certs.Coverage
	publisher    *sink.Publisher // nil when nothing is published
	logs         *containerlog.Logs
	bound        map[string]net.Addr           // by key
	parts        []func(context.Context) error // what else runs
	lifecycle    lifecycle.Steps
	recompile    func()      // has the control compile again, as soon as there is one
	draining     atomic.Bool // Run has begun to end
	failed       bool        // New has, and undoes what it has done
	outlive      func() bool // of Options
}

// New wires everything that cfg, which must have passed Validate, asks for and binds the
// listeners. No source is read before Run. When New fails, everything has been undone.
//
// It is one straight function in the order of the data flow, and everything that must be
// undone says so where it is done.
func New(cfg Config, o Options) (_ *App, err error) {
	a := &App{
		cfg: cfg, env: Environment(o.Environ), log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), outlive: o.Outlive,
		drained: make(chan observe.Drained, maxDrained), feed: &catalog.Feed{}, bound: map[string]net.Addr{}, logs: containerlog.New(),
	}
	var running atomic.Pointer[control.Control]
	a.recompile = func() {
		if c := running.Load(); c != nil {
			c.Recompile()
		}
	}
	defer func() {
		if err != nil {
			a.failed = true
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			err = errors.Join(cfg.withFlag(err), a.lifecycle.Stop(ctx))
		}
	}()

	m := newMetrics(o.Version)

	// The last run's table first: it serves until a source says otherwise.
	store, err := control.OpenStore(cfg.StateDir, a.log)
	if err != nil {
		return nil, err
	}
	a.checkStateDir()
	restored, err := store.Load()
	if err != nil {
		a.log.Error("starting without the last good table", "error", err)
	}
	a.history, err = history.Open(history.Options{Dir: cfg.StateDir, MaxEntries: cfg.History.Entries, Logger: a.log.With("part", "history"), Metrics: m})
	if err != nil {
		return nil, err
	}
	a.lifecycle.OnStop("history", func(context.Context) error { return a.history.Close() })
	a.flow, err = newDockerFlow(&cfg, o.Environ, secretsDir(), a.log)
	if err != nil {
		return nil, err
	}

	// The engine binds its ports with the first table it gets.
	accessLog, err := a.openAccessLog(o.Stdout)
	if err != nil {
		return nil, err
	}
	settings := a.flow.settings(&cfg)
	if err := a.newACME(o, m, &settings); err != nil {
		return nil, err
	}
	a.engine, settings.Unsupported, err = a.newEngine(accessLog, m)
	if err != nil {
		return nil, err
	}
	settings.UserFile = a.engine.UserFile
	if e, ok := a.engine.(interface{ Answers() uint64 }); ok {
		settings.Answers = e.Answers
	}
	a.lifecycle.OnStop("engine", a.stopEngine)
	restored, err = a.restore(restored, settings)
	if err != nil {
		return nil, err
	}

	// Sources → collector → feed.
	sources, err := a.newSources(m)
	if err != nil {
		return nil, err
	}
	a.collector, err = discovery.New(discovery.Options{
		Sources:  sources,
		Feed:     a.feed,
		Restored: restored.Snapshot,
		Shared:   cfg.SharedServices,
		Records:  settings.Owners,
		Quiet:    cfg.Quiet,
		Bound:    cfg.Bound,
		Logger:   a.log.With("part", "discovery"),
		Metrics:  m,
	})
	if err != nil {
		return nil, err
	}

	// Feed → compile → engine.
	compiler, shown := compile.New(settings), compile.ShownLabels()
	a.control, err = control.New(control.Options{
		Feed:       a.feed,
		Compiler:   compiler,
		Engines:    []control.Engine{a.engine},
		Store:      store,
		Restored:   restored,
		History:    a.history,
		ShownLabel: shown,
		Fit:        settings.FittedTo(func() *catalog.Snapshot { return cmp.Or(a.feed.Newest(), restored.Snapshot) }),
		Logger:     a.log.With("part", "control"),
		Metrics:    m,
	})
	if err != nil {
		return nil, err
	}
	running.Store(a.control)

	// Feed → notifications; calls → sources.
	if err := a.bindDockerFlow(m, shown); err != nil {
		return nil, err
	}
	if err := a.newFleet(m); err != nil {
		return nil, err
	}
	nameServer, err := cfg.DNS.Open(names.Options{Feed: a.feed, Logger: a.log.With("part", "dns"), Metrics: m})
	if err != nil {
		return nil, err
	}
	if nameServer != nil {
		a.parts = append(a.parts, nameServer.Run)
		a.lifecycle.OnStop("dns", func(context.Context) error { nameServer.Close(); return nil })
	}

	if a.publisher != nil {
		a.parts = append(a.parts, a.publisher.Run)
	}

	// Feed, tables, engine → conditions; with figures → notifications, readings kept, rules.
	a.certificates = newCoverage(&cfg, a.log.With("part", "certificates"))
	conditions := a.newConditions(m, nameServer)
	if err := a.newWatching(m, conditions.Reports()); err != nil {
		return nil, err
	}

	if cfg.Admin.Listen == Off {
		return a, nil
	}
	waiting := a.flow.waiting
	if restored.Snapshot != nil {
		waiting = nil // it has what the last run had
	}
	token, err := readToken(cfg.Admin.TokenFile)
	if err != nil {
		return nil, err
	}
	issuer, err := cfg.Admin.OIDC.Open(a.log)
	if err != nil {
		return nil, err
	}
	pages, err := ui.New(a.log.With("part", "admin"))
	if err != nil {
		return nil, err
	}
	options := admin.Options{
		Listen:        cfg.Admin.Listen,
		AllowedHosts:  cfg.Admin.AllowedHosts,
		Token:         token,
		Anonymous:     cfg.Admin.Anonymous,
		RedirectURL:   cfg.Admin.OIDC.RedirectURL,
		TLS:           access.TLS{CertFile: cfg.Admin.TLSCert, KeyFile: cfg.Admin.TLSKey, ClientCAFile: cfg.Admin.ClientCA},
		Insecure:      cfg.Admin.Insecure,
		StateDir:      cfg.StateDir,
		Version:       o.Version,
		Catalogue:     a.feed,
		Tables:        tables{a.control, waiting, &a.draining},
		Sources:       a.collector.Sources,
		Engine:        a.engine,
		Requests:      a.engine.Requests(),
		Logs:          a.logs,
		Diagnose:      plan.Doctor{Compiler: compiler, Snapshot: a.feed.Newest, Table: a.control.Table}.Diagnose,
		Conditions:    conditions,
		Authority:     a.acme.Authority(),
		Certificates:  func() *certs.Inventory { return a.certificates.Of(a.control.Table(), time.Now()) },
		ShownLabel:    shown,
		Pages:         pages,
		History:       a.history,
		Commands:      a.control,
		Notifications: a.notifier,
		Rules:         a.rules,
		Series:        a.series,
		LastRequests:  a.lastRequests,
		Planner:       plan.New(a.planOptions(settings)),
		Owners:        settings.Owners,
		Fleet:         a.fleet,
		Metrics:       m,
		Logger:        a.log.With("part", "admin"),
	}
	if nameServer != nil {
		options.Names = nameServer
	}
	if a.acme != nil {
		options.Automatic = a.acme
	}
	if a.publisher != nil {
		options.Publisher = a.publisher
	}
	if issuer != nil {
		options.SignIn, pages.Issuer = issuer, issuer.Host()
		a.lifecycle.OnStop("sign-in", func(context.Context) error { issuer.Close(); return nil })
	}
	a.admin, err = admin.New(options)
	if err != nil {
		return nil, err
	}
	a.bound["admin.listen"] = a.admin.Addr()
	a.lifecycle.OnStop("admin", func(context.Context) error { return a.admin.Close() })
	return a, nil
}

// stopTimeout bounds the undoing of what is not traffic.
const stopTimeout = 5 * time.Second

// Run serves until ctx ends, then drains for at most the configured time and returns nil.
// It returns early with an error when a part ends by itself. It may be called once.
//
// At the end /ready says no, nothing new is accepted, and what runs may finish. The admin
// API goes last, so that the drain can be watched.
func (a *App) Run(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return heap.Bound(running) })
	g.Go(func() error { return a.collector.Run(running) })
	g.Go(func() error { return a.control.Run(running) })
	for _, part := range a.parts {
		g.Go(func() error { return part(running) })
	}
	stopAdmin := a.runAdmin(running, g)
	a.log.Info("fairway is up", "listeners", a.addresses(), "admin", addressText(a.bound["admin.listen"]))
	if url := a.cfg.pagesURL(a.bound["admin.listen"]); url != "" {
		a.log.Info("pages at " + url)
	}

	<-running.Done()
	a.draining.Store(true)
	a.log.Info("draining", "timeout", a.cfg.DrainTimeout)
	drain, cancel := context.WithTimeout(context.Background(), a.cfg.DrainTimeout)
	defer cancel()
	stopErr := a.stopEngine(drain)
	err := g.Wait()
	stopAdmin()

	undo, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if stopErr = errors.Join(stopErr, a.lifecycle.Stop(undo)); stopErr != nil {
		a.log.Warn("not everything ended by itself", "error", stopErr)
	}
	if ctx.Err() != nil {
		return nil // asked to end
	}
	return err
}

// runAdmin serves the admin API until stop is called, which waits for its end.
func (a *App) runAdmin(running context.Context, g *errgroup.Group) (stop func()) {
	if a.admin == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(running))
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = a.admin.Run(ctx)
	}()
	g.Go(func() error {
		select {
		case <-ended:
			return err
		case <-running.Done():
			return nil
		}
	})
	return func() {
		cancel()
		<-ended
	}
}

// Addr returns the address that is bound for a listener, "http" or "https", or for a key
// such as "admin.listen"; nil for none.
func (a *App) Addr(name string) net.Addr { return cmp.Or(a.bound[name], a.engine.Addr(name)) }

func (a *App) addresses() []string {
	var out []string
	for _, l := range a.cfg.Listeners() {
		out = append(out, l.Name+" "+addressText(a.engine.Addr(l.Name)))
	}
	return out
}

func addressText(addr net.Addr) string {
	if addr == nil {
		return Off
	}
	return addr.String()
}

// restore makes the table of the last run live, with today's listeners and certificates. A
// table that does not fit is no reason not to start: an empty one of revision 0, which says
// that nothing is known yet, is live until the last snapshot is compiled anew.
func (a *App) restore(last *control.LastGood, s compile.Settings) (*control.LastGood, error) {
	last = cmp.Or(last, &control.LastGood{})
	if last.Snapshot != nil {
		last.Snapshot.Certificates = a.flow.found // files of the last run may be gone
	}
	if old := last.Table; old != nil {
		table, err := fitted(last, s, a.flow.found)
		if err == nil {
			err = a.engine.Apply(context.Background(), table)
		}
		if err == nil {
			last.Table = table
			return last, nil
		}
		a.log.Error("the last good table does not go live, its snapshot is compiled anew", "error", err)
		last.Table, last.Compiled = nil, cmp.Or(last.Compiled, old)
		if h, ok := a.engine.(*haproxy.Engine); ok && h.Found() {
			return last, nil // what it serves is more than the empty table
		}
	}
	empty, err := route.New(0, compile.WithCertificates(s.Listeners, a.flow.found, nil), nil, nil, nil)
	if err != nil {
		return nil, err
	}
	return last, a.engine.Apply(context.Background(), empty)
}

// fitted is the table of an earlier run as it can be served today.
func fitted(last *control.LastGood, s compile.Settings, found []catalog.Certificate) (*route.Table, error) {
	t, err := s.FittedTo(func() *catalog.Snapshot { return last.Snapshot })(last.Table)
	if err != nil {
		return nil, err
	}
	listeners := compile.WithCertificates(s.Reopened(t.Listeners), found, t.Routes)
	return route.New(t.Revision, listeners, t.Routes, t.Backends, t.Remarks())
}

// openAccessLog returns where the access log goes, or nil.
func (a *App) openAccessLog(stdout io.Writer) (io.Writer, error) {
	switch a.cfg.AccessLog {
	case "":
		if !a.flow.env.Debug {
			return nil, nil
		}
		return stdout, nil
	case "-":
		return stdout, nil
	}
	f, err := traffic.OpenFile(a.cfg.AccessLog)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	a.lifecycle.OnStop("access log", func(context.Context) error { return f.Close() })
	return f, nil
}

// checkStateDir warns of a directory that others may look into. It keeps its mode, as it
// may be theirs.
func (a *App) checkStateDir() {
	info, err := os.Stat(a.cfg.StateDir)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return
	}
	a.log.Warn("others may look into the state directory: chmod 700 "+a.cfg.StateDir, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
}

func newMetrics(version string) *metrics.Set {
	m := &metrics.Set{}
	m.Process()
	m.GaugeVec("fairway_build_info", "Always 1; the version is a label.", "version").With(version).Set(1)
	return m
}

// portOf is the port of an address; zero where there is none.
func portOf(address string) uint16 {
	_, digits, _ := net.SplitHostPort(address)
	if port, err := strconv.ParseUint(digits, 10, 16); err == nil {
		return uint16(port)
	}
	return 0
}

func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("admin token: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// tables says how the loop is doing for the admin API.
type tables struct {
	*control.Control
	waiting  func() string // what is lacking besides a table; nil for nothing
	draining *atomic.Bool  // Fairway has begun to end
}

// Changed is closed when there is another table.
func (t tables) Changed() <-chan struct{} { return t.Tables().Changed() }

// Status is the loop's, but for a replica that waits for the calls with its services.
func (t tables) Status() control.Status {
	s := t.Control.Status()
	if t.draining.Load() {
		s.State, s.Pending = api.StateDraining, ""
	} else if t.waiting != nil {
		if lacking := t.waiting(); lacking != "" {
			s.State, s.Pending = api.StateStarting, lacking
		}
	}
	return s
}

// maxCallers is how many clients may be connected: each HAProxy that waits for news holds
// a connection.
const maxCallers = 4096

// listen binds the address of a key, and notes what answers there until the run ends:
// over TLS where conf is not nil.
func (a *App) listen(key, address string, server *http.Server, conf *tls.Config) error {
	bound, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	a.bound[key] = bound.Addr()
	a.lifecycle.OnStop(key, func(context.Context) error {
		_ = bound.Close() // closed already when it was served
		return server.Close()
	})
	calls := netutil.LimitListener(bound, maxCallers)
	if conf != nil {
		calls = tls.NewListener(calls, conf) // of HTTP/1.1 alone
	}
	a.parts = append(a.parts, func(ctx context.Context) error {
		if err := serve.HTTP(ctx, server, calls, stopTimeout); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	return nil
}
