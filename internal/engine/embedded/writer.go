package embedded

import (
	"io"
	"net/http"
	"time"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/paced"
	"fairway/internal/route/arrival"
	"fairway/internal/route/field"
)

// client is the way back to who has sent a request, in either version of HTTP.
type client interface {
	speaker
	io.Writer
	paced.Control
	WriteWithin(now time.Time, limit time.Duration) error
}

// speaker sends the parts of an answer: ones with 1xx ahead of it, the head, the end.
type speaker interface {
	Early(status int, fields field.List) error
	Begin(*http1.Answer)
	End(trailers field.List) error
}

// responseWriter counts what is written; each piece must be taken within the limit.
type responseWriter struct {
	client
	limit time.Duration
	clock *http1.Clock // of the exchange
	// shared is true in HTTP/2 and HTTP/3, where a deadline that is over ends the stream
	// even when nothing is being written: there, watch sets it when it is needed.
	shared bool
	hangUp bool // the connection closes after the answer
	// long is a body that would not be read to its end for nothing; nil: none.
	long   *paced.Body
	watch  *http1.Alarm // made once, for HTTP/2 and HTTP/3
	armed  time.Time    // when the deadline was set in HTTP/1
	altSvc string       // where HTTP/3 is served; empty: not
	early  int          // 1xx answers so far
	status int
	bytes  int64
	length int64 // that was said of the body
}

// maxEarly bounds how many 1xx answers to one request are passed on.
const maxEarly = 16

// init begins a new answer.
func (w *responseWriter) init(c client, limit time.Duration, major int, clock *http1.Clock) {
	w.client, w.limit, w.shared, w.clock = c, limit, major != 1, clock
	switch {
	case !w.shared:
		w.arm() // the deadline of the request before may be over by now
	case w.watch == nil:
		w.watch = &http1.Alarm{Expire: func() { _ = w.WriteWithin(time.Now(), 0) }}
	}
}

// Early passes an answer with 1xx on, without the fields of the connection.
func (w *responseWriter) Early(status int, fields field.List) error {
	if status == http.StatusContinue {
		return nil // it is sent when the body is first read, which is what follows
	}
	if w.early++; w.early > maxEarly {
		return nil
	}
	arrival.DropConnectionFields(&fields)
	fields.Del("Content-Length") // it has no body (RFC 9110, 8.6)
	w.begin()
	defer w.over()
	return w.client.Early(status, fields)
}

// Begin notes the status.
func (w *responseWriter) Begin(a *http1.Answer) {
	if w.status != 0 {
		return
	}
	w.status, w.length = a.Status, a.Length
	a.Close = a.Close || w.hangUp || w.long != nil && a.Status >= http.StatusBadRequest && !w.long.Ended()
	if w.altSvc != "" {
		a.Fields.Set("Alt-Svc", w.altSvc)
	}
	w.client.Begin(a)
}

// Write writes within the limit.
func (w *responseWriter) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.client.Write(p)
	w.bytes += int64(n)
	w.over()
	return n, err
}

// Splice passes on within the limit what the endpoint has sent, without a copy, where that can be done.
func (w *responseWriter) Splice(p *http1.Peer) (int64, error) {
	x, ok := w.client.(*http1.Exchange)
	if !ok || !x.MaySplice(p) {
		return 0, nil
	}
	w.begin()
	n, err := x.Splice(p)
	w.over()
	w.bytes += n
	return n, err
}

// Flush flushes within the limit.
func (w *responseWriter) Flush() error {
	w.begin()
	err := w.client.Flush()
	w.over()
	return err
}

func (w *responseWriter) begin() {
	if w.shared {
		w.watch.Start(w.limit)
	} else {
		w.arm()
	}
}

// over ends what begin has begun.
func (w *responseWriter) over() {
	w.watch.Stop()
	w.clock.Waited()
}

// finish protects the flush that follows when the handler has returned.
func (w *responseWriter) finish() {
	if w.status != http.StatusSwitchingProtocols {
		w.arm()
	}
}

// arm sets the deadline, unless it was set a moment ago.
func (w *responseWriter) arm() {
	if now := w.clock.Now(); now.Sub(w.armed) > w.limit/8 {
		w.armed = now
		_ = w.WriteWithin(now, w.limit)
	}
}
