// Package http3 serves HTTP/3: it ends QUIC connections of clients, bounds what they may
// begin, and lets their requests finish when the listener goes.
//
// There is no 0-RTT: what a client sends before the handshake is over could be a replay.
package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	library "github.com/quic-go/quic-go/http3"
)

// Options are what a Server needs; all of them are required.
type Options struct {
	// Config is for handshakes in which the client asks for a server name; its ALPN is
	// Protocol alone. Nil refuses the client.
	Config func(serverName string) *tls.Config
	// Handler answers requests. Their contexts end with the connection.
	Handler http.Handler
	// Admit is asked for each connection whose handshake is over. Nil refuses it.
	Admit func(*Conn) Client
	// HeadTime bounds the handshake, Idle the time without requests on a connection.
	HeadTime, Idle time.Duration
	// MaxHeaderBytes bounds the header of a request.
	MaxHeaderBytes int
	// Log gets what the library has to say, at debug level.
	Log *slog.Logger
}

// AltSvc is the header field that says where HTTP/3 is served: at a port of the same host.
func AltSvc(port int) string { return Protocol + `=":` + strconv.Itoa(port) + `"; ma=86400` }

// Protocol is the name of HTTP/3 in handshakes and in Alt-Svc.
const Protocol = library.NextProtoH3

// Client is who is at the other end of a connection that was admitted.
type Client interface {
	// Within returns the context of its requests.
	Within(context.Context) context.Context
	// Busy says whether requests are running. It is called under a lock of the connection.
	Busy(bool)
	// Ended says, once, that the connection is over.
	Ended()
}

// The limits of a connection. One without requests is kept alive until Options.Idle, and given
// up when nothing comes back for silence.
const (
	maxStreams    = 100 // requests at once
	maxUniStreams = 16  // three that HTTP/3 has, and what a client makes up
	silence       = 45 * time.Second
	ping          = 15 * time.Second
	// lastFlight is the time for the last bytes of answers on a connection that drains.
	lastFlight = 500 * time.Millisecond
)

// Handshakes under way: from retryFrom on clients have to show that they are where they say,
// and beyond maxHandshakes they are refused.
const (
	retryFrom     = 64
	maxHandshakes = 1024
)

// Server is a UDP socket with the connections on it. All methods may be called from any
// goroutine.
type Server struct {
	o          Options
	socket     *net.UDPConn
	transport  *quic.Transport
	listener   *quic.Listener
	handshakes atomic.Int64
	running    sync.WaitGroup // connections

	mu    sync.Mutex
	conns map[*Conn]bool
	drain bool
}

// Listen binds the UDP address. Connections are accepted once Serve is called.
func Listen(ctx context.Context, address string, o Options) (*Server, error) {
	var config net.ListenConfig
	socket, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, socket: socket.(*net.UDPConn), conns: map[*Conn]bool{}}
	s.transport = &quic.Transport{
		Conn: socket, ConnContext: s.begun,
		VerifySourceAddress: func(net.Addr) bool { return s.handshakes.Load() >= retryFrom },
	}
	s.listener, err = s.transport.Listen(s.tls(), &quic.Config{
		HandshakeIdleTimeout: o.HeadTime / 2, // the whole has twice as long
		MaxIdleTimeout:       silence, KeepAlivePeriod: ping,
		MaxIncomingStreams: maxStreams, MaxIncomingUniStreams: maxUniStreams,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("QUIC: %w", err), socket.Close())
	}
	return s, nil
}

func (s *Server) tls() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{Protocol},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if config := s.o.Config(hello.ServerName); config != nil {
				return config, nil
			}
			return nil, net.ErrClosed
		},
	}
}

// Addr is the address that the socket is bound to.
func (s *Server) Addr() net.Addr { return s.socket.LocalAddr() }

// handshakeKey is the context key of what ends the counting of a handshake.
type handshakeKey struct{}

var errBusy = errors.New("too many handshakes")

// begun counts a handshake until it is over, whichever way.
func (s *Server) begun(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if s.handshakes.Add(1) > maxHandshakes {
		s.handshakes.Add(-1)
		return nil, errBusy
	}
	over := sync.OnceFunc(func() { s.handshakes.Add(-1) })
	context.AfterFunc(ctx, over)
	return context.WithValue(ctx, handshakeKey{}, over), nil
}

// Serve accepts connections until the server drains or is closed, which is net.ErrClosed.
func (s *Server) Serve() error {
	for {
		c, err := s.listener.Accept(context.Background())
		if errors.Is(err, quic.ErrServerClosed) {
			return net.ErrClosed
		}
		if err != nil {
			return err
		}
		c.Context().Value(handshakeKey{}).(func())()
		s.begin(&Conn{quic: c})
	}
}

