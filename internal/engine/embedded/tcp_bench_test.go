package embedded

import (
	"io"
	"log/slog"
	"net"
	"runtime"
	"testing"
	"time"
)

// benchTunnel returns the addresses of an endpoint and of the engine in front.
func benchTunnel(b *testing.B, talk func(*net.TCPConn)) (direct, through string) {
	s := newTCPSite(b, Options{Logger: slog.New(slog.DiscardHandler)}, nil)
	direct = newPeer(b, talk)
	s.pass("db", "", nil, direct)
	s.apply()
	return direct, s.addr("tcp")
}

func mustDial(b *testing.B, addr string) *net.TCPConn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// BenchmarkTunnelBytes passes 64 KiB pieces in one direction, without and with the
// engine between.
func BenchmarkTunnelBytes(b *testing.B) {
	direct, through := benchTunnel(b, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	for name, addr := range map[string]string{"direct": direct, "through": through} {
		b.Run(name, func(b *testing.B) {
			c := mustDial(b, addr)
			defer c.Close()
			piece := make([]byte, 64<<10)
			b.SetBytes(int64(len(piece)))
			for b.Loop() {
				if _, err := c.Write(piece); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTunnelRoundTrip sends one byte there and back on an open connection.
func BenchmarkTunnelRoundTrip(b *testing.B) {
	direct, through := benchTunnel(b, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	for name, addr := range map[string]string{"direct": direct, "through": through} {
		b.Run(name, func(b *testing.B) {
			c := mustDial(b, addr)
			defer c.Close()
			one := make([]byte, 1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(one); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, one); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTunnelOpen opens a connection, has one byte sent back, and closes it.
func BenchmarkTunnelOpen(b *testing.B) {
	direct, through := benchTunnel(b, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	for name, addr := range map[string]string{"direct": direct, "through": through} {
		b.Run(name, func(b *testing.B) {
			one := make([]byte, 1)
			for b.Loop() {
				c := mustDial(b, addr)
				if _, err := c.Write(one); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, one); err != nil {
					b.Fatal(err)
				}
				_ = c.SetLinger(0) // or the ports run out
				_ = c.Close()
			}
		})
	}
}

// BenchmarkTunnelIdle tells what an open connection without traffic takes.
func BenchmarkTunnelIdle(b *testing.B) {
	_, through := benchTunnel(b, func(c *net.TCPConn) {
		_, _ = c.Write([]byte("x"))
		_ = c.SetDeadline(time.Time{})
		_, _ = c.Read(make([]byte, 1))
	})
	const n = 500
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	for b.Loop() {
		before := used()
		var open []net.Conn
		for range n {
			c := mustDial(b, through)
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				b.Fatal(err)
			}
			open = append(open, c)
		}
		b.ReportMetric(float64(used()-before)/n, "B/conn")
		for _, c := range open {
			_ = c.Close()
		}
	}
}
