package traffic

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// logEvery is how long a line waits at most to be written, logBatch how many bytes do.
	logEvery = time.Second
	logBatch = 64 << 10
	// logMost bounds the bytes of the lines that wait.
	logMost = 4 << 20
	// logClose is how long the last lines may take to be written.
	logClose = 2 * time.Second
)

// Log is the access log: a line of JSON for each request and each connection that was
// passed through. Lines are written in the background: what comes while too much waits
// is lost, and counted. Beside the lines that are written, those who follow get theirs, and
// the last errors of each route are kept. A nil Log does nothing. It may be used from any
// goroutine.
type Log struct {
	Recent
	followers atomic.Pointer[[]*Follower] // nil: none

	out    io.Writer // nil: nothing is written
	lost   func(lines int)
	failed func(error)

	encoders sync.Pool // of *encoder: lines are encoded without the mutex

	mu      sync.Mutex
	waiting []byte
	count   int // of the lines that wait
	written int // of the lines that are being written
	closed  bool

	writing sync.Mutex // orders the writers; held over out
	spare   []byte     // takes turns with waiting

	wake, done chan struct{}
	stop       context.CancelFunc
}

type encoder struct {
	bytes.Buffer
	*json.Encoder
}

func newEncoder() any {
	e := &encoder{}
	e.Encoder = json.NewEncoder(&e.Buffer)
	e.SetEscapeHTML(false)
	return e
}

// NewLog returns a Log that writes to out until Close; nil writes nothing. lost counts
// lines that are not written, failed gets the errors of writing.
func NewLog(out io.Writer, lost func(lines int), failed func(error)) *Log {
	if out == nil {
		return &Log{}
	}
	l := &Log{
		out: out, lost: lost, failed: failed, encoders: sync.Pool{New: newEncoder},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go l.run(ctx)
	return l
}

func (l *Log) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-tick.C:
		}
		if err := l.Flush(); err != nil {
			l.failed(err)
		}
	}
}

// Request is the line of a request that is over. Path is without query, which may
// hold secrets.
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
	// Error says why the request failed, where Fairway answered in place of an endpoint
	// or the answer was broken off.
	Error string `json:"error,omitempty"`
	// Captured are headers of the request that the operator asked for, in their
	// order; HAProxy alone has any.
	Captured []string `json:"captured,omitempty"`
	// Left is true when the client went away before the end, or was too slow; Outcome is that
	// of a connection, and empty for a request. Neither is in the line.
	Left    bool    `json:"-"`
	Outcome Outcome `json:"-"`
}

// Connection is the line of a connection of a TCP listener that is over; Host is its
// server name.
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
	// Error says why no endpoint could be reached.
	Error string `json:"error,omitempty"`
}

// Outcome is how a connection ended.
type Outcome string

// The outcomes of connections.
const (
	Closed      Outcome = "closed"        // by one of its ends
	Idle        Outcome = "idle"          // silent for too long
	Cut         Outcome = "cut"           // by a stop, or by the drain limit
	NoHeader    Outcome = "proxy-refused" // no PROXY protocol header, or a broken one
	NoRoute     Outcome = "no-route"      // none takes it
	Refused     Outcome = "refused"       // by a filter, or because the route is
	NoEndpoint  Outcome = "no-endpoint"   // none is ready
	Unreachable Outcome = "unreachable"   // no endpoint could be reached
)

