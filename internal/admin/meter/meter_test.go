package meter

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/api"
	"fairway/internal/engine/traffic"
)

// counters are an engine's counters for tests.
type counters struct {
	*traffic.Counters
	routes map[string]*traffic.Route
	ends   []traffic.EndpointStatus
}

func newCounters() (*counters, *Meter) {
	c := &counters{Counters: traffic.NewCounters(nil, nil), routes: map[string]*traffic.Route{}}
	return c, New(c)
}

func (c *counters) Endpoints() []traffic.EndpointStatus { return c.ends }
func (c *counters) Traffic() []traffic.Totals           { return c.Snapshot() }

func (c *counters) answered(route string, status int, n uint64, took time.Duration) {
	if c.routes[route] == nil {
		c.routes[route] = c.Route(route)
	}
	c.routes[route].Requests(n, status, took)
}

func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tr := newCounters()
		c.answered("a", 200, 1000, time.Millisecond)
		c.ends = []traffic.EndpointStatus{{Backend: "b", Endpoint: "2", Requests: 100, Failures: 7}, {Backend: "a", Endpoint: "1", Requests: 5}}
		if found := tr.Read(time.Now()); found != nil {
			t.Fatalf("rates of one reading: %v", found)
		}
		time.Sleep(2 * time.Second)
		c.answered("a", 200, 10, 55*time.Millisecond) // all in one bucket, from 50 to 59.5 ms
		c.answered("a", 502, 6, 55*time.Millisecond)
		c.answered("a", 0, 4, 55*time.Millisecond)
		c.answered("b", 404, 3, 70*time.Second)
		c.ends = []traffic.EndpointStatus{{Backend: "a", Endpoint: "1", Requests: 3, Ejected: true}, {Backend: "b", Endpoint: "2", Requests: 120, Failures: 8, InFlight: 4}}
		found, err := tr.Measure(t.Context())
		want := &api.Traffic{
			At: time.Now().UTC(), Seconds: 2,
			Total: api.RouteTraffic{Rate: 11.5, Errors: 5, Median: 54.544, P95: 60000, P99: 60000},
			Routes: []api.RouteTraffic{
				{Route: "a", Rate: 10, Errors: 5, Median: 54.544, P95: 54.544, P99: 54.544},
				{Route: "b", Rate: 1.5, Median: 60000, P95: 60000, P99: 60000},
			},
			Endpoints: []api.EndpointTraffic{
				{Backend: "a", Endpoint: "1", Rate: 1.5, EndpointLive: api.EndpointLive{InRotation: true, Ejected: true}}, // begun anew
				{Backend: "b", Endpoint: "2", Rate: 10, Failures: .5, EndpointLive: api.EndpointLive{InRotation: true, InFlight: 4}},
			},
		}
		if diff := cmp.Diff(want, found); err != nil || diff != "" {
			t.Error(err, diff)
		}
		if tr.Read(time.Now()) != found {
			t.Error("within the gap something was read again")
		}
		// The window moves: what was long ago counts no more.
		for range 8 {
			time.Sleep(time.Second)
			found = tr.Read(time.Now())
		}
		if found.Routes[0].Rate != 0 || found.Seconds != 5 || found.Routes[0].P95 != 0 {
			t.Errorf("after 8 quiet seconds: %+v", found)
		}
		time.Sleep(time.Hour)
		if found := tr.Read(time.Now()); found != nil {
			t.Errorf("an hour later there are rates of before: %+v", found)
		}
		if found, err = tr.Measure(t.Context()); err != nil || found.Seconds != 1 {
			t.Errorf("measured anew: %+v, %v", found, err)
		}
	})
}

func TestTrafficOmitsWhatIsAsItWas(t *testing.T) {
	before := &api.Traffic{Routes: []api.RouteTraffic{{Route: "a", Rate: 1}, {Route: "b"}}, Endpoints: []api.EndpointTraffic{{Backend: "a", Endpoint: "1"}}}
	now := &api.Traffic{Routes: []api.RouteTraffic{{Route: "a", Rate: 1}, {Route: "b", Rate: 2}, {Route: "c"}}, Endpoints: []api.EndpointTraffic{{Backend: "a", Endpoint: "1"}}}
	got := Since(before, now)
	want := &api.Traffic{Routes: []api.RouteTraffic{{Route: "b", Rate: 2}, {Route: "c"}}, Endpoints: []api.EndpointTraffic{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if Since(nil, now) != now || len(now.Routes) != 3 {
		t.Error("the first event is not whole")
	}
}

// What nothing came through since the reading before is kept once for both.
func TestQuietRoutesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tr := newCounters()
		for _, route := range []string{"a", "b", "c"} {
			c.answered(route, 200, 1, time.Millisecond)
		}
		tr.Read(time.Now())
		time.Sleep(2 * time.Second)
		c.answered("b", 200, 1, time.Millisecond)
		c.answered("bb", 200, 1, time.Millisecond)
		tr.Read(time.Now())
		before, now := tr.samples[0].routes, tr.samples[1].routes
		if len(now) != 4 || now[0] != before[0] || now[1] == before[1] || now[3] != before[2] {
			t.Errorf("before %p, now %p", before, now)
		}
	})
}
