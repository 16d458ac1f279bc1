package embedded

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bodyReader reads the body of a request and does not wait for slow senders: in
// each grace period at least so many bytes must come. Streams are exempt: gRPC
// from the start, others once the endpoint has begun to answer, for then both
// sides have agreed to take their time.
type bodyReader struct {
	io.ReadCloser
	control *http.ResponseController
	grace   time.Duration
	least   int // bytes in each period

	got int // bytes in this period; of the one goroutine that reads

	mu      sync.Mutex // guards the deadline and the three below
	began   bool
	since   time.Time
	relaxed bool

	ended  atomic.Bool
	slow   atomic.Bool
	failed atomic.Bool
}

func newBodyReader(r *http.Request, control *http.ResponseController, o Options) *bodyReader {
	b := &bodyReader{ReadCloser: r.Body, control: control, grace: o.BodyGrace}
	b.least = int(b.grace.Seconds() * float64(o.BodyRate))
	b.relaxed = r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	return b
}

// Read reads what is there, in time.
func (b *bodyReader) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	b.got += n
	switch {
	case err == nil:
	case err == io.EOF: //nolint:errorlint // io.EOF is returned as it is
		b.ended.Store(true)
		b.relax() // the deadline would also end the watch for a client that goes away
	default:
		b.slow.Store(errors.Is(err, os.ErrDeadlineExceeded))
		b.failed.Store(true)
	}
	return n, err
}

// extend moves the deadline when enough has come. Once in a tenth of the period
// will do for a body that comes fast.
func (b *bodyReader) extend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.relaxed || b.began && b.got < b.least {
		return
	}
	if now := time.Now(); now.Sub(b.since) >= b.grace/10 {
		b.began, b.got, b.since = true, 0, now
		_ = b.control.SetReadDeadline(now.Add(b.grace))
	}
}

// relax lifts the limit: the endpoint has begun to answer, or the body is over.
func (b *bodyReader) relax() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.began && !b.relaxed {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	b.relaxed = true
}

// tooSlow reports whether reading failed because the client was too slow; broken
// whether it failed at all.
func (b *bodyReader) tooSlow() bool { return b.slow.Load() }
func (b *bodyReader) broken() bool  { return b.failed.Load() }

// unread bounds the wait for a body that nobody reads.
func (b *bodyReader) unread() { _ = b.control.SetReadDeadline(time.Now().Add(b.grace / 10)) }

// maxDrain is how much of a body is read for nothing, so that the connection can
// be used again.
const maxDrain = 256 << 10

// drain reads what is left of the body when the answer is complete. It reports
// whether the end was found: only then is it known where the next request begins.
func (b *bodyReader) drain() bool {
	if b.ended.Load() {
		return true
	}
	if b.failed.Load() {
		return false
	}
	_ = b.control.Flush() // the client may wait for the answer before it sends on
	b.unread()
	_, err := io.CopyN(io.Discard, b.ReadCloser, maxDrain)
	return err == io.EOF //nolint:errorlint // io.EOF is returned as it is
}

// maxReplay is how much of a body is kept for another attempt.
const maxReplay = 64 << 10

// errLost means that a body cannot be read again from its beginning.
var errLost = errors.New("too much of the request body was consumed")

// replayBody lets several attempts read one body from its beginning, for as long
// as no more than maxReplay bytes were consumed.
type replayBody struct {
	settled  atomic.Bool // there will be no other attempt
	overflow atomic.Bool // the beginning is not there any more

	mu   sync.Mutex // a reader holds it while it waits for the client
	src  io.Reader
	kept []byte
	read int // bytes consumed from src
	err  error
}

func newReplayBody(src io.Reader) *replayBody { return &replayBody{src: src} }

// lost reports whether the body cannot be replayed.
func (b *replayBody) lost() bool { return b.overflow.Load() }

// settle ends the keeping.
func (b *replayBody) settle() { b.settled.Store(true) }

// reader returns a reader of the body from its beginning.
func (b *replayBody) reader() io.ReadCloser { return &replayReader{body: b} }

// replayReader is one attempt's view of a body.
type replayReader struct {
	body   *replayBody
	at     int
	closed atomic.Bool
}

// Read reads what is kept, then goes on with the source.
func (r *replayReader) Read(p []byte) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if r.at < b.read {
		if b.overflow.Load() {
			return 0, errLost
		}
		n := copy(p, b.kept[r.at:])
		r.at += n
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.src.Read(p)
	b.read += n
	r.at += n
	b.err = err
	switch {
	case n == 0 || b.overflow.Load():
	case b.settled.Load() || b.read > maxReplay:
		b.overflow.Store(true)
		b.kept = nil
	default:
		b.kept = append(b.kept, p[:n]...)
	}
	return n, err
}

// Close ends this attempt's reading, not that of another.
func (r *replayReader) Close() error {
	r.closed.Store(true)
	return nil
}
