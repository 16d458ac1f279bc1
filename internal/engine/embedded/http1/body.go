package http1

import (
	"net/http"
	"sync"
	"time"
)

// Body is the body of a request, which may be read from another goroutine for as long as
// the exchange goes on.
type Body struct {
	x    *Exchange
	mu   sync.Mutex
	left bool

	timing sync.Mutex
	over   bool // no deadline is set any more
}

// Body returns the body. Leave has to be called before the handler returns.
func (x *Exchange) Body() *Body { return &Body{x: x} }

// Read reads the body.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.x.Read(p)
}

// SetReadDeadline bounds the reading, from any goroutine, for as long as the exchange goes on.
func (b *Body) SetReadDeadline(t time.Time) error {
	b.timing.Lock()
	defer b.timing.Unlock()
	if b.over {
		return http.ErrBodyReadAfterClose
	}
	return b.x.SetReadDeadline(t)
}

// Leave ends all reading, because the exchange is over.
func (b *Body) Leave() {
	if !b.mu.TryLock() {
		_ = b.SetReadDeadline(time.Now())
		b.mu.Lock()
	}
	b.left = true
	b.mu.Unlock()
	b.timing.Lock()
	b.over = true
	b.timing.Unlock()
}
