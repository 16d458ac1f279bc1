package http1

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/wire"
)

// ExpectTime is how long an endpoint may take to say that it wants a body.
const ExpectTime = time.Second

// copySize is how much of a body is sent in one piece.
const copySize = 32 << 10

// Upload is the body of a request that is sent while the answer may come already. Its
// methods may be called of nil, which is a body that was sent before.
type Upload struct {
	peer   *Peer
	length int64
	body   io.ReadCloser
	limit  time.Duration

	wanted chan struct{} // closed when the endpoint wants the body
	once   sync.Once
	left   atomic.Bool // the exchange is over
	sent   atomic.Bool // whole

	mu     sync.Mutex
	unread error
}

// Upload begins to send the body, of which -1 stands for a length that is not known, in a
// goroutine that ends with the body, with the connection, or when the body cannot be read.
// With expects it waits for Proceed first, but not for long. The limit for the head of the
// answer begins when all was sent.
func (p *Peer) Upload(body io.ReadCloser, length int64, expects bool, limit time.Duration) *Upload {
	p.unbound()
	u := &Upload{peer: p, length: length, body: body, limit: limit, wanted: make(chan struct{})}
	if !expects {
		u.Proceed()
	}
	go u.run()
	return u
}

func (u *Upload) run() {
	defer u.body.Close()
	patience := time.NewTimer(ExpectTime)
	defer patience.Stop()
	select {
	case <-u.wanted:
	case <-patience.C:
		u.Proceed()
	}
	if u.left.Load() {
		return
	}
	// A body that can be read no more is one that the client was not asked for.
	if err := u.copy(); err != nil && !errors.Is(err, http.ErrBodyReadAfterClose) {
		// The endpoint must not take what it has for the whole.
		u.mu.Lock()
		u.unread = err
		u.mu.Unlock()
		_ = u.peer.Close()
	}
}

// copy sends the body. It returns why that could not be read; an endpoint that takes no
// more may have answered.
func (u *Upload) copy() error {
	buf := make([]byte, copySize)
	var framed []byte
	for left, chunks := u.length, u.length < 0; ; {
		n, err := u.body.Read(buf)
		piece := buf[:n]
		if chunks {
			framed = framed[:0]
			if n > 0 {
				framed = wire.AppendChunk(framed, piece)
			}
			if err == io.EOF {
				framed = wire.AppendLastChunk(framed, nil)
			}
			piece = framed
		} else {
			piece = piece[:min(int64(n), left)]
			left -= int64(len(piece))
		}
		if len(piece) > 0 {
			if _, err := u.peer.Write(piece); err != nil {
				u.peer.ReadWithin(u.limit)
				return nil
			}
		}
		switch {
		case err == io.EOF && left > 0:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			u.peer.ReadWithin(u.limit)
			u.sent.Store(true) // from now on the connection may belong to another exchange
			return nil
		case err != nil:
			return err
		}
	}
}

// Proceed says that the endpoint wants the body.
func (u *Upload) Proceed() {
	if u != nil {
		u.once.Do(func() { close(u.wanted) })
	}
}

// Answered says that the endpoint has answered for good. What it has not asked for is not
// sent any more.
func (u *Upload) Answered() {
	if u != nil {
		u.once.Do(func() {
			u.left.Store(true)
			close(u.wanted)
		})
	}
}

// Leave says that the exchange is over. What has not begun to be sent is not any more.
func (u *Upload) Leave() {
	if u != nil {
		u.left.Store(true)
		u.Proceed()
	}
}

// Sent reports whether the body was sent whole.
func (u *Upload) Sent() bool { return u == nil || u.sent.Load() }

// Unread is why the body could not be read, or nil.
func (u *Upload) Unread() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.unread
}
