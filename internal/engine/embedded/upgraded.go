package embedded

import (
	"cmp"
	"io"
	"sync/atomic"
	"time"
)

// upgradedBody is the connection to an endpoint after a switch of protocols. It is
// closed, and with it the client's, when nothing has passed in either direction for the
// idle limit: both directions pass through it.
type upgradedBody struct {
	io.ReadWriteCloser
	idle   time.Duration
	timer  *time.Timer // closes the connection
	closed atomic.Bool
}

func newUpgradedBody(c io.ReadWriteCloser, idle time.Duration) *upgradedBody {
	b := &upgradedBody{ReadWriteCloser: c, idle: cmp.Or(idle, defaultIdle)}
	b.timer = time.AfterFunc(b.idle, func() { _ = b.Close() })
	return b
}

// touch notes that something was passed.
func (b *upgradedBody) touch() {
	if !b.closed.Load() {
		b.timer.Reset(b.idle)
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
