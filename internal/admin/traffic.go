package admin

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"fairway/internal/api"
)

// The metrics that every engine keeps of its routes.
const (
	requestsMetric = "fairway_requests_total"
	durationMetric = "fairway_request_duration_seconds"
)

const (
	// sampleGap is the least time between two readings.
	sampleGap = time.Second
	// sampleWindow is the time that rates are taken over, at most.
	sampleWindow = 5 * time.Second
	// sampleOld is the age from which on a reading is of no use.
	sampleOld = 3 * sampleWindow
)

// traffic measures rates, by reading the engine's counters while somebody asks.
// Readings are shared: it costs the same for one as for many.
type traffic struct {
	gatherer prometheus.Gatherer
	engine   Engine

	mu      sync.Mutex
	samples []sample // the oldest first
	newest  *api.Traffic
}

// sample is one reading of all counters.
type sample struct {
	at        time.Time
	routes    map[string]*routeSample
	endpoints []EndpointStatus // sorted
}

type routeSample struct {
	requests, errors float64
	bounds           []float64 // upper bounds of the buckets in seconds, ascending
	counts           []float64 // requests up to each bound
	total            float64   // requests in the histogram
}

// measure returns the rates at now. It waits for a second reading where there is
// none that is recent.
func (t *traffic) measure(ctx context.Context) (*api.Traffic, error) {
	for {
		found, err := t.read(time.Now())
		if found != nil || err != nil {
			return found, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(sampleGap):
		}
	}
}

// read takes a reading when the last one is a gap ago, and returns the newest
// rates; nil when there is but one reading.
func (t *traffic) read(now time.Time) (*api.Traffic, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.samples = slices.DeleteFunc(t.samples, func(s sample) bool { return now.Sub(s.at) > sampleOld })
	if len(t.samples) == 0 {
		t.newest = nil
	}
	if n := len(t.samples); n > 0 && now.Sub(t.samples[n-1].at) < sampleGap {
		return t.newest, nil
	}
	next, err := t.sample(now)
	if err != nil {
		return nil, err
	}
	t.samples = append(t.samples, next)
	for len(t.samples) > 2 && now.Sub(t.samples[1].at) >= sampleWindow {
		t.samples = t.samples[1:]
	}
	if first := t.samples[0]; first.at.Before(next.at) {
		t.newest = rates(first, next)
	}
	return t.newest, nil
}

// sample reads the counters.
func (t *traffic) sample(now time.Time) (sample, error) {
	families, err := t.gatherer.Gather()
	if err != nil {
		return sample{}, err
	}
	s := sample{at: now, routes: map[string]*routeSample{}, endpoints: slices.Clone(t.engine.Endpoints())}
	slices.SortFunc(s.endpoints, func(a, b EndpointStatus) int {
		return cmp.Or(strings.Compare(a.Backend, b.Backend), strings.Compare(a.Endpoint, b.Endpoint))
	})
	for _, f := range families {
		switch f.GetName() {
		case requestsMetric:
			for _, m := range f.GetMetric() {
				r, code := s.route(m), labelOf(m, "code")
				r.requests += m.GetCounter().GetValue()
				if code == "5xx" || code == "none" {
					r.errors += m.GetCounter().GetValue()
				}
			}
		case durationMetric:
			for _, m := range f.GetMetric() {
				s.route(m).add(m.GetHistogram())
			}
		}
	}
	return s, nil
}

func (s *sample) route(m *dto.Metric) *routeSample {
	id := labelOf(m, "route")
	if s.routes[id] == nil {
		s.routes[id] = &routeSample{}
	}
	return s.routes[id]
}

