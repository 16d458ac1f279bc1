package testkit

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// FreePort is a TCP port of 127.0.0.1 that nothing listens on, and that no other test of this
// machine gets before this one has ended: a locked file says so. It is outside of the range
// from which systems take ports for connections, so that none of those has it by the time the
// test binds it.
func FreePort(t testing.TB) string {
	t.Helper()
	const first, ports, tries = 10_000, 10_000, 100
	dir := filepath.Join(os.TempDir(), "fairway-test-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range tries {
		port := strconv.Itoa(first + rand.IntN(ports))
		lock, err := os.OpenFile(filepath.Join(dir, port), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && isFree(port) {
			t.Cleanup(func() { _ = lock.Close() })
			return port
		}
		_ = lock.Close()
	}
	t.Fatal("no free port")
	return ""
}

func isFree(port string) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	return err == nil && l.Close() == nil
}
