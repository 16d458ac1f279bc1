// Package dockertest is a Docker Engine without a model: the API's transport, its
// event streams, the faults of a real engine, and a record of the calls. Tests add
// the calls that they need and what these answer. Only tests import it.
package dockertest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
)

// Version is the API version that the engine offers. Patterns of calls go without it.
const Version = "1.41"

// Fault is a way to spoil the answer to a call.
type Fault string

// The faults. The empty Fault is none.
const (
	Break    Fault = "break"    // the connection breaks before an answer
	Error    Fault = "error"    // status 500, in Docker's form
	Freeze   Fault = "freeze"   // nothing is sent, on event streams neither, until another fault or Calm
	Garbage  Fault = "garbage"  // JSON of another kind
	Hang     Fault = "hang"     // no answer at all
	Late     Fault = "late"     // what is true at the time of the call, sent 2 s later
	Slow     Fault = "slow"     // no work on the call for 4 s
	Truncate Fault = "truncate" // a part of an answer, then the connection breaks
)

// Engine is a Docker Engine. Calls are added to it as to any http.ServeMux, with
// patterns such as "GET /containers/{id}/json"; other calls are answered with
// status 404. All methods may be called from any goroutine.
type Engine struct {
	*http.ServeMux
	Busy  func(bool) // is called as each call begins and ends, if not nil
	model sync.Locker

	mu      sync.Mutex
	server  *http.Server
	pipes   *pipeListener // nil for none
	socket  string        // "" for none
	calls   []string      // "GET /tasks?filters=…"
	streams map[chan []byte]bool
	down    bool
	fault   Fault // for calls whose path begins with spoilt
	spoilt  string
	over    chan struct{} // closed at the end of the fault
}

// New returns an engine. Functions given to Answer are called while model is locked;
// nil is for those that need no lock.
func New(model sync.Locker) *Engine {
	if model == nil {
		model = &sync.Mutex{}
	}
	e := &Engine{ServeMux: http.NewServeMux(), model: model, streams: make(map[chan []byte]bool), over: make(chan struct{})}
	e.HandleFunc("/_ping", func(http.ResponseWriter, *http.Request) {})
	return e
}

// Listen starts the engine on a unix socket and returns its URL. The engine is cut
// off with the end of the test.
func (e *Engine) Listen(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "docker") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Cut(); _ = os.RemoveAll(dir) })
	e.mu.Lock()
	e.socket = filepath.Join(dir, "docker.sock")
	e.mu.Unlock()
	e.Restore()
	return "unix://" + e.socket
}

// Dial connects to the engine by net.Pipe, as synctest bubbles need it. The engine
// has to be cut off before the bubble ends.
func (e *Engine) Dial(ctx context.Context) (net.Conn, error) {
	e.mu.Lock()
	if e.down {
		e.mu.Unlock()
		return nil, errors.New("connect: connection refused")
	}
	if e.pipes == nil {
		e.pipes = &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		e.serve(e.pipes)
	}
	pipes := e.pipes
	e.mu.Unlock()
	ours, theirs := net.Pipe()
	select {
	case pipes.conns <- theirs:
		return ours, nil
	case <-pipes.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *Engine) serve(l net.Listener) {
	server := &http.Server{Handler: e}
	e.server = server
	go func() { _ = server.Serve(l) }()
}

// Cut breaks all connections and lets none be made.
func (e *Engine) Cut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down = true; e.server != nil {
		_ = e.server.Close()
		e.server, e.pipes = nil, nil
	}
}

// Restore ends Cut.
func (e *Engine) Restore() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down = false; e.socket == "" || e.server != nil {
		return
	}
	l, err := net.Listen("unix", e.socket)
	if err != nil {
		panic(err)
	}
	e.serve(l)
}

// Freeze makes the engine accept connections and say nothing, as a stopped process
// does, until Calm.
func (e *Engine) Freeze() { e.Disturb("", Freeze) }

// Calm ends what Disturb and Freeze have begun.
func (e *Engine) Calm() { e.Disturb("", "") }

// Disturb spoils the answers to calls whose path begins so. An engine has one fault
// at a time.
func (e *Engine) Disturb(path string, how Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.over)
	e.fault, e.spoilt, e.over = how, path, make(chan struct{})
}

// ServeHTTP serves a call, for tests that bring a server of their own.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.Busy != nil {
		e.Busy(true)
		defer e.Busy(false)
	}
	r.URL.Path = strings.TrimPrefix(r.URL.Path, "/v"+Version)
	e.mu.Lock()
	e.calls = append(e.calls, strings.TrimSuffix(r.Method+" "+r.URL.Path+"?"+r.URL.Query().Encode(), "?"))
	e.mu.Unlock()
	w.Header().Set("Api-Version", Version)
	w.Header().Set("Content-Type", "application/json")
	switch how := e.suffer(r); how {
	case "":
		e.route(w, r)
	case Break:
		panic(http.ErrAbortHandler)
	case Error:
		write(w, Refuse(http.StatusInternalServerError, "something is wrong"))
	case Garbage:
		write(w, `[{"Id":17,"ID":17}]`)
	case Hang:
		<-r.Context().Done()
	case Late:
		rec := httptest.NewRecorder()
		e.route(rec, r)
		time.Sleep(2 * time.Second)
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	case Slow:
		select {
		case <-time.After(4 * time.Second):
			e.route(w, r)
		case <-r.Context().Done():
		}
	case Truncate:
		w.Header().Set("Content-Length", "1000")
		write(w, `[{"Id":"a","Na`)
		panic(http.ErrAbortHandler)
	default:
		panic(fmt.Sprintf("no such fault: %q", how))
	}
}