// Time is a moment as lines have it.
func Time(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Wants reports whether a line of a request is of use to anybody; failed says whether the
// request failed.
func (l *Log) Wants(failed bool) bool {
	return l != nil && (l.out != nil || failed || l.followers.Load() != nil)
}

// Request adds a line. It never waits for what is written.
func (l *Log) Request(line Request) {
	if l == nil {
		return
	}
	if line.Failed() {
		l.add(line, time.Now())
	}
	l.pass(&line)
	l.write(&line)
}

// Connection adds a line, like Request.
func (l *Log) Connection(line Connection) {
	if l == nil {
		return
	}
	request := line.request()
	if request.Error != "" {
		l.add(request, time.Now())
	}
	l.pass(&request)
	l.write(&line)
}

// request is the connection as those who follow requests see it.
func (c *Connection) request() Request {
	r := Request{
		Time: c.Time, Client: c.Client, Method: "TCP", Host: c.Host, Proto: c.Proto, TLS: c.TLS, Bytes: c.Bytes,
		Seconds: c.Seconds, Route: c.Route, Endpoint: c.Endpoint, Attempts: c.Attempts, Error: c.Error,
		Outcome: cmp.Or(c.Outcome, Closed),
	}
	if r.Error == "" {
		r.Error = map[Outcome]string{
			NoHeader: "no PROXY protocol header, or a broken one", NoRoute: "no route takes it",
			Refused: "refused by a filter, or the route is", NoEndpoint: "no endpoint is ready", Unreachable: "no endpoint could be reached",
		}[c.Outcome]
	}
	return r
}

func (l *Log) write(line any) {
	if l.out == nil {
		return
	}
	e := l.encoders.Get().(*encoder)
	e.Reset()
	_ = e.Encode(line) // the types above always encode
	l.mu.Lock()
	fits := !l.closed && len(l.waiting) < logMost
	if fits {
		l.waiting = append(l.waiting, e.Bytes()...)
		l.count++
	}
	due := len(l.waiting) >= logBatch
	l.mu.Unlock()
	l.encoders.Put(e)
	if !fits {
		l.lost(1)
	}
	if due {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Flush writes what waits, and returns when it is written. When it cannot be, it is
// lost, and the log goes on with what comes next.
func (l *Log) Flush() error {
	if l == nil || l.out == nil {
		return nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	batch := l.waiting
	l.waiting, l.spare = l.spare[:0], batch
	l.written, l.count = l.count, 0
	l.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	_, err := l.out.Write(batch)
	l.mu.Lock()
	lost := l.written // none, when Close has given up on them
	l.written = 0
	l.mu.Unlock()
	if err != nil {
		l.lost(lost)
	}
	return err
}

// Close writes what waits, for two seconds at most, and ends the log. Lines that are
// not written by then, and those that come later, are lost. It may be called again.
func (l *Log) Close() error {
	if l == nil || l.out == nil {
		return nil
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	flushed := make(chan error, 1)
	go func() {
		<-l.done
		flushed <- l.Flush()
	}()
	late := time.NewTimer(logClose)
	defer late.Stop()
	select {
	case err := <-flushed:
		return err
	case <-late.C:
		l.mu.Lock()
		lost := l.count + l.written
		l.waiting, l.count, l.written = nil, 0, 0
		l.mu.Unlock()
		l.lost(lost)
		return fmt.Errorf("what reads it stands still; the last %d lines are lost", lost)
	}
}

// File is the file of an access log. When another program has moved or removed it, as
// logrotate does, the next lines go to a new file of its name.
type File struct {
	path string

	mu     sync.Mutex // orders Write, which one goroutine calls, and Close
	file   *os.File
	looked time.Time
}

// lookEvery is how often a File looks whether its name still means its file.
const lookEvery = time.Second

// OpenFile opens the file of a name to append to it.
func OpenFile(path string) (*File, error) {
	f := &File{path: path, looked: time.Now()}
	var err error
	f.file, err = f.open()
	return f, err
}

func (f *File) open() (*os.File, error) {
	return os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
}

// Write appends.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= lookEvery {
		f.looked = now
		f.follow()
	}
	return f.file.Write(p)
}

// follow opens the file of the name when that is another one. What cannot be opened
// leaves the file of before.
func (f *File) follow() {
	mine, err := f.file.Stat()
	if err != nil {
		return
	}
	if named, err := os.Stat(f.path); err == nil && os.SameFile(mine, named) {
		return
	}
	if next, err := f.open(); err == nil {
		_ = f.file.Close()
		f.file = next
	}
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
