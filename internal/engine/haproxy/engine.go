// Package haproxy is the engine that serves a route.Table with HAProxy, which it
// starts, tends and changes while it runs.
//
// A table is rendered into a configuration (package render), which is compared with
// what HAProxy has. Most changes are a few commands over its socket; the rest is a
// reload. The files are written before HAProxy gets a command: what dies at any moment
// comes back with them. Each change is read back; when HAProxy does not show it, it
// reloads the same files. HAProxy outlives Fairway, and the next one takes it over.
package haproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/certs"
	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/plan"
	"fairway/internal/engine/haproxy/process"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/resolve"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/engine/traffic"
	"fairway/internal/engine/users"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

// Options are the parts and limits of an Engine. Zero means the default in brackets.
type Options struct {
	// Dir is the directory of everything that HAProxy reads, and of its sockets:
	// an absolute path of at most 70 bytes, for no other use. Required.
	Dir string
	// Program is the path of haproxy; empty looks for it.
	Program string
	// MasterSocket and AdminSocket are those of a HAProxy with the configuration in Dir
	// that Fairway does not start and stop. Both or none.
	MasterSocket, AdminSocket string
	// Logger takes what an operator should know; nil discards.
	Logger *slog.Logger
	// AccessLog gets one line of JSON for each request; nil writes none.
	AccessLog io.Writer
	// Metrics takes those of the engine; nil keeps none.
	Metrics *metrics.Set
	// OnDrained gets how endpoints leave that had requests, from one goroutine; or nil.
	OnDrained func(traffic.Drained)

	// UserDirs are the directories below which routes may name files.
	UserDirs []string
	// Pages are the operator's pages of errors; nil for none.
	Pages *errorpage.Store
	// OnChange is called, from any goroutine, when UserFile or Unsupported may say
	// something else than before; or nil.
	OnChange func()

	// Render are the limits of what is served; all else in it the engine sets.
	Render render.Options

	// DrainLimit is how long connections may still be passed through to an endpoint that
	// drains or is gone (30 s).
	DrainLimit time.Duration
	// ReloadInterval is the least time between two reloads (500 ms).
	ReloadInterval time.Duration
	// VerifyInterval is the time between two comparisons of all that HAProxy has (1 m).
	VerifyInterval time.Duration
}

func (o Options) withDefaults() Options {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.OnChange == nil {
		o.OnChange = func() {}
	}
	o.DrainLimit = cmp.Or(o.DrainLimit, 30*time.Second)
	o.ReloadInterval = cmp.Or(o.ReloadInterval, 500*time.Millisecond)
	o.VerifyInterval = cmp.Or(o.VerifyInterval, time.Minute)
	return o
}

// maxDir leaves room for the names of sockets, whose paths may have 107 bytes; HAProxy
// binds a longer name first.
const maxDir = 70

// Files below Options.Dir beside those of render.
const (
	fileMaster = "master.sock"
	fileAdmin  = "admin.sock"
	fileLines  = "log.sock"
	fileKey    = "log.key"
	fileOutput = "haproxy.log"
)

// Engine serves the table that was applied last. Any goroutine may call its methods.
type Engine struct {
	opts    Options
	log     *slog.Logger
	program *binary.Binary
	judge   *judge
	client  *socket.Client
	users   *users.Store
	certs   *certs.Store
	ipv6    bool // the machine has it
	// elsewhere: Fairway does not start and stop HAProxy itself.
	elsewhere bool
	counters  counters
	readings  *readings

	live    atomic.Pointer[live]
	running atomic.Pointer[process.Process] // proc, for those who do not wait for the mutex
	written atomic.Pointer[render.Config]   // the newest that was put into the files
	started atomic.Bool                     // the HAProxy that runs was started from here, not taken over
	stale   atomic.Bool                     // the table must be applied again: something beside it has changed

	closing sync.Once // of the readings

	mu       sync.Mutex // serialises Apply, Stop and what tends HAProxy
	stopped  bool
	disk     *disk
	joined   map[*certs.Pair]*plan.Pair
	gates    *gates
	resolver *resolve.Resolver
	ports    map[string]netip.AddrPort // chosen for port 0, by listener
	// What is served: the table as it was given, and what it was rendered to. Before
	// the first table the target is the one that the engine before has kept.
	table   *route.Table
	target  target
	missing map[string]string // optional listeners that cannot be bound, and why
	// What serves.
	proc        *process.Process // nil: it does not run
	worker      *plan.Worker     // what it has; nil: unknown
	workerPID   int              // of the last verification
	ended       time.Time        // when it was last found to have
	draining    map[drainingServer]*deletion
	quarantined map[string]time.Time         // sections that were given back, until when
	cuts        map[drainingServer]time.Time // when what is passed through to a server is cut off
	lastReload  time.Time
	// What supervise has to do.
	looked   time.Time
	verified time.Time
	retry    retryState

	supervising     sync.WaitGroup
	stopSupervision context.CancelFunc
	life            context.Context // of changes that are carried through; ends when Stop cuts them off
	abandon         context.CancelFunc
	wake            chan struct{} // holds a token when supervise has something to do now
}