// suffer waits while the engine is frozen and returns how the call is spoilt.
func (e *Engine) suffer(r *http.Request) Fault {
	for {
		e.mu.Lock()
		how, over, down := e.fault, e.over, e.down
		spoilt := strings.HasPrefix(r.URL.Path, e.spoilt)
		e.mu.Unlock()
		switch {
		case down: // the connection was made just before
			panic(http.ErrAbortHandler)
		case !spoilt:
			return ""
		case how != Freeze:
			return how
		}
		select {
		case <-over:
		case <-r.Context().Done():
			return Hang
		}
	}
}

func (e *Engine) route(w http.ResponseWriter, r *http.Request) {
	if _, pattern := e.Handler(r); pattern == "" {
		write(w, Refuse(http.StatusNotFound, "page not found"))
		return
	}
	e.ServeMux.ServeHTTP(w, r)
}

// Answer serves the calls of a pattern with what answer returns: text and bytes as
// they are, a Status with its code, nil as nothing, and anything else as JSON.
func (e *Engine) Answer(pattern string, answer func(*http.Request) any) {
	e.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		e.model.Lock()
		status, body := encode(answer(r))
		e.model.Unlock()
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
}

// Say serves the calls of a pattern with always the same text.
func (e *Engine) Say(pattern, text string) {
	e.Answer(pattern, func(*http.Request) any { return text })
}

// Status is an answer with another status than 200.
type Status struct {
	Code int
	Body any // as what Answer's function returns, but no Status
}

// Refuse is an error in the form of the API.
func Refuse(code int, message string) Status {
	return Status{code, map[string]string{"message": message}}
}

func write(w http.ResponseWriter, answer any) {
	status, body := encode(answer)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func encode(answer any) (status int, body []byte) {
	switch answer := answer.(type) {
	case Status:
		_, body = encode(answer.Body)
		return answer.Code, body
	case nil:
	case string:
		body = []byte(answer)
	case []byte:
		body = answer
	default:
		var err error
		if body, err = json.Marshal(answer); err != nil {
			panic(err)
		}
	}
	return http.StatusOK, body
}

// Events serves an event stream. Tests add it for "GET /events".
func (e *Engine) Events(w http.ResponseWriter, r *http.Request) {
	stream := make(chan []byte, 1000)
	e.mu.Lock()
	e.streams[stream] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.streams, stream)
	}()
	flush := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = flush.Flush()
	for {
		select {
		case line := <-stream:
			e.suffer(r)
			if _, err := w.Write(line); err != nil || flush.Flush() != nil {
				return
			}
			if line[len(line)-1] != '\n' {
				panic(http.ErrAbortHandler)
			}
		case <-r.Context().Done():
			return
		}
	}
}

// Emit sends an event on all streams. The attributes are names and values in turn.
func (e *Engine) Emit(kind events.Type, action, id string, attributes ...string) {
	now := time.Now()
	m := events.Message{Type: kind, Action: events.Action(action), Time: now.Unix(), TimeNano: now.UnixNano()}
	m.Actor = events.Actor{ID: id, Attributes: map[string]string{}}
	for i := 0; i < len(attributes); i += 2 {
		m.Actor.Attributes[attributes[i]] = attributes[i+1]
	}
	_, line := encode(m)
	e.send(append(line, '\n'))
}

// BreakStreams breaks the connection of each event stream in the middle of an event.
func (e *Engine) BreakStreams() { e.send([]byte(`{"Type":"conta`)) }

func (e *Engine) send(line []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.streams {
		s <- line
	}
}

// LoseStreams leaves the streams open, and nothing is sent on them any more.
func (e *Engine) LoseStreams() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.streams)
}

// Calls returns all calls without their queries: "GET /tasks".
func (e *Engine) Calls() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := slices.Clone(e.calls)
	for i := range calls {
		calls[i], _, _ = strings.Cut(calls[i], "?")
	}
	return calls
}

// Asked returns all calls but pings with their queries: "GET /tasks?filters=…".
func (e *Engine) Asked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.calls), func(c string) bool { return strings.HasSuffix(c, " /_ping") })
}

// Count returns how often a call was made, and forgets it.
func (e *Engine) Count(call string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := len(e.calls)
	e.calls = slices.DeleteFunc(e.calls, func(c string) bool { return c == call || strings.HasPrefix(c, call+"?") })
	return before - len(e.calls)
}

// Upgrade turns a call into a raw connection, as the API does for commands in
// containers. The caller closes it.
func Upgrade(w http.ResponseWriter, r *http.Request) (conn net.Conn, in io.Reader, err error) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, in, err = w.(http.Hijacker).Hijack()
	if err == nil {
		fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	}
	return conn, in, err
}

// Piece is a part of an output as logs and commands send it. The kind is 1 for
// standard output and 2 for standard error.
func Piece(kind byte, text string) []byte {
	p := make([]byte, 8, 8+len(text))
	p[0] = kind
	binary.BigEndian.PutUint32(p[4:], uint32(len(text)))
	return append(p, text...)
}

// pipeListener accepts the far ends of pipes.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
