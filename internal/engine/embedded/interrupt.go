package embedded

import (
	"context"
	"sync"
	"time"
)

// interrupt ends the waiting for an endpoint when a context ends. There is one for each
// connection of HTTP/1.1, because registering with a context costs more than the rest.
type interrupt struct {
	mu   sync.Mutex
	conn interface{ SetDeadline(time.Time) error } // that is waited on; nil for none
	over bool
}

// newInterrupt makes one for a context. stop ends the watch.
func newInterrupt(ctx context.Context) (i *interrupt, stop func() bool) {
	i = &interrupt{}
	return i, context.AfterFunc(ctx, i.fire)
}

func (i *interrupt) fire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over = true; i.conn != nil {
		_ = i.conn.SetDeadline(time.Unix(1, 0))
	}
}

// watch has a connection interrupted, from now on or at once.
func (i *interrupt) watch(conn interface{ SetDeadline(time.Time) error }) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.conn = conn; i.over {
		_ = conn.SetDeadline(time.Unix(1, 0))
	}
}

// leave lets go of the connection, and reports whether it was not interrupted.
func (i *interrupt) leave() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.conn = nil
	return !i.over
}
