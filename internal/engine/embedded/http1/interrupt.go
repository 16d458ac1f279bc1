package http1

import (
	"context"
	"sync"
	"time"
)

// Interrupt ends the waiting for an endpoint when a context ends. There is one for each
// connection of HTTP/1.1, because registering with a context costs more than the rest.
type Interrupt struct {
	mu   sync.Mutex
	conn interface{ SetDeadline(time.Time) error } // that is waited on; nil for none
	over bool
}

// NewInterrupt makes one for a context. stop lets go of that.
func NewInterrupt(ctx context.Context) (i *Interrupt, stop func() bool) {
	i = &Interrupt{}
	return i, context.AfterFunc(ctx, i.fire)
}

func (i *Interrupt) fire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over = true; i.conn != nil {
		_ = i.conn.SetDeadline(time.Unix(1, 0))
	}
}

// Watch has a connection interrupted, from now on or at once.
func (i *Interrupt) Watch(conn interface{ SetDeadline(time.Time) error }) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.conn = conn; i.over {
		_ = conn.SetDeadline(time.Unix(1, 0))
	}
}

// Leave lets go of the connection, and reports whether it was not interrupted.
func (i *Interrupt) Leave() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.conn = nil
	return !i.over
}
