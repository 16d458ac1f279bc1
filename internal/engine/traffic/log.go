package traffic

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Log is the access log: a line of JSON for each request and each connection that
// was passed through. Lines are buffered until Flush. A nil Log writes nothing. It
// may be used from any goroutine.
type Log struct {
	out io.Writer

	mu  sync.Mutex
	buf *bufio.Writer
	enc *json.Encoder
}

// NewLog returns a Log that writes to out; nil for none.
func NewLog(out io.Writer) *Log {
	if out == nil {
		return nil
	}
	l := &Log{out: out}
	l.reset()
	return l
}

// reset begins with an empty buffer.
func (l *Log) reset() {
	l.buf = bufio.NewWriterSize(l.out, 64<<10)
	l.enc = json.NewEncoder(l.buf)
	l.enc.SetEscapeHTML(false)
}

// Request is the line of a request that is over. Path is without query, which may
// hold secrets. Control characters cannot occur: JSON escapes them, and path and
// host are canonical.
type Request struct {
	Time   string `json:"time"` // of its begin; see Time
	ID     string `json:"id,omitempty"`
	Client string `json:"client"`
	Method string `json:"method"`
	Host   string `json:"host"`
	Path   string `json:"path"`
	Proto  string `json:"proto"`
	TLS    bool   `json:"tls"`
	Status int    `json:"status"`
	// Bytes were sent to the client. HAProxy counts the header of the answer, too.
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	// Route and Endpoint are IDs of the table; empty when none took it.
	Route    string `json:"route,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
	// Aborted is true when the answer was broken off.
	Aborted bool `json:"aborted,omitempty"`
	// Captured are headers of the request that the operator asked for, in their
	// order; HAProxy alone has any.
	Captured []string `json:"captured,omitempty"`
}

// Connection is the line of a connection of a TCP listener that is over. Host is the
// server name that the client asked for.
type Connection struct {
	Time     string  `json:"time"` // of its begin; see Time
	Client   string  `json:"client"`
	Listener string  `json:"listener"`
	Host     string  `json:"host,omitempty"`
	Proto    string  `json:"proto"`
	TLS      bool    `json:"tls"`
	Outcome  Outcome `json:"outcome"`
	Received int64   `json:"received"` // bytes from the client
	Bytes    int64   `json:"bytes"`    // to the client
	Seconds  float64 `json:"seconds"`
	Route    string  `json:"route,omitempty"`
	Endpoint string  `json:"endpoint,omitempty"`
	Attempts int     `json:"attempts,omitempty"`
}

// Outcome is how a connection ended.
type Outcome string

// The outcomes of connections.
const (
	Closed      Outcome = "closed"        // by one of its ends
	Idle        Outcome = "idle"          // silent for too long
	Cut         Outcome = "cut"           // by a stop, or by the drain limit
	NoHeader    Outcome = "proxy-refused" // no PROXY protocol header, or a broken one
	NoRoute     Outcome = "no-route"      // nobody takes it
	Refused     Outcome = "refused"       // by a filter, or because the route is
	NoEndpoint  Outcome = "no-endpoint"   // none is ready
	Unreachable Outcome = "unreachable"   // no endpoint could be reached
)

// Time is a moment as lines have it.
func Time(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Request adds a line. What cannot be written is reported by Flush, and stops
// nothing.
func (l *Log) Request(line Request) { l.write(line) }

// Connection adds a line, like Request.
func (l *Log) Connection(line Connection) { l.write(line) }

func (l *Log) write(line any) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.enc.Encode(line)
}

// Flush writes what is buffered. When it cannot be written it is lost, and the log
// goes on with what comes next.
func (l *Log) Flush() error {
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
