// Package relay passes bytes between two connections, both ways at once.
package relay

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Buffers are what is copied with, for any goroutine.
type Buffers struct{ buffers sync.Pool }

// copyBuffer is the size of each.
const copyBuffer = 32 << 10

// NewBuffers returns an empty pool.
func NewBuffers() *Buffers {
	return &Buffers{sync.Pool{New: func() any { return new([copyBuffer]byte) }}}
}

// Get takes a buffer out.
func (p *Buffers) Get() []byte { return p.buffers.Get().(*[copyBuffer]byte)[:] }

// Put takes a buffer back.
func (p *Buffers) Put(b []byte) { p.buffers.Put((*[copyBuffer]byte)(b)) }

// smallBuffer is for directions with little traffic, as most have most of the time.
const smallBuffer = 2 << 10

// Copy passes bytes from src to dst, and the end of them, too: dst learns that
// nothing more comes, while the other direction goes on.
func Copy(dst, src io.ReadWriteCloser, buffers *Buffers, count func(n int)) error {
	small := make([]byte, smallBuffer)
	buf := small
	defer func() {
		if len(buf) > smallBuffer {
			buffers.Put(buf)
		}
	}()
	for {
		n, err := src.Read(buf)
		if n > 0 {
			written, err := dst.Write(buf[:n])
			count(written)
			if err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF: //nolint:errorlint // it is returned as it is
			return CloseWrite(dst)
		case err != nil:
			return err
		case n == smallBuffer && len(buf) == smallBuffer:
			buf = buffers.Get()
		case n <= smallBuffer && len(buf) > smallBuffer:
			buffers.Put(buf)
			buf = small
		}
	}
}

// CloseWrite ends one direction where that can be done, and else the connection.
func CloseWrite(c io.Closer) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// defaultIdle is for connections that are passed through, when the route says nothing.
const defaultIdle = time.Hour

// IdleConn is a connection to an endpoint that both directions pass through. When nothing
// has passed for the idle limit, expire is called.
type IdleConn struct {
	io.ReadWriteCloser
	idle   time.Duration
	timer  *time.Timer
	closed atomic.Bool
}

// NewIdleConn watches c, for an hour where idle is zero. expire is called once, by a
// goroutine of its own.
func NewIdleConn(c io.ReadWriteCloser, idle time.Duration, expire func()) *IdleConn {
	if idle == 0 {
		idle = defaultIdle
	}
	return &IdleConn{ReadWriteCloser: c, idle: idle, timer: time.AfterFunc(idle, expire)}
}

// Touch notes that something has passed.
func (c *IdleConn) Touch() {
	if !c.closed.Load() {
		c.timer.Reset(c.idle)
	}
}

// Read notes that something came from the endpoint.
func (c *IdleConn) Read(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(p)
	if n > 0 {
		c.Touch()
	}
	return n, err
}

// Write notes that something came from the client.
func (c *IdleConn) Write(p []byte) (int, error) {
	c.Touch()
	return c.ReadWriteCloser.Write(p)
}

// Close also ends the watch.
func (c *IdleConn) Close() error {
	c.closed.Store(true)
	c.timer.Stop()
	return c.ReadWriteCloser.Close()
}

// CloseWrite passes the end of one direction on.
func (c *IdleConn) CloseWrite() error { return CloseWrite(c.ReadWriteCloser) }
