package bucket

import (
	"net/netip"
	"testing"
	"time"

	"fairway/internal/route"
)

func TestLimiter(t *testing.T) {
	now := time.Now()
	l := New(route.RateLimit{Requests: 10, Per: time.Second, Burst: 1})
	addr := netip.MustParseAddr
	if l.Take(addr("10.0.0.1"), now) != 0 {
		t.Error("the first request must wait")
	}
	if wait := l.Take(addr("10.0.0.1"), now); wait <= 0 || wait > 100*time.Millisecond {
		t.Errorf("the second request waits %v", wait)
	}
	if l.Take(addr("10.0.0.2"), now) != 0 {
		t.Error("another client must wait")
	}
	if l.Take(addr("::ffff:10.0.0.1"), now) == 0 {
		t.Error("the same client in another spelling need not wait")
	}
	if l.Take(addr("2001:db8::1"), now) != 0 || l.Take(addr("2001:db8::2"), now) == 0 {
		t.Error("a /64 is one client")
	}
	if l.Take(addr("10.0.0.1"), now.Add(100*time.Millisecond)) != 0 {
		t.Error("the bucket does not fill up")
	}
	// Any number of clients needs bounded room.
	b := [4]byte{11}
	for i := range 200_000 {
		b[1], b[2], b[3] = byte(i>>16), byte(i>>8), byte(i)
		l.Take(netip.AddrFrom4(b), now)
	}
	if n := len(l.young) + len(l.old); n > 2*limiterSize {
		t.Errorf("%d clients are remembered, more than %d", n, 2*limiterSize)
	}
}
