package fleet

import (
	"strings"
	"testing"

	"fairway/internal/fleet/driver"
)

// TestWorse compares how HAProxy does before and after.
func TestWorse(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after driver.Reading
		allowDown     bool
		want          string
	}{
		"both well":               {before: driver.Reading{Requests: 1000}, after: driver.Reading{Requests: 500}},
		"nothing comes in":        {before: driver.Reading{Requests: 1000}},
		"everything fails":        {before: driver.Reading{Requests: 1000, Failed: 1}, after: driver.Reading{Requests: 100, Failed: 100}, want: "100.0 % of requests fail, 0.1 % did before (100 of 100 answered with a status from 500)"},
		"too few to say":          {before: driver.Reading{Requests: 1000}, after: driver.Reading{Requests: 4, Failed: 4}},
		"as bad as before":        {before: driver.Reading{Requests: 1000, Failed: 300}, after: driver.Reading{Requests: 1000, Failed: 400}},
		"twice as bad":            {before: driver.Reading{Requests: 1000, Failed: 300}, after: driver.Reading{Requests: 1000, Failed: 700}, want: "70.0 % of requests fail"},
		"a little":                {before: driver.Reading{Requests: 100000}, after: driver.Reading{Requests: 10000, Failed: 50}},
		"servers are not there":   {before: driver.Reading{Requests: 1000}, after: driver.Reading{Requests: 100, ConnectFailures: 60}, want: "60 connections to servers failed among 100 requests (60.0 %, before 0.0 %)"},
		"tried three times each":  {before: driver.Reading{Requests: 1000}, after: driver.Reading{Requests: 100, ConnectFailures: 300}, want: "300 connections to servers failed"},
		"servers of TCP":          {before: driver.Reading{Sessions: 1000}, after: driver.Reading{Sessions: 100, ConnectFailures: 60}, want: "60 connections to servers failed among 100 requests"},
		"a backend goes down":     {before: driver.Reading{Requests: 10}, after: driver.Reading{Requests: 1, Down: []string{"shop"}}, want: "backend shop has no server up, which was not so before"},
		"it was down before":      {before: driver.Reading{Requests: 10, Down: []string{"shop"}}, after: driver.Reading{Requests: 1, Down: []string{"shop"}}},
		"it may be down":          {before: driver.Reading{Requests: 10}, after: driver.Reading{Requests: 1, Down: []string{"shop"}}, allowDown: true},
		"nothing known of before": {after: driver.Reading{Requests: 100, Failed: 10}, want: "10.0 % of requests fail, 0.0 % did before"},
	} {
		got := Worse(tt.before, tt.after, tt.allowDown)
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
