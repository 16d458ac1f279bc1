// Package paced reads bodies of requests from clients that may pause, but not for long.
package paced

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/http1"
)

// Body reads the body of a request within a budget of pauses: waiting for the client
// spends it, and each byte earns some back. Relax exempts it. One goroutine reads it.
type Body struct {
	src     io.Reader
	control Control
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

// Control is what a Body needs of the connection.
type Control interface {
	SetReadDeadline(time.Time) error
	Flush() error
}

// New makes a Body of what is read from src. Pauses may take limit, together, and rate bytes
// earn a second of it.
func New(src io.Reader, control Control, limit time.Duration, rate int) *Body {
	b := &Body{src: src, control: control, within: control.SetReadDeadline, rate: rate}
	if own, ok := src.(*http1.Body); ok {
		b.within = own.SetReadDeadline
	}
	b.Allow(limit)
	b.watch.Expire = b.expire
	return b
}

// IsStream reports whether a body is a stream from the start, as gRPC's is. Others are once
// the endpoint has begun to answer.
func IsStream(major int, contentType string) bool {
	return major != 1 && strings.HasPrefix(contentType, "application/grpc")
}

// Allow begins anew with another limit, before the first Read.
func (b *Body) Allow(limit time.Duration) { b.limit, b.left = limit, limit }

// Read reads what is there, in time.
func (b *Body) Read(p []byte) (int, error) {
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
func (b *Body) one(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	return b.src.Read(p)
}

// expire ends the reading that takes too long.
func (b *Body) expire() {
	b.expired.Store(true)
	_ = b.within(time.Now())
}

// Relax lifts the limit for good, from any goroutine: of a stream, which takes its time.
func (b *Body) Relax() {
	b.relaxed.Store(true)
	b.watch.Stop()
}

// TooSlow reports whether reading failed because the client was too slow.
func (b *Body) TooSlow() bool { return b.failed.Load() && b.expired.Load() }

// Broken reports whether reading failed.
func (b *Body) Broken() bool { return b.failed.Load() }

// Ended reports whether the body was read whole.
func (b *Body) Ended() bool { return b.ended.Load() }

// MaxDrain is how much of a body is read to use the connection again.
const MaxDrain = 256 << 10

// Drain reads what is left of the body when the answer is complete. It reports
// whether the end was found: only then is it known where the next request begins.
func (b *Body) Drain() bool {
	if b.ended.Load() {
		return true
	}
	if b.failed.Load() {
		return false
	}
	_ = b.control.Flush() // the client may wait for the answer before it sends on
	_ = b.within(time.Now().Add(min(b.limit/10, time.Second)))
	buf := make([]byte, 16<<10)
	for drained := 0; drained < MaxDrain; {
		n, err := b.one(buf)
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		drained += n
	}
	return false
}
