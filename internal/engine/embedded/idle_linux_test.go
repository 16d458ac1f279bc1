//go:build !race

package embedded

import (
	"bytes"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// bareClient connects without memory of Go, so that only the engine's is measured.
func bareClient(t *testing.T, to netip.AddrPort) (fd int) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestIdleConnectionsTakeLittleMemory: a connection that waits for its next request has no
// memory to read and write with.
func TestIdleConnectionsTakeLittleMemory(t *testing.T) {
	const most = 6_500 // bytes each
	n := min(10_000, int(maxFiles()-200)/2)
	if testing.Short() {
		n = 1_000
	}
	addr := rawApp(t, func(c net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
				_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			}
		}
	})
	s := newSite(t, Options{MaxConns: 3 * n, MaxConnsPerSource: 3 * n, IdleTimeout: time.Hour})
	s.serve("a.example", addr)
	s.apply()
	request := []byte("GET /path HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
	buf := make([]byte, 4096)
	fds := make([]int, 0, n+1)
	defer func() {
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
	}()
	to := netip.MustParseAddrPort(s.addr("http"))
	ask := func() {
		fd := bareClient(t, to)
		fds = append(fds, fd)
		if _, err := syscall.Write(fd, request); err != nil {
			t.Fatal(err)
		}
		for got := 0; !bytes.HasSuffix(buf[:got], []byte("\r\n\r\nok")); {
			n, err := syscall.Read(fd, buf[got:])
			if n <= 0 {
				t.Fatal(err)
			}
			got += n
		}
	}
	ask()
	before := inUse()
	for range n {
		ask()
	}
	each := func() int { return int(inUse()-before) / n }
	took := each()
	for end := time.Now().Add(testkit.Patience); took > most && time.Now().Before(end); took = each() { // the last may not be idle yet
	}
	t.Logf("%d idle connections take %d bytes each", n, took)
	if took > most {
		t.Errorf("an idle connection takes %d bytes, more than %d", took, most)
	}
}