// live is what the others may know of what is served.
type live struct {
	config *render.Config
	addrs  map[string]net.Addr // by listener
}

// New returns an engine that serves nothing new until Apply; a HAProxy that runs already
// goes on as it is. It fails without a HAProxy or a directory that can be used.
func New(o Options) (*Engine, error) {
	if !filepath.IsAbs(o.Dir) || len(o.Dir) > maxDir {
		return nil, fmt.Errorf("haproxy: the directory must be an absolute path of at most %d bytes, not %q", maxDir, o.Dir)
	}
	if (o.MasterSocket == "") != (o.AdminSocket == "") {
		return nil, errors.New("haproxy: a HAProxy that runs elsewhere needs both its master socket and its runtime socket")
	}
	o = o.withDefaults()
	o.Dir = filepath.Clean(o.Dir)
	elsewhere := o.MasterSocket != ""
	if !elsewhere {
		o.MasterSocket, o.AdminSocket = filepath.Join(o.Dir, fileMaster), filepath.Join(o.Dir, fileAdmin)
	}
	program, err := binary.Find(context.Background(), o.Program)
	if err != nil {
		return nil, err
	}
	if !program.Version.Supported() {
		return nil, fmt.Errorf("haproxy: %s is version %s: 2.6 or newer is needed", program.Path, program.Version)
	}
	if !program.Has("LUA") || !program.Has("PCRE2") {
		return nil, fmt.Errorf("haproxy: %s was built without Lua or PCRE2, which are needed; the packages of distributions have both", program.Path)
	}
	e := &Engine{
		opts: o, log: o.Logger, program: program, judge: newJudge(program, o.OnChange),
		certs: certs.New(o.Logger, o.UserDirs...), elsewhere: elsewhere,
		ports: map[string]netip.AddrPort{}, missing: map[string]string{},
		draining: map[drainingServer]*deletion{}, quarantined: map[string]time.Time{}, cuts: map[drainingServer]time.Time{}, wake: make(chan struct{}, 1),
	}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		e.ipv6 = l.Close() == nil
	}
	o.Pages.OnChange(e.again)
	e.users = users.New(users.Options{Dirs: o.UserDirs, Refuse: render.TooDear, Changed: e.again, Reported: o.OnChange, Logger: o.Logger})
	e.gates = newGates(o.Logger, e.again)
	e.client = socket.New(o.AdminSocket, 0)
	if e.disk, err = newDisk(o.Dir); err != nil {
		return nil, err
	}
	if e.opts.Render.LogKey, err = e.disk.key(fileKey); err != nil {
		return nil, err
	}
	e.counters = newCounters(o.Metrics, e)
	e.readings, err = newReadings(readingOptions{
		Socket: e.linesSocket(), Key: e.opts.Render.LogKey,
		Ask:       e.Stats,
		OnDrained: o.OnDrained, AccessLog: o.AccessLog, Logger: o.Logger, Metrics: o.Metrics,
	})
	if err != nil {
		return nil, err
	}
	e.resolver = resolve.New(o.Logger, e.again, resolve.System)
	ctx, cancel := context.WithCancel(context.Background())
	e.stopSupervision = cancel
	e.life, e.abandon = context.WithCancel(context.Background())
	e.supervising.Go(func() { e.supervise(ctx) })
	e.supervising.Go(func() { e.flush(ctx) })
	return e, nil
}

func (e *Engine) linesSocket() string { return filepath.Join(e.opts.Dir, fileLines) }

