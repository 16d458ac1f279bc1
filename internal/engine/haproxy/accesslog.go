package haproxy

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"
	"time"

	"fairway/internal/engine/haproxy/render"
)

// accessLog writes the lines that the embedded engine writes. They are buffered
// and written within a second. A nil accessLog writes nothing.
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

// accessLine is one request, in the form of the embedded engine. Bytes include the
// header of the answer, which HAProxy does not tell apart.
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
	Aborted  bool    `json:"aborted,omitempty"`
	// Captured are headers of the request that the operator asked for, in their
	// order. The embedded engine has none.
	Captured []string `json:"captured,omitempty"`
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

// log adds the line of a request or connection.
func (l *accessLog) log(e event) {
	if l == nil {
		return
	}
	began := e.time.Add(-e.took).UTC().Format(time.RFC3339Nano)
	if e.connection {
		l.write(tunnelLine{
			Time: began, Client: e.client, Listener: e.listener, Host: e.host, Proto: "TCP", TLS: e.host != "",
			Outcome: e.outcome(), Received: e.received, Bytes: e.bytes, Seconds: e.took.Seconds(),
			Route: e.route, Endpoint: e.endpoint, Attempts: e.attempts(),
		})
		return
	}
	l.write(accessLine{
		Time: began, ID: e.id, Client: e.client, Method: e.method, Host: e.host, Path: e.path, Proto: e.proto, TLS: e.tls,
		Status: e.status, Bytes: e.bytes, Seconds: e.took.Seconds(),
		Route: e.route, Endpoint: e.endpoint, Attempts: e.attempts(), Aborted: e.aborted(), Captured: e.captured,
	})
}

// write adds a line.
func (l *accessLog) write(line any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.enc.Encode(line) // a full disk must not stop anything; flush reports it
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

// outcome is how a connection ended, in the words of the embedded engine.
type outcome string

const (
	endedClosed   outcome = "closed"      // by one of its ends
	endedIdle     outcome = "idle"        // silent for too long
	endedCut      outcome = "cut"         // by a stop, or by the drain limit
	endedNoRoute  outcome = "no-route"    // nobody takes it
	endedRefused  outcome = "refused"     // by a filter, or because the route is
	endedNobody   outcome = "no-endpoint" // none is ready
	endedDialFail outcome = "unreachable" // none could be reached
)

// outcome reads HAProxy's termination state: who ended it, and in which phase.
func (e event) outcome() outcome {
	who, phase := e.end[0], e.end[1]
	switch {
	case who == 'K' || who == 'D' || who == 'U':
		return endedCut
	case (who == 'c' || who == 's') && phase == 'D':
		return endedIdle
	case phase == 'D' || who == '-' && e.server != "":
		return endedClosed
	case e.key == "":
		return endedNoRoute
	case who == 'P':
		return endedRefused
	case e.server == "":
		return endedNobody
	case who == 'S' || who == 's':
		return endedDialFail
	}
	return endedClosed
}

// aborted is true when the answer was broken off: something ended it while data
// was passed on.
func (e event) aborted() bool { return e.end[0] != '-' && e.end[1] == 'D' && e.status >= 200 }

// attempts are the endpoints that were tried.
func (e event) attempts() int {
	if e.server == "" {
		return 0
	}
	return 1 + e.retries
}

// noServer stands in a line for the server of a request that never got one.
const noServer = "<NOSRV>"

// listenerName is the listener of a frontend of render's.
func listenerName(frontend string) string { return render.ListenerOf(frontend) }
