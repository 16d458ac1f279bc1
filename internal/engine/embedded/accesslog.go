package embedded

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// accessLog writes one line of JSON for each request. Lines are buffered and
// written within a second. A nil accessLog writes nothing.
type accessLog struct {
	out io.Writer

	mu  sync.Mutex
	buf *bufio.Writer
	enc *json.Encoder
}

func newAccessLog(out io.Writer) *accessLog {
	l := &accessLog{out: out}
	l.reset()
	return l
}

// reset begins with an empty buffer.
func (l *accessLog) reset() {
	l.buf = bufio.NewWriterSize(l.out, 64<<10)
	l.enc = json.NewEncoder(l.buf)
	l.enc.SetEscapeHTML(false)
}

// accessLine is one request. Path is without query, which may hold secrets.
// Control characters cannot occur: JSON escapes them, and path and host are
// canonical.
type accessLine struct {
	Time     string  `json:"time"`
	ID       string  `json:"id,omitempty"`
	Client   string  `json:"client"`
	Method   string  `json:"method"`
	Host     string  `json:"host"`
	Path     string  `json:"path"`
	Proto    string  `json:"proto"`
	TLS      bool    `json:"tls"`
	Status   int     `json:"status"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
	Route    string  `json:"route,omitempty"`
	Endpoint string  `json:"endpoint,omitempty"`
	Attempts int     `json:"attempts,omitempty"`
	// Aborted is true when the answer was broken off.
	Aborted bool `json:"aborted,omitempty"`
}

// log adds the line of an exchange.
func (l *accessLog) log(x *exchange, took time.Duration, aborted bool) {
	if l == nil {
		return
	}
	line := accessLine{
		Time:     x.began.UTC().Format(time.RFC3339Nano),
		Client:   addrOf(x.r.RemoteAddr).String(),
		Method:   x.r.Method,
		Host:     x.r.Host,
		Path:     x.r.URL.EscapedPath(),
		Proto:    x.r.Proto,
		TLS:      x.r.TLS != nil,
		Status:   x.w.status,
		Bytes:    x.w.bytes,
		Seconds:  took.Seconds(),
		Attempts: x.attempts,
		Aborted:  aborted,
	}
	if x.q != nil {
		line.ID, line.Client = x.q.identity.requestID, x.q.Client.String()
		line.Host, line.Path = x.q.Host, x.q.Path
	}
	if x.route != nil {
		line.Route = x.route.route.ID
	}
	if x.endpoint != nil {
		line.Endpoint = x.endpoint.ID()
	}
	l.write(line)
}

// write adds a line.
func (l *accessLog) write(line any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.enc.Encode(line) // a full disk must not stop traffic; flush reports it
}

// tunnelLine is one connection of a TCP listener. Host is the server name.
type tunnelLine struct {
	Time     string  `json:"time"`
	Client   string  `json:"client"`
	Listener string  `json:"listener"`
	Host     string  `json:"host,omitempty"`
	Proto    string  `json:"proto"`
	TLS      bool    `json:"tls"`
	Outcome  outcome `json:"outcome"`
	Received int64   `json:"received"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
	Route    string  `json:"route,omitempty"`
	Endpoint string  `json:"endpoint,omitempty"`
	Attempts int     `json:"attempts,omitempty"`
}

// logTunnel adds the line of a connection.
func (l *accessLog) logTunnel(t *tunnel, took time.Duration) {
	if l == nil {
		return
	}
	line := tunnelLine{
		Time:     t.x.began.UTC().Format(time.RFC3339Nano),
		Client:   addrOf(t.client.from.String()).String(),
		Listener: t.conf.name,
		Host:     t.name,
		Proto:    "TCP",
		TLS:      t.tls,
		Outcome:  t.outcome,
		Received: t.in,
		Bytes:    t.out,
		Seconds:  took.Seconds(),
		Attempts: t.x.attempts,
	}
	if t.x.route != nil {
		line.Route = t.x.route.route.ID
	}
	if t.x.endpoint != nil {
		line.Endpoint = t.x.endpoint.ID()
	}
	l.write(line)
}

// flush writes what is buffered. When it cannot be written it is lost, and the
// log goes on with what comes next.
func (l *accessLog) flush() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.buf.Flush()
	if err != nil {
		l.reset()
	}
	return err
}
