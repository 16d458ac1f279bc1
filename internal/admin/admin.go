// Package admin serves the admin API on a listener of its own: what exists, what
// is served, what was refused and why, as JSON for programs (the wire types are
// in package api), together with metrics and the pages for people, and lets
// operators change what is served. It keeps browsers, strangers and secrets apart:
//
//   - Every request must name an allowed host, so that a web page cannot reach it
//     by pointing a name of its own at this address.
//   - A request that a browser makes on behalf of another site is refused, reads
//     as well as writes.
//   - A listener that can be reached from other machines needs TLS, and a token.
//   - Every operation says by itself which role it needs (see operations); a path
//     that is no operation is refused like one that does.
//   - Values that are credentials by their place are not shown: texts of tables and
//     problems hold none (see package route), and labels are shown by ShownLabel.
package admin

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"fairway/internal/acme/authority"
	"fairway/internal/admin/access"
	"fairway/internal/admin/certified"
	"fairway/internal/admin/logs"
	"fairway/internal/admin/meter"
	"fairway/internal/admin/requests"
	"fairway/internal/admin/show"
	"fairway/internal/admin/stream"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/control"
	"fairway/internal/engine/certs"
	"fairway/internal/fleet"
	"fairway/internal/metrics"
	"fairway/internal/notify"
	"fairway/internal/owners"
	"fairway/internal/plan"
	"fairway/internal/route"
	"fairway/internal/rules"
	"fairway/internal/series"
	"fairway/internal/serve"
)

// Catalogue returns what exists. *catalog.Feed is one.
type Catalogue interface {
	// Newest returns the newest snapshot, or nil before the first.
	Newest() *catalog.Snapshot
	// Changed is closed when there is another one.
	Changed() <-chan struct{}
}

// Tables returns what is served.
type Tables interface {
	// Table returns the live table, or nil before the first.
	Table() *route.Table
	// Changed is closed when there is another one.
	Changed() <-chan struct{}
	// Status says how current the table is.
	Status() control.Status
}

// Engine says what an engine knows of endpoints and routes.
type Engine interface {
	meter.Engine
	// Name is the engine's name.
	Name() string
}

// Conditions says how everything is doing. *condition.Keeper is one.
type Conditions interface {
	// Report is the newest report, made anew where it is not of this moment.
	Report() *condition.Report
	// Connect connects to an address and says how it went.
	Connect(ctx context.Context, address string) condition.Attempt
}

// Options are what New needs. Listen, Catalogue, Tables, Sources, Engine, Diagnose,
// Conditions, ShownLabel and Metrics are required.
type Options struct {
	// Listen is host:port (port 0 takes a free one), or unix:///PATH for this user alone.
	Listen string
	// AllowedHosts are further names or addresses by which clients may call the listener,
	// with a port ("a.example:8080") or for any ("a.example"), besides loopback and what
	// was dialled.
	AllowedHosts []string
	// Token is a bearer token whose owner is admin; empty for none. It has at
	// least 16 characters. Only its SHA-256 is kept.
	Token string
	// Anonymous is the role of those who show nothing; api.RoleNone for none. Empty
	// means: none with a Token or SignIn and beyond this machine; else admin on a unix
	// socket, which only this user can open, and viewer on a loopback address.
	Anonymous string
	// TLS is how the listener proves who it is; beyond this machine none needs Insecure.
	TLS access.TLS
	// SignIn asks an issuer of OpenID Connect who a person is; nil for none. It sends browsers
	// back to RedirectURL; empty is way.Callback at the address that they have used.
	SignIn      access.Issuer
	RedirectURL string
	// Insecure allows an address that other machines reach without TLS.
	Insecure bool
	// StateDir is where tokens and the audit log are kept; empty keeps them in memory.
	StateDir string
	Version  string // Fairway's

	Catalogue Catalogue
	Tables    Tables
	// Sources says how the sources are doing right now, sorted by name.
	Sources func() []catalog.SourceStatus
	Engine  Engine
	// Diagnose says why what has a name is served or not; nothing when there is none.
	Diagnose func(name string) []api.Diagnosis
	// Conditions says how everything is doing.
	Conditions Conditions
	// Certificates are those of the listeners; nil where they are not known.
	Certificates func() *certs.Inventory
	// Names answers DNS; nil where that is off.
	Names Names
	// Publisher writes into a registry; nil where nothing is published.
	Publisher Publisher
	// Authority is the root of Fairway's own authority; nil without one.
	Authority func() (authority.Root, error)
	// Automatic gets certificates; nil where none are to be got.
	Automatic certified.Automatic
	// ShownLabel returns the value of a label without what is secret.
	ShownLabel func(key, value string) string
	// Pages are what people look at; nil for none.
	Pages Pages
	// What follows is nil where there is none.
	Requests      requests.Log
	Logs          logs.Source
	History       History
	Commands      Commands
	Notifications *notify.Notifier
	Rules         *rules.Rules
	Series        *series.Store
	// LastRequests is when each route had its last request before this run, by ID; nil
	// knows of none.
	LastRequests func() map[string]time.Time
	Planner      *plan.Planner
	Owners       *owners.List // nil: everybody may claim everything
	Fleet        *fleet.Fleet

	Metrics *metrics.Set
	// Logger gets what goes wrong; nil logs nothing.
	Logger *slog.Logger

	now func() time.Time // the clock of tests
}