func (r *routeSample) add(h *dto.Histogram) {
	r.total = float64(h.GetSampleCount())
	for _, b := range h.GetBucket() {
		r.bounds = append(r.bounds, b.GetUpperBound())
		r.counts = append(r.counts, float64(b.GetCumulativeCount()))
	}
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// rates returns what happened between two readings, per second. A counter that is
// lower than before was begun anew in between.
func rates(a, b sample) *api.Traffic {
	seconds := b.at.Sub(a.at).Seconds()
	per := func(before, after float64) float64 {
		if after < before {
			before = 0
		}
		return round((after - before) / seconds)
	}
	out := &api.Traffic{At: b.at.UTC(), Seconds: round(seconds), Routes: []api.RouteTraffic{}, Endpoints: []api.EndpointTraffic{}}
	var all routeSample // what came to each in between, together
	for id, after := range b.routes {
		before := a.routes[id]
		if before == nil {
			before = &routeSample{}
		}
		r := api.RouteTraffic{Route: id, Rate: per(before.requests, after.requests), Errors: per(before.errors, after.errors)}
		came := after.minus(before)
		r.Median, r.P95 = came.quantile(0.5), came.quantile(0.95)
		out.Total.Rate, out.Total.Errors = round(out.Total.Rate+r.Rate), round(out.Total.Errors+r.Errors)
		all.plus(came)
		out.Routes = append(out.Routes, r)
	}
	out.Total.Median, out.Total.P95 = all.quantile(0.5), all.quantile(0.95)
	slices.SortFunc(out.Routes, func(a, b api.RouteTraffic) int { return strings.Compare(a.Route, b.Route) })
	before := map[[2]string]EndpointStatus{}
	for _, e := range a.endpoints {
		before[[2]string{e.Backend, e.Endpoint}] = e
	}
	for _, e := range b.endpoints {
		was := before[[2]string{e.Backend, e.Endpoint}]
		out.Endpoints = append(out.Endpoints, api.EndpointTraffic{
			Backend: e.Backend, Endpoint: e.Endpoint,
			Rate:         per(float64(was.Requests), float64(e.Requests)),
			Failures:     per(float64(was.Failures), float64(e.Failures)),
			EndpointLive: *e.live(),
		})
	}
	return out
}

// minus returns the histogram of what came since before. One that has less than
// before was begun anew.
func (r *routeSample) minus(before *routeSample) *routeSample {
	if before.total > r.total || len(before.counts) != len(r.counts) {
		return r
	}
	out := &routeSample{bounds: r.bounds, counts: slices.Clone(r.counts), total: r.total - before.total}
	for i := range out.counts {
		out.counts[i] -= before.counts[i]
	}
	return out
}

// plus adds the histogram of another route, which has the same buckets.
func (r *routeSample) plus(other *routeSample) {
	if len(r.counts) == 0 {
		r.bounds, r.counts = other.bounds, make([]float64, len(other.counts))
	}
	if len(r.counts) != len(other.counts) {
		return
	}
	r.total += other.total
	for i, n := range other.counts {
		r.counts[i] += n
	}
}

// quantile returns the time in milliseconds below which the share q of the
// requests lies, as far as the buckets tell: within one, times are taken to be
// spread evenly. Without requests it is zero.
func (r *routeSample) quantile(q float64) float64 {
	if r.total == 0 {
		return 0
	}
	low, under := 0.0, 0.0
	for i, bound := range r.bounds {
		if upTo := r.counts[i]; upTo >= q*r.total && upTo > under {
			return round(1000 * (low + (bound-low)*(q*r.total-under)/(upTo-under)))
		}
		low, under = bound, r.counts[i]
	}
	return round(1000 * low) // beyond the last bound; no more is known
}

// round keeps three digits behind the point.
func round(f float64) float64 { return math.Round(1000*f) / 1000 }

func (s *Server) showTraffic(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Get("wait") == "false" {
		return answer(w, s.traffic.recent(time.Now()))
	}
	if _, err := boolean(r.URL.Query(), "wait"); err != nil {
		return err
	}
	found, err := s.traffic.measure(r.Context())
	if err != nil {
		return err
	}
	return answer(w, found)
}

// recent returns the newest rates, or none where nobody has asked lately.
func (t *traffic) recent(now time.Time) *api.Traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.newest != nil && now.Sub(t.newest.At) < sampleWindow {
		return t.newest
	}
	return &api.Traffic{At: now.UTC(), Routes: []api.RouteTraffic{}, Endpoints: []api.EndpointTraffic{}}
}

// since returns t without what is as in before; before may be nil.
func since(before, t *api.Traffic) *api.Traffic {
	if before == nil {
		return t
	}
	news := *t
	news.Routes = without(t.Routes, before.Routes, func(r api.RouteTraffic) string { return r.Route })
	news.Endpoints = without(t.Endpoints, before.Endpoints, func(e api.EndpointTraffic) [2]string { return [2]string{e.Backend, e.Endpoint} })
	return &news
}

func without[T comparable, K comparable](items, before []T, key func(T) K) []T {
	known := make(map[K]T, len(before))
	for _, item := range before {
		known[key(item)] = item
	}
	news := []T{}
	for _, item := range items {
		if old, ok := known[key(item)]; !ok || old != item {
			news = append(news, item)
		}
	}
	return news
}
