// Package meter measures what goes through routes and endpoints at the moment.
package meter

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/api"
	"fairway/internal/engine/traffic"
	"fairway/internal/latency"
)

const (
	// sampleGap is the least time between two readings.
	sampleGap = time.Second
	// sampleWindow is the time that rates are taken over, at most.
	sampleWindow = 5 * time.Second
	// sampleOld is the age from which on a reading is of no use.
	sampleOld = 3 * sampleWindow
)

// Engine has counters of routes and endpoints.
type Engine interface {
	// Endpoints returns the endpoints of every backend, in any order.
	Endpoints() []traffic.EndpointStatus
	// Traffic returns what has come through each route, sorted.
	Traffic() []traffic.Totals
}

// Meter measures rates by reading the engine's counters while it is asked. Readings
// are shared: they cost the same for one caller as for many.
type Meter struct {
	engine Engine

	mu      sync.Mutex
	samples []sample // the oldest first
	newest  *api.Traffic
}

// New makes a Meter.
func New(engine Engine) *Meter { return &Meter{engine: engine} }

// sample is one reading of all counters.
type sample struct {
	at        time.Time
	routes    []*traffic.Totals // sorted
	endpoints []traffic.EndpointStatus
}

// Measure returns the rates at now. It waits for a second reading where there is
// none that is recent.
func (m *Meter) Measure(ctx context.Context) (*api.Traffic, error) {
	for {
		if found := m.Read(time.Now()); found != nil {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(sampleGap):
		}
	}
}

// Read takes a reading when the last one is a gap ago, and returns the newest
// rates; nil when there is but one reading.
func (m *Meter) Read(now time.Time) *api.Traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = slices.DeleteFunc(m.samples, func(s sample) bool { return now.Sub(s.at) > sampleOld })
	if len(m.samples) == 0 {
		m.newest = nil
	}
	if n := len(m.samples); n > 0 && now.Sub(m.samples[n-1].at) < sampleGap {
		return m.newest
	}
	next := sample{now, m.share(m.engine.Traffic()), m.engine.Endpoints()}
	m.samples = append(m.samples, next)
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= sampleWindow {
		m.samples = m.samples[1:]
	}
	if first := m.samples[0]; first.at.Before(next.at) {
		m.newest = rates(first, next)
	}
	return m.newest
}

// share keeps what is as in the reading before once: most routes are quiet for a second.
func (m *Meter) share(found []traffic.Totals) []*traffic.Totals {
	var before []*traffic.Totals
	if n := len(m.samples); n > 0 {
		before = m.samples[n-1].routes
	}
	all := make([]*traffic.Totals, len(found))
	for i, t := range found {
		for len(before) > 0 && before[0].Route < t.Route {
			before = before[1:]
		}
		if len(before) > 0 && *before[0] == t {
			all[i] = before[0]
		} else {
			all[i] = new(t)
		}
	}
	return all
}

// Live is what the API shows of the condition of an endpoint.
func Live(e traffic.EndpointStatus) *api.EndpointLive {
	return &api.EndpointLive{InRotation: !e.OutOfRotation, InFlight: e.InFlight, Ejected: e.Ejected, Health: e.Health}
}

// rates returns what happened between two readings, per second. A counter that is
// lower than before was begun anew in between.
func rates(a, b sample) *api.Traffic {
	seconds := b.at.Sub(a.at).Seconds()
	per := func(before, after uint64) float64 {
		if after < before {
			before = 0
		}
		return round(float64(after-before) / seconds)
	}
	out := &api.Traffic{At: b.at.UTC(), Seconds: round(seconds), Routes: []api.RouteTraffic{}, Endpoints: []api.EndpointTraffic{}}
	var all latency.Histogram
	routes := map[string]*traffic.Totals{}
	for _, r := range a.routes {
		routes[r.Route] = r
	}
	for _, after := range b.routes {
		before := cmp.Or(routes[after.Route], &traffic.Totals{})
		r := api.RouteTraffic{Route: after.Route, Rate: per(before.Requests(), after.Requests()), Errors: per(before.Errors(), after.Errors())}
		came := after.Took.Since(&before.Took)
		r.Median, r.P95, r.P99 = quantiles(&came)
		out.Total.Rate, out.Total.Errors = round(out.Total.Rate+r.Rate), round(out.Total.Errors+r.Errors)
		for i, n := range came {
			all[i] += n
		}
		out.Routes = append(out.Routes, r)
	}
	out.Total.Median, out.Total.P95, out.Total.P99 = quantiles(&all)
	endpoints := map[[2]string]traffic.EndpointStatus{}
	for _, e := range a.endpoints {
		endpoints[[2]string{e.Backend, e.Endpoint}] = e
	}
	for _, e := range b.endpoints {
		before := endpoints[[2]string{e.Backend, e.Endpoint}]
		out.Endpoints = append(out.Endpoints, api.EndpointTraffic{
			Backend: e.Backend, Endpoint: e.Endpoint,
			Rate:         per(before.Requests, e.Requests),
			Failures:     per(before.Failures, e.Failures),
			EndpointLive: *Live(e),
		})
	}
	slices.SortFunc(out.Endpoints, func(a, b api.EndpointTraffic) int {
		return cmp.Or(strings.Compare(a.Backend, b.Backend), strings.Compare(a.Endpoint, b.Endpoint))
	})
	return out
}

// quantiles are the median and the 95th and 99th percentile in milliseconds; 0 without requests.
func quantiles(h *latency.Histogram) (median, p95, p99 float64) {
	of := func(q float64) float64 {
		if seconds := latency.Quantile(h[:], q); !math.IsNaN(seconds) {
			return round(1000 * seconds)
		}
		return 0
	}
	return of(.5), of(.95), of(.99)
}

// round keeps three digits behind the point.
func round(f float64) float64 { return math.Round(1000*f) / 1000 }

// Recent returns the newest rates, or none where no client has asked lately.
func (m *Meter) Recent(now time.Time) *api.Traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.newest != nil && now.Sub(m.newest.At) < sampleWindow {
		return m.newest
	}
	return &api.Traffic{At: now.UTC(), Routes: []api.RouteTraffic{}, Endpoints: []api.EndpointTraffic{}}
}

// Since returns t without what is as in before; before may be nil.
func Since(before, t *api.Traffic) *api.Traffic {
	if before == nil {
		return t
	}
	news := *t
	news.Routes = without(t.Routes, before.Routes)
	news.Endpoints = without(t.Endpoints, before.Endpoints)
	return &news
}

func without[T comparable](items, before []T) []T {
	known := make(map[T]bool, len(before))
	for _, item := range before {
		known[item] = true
	}
	return slices.DeleteFunc(slices.Clone(items), func(item T) bool { return known[item] })
}
