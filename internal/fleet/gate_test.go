package fleet

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/engine/haproxy/socket"
)

// TestWorse compares how HAProxy does before and after.
func TestWorse(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after Reading
		allowDown     bool
		want          string
	}{
		"both well":               {before: Reading{Requests: 1000}, after: Reading{Requests: 500}},
		"nothing comes in":        {before: Reading{Requests: 1000}},
		"everything fails":        {before: Reading{Requests: 1000, Failed: 1}, after: Reading{Requests: 100, Failed: 100}, want: "100.0 % of requests fail, 0.1 % did before (100 of 100 answered with a status from 500)"},
		"too few to say":          {before: Reading{Requests: 1000}, after: Reading{Requests: 4, Failed: 4}},
		"as bad as before":        {before: Reading{Requests: 1000, Failed: 300}, after: Reading{Requests: 1000, Failed: 400}},
		"twice as bad":            {before: Reading{Requests: 1000, Failed: 300}, after: Reading{Requests: 1000, Failed: 700}, want: "70.0 % of requests fail"},
		"a little":                {before: Reading{Requests: 100000}, after: Reading{Requests: 10000, Failed: 50}},
		"servers are not there":   {before: Reading{Requests: 1000}, after: Reading{Requests: 100, ConnectFailures: 60}, want: "60 connections to servers failed among 100 requests (60.0 %, before 0.0 %)"},
		"tried three times each":  {before: Reading{Requests: 1000}, after: Reading{Requests: 100, ConnectFailures: 300}, want: "300 connections to servers failed"},
		"servers of TCP":          {before: Reading{Sessions: 1000}, after: Reading{Sessions: 100, ConnectFailures: 60}, want: "60 connections to servers failed among 100 requests"},
		"a backend goes down":     {before: Reading{Requests: 10}, after: Reading{Requests: 1, Down: []string{"shop"}}, want: "backend shop has no server up, which was not so before"},
		"it was down before":      {before: Reading{Requests: 10, Down: []string{"shop"}}, after: Reading{Requests: 1, Down: []string{"shop"}}},
		"it may be down":          {before: Reading{Requests: 10}, after: Reading{Requests: 1, Down: []string{"shop"}}, allowDown: true},
		"nothing known of before": {after: Reading{Requests: 100, Failed: 10}, want: "10.0 % of requests fail, 0.0 % did before"},
	} {
		got := Worse(tt.before, tt.after, tt.allowDown)
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

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
	if diff := cmp.Diff(want, NewReading(began, stats)); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
}

// TestSince takes the difference of readings, also over a reload.
func TestSince(t *testing.T) {
	a := Reading{Time: began, Requests: 100, Failed: 1, Sessions: 90}
	b := Reading{Time: began.Add(time.Second), Requests: 150, Failed: 2, Sessions: 120}
	want := Reading{Time: b.Time, Span: time.Second, Requests: 50, Failed: 1, Sessions: 30}
	if diff := cmp.Diff(want, b.since(&a)); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(a, a.since(&b)); diff != "" {
		t.Errorf("after a reload (-want +got):\n%s", diff)
	}
}
