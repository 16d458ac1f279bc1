package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/engine/traffic"
)

// counters are an engine's counters for tests.
type counters struct {
	*traffic.Counters
	routes map[string]*traffic.Route
	ends   []EndpointStatus
}

func newCounters() (*counters, *meter) {
	c := &counters{Counters: traffic.NewCounters(nil), routes: map[string]*traffic.Route{}}
	return c, &meter{engine: c}
}

func (c *counters) Name() string                { return "test" }
func (c *counters) Endpoints() []EndpointStatus { return c.ends }
func (c *counters) Traffic() []traffic.Totals   { return c.Snapshot() }

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
		c.ends = []EndpointStatus{{Backend: "b", Endpoint: "2", Requests: 100, Failures: 7}, {Backend: "a", Endpoint: "1", Requests: 5}}
		if found := tr.read(time.Now()); found != nil {
			t.Fatalf("rates of one reading: %v", found)
		}
		time.Sleep(2 * time.Second)
		c.answered("a", 200, 10, 55*time.Millisecond) // all in one bucket, from 50 to 100 ms
		c.answered("a", 502, 6, 55*time.Millisecond)
		c.answered("a", 0, 4, 55*time.Millisecond)
		c.answered("b", 404, 3, 70*time.Second)
		c.ends = []EndpointStatus{{Backend: "a", Endpoint: "1", Requests: 3, Ejected: true}, {Backend: "b", Endpoint: "2", Requests: 120, Failures: 8, InFlight: 4}}
		found, err := tr.measure(t.Context())
		want := &api.Traffic{
			At: time.Now().UTC(), Seconds: 2,
			Total: api.RouteTraffic{Rate: 11.5, Errors: 5, Median: 78.75, P95: 60000},
			Routes: []api.RouteTraffic{
				{Route: "a", Rate: 10, Errors: 5, Median: 75, P95: 97.5},
				{Route: "b", Rate: 1.5, Median: 60000, P95: 60000},
			},
			Endpoints: []api.EndpointTraffic{
				{Backend: "a", Endpoint: "1", Rate: 1.5, EndpointLive: api.EndpointLive{InRotation: true, Ejected: true}}, // begun anew
				{Backend: "b", Endpoint: "2", Rate: 10, Failures: .5, EndpointLive: api.EndpointLive{InRotation: true, InFlight: 4}},
			},
		}
		if diff := cmp.Diff(want, found); err != nil || diff != "" {
			t.Error(err, diff)
		}
		if tr.read(time.Now()) != found {
			t.Error("within the gap something was read again")
		}
		// The window moves: what was long ago counts no more.
		for range 8 {
			time.Sleep(time.Second)
			found = tr.read(time.Now())
		}
		if found.Routes[0].Rate != 0 || found.Seconds != 5 || found.Routes[0].P95 != 0 {
			t.Errorf("after 8 quiet seconds: %+v", found)
		}
		time.Sleep(time.Hour)
		if found := tr.read(time.Now()); found != nil {
			t.Errorf("an hour later there are rates of before: %+v", found)
		}
		if found, err = tr.measure(t.Context()); err != nil || found.Seconds != 1 {
			t.Errorf("measured anew: %+v, %v", found, err)
		}
	})
}

func TestTrafficOmitsWhatIsAsItWas(t *testing.T) {
	before := &api.Traffic{Routes: []api.RouteTraffic{{Route: "a", Rate: 1}, {Route: "b"}}, Endpoints: []api.EndpointTraffic{{Backend: "a", Endpoint: "1"}}}
	now := &api.Traffic{Routes: []api.RouteTraffic{{Route: "a", Rate: 1}, {Route: "b", Rate: 2}, {Route: "c"}}, Endpoints: []api.EndpointTraffic{{Backend: "a", Endpoint: "1"}}}
	got := since(before, now)
	want := &api.Traffic{Routes: []api.RouteTraffic{{Route: "b", Rate: 2}, {Route: "c"}}, Endpoints: []api.EndpointTraffic{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if since(nil, now) != now || len(now.Routes) != 3 {
		t.Error("the first event is not whole")
	}
}

// events reads a stream.
type events struct {
	t     *testing.T
	res   *http.Response
	lines *bufio.Scanner
}

func watchServer(t *testing.T, s *Server, query string, edit ...func(*http.Request)) *events {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr().String()+"/v1/watch"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edit {
		e(r)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d, %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	return &events{t, res, bufio.NewScanner(res.Body)}
}

// next decodes the next event of a kind into v, and returns false at the end.
func (e *events) next(kind string, v any) bool {
	e.t.Helper()
	at := ""
	for e.lines.Scan() {
		line := e.lines.Text()
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			at = name
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok && at == kind {
			if err := json.Unmarshal([]byte(data), v); err != nil {
				e.t.Fatal(err)
			}
			return true
		}
	}
	return false
}

// The stream outlives the deadlines of the listener, tells each change once, and
// ends when the server does.
func TestWatch(t *testing.T) {
	w := newWorld(t)
	feed := &catalog.Feed{}
	feed.Publish(w.snapshot)
	o := options(w)
	o.Catalogue = feed
	s := newServer(t, o)
	stop := run(t, s)
	e := watchServer(t, s, "?traffic=true")
	var c api.Change
	if !e.next("change", &c) || c.Revision != 7 || c.Hash != w.table.Hash || c.State != api.StatePartial || c.Problems != 1 || len(c.Stale) != 1 {
		t.Fatalf("at the beginning: %+v", c)
	}
	var tr api.Traffic
	if !e.next("traffic", &tr) || len(tr.Endpoints) != 2 {
		t.Fatalf("traffic %+v", tr)
	}
	next := *w.snapshot
	next.Revision++
	feed.Publish(&next)
	if !e.next("change", &c) || c.Revision != 8 || c.Hash != w.table.Hash {
		t.Fatalf("after a change: %+v", c)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for e.next("change", &c) {
		t.Errorf("nothing has changed, and is told: %+v", c)
	}
}

// Whoever may ask no more is told no more.
func TestWatchEndsWithTheToken(t *testing.T) {
	o := options(newWorld(t))
	o.Anonymous = api.RoleNone
	s := newServer(t, o)
	run(t, s)
	made, err := s.tokens.create(api.NewToken{Name: "v", Role: api.RoleViewer, Days: 1}, "")
	if err != nil {
		t.Fatal(err)
	}
	e := watchServer(t, s, "", bearer(made.Secret))
	var c api.Change
	if !e.next("change", &c) {
		t.Fatal("no event")
	}
	if err := s.tokens.revoke("v"); err != nil {
		t.Fatal(err)
	}
	if e.next("change", &c) {
		t.Errorf("told of %+v", c)
	}
	if err := e.lines.Err(); err != nil {
		t.Error("the stream does not end in order: ", err)
	}
}

// Streams of those who may do little leave room for those who may do more.
func TestWatchersAreBounded(t *testing.T) {
	o := options(newWorld(t))
	o.Token, o.Anonymous = goodToken, api.RoleViewer
	s := newServer(t, o)
	run(t, s)
	var c api.Change
	for range maxWatchers {
		if !watchServer(t, s, "").next("change", &c) {
			t.Fatal("no event")
		}
	}
	if rec := ask(t, s, "GET", "/v1/watch", nil); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("one more: %d", rec.Code)
	}
	if !watchServer(t, s, "", bearer(goodToken)).next("change", &c) {
		t.Error("there is no room for the administrator")
	}
}
