package embedded

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"

	"fairway/internal/route/arrival"
)

// responseWriter counts what is written; each piece must be taken within the limit.
type responseWriter struct {
	http.ResponseWriter
	control *http.ResponseController // of the ResponseWriter below
	limit   time.Duration
	// shared is true in HTTP/2, where a deadline that is over ends the stream
	// even when nothing is being written: there, watch sets it when it is needed.
	shared bool
	old    bool // HTTP/1.0 knows no 1xx answers
	hangUp bool // the connection closes after the answer
	// long is a body that would not be read to its end for nothing; nil: none.
	long   *bodyReader
	watch  watch
	armed  time.Time // when the deadline was set in HTTP/1
	early  int       // 1xx answers so far
	status int
	bytes  int64
}

// maxEarly bounds how many 1xx answers to one request are passed on.
const maxEarly = 16

func newResponseWriter(w http.ResponseWriter, limit time.Duration, r *http.Request, now time.Time) *responseWriter {
	rw := &responseWriter{
		ResponseWriter: w, control: http.NewResponseController(w), limit: limit,
		shared: r.ProtoMajor >= 2, old: !r.ProtoAtLeast(1, 1),
	}
	if rw.shared {
		rw.watch.expire = func() { _ = rw.control.SetWriteDeadline(time.Now()) }
	} else {
		rw.arm(now) // the deadline of the request before may be over by now
	}
	return rw
}

// Unwrap lets http.ResponseController reach what is below.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status.
func (w *responseWriter) WriteHeader(status int) {
	if status == http.StatusContinue {
		return // the server sends it when the body is first read, which is what follows
	}
	if status < 200 {
		if w.early++; w.early > maxEarly || w.old {
			return
		}
		arrival.DropConnectionFields(w.Header())
	} else if w.status == 0 {
		w.status = status
		if w.hangUp || w.long != nil && status >= http.StatusBadRequest && !w.long.ended.Load() {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Hijack gives the connection away to another protocol.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.status = http.StatusSwitchingProtocols
	return w.control.Hijack()
}

// Write writes within the limit.
func (w *responseWriter) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	w.watch.stop()
	return n, err
}

// FlushError flushes within the limit.
func (w *responseWriter) FlushError() error {
	w.begin()
	err := w.control.Flush()
	w.watch.stop()
	return err
}

func (w *responseWriter) begin() {
	if w.shared {
		w.watch.start(w.limit)
	} else {
		w.arm(time.Now())
	}
}

// finish protects the flush that follows when the handler has returned.
func (w *responseWriter) finish() {
	if w.status != http.StatusSwitchingProtocols {
		w.arm(time.Now())
	}
}

// arm sets the deadline, unless it was set a moment ago.
func (w *responseWriter) arm(now time.Time) {
	if now.Sub(w.armed) > w.limit/8 {
		w.armed = now
		_ = w.control.SetWriteDeadline(now.Add(w.limit))
	}
}

// watch calls expire when what was started is not stopped in time.
type watch struct {
	expire func() // called with mu held

	mu      sync.Mutex
	timer   *time.Timer
	running bool
	until   time.Time
}

func (w *watch) start(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running, w.until = true, time.Now().Add(limit)
	if w.timer == nil {
		w.timer = time.AfterFunc(limit, w.fire)
	} else {
		w.timer.Reset(limit)
	}
}

// stop returns only when expire is not running and will not be called any more.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = false
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) fire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A timer that went off just before it was stopped may get here only after
	// the next start.
	if w.running && !time.Now().Before(w.until) {
		w.expire()
	}
}

// bufferPool is the buffers that answers are copied with.
type bufferPool struct{ buffers sync.Pool }

const copyBuffer = 32 << 10

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { return new([copyBuffer]byte) }}}
}

// Get and Put make it a httputil.BufferPool.
func (p *bufferPool) Get() []byte { return p.buffers.Get().(*[copyBuffer]byte)[:] }

// Put takes a buffer back.
func (p *bufferPool) Put(b []byte) { p.buffers.Put((*[copyBuffer]byte)(b)) }
