package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/feed"
	"fairway/internal/metrics"
	"fairway/internal/notify"
	"fairway/internal/route"
)

// reportOf is a report in which a route is in a state for a reason.
func reportOf(id string, state condition.State, code string) *condition.Report {
	r := &condition.Report{Routes: map[string]condition.Condition{id: {State: state}}}
	if state.Wrong() {
		r.Findings = []condition.Finding{{Kind: condition.KindRoute, Subject: id, Service: "shop@docker", State: state, Reason: condition.Reason{Code: code, Text: "connection refused at 10.0.0.1:9999", Hint: "set the label fairway.port=8080"}}}
	}
	return r
}

// TestRoutesSettle: a route is reported once it has been in a state for the time to settle.
func TestRoutesSettle(t *testing.T) {
	const id = "shop@docker"
	gone := &condition.Report{}
	healthy, unknown := reportOf(id, condition.Healthy, ""), reportOf(id, condition.Unknown, "")
	down, degraded := reportOf(id, condition.Down, condition.CodeConnect), reportOf(id, condition.Degraded, condition.CodeCheck)
	for name, tt := range map[string]struct {
		standing notify.Kind
		at       map[int]*condition.Report // by second; each stays until the next
		want     []string
	}{
		"down":                        {"", map[int]*condition.Report{0: healthy, 5: down}, []string{"15 route.down"}},
		"a deployment":                {"", map[int]*condition.Report{0: healthy, 5: down, 14: healthy}, nil},
		"to and fro":                  {"", map[int]*condition.Report{0: down, 8: healthy, 10: down, 18: healthy, 20: down}, []string{"30 route.down"}},
		"worse":                       {"", map[int]*condition.Report{0: degraded, 15: down}, []string{"10 route.degraded", "25 route.down"}},
		"worse before it is reported": {"", map[int]*condition.Report{0: degraded, 5: down}, []string{"15 route.down"}},
		"better":                      {notify.RouteDown, map[int]*condition.Report{0: degraded, 20: healthy}, []string{"10 route.degraded", "30 route.healthy"}},
		"over":                        {notify.RouteDown, map[int]*condition.Report{0: down, 5: healthy}, []string{"15 route.healthy"}},
		"not known":                   {notify.RouteDown, map[int]*condition.Report{0: unknown}, nil},
		"not known for a moment":      {"", map[int]*condition.Report{0: down, 5: unknown, 6: down}, []string{"16 route.down"}},
		"gone":                        {notify.RouteDown, map[int]*condition.Report{0: down, 5: gone}, []string{"15 route.healthy"}},
		"a source does not answer":    {"", map[int]*condition.Report{0: reportOf(id, condition.Degraded, condition.CodeStale)}, nil},
		"its last good form":          {"", map[int]*condition.Report{0: reportOf(id, condition.Degraded, condition.CodeLastGood)}, nil},
		"held":                        {"", map[int]*condition.Report{0: reportOf(id, condition.Held, condition.CodeHold)}, nil},
		"refused":                     {"", map[int]*condition.Report{0: reportOf(id, condition.Refused, condition.CodeRefused)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			standing := map[string]notify.Event{}
			if tt.standing != "" {
				standing["route/"+id] = notify.Event{Kind: tt.standing, Subject: "route/" + id, Name: id}
			}
			w := routeWatch{settle: 10 * time.Second, changing: map[string]change{}}
			began := time.Unix(1000, 0)
			var got []string
			var r *condition.Report
			var due time.Time
			for second := range 60 {
				next, newer := tt.at[second]
				now := began.Add(time.Duration(second) * time.Second)
				if !newer && now.Before(due) {
					continue
				}
				if newer {
					r = next
				}
				var begun, over []notify.Event
				begun, over, due = w.next(r, standing, now)
				for _, e := range slices.Concat(begun, over) {
					got = append(got, fmt.Sprintf("%d %s", second, e.Kind))
					if standing[e.Subject] = e; e.Kind == notify.RouteHealthy {
						delete(standing, e.Subject)
					}
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("reported %q, want %q", got, tt.want)
			}
		})
	}
}

// TestReportsAreFollowed: routes reach the notifier once the state is synced, a few one by
// one; a hold at once, every day again, and when it is over.
func TestReportsAreFollowed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, err := notify.New(notify.Options{Dir: dir, Feed: &catalog.Feed{}, Metrics: &metrics.Set{}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		var synced atomic.Bool
		reports := &feed.Feed[condition.Report]{}
		o := Observer{Notifier: n, Tables: &feed.Feed[route.Table]{}, Reports: reports, Settle: 10 * time.Second, Synced: synced.Load}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); o.followReports(ctx) }()
		var last int
		want := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			recent := n.Recent()
			fresh := map[notify.Kind]int{}
			for _, e := range recent[:len(recent)-last] {
				fresh[e.Kind]++
			}
			if last = len(recent); fmt.Sprint(fresh) != "map["+want+"]" {
				t.Errorf("reported %v, want %s", fresh, want)
			}
		}

		bad := reportOf("r0", condition.Down, condition.CodeConnect)
		for i := 1; i < maxSingle+7; i++ {
			id := fmt.Sprint("r", i)
			more := reportOf(id, condition.Degraded, condition.CodeCheck)
			bad.Routes[id], bad.Findings = more.Routes[id], append(bad.Findings, more.Findings...)
		}
		reports.Publish(bad)
		want(time.Hour, "")
		synced.Store(true)
		want(9*time.Second, "")
		want(2*time.Second, "route.degraded:49 route.down:1 summary:1")
		if e := n.Recent()[0]; e.Text != "and 7 more routes are degraded or down; fairway status lists them" {
			t.Errorf("the summary says %q", e.Text)
		}

		held := *bad
		held.Findings = append(slices.Clone(bad.Findings), condition.Finding{Kind: condition.KindCommand, Subject: "rollback to entry 20 by ann", State: condition.Held, Reason: condition.Reason{
			Code: condition.CodeHold, Text: "rollback to entry 20 by ann is in force: no change of containers or labels goes live", Hint: "end it with: fairway unpin", Since: time.Now(),
		}})
		reports.Publish(&held)
		want(time.Second, "hold.in-force:1")
		if e := n.Recent()[0]; e.Name != "rollback to entry 20 by ann" || e.Kind.Severity() != notify.Warning || !strings.Contains(e.Details["hint"], "unpin") {
			t.Errorf("%+v", e)
		}
		want(23*time.Hour, "")
		want(2*time.Hour, "hold.in-force:1")
		want(22*time.Hour, "")
		healthy := &condition.Report{Routes: map[string]condition.Condition{"r0": {State: condition.Healthy}}}
		reports.Publish(healthy)
		want(time.Second, "hold.over:1")
		want(10*time.Second, "route.healthy:50")
		if left := n.Standing(); len(left) > 0 {
			t.Errorf("%d stand", len(left))
		}
		cancel()
		<-done
	})
}

// TestNameEvents: two services that ask for one name are two events, and one that is over says what was.
func TestNameEvents(t *testing.T) {
	taken := func(service string) condition.Finding {
		return condition.Finding{Kind: condition.KindName, Subject: "x.docker", Service: service, State: condition.Degraded, Reason: condition.Reason{Code: condition.CodeNameTaken, Text: service + " asks for x.docker"}}
	}
	standing := map[string]notify.Event{}
	for i, x := range []struct {
		findings []condition.Finding
		want     string
	}{
		{[]condition.Finding{taken("a"), taken("b")}, "names.trouble name/x.docker/a: a asks for x.docker; names.trouble name/x.docker/b: b asks for x.docker"},
		{[]condition.Finding{taken("b")}, "names.trouble name/x.docker/b: b asks for x.docker; names.sound name/x.docker/a: over: a asks for x.docker"},
	} {
		var got []string
		for _, e := range nameEvents(&condition.Report{Findings: x.findings}, standing) {
			got = append(got, fmt.Sprintf("%s %s: %s", e.Kind, e.Subject, e.Text))
			standing[e.Subject] = e
		}
		if strings.Join(got, "; ") != x.want {
			t.Errorf("%d: %s", i, strings.Join(got, "; "))
		}
	}
}