// begin serves a connection on a goroutine of its own, where it may be.
func (s *Server) begin(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.drain {
		c.client = s.o.Admit(c)
	}
	if c.client == nil {
		_ = c.quic.CloseWithError(quic.ApplicationErrorCode(library.ErrCodeExcessiveLoad), "")
		return
	}
	c.server = &library.Server{
		Handler: c.counting(s.o.Handler), MaxHeaderBytes: s.o.MaxHeaderBytes, IdleTimeout: s.o.Idle, Logger: s.o.Log,
		ConnContext: func(ctx context.Context, _ *quic.Conn) context.Context { return c.client.Within(ctx) },
	}
	c.limit, c.idle = s.o.Idle, time.AfterFunc(s.o.Idle, c.closeIdle)
	s.conns[c] = true
	s.running.Go(func() {
		_ = c.server.ServeQUICConn(c.quic) // it ends with the connection
		_ = c.Close()
		c.idle.Stop()
		c.client.Ended()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
}

// Drain refuses new connections and new requests, and closes connections without requests.
func (s *Server) Drain() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain = true
	for c := range s.conns {
		c.leave()
	}
}

// Shutdown waits, after Drain, until all connections are over, or closes them when ctx ends.
// It frees the address.
func (s *Server) Shutdown(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	s.running.Wait()
	_ = s.Close()
}

// Close cuts off what runs and frees the address. It may be called again.
func (s *Server) Close() error {
	s.Drain()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
	return errors.Join(s.transport.Close(), s.socket.Close())
}

// Conn is a connection of a client. As a net.Conn it can only be closed and named.
type Conn struct {
	net.Conn // nil
	quic     *quic.Conn
	server   *library.Server
	client   Client
	idle     *time.Timer   // runs while no request does
	limit    time.Duration // of idle

	mu      sync.Mutex
	active  int
	leaving bool
}

// Close cuts off what runs.
func (c *Conn) Close() error {
	return c.quic.CloseWithError(quic.ApplicationErrorCode(library.ErrCodeNoError), "")
}

// RemoteAddr is where the client is now.
func (c *Conn) RemoteAddr() net.Addr { return c.quic.RemoteAddr() }

// LocalAddr is where the connection came in.
func (c *Conn) LocalAddr() net.Addr { return c.quic.LocalAddr() }

// counting has requests counted while they run. A client that begins and cancels them faster
// than they end loses its connection.
func (c *Conn) counting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.add(1) {
			_ = c.quic.CloseWithError(quic.ApplicationErrorCode(library.ErrCodeExcessiveLoad), "too many requests")
			panic(http.ErrAbortHandler)
		}
		defer c.add(-1)
		h.ServeHTTP(w, r)
	})
}

// add counts requests, and reports whether there may be as many.
func (c *Conn) add(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.active >= 2*maxStreams {
		return false
	}
	before := c.active
	c.active += n
	if before == 0 || c.active == 0 {
		c.client.Busy(c.active > 0)
		if c.active > 0 {
			c.idle.Stop()
		} else {
			c.idle.Reset(c.limit)
		}
	}
	if c.active == 0 && c.leaving {
		c.closeSoon()
	}
	return true
}

// leave has the client begin nothing new, and closes the connection when nothing runs.
func (c *Conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving {
		return
	}
	c.leaving = true
	go func() { _ = c.server.Shutdown(c.quic.Context()) }()
	if c.active == 0 {
		c.closeSoon()
	}
}

// closeSoon closes a connection on which nothing runs, once its last bytes may have come.
func (c *Conn) closeSoon() { time.AfterFunc(lastFlight, c.closeIdle) }

// closeIdle closes a connection on which nothing runs. The library has a time for that, too,
// which does not run while a stream is open: half a head would keep it for ever.
func (c *Conn) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active == 0 {
		_ = c.Close()
	}
}

// Ended reports whether a request has no body. Where it names no length only the end of its
// stream says so, which with GET and its like comes at once: it is waited for within the
// limit, and what was read meanwhile is put back.
func Ended(w http.ResponseWriter, r *http.Request, limit time.Duration) bool {
	switch {
	case r.ContentLength >= 0:
		return r.ContentLength == 0
	case r.Method == http.MethodPost, r.Method == http.MethodPut, r.Method == http.MethodPatch:
		return false
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(limit))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	var first [1]byte
	n, err := r.Body.Read(first[:])
	if n == 0 && err == io.EOF {
		return true
	}
	r.Body = putBack{io.MultiReader(bytes.NewReader(first[:n]), r.Body), r.Body}
	return false
}

// putBack is a body with its beginning put back.
type putBack struct {
	io.Reader
	io.Closer
}
