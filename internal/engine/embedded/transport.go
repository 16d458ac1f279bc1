package embedded

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/relay"
	"fairway/internal/route"
)

// transports keeps one http.Transport for each endpoint and way to speak to it, made when
// first needed, so that the idle connections of one endpoint can be closed alone.
type transports struct {
	opts Options
	room *room
	all  sync.Map // transportKey → *transport
}

// transportKey is what connections may be shared by.
type transportKey struct {
	endpoint *balance.Endpoint
	form     transportForm
}

// transportForm is a way to speak to an endpoint.
type transportForm struct {
	backend    string // the ID
	scheme     route.Scheme
	serverName string
	skipVerify bool
	http1      bool          // for switches of protocols, which HTTP/2 does not know
	timeout    time.Duration // of the response header
}

func newTransports(o Options, r *room) *transports {
	return &transports{opts: o, room: r}
}

// form is that of the connections of a route with this timeout to its backend, for
// requests that ask for a switch of protocols or for others.
func (t *transports) form(def *route.Backend, timeout time.Duration, upgrades bool) transportForm {
	f := transportForm{backend: def.ID, scheme: def.Scheme}
	if def.Scheme == route.SchemeTCP {
		return f
	}
	f.http1 = def.Scheme == route.SchemeHTTPS && (upgrades || len(def.Upgrade) > 0)
	f.timeout = cmp.Or(timeout, t.opts.ResponseTimeout)
	if def.TLS != nil {
		f.serverName, f.skipVerify = def.TLS.ServerName, def.TLS.SkipVerify
	}
	return f
}

// of returns the transport to an endpoint; one that has left gets another each time.
func (t *transports) of(e *balance.Endpoint, def *route.Backend, timeout time.Duration, upgrades bool) *transport {
	key := transportKey{e, t.form(def, timeout, upgrades)}
	if tr, ok := t.all.Load(key); ok {
		return tr.(*transport)
	}
	v, _ := t.all.LoadOrStore(key, t.make(key))
	tr := v.(*transport)
	if e.Left() {
		// sweep may have been here before the transport was.
		t.all.Delete(key)
		tr.leave()
	}
	return tr
}

// How many unused connections to an endpoint are kept, and how large a head of an answer
// may be.
const (
	maxIdle       = 256
	maxAnswerHead = 256 << 10
)

// make returns a transport to the endpoint.
func (t *transports) make(key transportKey) *transport {
	tr := &transport{
		endpoint: key.endpoint, room: t.room, timeout: key.form.timeout,
		dialer: net.Dialer{Timeout: t.opts.DialTimeout, KeepAlive: 30 * time.Second},
		open:   map[*endpointConn]struct{}{},
	}
	tr.dialing, tr.giveUp = context.WithCancel(context.Background())
	tr.pool = tr.newPool(t.opts.EndpointIdle, func(ctx context.Context, _ string) (net.Conn, error) { return tr.dial(ctx) })
	if key.form.scheme != route.SchemeH2C && key.form.scheme != route.SchemeHTTPS {
		return tr
	}
	tr.library = &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return tr.dial(ctx) },
		ResponseHeaderTimeout:  key.form.timeout,
		ExpectContinueTimeout:  http1.ExpectTime,
		IdleConnTimeout:        t.opts.EndpointIdle,
		MaxResponseHeaderBytes: maxAnswerHead,
		DisableCompression:     true,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
	if key.form.scheme == route.SchemeH2C {
		tr.version.Store(versionTwo)
		tr.library.Protocols.SetUnencryptedHTTP2(true)
		return tr
	}
	tr.secure(key.form, t.opts.EndpointIdle)
	return tr
}

func (t *transport) newPool(idle time.Duration, dial func(ctx context.Context, name string) (net.Conn, error)) *http1.Pool {
	return http1.NewPool(http1.PoolLimits{Head: maxAnswerHead, Idle: idle, Most: maxIdle}, dial)
}

// sweep retires what next has no use for: endpoints that have left, and unused forms.
func (t *transports) sweep(next *liveTable) {
	used := make(map[transportForm]bool, len(next.routes))
	for r, lr := range next.routes {
		if lr.def != nil {
			used[t.form(lr.def, r.Timeout, false)] = true
			used[t.form(lr.def, r.Timeout, true)] = true
		}
	}
	gone := outOfReach(next.table)
	t.all.Range(func(k, v any) bool {
		key, tr := k.(transportKey), v.(*transport)
		switch {
		case key.endpoint.Left():
			t.all.Delete(k)
			tr.leave()
			if def := key.endpoint.Def(); gone[instanceOf{def.Source, def.Instance}] {
				tr.cut()
			}
		case !used[key.form]:
			t.all.Delete(k)
			tr.retire()
		}
		return true
	})
}

// instanceOf names an instance of a source.
type instanceOf struct{ source, name string }

