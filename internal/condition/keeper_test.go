package condition_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/condition/situations"
	"fairway/internal/engine/traffic"
	"fairway/internal/metrics"
)

// TestMetrics shows in a scrape what the report of the moment says.
func TestMetrics(t *testing.T) {
	w := situations.All()[0].World(t)
	w.Endpoints = []traffic.EndpointStatus{{Backend: "shop@docker", Endpoint: "c2:8080", Health: traffic.Failing, OutOfRotation: true}}
	w.Snapshot.Services = append(w.Snapshot.Services, &catalog.Service{ID: "unlabelled@docker", Source: "docker"})
	k, m := condition.NewKeeper(func(time.Time) condition.World { return w }), &metrics.Set{}
	k.Measure(m)
	var out strings.Builder
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`fairway_condition{state="degraded"} 1`, `fairway_condition{state="healthy"} 0`,
		`fairway_conditions{kind="route",state="degraded"} 1`, `fairway_conditions{kind="route",state="down"} 0`,
		`fairway_conditions{kind="service",state="degraded"} 1`, `fairway_conditions{kind="service",state="healthy"} 0`,
		`fairway_conditions{kind="source",state="healthy"} 1`,
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("no %s in\n%s", line, out.String())
		}
	}
}

// TestReports publishes a report when a route is in another state, also when something else is wrong.
func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w condition.World
		k := condition.NewKeeper(func(now time.Time) condition.World {
			w.Now = now
			return w
		})
		var before *condition.Report
		for i, tt := range []struct {
			tried     bool
			published bool
		}{{false, true}, {false, false}, {true, true}, {true, false}} {
			w = situations.All()[0].World(t)
			if w.Pending = "haproxy: cannot bind :80"; !tt.tried {
				clear(w.Connected)
			}
			time.Sleep(time.Minute) // a report is given out again for a moment
			k.Report()
			if newest := k.Reports().Newest(); (newest != before) != tt.published {
				t.Errorf("step %d: published %v", i, newest != before)
			} else {
				before = newest
			}
		}
	})
}
