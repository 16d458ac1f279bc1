package embedded

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/http1"
)

// bodyReader reads the body of a request within a budget of pauses: waiting for the
// client spends it, and each byte earns some back. Streams are exempt: gRPC from the
// start, others once the endpoint has begun to answer.
type bodyReader struct {
	src     io.Reader
	control bodyControl
	within  func(time.Time) error // sets the deadline of src
	limit   time.Duration
	rate    int // bytes a second
	watch   http1.Alarm

	left time.Duration // that the client may pause; of the one goroutine that reads

	// reading is held while the client is waited for: net/http wakes one reader of a
	// stream only, should there be several.
	reading sync.Mutex

	relaxed atomic.Bool
	ended   atomic.Bool
	expired atomic.Bool
	failed  atomic.Bool
}

// bodyControl is what a bodyReader needs of the connection.
type bodyControl interface {
	SetReadDeadline(time.Time) error
	Flush() error
}

func newBodyReader(h head, src io.Reader, control bodyControl, o Options) *bodyReader {
	b := &bodyReader{src: src, control: control, within: control.SetReadDeadline, rate: o.BodyRate}
	if own, ok := src.(*http1.Body); ok {
		b.within = own.SetReadDeadline
	}
	b.allow(o.BodyTimeout)
	b.watch.Expire = b.expire
	b.relaxed.Store(h.Major != 1 && strings.HasPrefix(h.Header.Get("Content-Type"), "application/grpc"))
	return b
}

func (b *bodyReader) allow(limit time.Duration) { b.limit, b.left = limit, limit }

// Read reads what is there, in time.
func (b *bodyReader) Read(p []byte) (int, error) {
	began := time.Now()
	if !b.relaxed.Load() {
		b.watch.Start(b.left)
		if b.relaxed.Load() { // in the same moment
			b.watch.Stop()
		}
	}
	n, err := b.one(p)
	b.watch.Stop()
	earned := time.Duration(float64(n) / float64(b.rate) * float64(time.Second))
	b.left = min(b.left-time.Since(began)+earned, b.limit)
	switch err {
	case nil:
	case io.EOF:
		b.ended.Store(true)
		if b.expired.Load() { // in the same moment
			_ = b.within(time.Time{})
		}
	default:
		b.failed.Store(true)
	}
	return n, err
}

// one reads as the only reader.
func (b *bodyReader) one(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	return b.src.Read(p)
}

// expire ends the reading that takes too long.
func (b *bodyReader) expire() {
	b.expired.Store(true)
	_ = b.within(time.Now())
}

// relax lifts the limit, because the endpoint has begun to answer.
func (b *bodyReader) relax() {
	b.relaxed.Store(true)
	b.watch.Stop()
}

// tooSlow: reading failed because the client was too slow; broken: it failed at all.
func (b *bodyReader) tooSlow() bool { return b.failed.Load() && b.expired.Load() }
func (b *bodyReader) broken() bool  { return b.failed.Load() }

// maxDrain is how much of a body is read to use the connection again.
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
	_ = b.within(time.Now().Add(min(b.limit/10, time.Second)))
	buf := make([]byte, 16<<10)
	for drained := 0; drained < maxDrain; {
		n, err := b.one(buf)
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		drained += n
	}
	return false
}
