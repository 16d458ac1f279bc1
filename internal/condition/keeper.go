package condition

import (
	"context"
	"maps"
	"reflect"
	"sync"
	"time"

	"fairway/internal/clock"
	"fairway/internal/feed"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

const (
	judgeEvery = 30 * time.Second       // between two reports that are not asked for
	judgeSoon  = 2 * time.Second        // after a connection that went otherwise than before
	judgeFresh = 500 * time.Millisecond // a report that is given out again
)

// Keeper keeps the newest report. Its methods may be called from any goroutine.
type Keeper struct {
	world     func(now time.Time) World
	connector *connector
	reports   feed.Feed[Report]

	mu     sync.Mutex
	newest *Report
}

// NewKeeper makes a keeper of what world observes; it adds Connected itself where that is
// nil. world may ask the engine, and has to end soon.
func NewKeeper(world func(now time.Time) World) *Keeper {
	return &Keeper{world: world, connector: newConnector()}
}

// Connect connects to an address now.
func (k *Keeper) Connect(ctx context.Context, address string) Attempt {
	return k.connector.try(ctx, address)
}

// Report judges everything now, or returns the report of a moment ago.
func (k *Keeper) Report() *Report {
	k.mu.Lock()
	before, now := k.newest, time.Now()
	k.mu.Unlock()
	if before != nil && now.Sub(before.At) < judgeFresh {
		return before
	}
	w := k.world(now)
	if w.Connected == nil {
		w.Connected = k.connector.newest()
	}
	report := Judge(w, before)

	k.mu.Lock()
	defer k.mu.Unlock()
	if k.newest != before && k.newest.At.After(now) {
		return k.newest // of another who has asked meanwhile
	}
	if k.newest == nil || !same(k.newest, report) {
		k.reports.Publish(report)
	}
	k.newest = report
	return report
}

// same is true for reports that say the same at two times.
func same(a, b *Report) bool {
	alike := func(a, b Condition) bool { return a.State == b.State }
	return a.State == b.State && maps.EqualFunc(a.Routes, b.Routes, alike) && reflect.DeepEqual(a.Findings, b.Findings)
}

// Reports publishes reports that say something else than the one before.
func (k *Keeper) Reports() *feed.Feed[Report] { return &k.reports }

// Run judges, and connects to the endpoints of the newest live table, from time to time
// until ctx ends; then it returns nil.
func (k *Keeper) Run(ctx context.Context, live func() *route.Table) error {
	var connecting sync.WaitGroup
	connecting.Go(func() { k.connector.run(ctx, live) })
	defer connecting.Wait()
	changes, judged := -1, time.Time{}
	for clock.Sleep(ctx, judgeSoon) == nil {
		// The rest, such as rates and checks, is read seldom: it costs with the number of
		// endpoints.
		newest := k.connector.changed()
		if newest == changes && time.Since(judged) < judgeEvery {
			continue
		}
		changes, judged = newest, time.Now()
		k.Report()
	}
	return nil
}

// Measure shows the newest report in metrics: what is in each state, and the state of the
// whole.
func (k *Keeper) Measure(m *metrics.Set) {
	counts := m.Family(metrics.KindGauge, "fairway_conditions", "Routes, services and sources by how they are doing.", "kind", "state")
	whole := m.Family(metrics.KindGauge, "fairway_condition", "1 for the state of the whole, the worst of all; 0 for the other states.", "state")
	m.Collect(func(s *metrics.Scrape) {
		k.mu.Lock()
		r := k.newest
		k.mu.Unlock()
		if r == nil {
			r = k.Report()
		}
		for kind, all := range map[string]map[string]Condition{KindRoute: r.Routes, KindService: r.Services, KindSource: r.Sources} {
			count := map[State]int{}
			for _, c := range all {
				count[c.State]++
			}
			for _, state := range states {
				s.Put(counts, float64(count[state]), kind, string(state))
			}
		}
		for _, state := range states {
			current := 0.0
			if state == r.State {
				current = 1
			}
			s.Put(whole, current, string(state))
		}
	})
}
