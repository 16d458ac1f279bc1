package terminate

import (
	"crypto/tls"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/route/tlsoption"
)

// TestTurn: tickets get a new key every day, and the one before is taken for a day more.
func TestTurn(t *testing.T) {
	v := newView(route.Listener{}, tlsoption.Host{})
	v.current.Store(&tls.Config{})
	v.quic.Store(&tls.Config{})
	all := TLS{views: map[tlsoption.Host]*view{{}: v}}
	start, before := v.tickets.at, v.tickets.keys
	if len(before) != 1 {
		t.Fatalf("%d keys at first", len(before))
	}
	for _, tt := range []struct {
		after  time.Duration
		turned bool
		keys   int
	}{
		{24*time.Hour - 1, false, 1},
		{24 * time.Hour, true, 2},
		{47 * time.Hour, false, 2},
		{48 * time.Hour, true, 2},
		{96*time.Hour - 1, true, 2},
		{144*time.Hour - 1, true, 1}, // the machine has slept for two days
	} {
		all.Turn(start.Add(tt.after))
		keys := v.tickets.keys
		if turned := keys[0] != before[0]; turned != tt.turned || len(keys) != tt.keys {
			t.Errorf("after %v: %d keys, a new one: %v", tt.after, len(keys), turned)
		} else if turned && len(keys) > 1 && keys[1] != before[0] {
			t.Errorf("after %v the key of before is not taken", tt.after)
		}
		before = keys
	}
	(*TLS)(nil).Turn(start)
}
