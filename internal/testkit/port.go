package testkit

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreePort is a TCP port of 127.0.0.1 that nothing listens on. It is outside of the
// range from which systems take ports for connections, so that none of those has it
// by the time the test binds it.
func FreePort(t testing.TB) string {
	t.Helper()
	const first, ports, tries = 10_000, 10_000, 100
	for range tries {
		port := strconv.Itoa(first + rand.IntN(ports))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port")
	return ""
}
