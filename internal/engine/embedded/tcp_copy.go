package embedded

import (
	"io"
	"sync/atomic"
	"time"
)

// smallBuffer is for directions with little traffic, as most have most of the time.
const smallBuffer = 2 << 10

// copyBytes passes bytes from src to dst, and the end of them, too: dst learns that
// nothing more comes, while the other direction goes on.
func copyBytes(dst, src io.ReadWriteCloser, buffers *bufferPool, count func(n int)) error {
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
			return closeWrite(dst)
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

func closeWrite(c io.Closer) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// defaultIdle is for connections that are passed through, when the route says nothing.
const defaultIdle = time.Hour

// idleConn is a connection to an endpoint that both directions pass through. When nothing
// has passed for the idle limit, expire is called.
type idleConn struct {
	io.ReadWriteCloser
	idle   time.Duration
	timer  *time.Timer
	closed atomic.Bool
}

func newIdleConn(c io.ReadWriteCloser, idle time.Duration, expire func()) *idleConn {
	if idle == 0 {
		idle = defaultIdle
	}
	return &idleConn{ReadWriteCloser: c, idle: idle, timer: time.AfterFunc(idle, expire)}
}

func (c *idleConn) touch() {
	if !c.closed.Load() {
		c.timer.Reset(c.idle)
	}
}

// Read notes that something came from the endpoint.
func (c *idleConn) Read(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// Write notes that something came from the client.
func (c *idleConn) Write(p []byte) (int, error) {
	c.touch()
	return c.ReadWriteCloser.Write(p)
}

// Close also ends the watch.
func (c *idleConn) Close() error {
	c.closed.Store(true)
	c.timer.Stop()
	return c.ReadWriteCloser.Close()
}

// CloseWrite passes the end of one direction on.
func (c *idleConn) CloseWrite() error { return closeWrite(c.ReadWriteCloser) }
