package embedded

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// errIdle means that nothing was passed in either direction for too long.
var errIdle = errors.New("idle for too long")

// pipes passes bytes in two directions, which share one idle limit.
type pipes struct {
	idle    time.Duration
	buffers *bufferPool
	last    atomic.Int64 // when something was passed, in Unix nanoseconds
}

func (p *pipes) touch() { p.last.Store(time.Now().UnixNano()) }

// left is how long the connection may still be silent.
func (p *pipes) left() time.Duration {
	return p.idle - time.Since(time.Unix(0, p.last.Load()))
}

// smallBuffer is for directions with little traffic, as most have most of the time.
const smallBuffer = 2 << 10

// copy passes bytes from src to dst, and the end of them, too: dst learns that
// nothing more comes, while the other direction goes on.
func (p *pipes) copy(dst, src net.Conn, count func(n int)) error {
	small := make([]byte, smallBuffer)
	buf := small
	var large []byte
	defer func() {
		if large != nil {
			p.buffers.Put(large)
		}
	}()
	for {
		n, err := p.read(src, buf)
		if n > 0 {
			written, err := p.write(dst, buf[:n])
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
		case n == len(buf) && large == nil:
			large = p.buffers.Get()
			buf = large
		case n <= len(small) && large != nil:
			p.buffers.Put(large)
			large, buf = nil, small
		}
	}
}

// read reads what there is, for as long as the connection may be silent.
func (p *pipes) read(src net.Conn, buf []byte) (int, error) {
	for {
		left := p.left()
		if left <= 0 {
			return 0, errIdle
		}
		if err := src.SetReadDeadline(time.Now().Add(left)); err != nil {
			return 0, err
		}
		n, err := src.Read(buf)
		if n > 0 {
			p.touch()
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			continue // unless something was passed the other way meanwhile, the time is over
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		return n, err
	}
}

// write writes all of buf. A peer that takes nothing for the idle limit is idle.
func (p *pipes) write(dst net.Conn, buf []byte) (int, error) {
	if err := dst.SetWriteDeadline(time.Now().Add(p.idle)); err != nil {
		return 0, err
	}
	n, err := dst.Write(buf)
	p.touch()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errIdle
	}
	return n, err
}

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

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
