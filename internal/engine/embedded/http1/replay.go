package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxReplay is how much of a body is kept for another attempt.
const maxReplay = 64 << 10

// ErrLost means that a body cannot be read again from its beginning.
var ErrLost = errors.New("too much of the request body was consumed")

// Replay lets several attempts read one body from its beginning, for as long
// as no more than maxReplay bytes were consumed.
type Replay struct {
	settled atomic.Bool // there will be no other attempt
	lost    atomic.Bool // the beginning is not there any more

	whole []byte // the whole body, when it was short enough to be read beforehand

	mu   sync.Mutex // a reader holds it while it waits for the client
	src  io.Reader
	kept []byte
	read int // bytes consumed from src
	err  error
}

// NewReplay makes one of what is read once.
func NewReplay(src io.Reader) *Replay { return &Replay{src: src} }

// Hold makes it a body that has come whole. That is the caller's, and must not change.
func (b *Replay) Hold(whole []byte) { *b = Replay{whole: whole} }

// Own makes a copy of a whole body: it may be read when the caller is done.
func (b *Replay) Own() { b.whole = bytes.Clone(b.whole) }

// MaxWhole is the length up to which a body is read before an endpoint is chosen.
// Then header and body are one write: an endpoint gets both or nothing.
const MaxWhole = 16 << 10

// ReadWhole reads a short body, unless the client waits to be asked for it.
func (b *Replay) ReadWhole(length int64, expects bool) error {
	if length <= 0 || length > MaxWhole || expects {
		return nil
	}
	// To the end of the body, not only to its length: the server watches the
	// connection from then on.
	buf := bytes.NewBuffer(make([]byte, 0, length+bytes.MinRead))
	if _, err := buf.ReadFrom(b.src); err != nil {
		return fmt.Errorf("request body: %w", err)
	}
	b.whole = buf.Bytes()
	return nil
}

// Reader returns the body from its beginning, for one attempt.
func (b *Replay) Reader() io.ReadCloser {
	if b.whole != nil {
		return io.NopCloser(bytes.NewReader(b.whole)) // a type that the transport writes at once
	}
	return &replayReader{body: b}
}

// replayReader is one attempt's view of a body.
type replayReader struct {
	body   *Replay
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
		if b.lost.Load() {
			return 0, ErrLost
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
	case n == 0 || b.lost.Load():
	case b.settled.Load() || b.read > maxReplay:
		b.lost.Store(true)
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

// Settle says that there will be no other attempt: nothing more is kept.
func (b *Replay) Settle() { b.settled.Store(true) }

// Lost reports whether the beginning is not there any more.
func (b *Replay) Lost() bool { return b.lost.Load() }

// Whole is the whole body, when it was short enough to be read beforehand; else nil.
func (b *Replay) Whole() []byte { return b.whole }
