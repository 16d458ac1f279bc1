package enginetest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/route"
)

// headerEndpoint is set by every endpoint to its name, so that a client knows
// who answered. headerDo has endpoints misbehave; see commands.
const (
	headerEndpoint = "X-Endpoint"
	headerDo       = "X-Do"
)

// seen is a request as an endpoint saw it; it is also the endpoint's answer.
type seen struct {
	Endpoint string      `json:"endpoint"`
	Line     string      `json:"line"` // method and target as they came
	Proto    string      `json:"proto"`
	Host     string      `json:"host"`
	Header   http.Header `json:"header"`
	Body     string      `json:"body,omitempty"`
	BodyErr  string      `json:"bodyErr,omitempty"` // why the body ended early
	Conn     string      `json:"conn"`              // the peer's address: one for each connection
}

// get returns the values of a header the way a case writes them.
func (s seen) get(name string) (string, bool) {
	if strings.EqualFold(name, "Host") {
		return s.Host, true
	}
	values, ok := s.Header[http.CanonicalHeaderKey(name)]
	return strings.Join(values, ", "), ok
}

// record is what all endpoints of a case have seen, in order.
type record struct {
	mu  sync.Mutex
	all []seen
}

func (r *record) add(s seen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, s)
}

// since returns what was seen after the first n requests.
func (r *record) since(n int) []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all[n:])
}

func (r *record) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// count returns how many requests an endpoint has seen.
func (r *record) count(name string) int {
	n := 0
	for _, s := range r.since(0) {
		if s.Endpoint == name {
			n++
		}
	}
	return n
}

// endpoint is a server on loopback that records what it sees.
type endpoint struct {
	name    string
	address string
	log     *record
	server  *httptest.Server
	handler atomic.Pointer[http.HandlerFunc] // nil: recording
	conns   atomic.Int64                     // connections that are open
}

// endpoint returns the endpoint of this name and starts it when there is none
// yet. It speaks HTTP/1.1 and HTTP/2 without TLS, or with TLS for the scheme
// https. A name that begins with "dead" is an address where nothing listens.
func (w *world) endpoint(name string, scheme route.Scheme) *endpoint {
	if e, ok := w.endpoints[name]; ok {
		return e
	}
	e := &endpoint{name: name, log: w.log}
	w.endpoints[name] = e
	if strings.HasPrefix(name, "dead") {
		e.address = "127.0.0.1:" + strconv.Itoa(1+len(w.endpoints)) // ports that are not used
		return e
	}
	e.server = httptest.NewUnstartedServer(e)
	e.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	e.server.Config.Protocols = new(http.Protocols)
	e.server.Config.Protocols.SetHTTP1(true)
	e.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			e.conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			e.conns.Add(-1)
		}
	}
	if scheme == route.SchemeHTTPS {
		e.server.Config.Protocols.SetHTTP2(true)
		e.server.TLS = &tls.Config{Certificates: []tls.Certificate{w.keyPair("endpoint.test")}}
		e.server.EnableHTTP2 = true
		e.server.StartTLS()
	} else {
		e.server.Config.Protocols.SetUnencryptedHTTP2(true)
		e.server.Start()
	}
	w.Cleanup(func() {
		e.server.CloseClientConnections()
		e.server.Close()
	})
	e.address = e.server.Listener.Addr().String()
	return e
}

// ServeHTTP names the endpoint and answers.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(headerEndpoint, e.name)
	if h := e.handler.Load(); h != nil {
		(*h)(w, r)
		return
	}
	do := commands(r.Header.Get(headerDo), e.name)
	if _, ok := do["no-read"]; !ok {
		e.note(r)
		e.answer(w, r, do)
		return
	}
	e.noteHead(r)
	e.answer(w, r, do)
}

// note reads the body and records the request.
func (e *endpoint) note(r *http.Request) seen {
	body, err := io.ReadAll(r.Body)
	s := e.head(r)
	s.Body = string(body)
	if err != nil {
		s.BodyErr = err.Error()
	}
	e.log.add(s)
	return s
}