// Limits of the listener: answers come from memory, and slow clients do not read.
const (
	maxConnections = 256
	maxHeader      = 64 << 10
	maxBody        = 1 << 20
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 60 * time.Second
	stopTimeout    = 5 * time.Second
)

// Server is the admin API. Addr and Close may be called from any goroutine.
type Server struct {
	options  Options
	log      *slog.Logger
	started  time.Time
	listener net.Listener
	hosts    *access.Hosts
	tls      *tls.Config // nil: none
	access   *access.Access
	requests *metrics.Vec[metrics.Counter]
	mux      http.Handler // the operations, without the guards
	handler  http.Handler
	meter    *meter.Meter
	streams  *stream.Streams

	views struct { // the newest view, and what it is of
		sync.Mutex
		snapshot *catalog.Snapshot
		table    *route.Table
		newest   *show.View
	}
}

// New binds the listener. Requests are answered by Run; who does not call it calls Close.
func New(o Options) (*Server, error) {
	if o.Catalogue == nil || o.Tables == nil || o.Sources == nil || o.Engine == nil || o.Diagnose == nil ||
		o.ShownLabel == nil || o.Metrics == nil {
		return nil, errors.New("admin: catalogue, tables, sources, engine, diagnose, shown labels and metrics are required")
	}
	s := &Server{
		options: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), started: time.Now().UTC().Truncate(time.Second),
		meter: meter.New(o.Engine), streams: stream.New(),
	}
	s.requests = o.Metrics.CounterVec("fairway_admin_requests_total", "Requests to the admin API by path pattern and status code.", "code", "path")
	var err error
	if s.access, err = access.Open(access.Options{Token: o.Token, Dir: o.StateDir, Now: o.now, Logger: s.log}); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	s.options.Token = "" // the sum is all that is needed
	if s.listener, err = listen(o.Listen); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if err := s.guard(s.Addr(), o.Token != "" || o.SignIn != nil); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("admin: %w", err)
	}
	s.handler = s.newHandler(s.operations())
	return s, nil
}

// guard decides who is let in at the address that was bound. signIn says that the operator has
// set a token or an issuer.
func (s *Server) guard(bound net.Addr, signIn bool) error {
	o := s.options
	config, names, err := o.TLS.Config(s.log)
	if err != nil {
		return err
	}
	s.tls = config
	if !access.Local(bound) {
		if config == nil && !o.Insecure {
			return fmt.Errorf("%s can be reached from other machines: set admin.tls-cert and admin.tls-key, or listen on 127.0.0.1; admin.insecure allows it without TLS", o.Listen)
		}
		if o.Anonymous != "" && o.Anonymous != api.RoleNone {
			return fmt.Errorf("%s can be reached from other machines: admin.anonymous is for this machine alone", o.Listen)
		}
	}
	s.access.Anonymous = access.AnonymousRole(o.Anonymous, bound, signIn)
	s.hosts, err = access.NewHosts(bound, o.AllowedHosts, names, config != nil)
	return err
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives the address up; a Run that is going on ends with an error. It may be
// called again, and after Run has returned.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

// Run answers requests until ctx ends, lets the running ones finish for five seconds
// and returns nil, or an error when the listener fails before. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		TLSConfig:         s.tls,
	}
	srv.RegisterOnShutdown(s.streams.Stop)
	if err := serve.HTTP(ctx, srv, netutil.LimitListener(s.listener, maxConnections), stopTimeout); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

// listen binds host:port or a unix socket, in place of one that no process answers on.
func listen(address string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		return net.Listen("tcp", address)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("listen unix %s: another process answers there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}
