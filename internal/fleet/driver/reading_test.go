package driver

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/engine/haproxy/socket"
)

// TestReading sums up what HAProxy 2.6 has said.
func TestReading(t *testing.T) {
	text, err := os.ReadFile("testdata/stat.csv")
	check(t, err)
	stats, err := socket.ParseStats(string(text))
	check(t, err)
	want := Reading{
		Time: began, Requests: 17, Failed: 6, Sessions: 17, Current: 3, ConnectFailures: 6, BytesIn: 1397, BytesOut: 364443,
		ServersUp: 2, ServersDown: 2, Down: []string{"gone"},
	}
	if diff := cmp.Diff(want, newReading(began, stats)); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
}

// TestSince takes the difference of readings, also over a reload.
func TestSince(t *testing.T) {
	a := Reading{Time: began, Requests: 100, Failed: 1, Sessions: 90}
	b := Reading{Time: began.Add(time.Second), Requests: 150, Failed: 2, Sessions: 120}
	want := Reading{Time: b.Time, Span: time.Second, Requests: 50, Failed: 1, Sessions: 30}
	if diff := cmp.Diff(want, b.Since(&a)); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(a, a.Since(&b)); diff != "" {
		t.Errorf("after a reload (-want +got):\n%s", diff)
	}
}
