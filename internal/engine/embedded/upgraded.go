package embedded

import (
	"cmp"
	"io"
	"sync/atomic"
	"time"
)

// upgradedBody is the connection to an endpoint after a switch of protocols. It is
// closed, and with it the client's, when nothing has passed in either direction
// for the idle limit: both directions pass through it.
type upgradedBody struct {
	io.ReadWriteCloser
	idle   time.Duration
	last   atomic.Int64 // when something was passed, in Unix nanoseconds
	timer  *time.Timer
	closed atomic.Bool
}

func newUpgradedBody(c io.ReadWriteCloser, idle time.Duration) *upgradedBody {
	b := &upgradedBody{ReadWriteCloser: c, idle: cmp.Or(idle, defaultIdle)}
	b.touch()
	b.timer = time.AfterFunc(b.idle, b.check)
	return b
}

func (b *upgradedBody) touch() { b.last.Store(time.Now().UnixNano()) }

// check runs when the connection might be idle.
func (b *upgradedBody) check() {
	left := b.idle - time.Since(time.Unix(0, b.last.Load()))
	switch {
	case b.closed.Load():
	case left > 0:
		b.timer.Reset(left)
	default:
		_ = b.Close()
	}
}

// Read notes that something came from the endpoint.
func (b *upgradedBody) Read(p []byte) (int, error) {
	n, err := b.ReadWriteCloser.Read(p)
	if n > 0 {
		b.touch()
	}
	return n, err
}

// Write notes that something came from the client.
func (b *upgradedBody) Write(p []byte) (int, error) {
	b.touch()
	return b.ReadWriteCloser.Write(p)
}

// Close also ends the watch.
func (b *upgradedBody) Close() error {
	b.closed.Store(true)
	b.timer.Stop()
	return b.ReadWriteCloser.Close()
}

// CloseWrite passes the end of one direction on.
func (b *upgradedBody) CloseWrite() error {
	if half, ok := b.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