// Name is "haproxy".
func (e *Engine) Name() string { return "haproxy" }

// Addr returns where a listener is bound, also to port 0; nil when there is none.
func (e *Engine) Addr(listener string) net.Addr {
	if l := e.live.Load(); l != nil {
		return l.addrs[listener]
	}
	return nil
}

// Stats are HAProxy's own readings of some kinds, of all sections or some, by its own names,
// within five seconds.
func (e *Engine) Stats(ctx context.Context, of socket.Kind, sections ...string) (socket.Stats, error) {
	s, err := e.client.Open(ctx)
	if err != nil {
		return socket.Stats{}, err
	}
	defer s.Close()
	return s.Stats(ctx, of, sections...)
}

// Endpoints reports the state of the endpoints of every backend.
func (e *Engine) Endpoints() []traffic.EndpointStatus { return e.readings.endpoints() }

// EndpointTotals returns what the endpoints answered that were asked; none while HAProxy
// does not answer.
func (e *Engine) EndpointTotals() []traffic.EndpointTotals { return e.readings.totals() }

// Apply makes t live and returns when it is. After an error, which names what to do
// something about, the table before serves on. A table with the hash of the live one
// changes nothing, except that revision 0 without routes means "nothing is known yet".
func (e *Engine) Apply(ctx context.Context, t *route.Table) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return errors.New("haproxy: stopped")
	}
	if e.table != nil && e.table.Hash == t.Hash && (e.table.Revision == 0) == (t.Revision == 0) {
		return nil
	}
	return e.apply(ctx, t)
}

// Stop ends the engine, and HAProxy unless that runs elsewhere: nothing new is accepted,
// requests finish until ctx ends. A change that is under way is cut off at once.
func (e *Engine) Stop(ctx context.Context) error {
	if !e.elsewhere {
		e.abandon() // nothing that it could leave half done outlives this
	}
	proc, err := e.end(ctx)
	if err != nil {
		if running := e.running.Load(); running != nil && !e.elsewhere {
			err = errors.Join(err, running.Stop(ctx, true))
		}
		return err
	}
	if proc != nil && !e.elsewhere {
		err = proc.Stop(ctx, false)
	}
	return errors.Join(err, e.finish())
}

// Started says whether this engine has started the HAProxy that runs.
func (e *Engine) Started() bool { return e.started.Load() }

// Found says whether a HAProxy runs that was taken over.
func (e *Engine) Found() bool { return e.running.Load() != nil && !e.Started() }

// Leave ends the engine and lets HAProxy serve on, for the next one with the directory.
// A change that is under way when ctx ends is cut off.
func (e *Engine) Leave(ctx context.Context) error {
	if _, err := e.end(ctx); err != nil {
		return err
	}
	return e.finish()
}

// end stops what tends HAProxy and returns it; nil when it does not run or end was called
// before. It fails when a change does not end with ctx: then the engine ends after that.
func (e *Engine) end(ctx context.Context) (*process.Process, error) {
	e.stopSupervision()
	ended, late := make(chan *process.Process, 1), make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		e.abandon()
		time.AfterFunc(endGrace, func() { close(late) })
	})()
	go func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.stopped {
			ended <- nil
			return
		}
		e.stopped = true
		ended <- e.proc
	}()
	select {
	case proc := <-ended:
		return proc, nil
	case <-late:
	}
	go func() { // nothing is left open when the change has noticed
		<-ended
		_ = e.finish()
	}()
	return nil, fmt.Errorf("haproxy: a change that is under way does not end: %w", context.Cause(ctx))
}

// endGrace is how long a change may take to notice that it is cut off.
const endGrace = time.Second

func (e *Engine) finish() error {
	e.supervising.Wait()
	e.users.Close()
	e.judge.close()
	e.gates.close()
	e.resolver.Close()
	var err error
	e.closing.Do(func() { err = e.readings.close() })
	return err
}

// UserFile reports what is wrong with the user file of a filter; see users.Store.Report.
func (e *Engine) UserFile(a *route.BasicAuth) (unreadable string, faults []string) {
	return e.users.Report(a)
}

// again has supervise apply the table again.
func (e *Engine) again() {
	e.stale.Store(true)
	e.wakeUp()
}

// wakeUp has supervise look at once.
func (e *Engine) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