// outOfReach are the instances that run, but that no address leads to: their network was
// disconnected, and not even the end of a connection will come back.
func outOfReach(t *route.Table) map[instanceOf]bool {
	gone := map[instanceOf]bool{}
	for _, p := range t.Problems {
		if p.Code == route.CodeNoAddress && p.Instance != "" {
			gone[instanceOf{p.Source, p.Instance}] = true
		}
	}
	return gone
}

// closeIdle closes the idle connections of one transport, or reports false.
func (t *transports) closeIdle() (closed bool) {
	t.all.Range(func(_, v any) bool {
		if tr := v.(*transport); tr.resting.Swap(false) {
			closed = true
			tr.CloseIdleConnections()
		}
		return !closed
	})
	return closed
}

func (t *transports) close() {
	t.all.Range(func(k, v any) bool {
		t.all.Delete(k)
		v.(*transport).leave()
		return true
	})
}

// transport is the connections to one endpoint.
type transport struct {
	pool     *http1.Pool     // of HTTP/1.1
	library  *http.Transport // of HTTP/2; nil where that is not spoken
	version  atomic.Int32    // of HTTP, that the endpoint was found to speak
	handover chan *tls.Conn  // a connection that was found to be of the other version
	timeout  time.Duration   // of the head of an answer
	endpoint *balance.Endpoint
	room     *room
	dialer   net.Dialer
	dialing  context.Context // of what is being connected; ends when the endpoint leaves
	giveUp   context.CancelFunc
	retired  atomic.Bool // a connection that is put back is closed
	resting  atomic.Bool // there may be idle connections

	mu   sync.Mutex
	open map[*endpointConn]struct{}
}

// CloseIdleConnections closes those that are not used.
func (t *transport) CloseIdleConnections() {
	t.pool.CloseIdle(t.retired.Load())
	if t.library != nil {
		t.library.CloseIdleConnections()
		t.dropHandover()
	}
}

// retire closes idle connections, now and after each request that still runs.
func (t *transport) retire() {
	t.retired.Store(true)
	t.CloseIdleConnections()
}

// leave is retire for an endpoint that leaves. Dials are given up, and busy connections
// watched closely, because an endpoint may leave without closing them.
func (t *transport) leave() {
	t.retire()
	t.giveUp()
	for _, c := range t.conns() {
		c.watch()
	}
}

// cut ends, after leave, what still runs, when nothing leads to the endpoint.
func (t *transport) cut() {
	for _, c := range t.conns() {
		_ = c.Close()
	}
}

func (t *transport) conns() []*endpointConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.open))
}

// released is called when a request on the transport is over.
func (t *transport) released() {
	switch {
	case t.retired.Load():
		t.CloseIdleConnections()
	case !t.resting.Load():
		t.resting.Store(true)
	}
}

// errLeft means that an endpoint has left before it was connected to.
var errLeft = errors.New("the endpoint has left")

// dial connects to the endpoint, unless that leaves meanwhile, or has before.
func (t *transport) dial(ctx context.Context) (*endpointConn, error) {
	if t.dialing.Err() != nil {
		return nil, dialError(errLeft)
	}
	if !t.room.reach() {
		return nil, dialError(errNoRoom)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.dialing, cancel)()
	c, err := t.dialer.DialContext(ctx, "tcp", t.endpoint.Address())
	if err != nil {
		t.room.done()
		if t.dialing.Err() != nil && errors.Is(err, context.Canceled) {
			err = errLeft
		}
		return nil, dialError(err)
	}
	ec := &endpointConn{Conn: http1.NewLine(c), transport: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dialing.Err() != nil {
		t.room.done()
		return nil, dialError(errors.Join(errLeft, c.Close()))
	}
	t.open[ec] = struct{}{}
	return ec, nil
}

// errDial means that no connection could be made: nothing was sent.
var errDial = errors.New("connect")

func dialError(err error) error { return fmt.Errorf("%w: %w", errDial, err) }

func isDial(err error) bool { return errors.Is(err, errDial) }

// endpointConn is a connection to an endpoint, counted while it is open.
type endpointConn struct {
	net.Conn
	transport *transport
}

// watch has the kernel notice within six seconds that machine or network are gone.
func (c *endpointConn) watch() {
	if k, ok := c.Conn.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok {
		_ = k.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 5})
	}
}

// Close also stops counting the connection.
func (c *endpointConn) Close() error {
	t := c.transport
	t.mu.Lock()
	_, open := t.open[c]
	delete(t.open, c)
	t.mu.Unlock()
	err := c.Conn.Close()
	if open {
		t.room.done()
	}
	return err
}

// Line is what is read from, or nil.
func (c *endpointConn) Line() *http1.Line {
	line, _ := c.Conn.(*http1.Line)
	return line
}

// CloseWrite passes the end of one direction on, for upgraded connections.
func (c *endpointConn) CloseWrite() error { return relay.CloseWrite(c.Conn) }