// noteHead records the request without its body.
func (e *endpoint) noteHead(r *http.Request) { e.log.add(e.head(r)) }

func (e *endpoint) head(r *http.Request) seen {
	return seen{
		Endpoint: e.name, Line: r.Method + " " + r.RequestURI, Proto: r.Proto, Host: r.Host,
		Header: r.Header.Clone(), Conn: r.RemoteAddr,
	}
}

// commands reads a list of commands as a client gives it in the header X-Do,
// separated by ";", each with a value after "=" or without. "e1:" in front
// means only that endpoint.
//
//	status=418         answer with this status
//	header=Name: value answer with this header; any number of times
//	body=text          answer with this body; size=N: with N bytes of text
//	type=text/plain    answer with this content type
//	delay=100ms        wait before answering
//	no-read            answer without reading the request's body
//	close, rst         hang up instead of answering, in order or with a reset
//	cut                hang up in the middle of the body
//	garbage            answer with something that is not HTTP
//	hint=Name: value   send 103 with this header first
//	switch=protocol    answer with 101 for a protocol of this name
func commands(text, name string) map[string][]string {
	do := map[string][]string{}
	for command := range strings.SplitSeq(text, ";") {
		command = strings.TrimSpace(command)
		if to, rest, ok := strings.Cut(command, ":"); ok && !strings.ContainsAny(to, "= ") {
			if to != name {
				continue
			}
			command = rest
		}
		key, value, _ := strings.Cut(command, "=")
		if key != "" {
			do[key] = append(do[key], value)
		}
	}
	return do
}

// answer answers as the commands say; without any, with what was seen.
func (e *endpoint) answer(w http.ResponseWriter, r *http.Request, do map[string][]string) {
	first := func(key string) string {
		if values := do[key]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	if d, err := time.ParseDuration(first("delay")); err == nil {
		sleep(r.Context(), d)
	}
	switch {
	case do["close"] != nil, do["rst"] != nil, do["garbage"] != nil, do["switch"] != nil:
		e.hangUp(w, do)
		return
	case do["hint"] != nil:
		name, value, _ := strings.Cut(first("hint"), ": ")
		w.Header().Set(name, value)
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del(name)
	}
	for _, h := range do["header"] {
		name, value, _ := strings.Cut(h, ": ")
		w.Header().Add(name, value)
	}
	body, _ := json.Marshal(e.head(r))
	w.Header().Set("Content-Type", "application/json")
	if text := first("body"); text != "" {
		body = []byte(text)
		w.Header().Set("Content-Type", "text/plain")
	}
	if n, err := strconv.Atoi(first("size")); err == nil {
		body = []byte(strings.Repeat("fairway ", n/8+1)[:n])
		w.Header().Set("Content-Type", "text/plain")
	}
	if t := first("type"); t != "" {
		w.Header().Set("Content-Type", t)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if status, err := strconv.Atoi(first("status")); err == nil {
		if status == http.StatusNoContent || status == http.StatusNotModified {
			w.Header().Del("Content-Length")
			body = nil
		}
		w.WriteHeader(status)
	}
	if do["cut"] != nil {
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

// hangUp takes the connection away from the server and ends it as asked.
func (e *endpoint) hangUp(w http.ResponseWriter, do map[string][]string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2
	}
	defer conn.Close()
	switch {
	case do["garbage"] != nil:
		_, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n")
	case do["switch"] != nil:
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", do["switch"][0])
		// Whatever a tunnel would let through is seen, too.
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		rest, _ := io.ReadAll(conn)
		if len(rest) > 0 {
			e.log.add(seen{Endpoint: e.name, Line: "TUNNEL " + string(rest)})
		}
	case do["rst"] != nil:
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// dialer makes a DialContext of a function that knows where to go.
func dialer(dial func() (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return dial() }
}
