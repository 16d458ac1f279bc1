package admin

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/engine/traffic"
	"fairway/internal/latency"
	"fairway/internal/series"
)

// newSeries keeps one sample of a service and one of a route.
func newSeries(t *testing.T) *series.Store {
	t.Helper()
	store, err := series.Open(series.Options{Dir: t.TempDir(), Groups: series.StandardGroups(10), Every: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	service := make([]float64, series.Containers+1)
	service[series.CPU], service[series.Limit], service[series.Containers] = 12, math.NaN(), 5
	route := make([]float64, series.Latency+latency.Buckets)
	route[series.Requests], route[series.Latency] = 10, 10
	for group, values := range map[string][]float64{series.Services: service, series.Routes: route} {
		if err := store.Add(group, time.Now(), []series.Reading{{Subject: "shop", Values: values}}); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

// What is not known is null, and routes have quantiles in the place of counts.
func TestSeries(t *testing.T) {
	o := options(t, newWorld(t))
	o.Series = newSeries(t)
	s := newServer(t, o)
	query := func(path string) (found api.Series) {
		t.Helper()
		rec := ask(t, s, "GET", path, nil)
		if err := json.Unmarshal(rec.Body.Bytes(), &found); err != nil || rec.Code != 200 || len(found.Points) == 0 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		return found
	}
	to := "?to=" + time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	service := query("/v1/series/service/shop" + to)
	if means := service.Points[0].Means; means[series.Limit] != nil || *means[series.Containers] != 5 || len(service.Fields) != len(means) {
		t.Errorf("%+v", service)
	}
	route := query("/v1/series/route/shop" + to)
	if p := route.Points[0]; len(route.Fields) != 6 || route.Fields[5].Name != "p99" || p.Means[5] == nil || len(p.Peaks) != 6 || p.Peaks[5] != nil {
		t.Errorf("%+v", route)
	}
	for path, want := range map[string]int{
		"/v1/series": 200, "/v1/series/weather/shop": 404, "/v1/series/route/shop?from=x": 400, "/v1/series/route/shop?step=-1m": 400,
		"/v1/series/route/shop?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": 400,
	} {
		if rec := ask(t, s, "GET", path, nil); rec.Code != want {
			t.Errorf("%s: %d %s, want %d", path, rec.Code, rec.Body, want)
		}
	}
}

// The latency of a route and of its instances is that of all requests of the time.
func TestLatency(t *testing.T) {
	o := options(t, newWorld(t))
	o.Series = newSeries(t)
	for group, subject := range map[string]string{series.Routes: "shop@docker", series.Endpoints: "shop-1@docker"} {
		for i := range 10 {
			values := make([]float64, series.Latency+latency.Buckets)
			values[series.Requests], values[series.InFlight] = 2, 1
			values[series.Latency+10+i/9*20] = 2 // one in ten is slow
			if err := o.Series.Add(group, time.Now().Add(time.Duration(i-20)*10*time.Second), []series.Reading{{Subject: subject, Values: values}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := newServer(t, o)
	var found api.List[api.Latency]
	rec := ask(t, s, "GET", "/v1/latency?service=shop&since=10m", nil)
	if err := json.Unmarshal(rec.Body.Bytes(), &found); err != nil || rec.Code != 200 || len(found.Items) < 2 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for i, kind := range []string{"route", "endpoint"} {
		l := found.Items[i]
		if l.Kind != kind || l.Route != "shop@docker" || l.Requests == nil || *l.Requests != 2 || *l.InFlight != 1 || !(*l.P50 < .001 && *l.P95 > 5**l.P50 && *l.P99 == *l.P95) {
			t.Errorf("%d: %s", i, rec.Body)
		}
	}
	for path, want := range map[string]int{"since=-1h": 400, "since=800h": 400, "since=x": 400, "service=none": 200} {
		if rec := ask(t, s, "GET", "/v1/latency?"+path, nil); rec.Code != want {
			t.Errorf("%s: %d %s, want %d", path, rec.Code, rec.Body, want)
		}
	}
}

// usedWorld has an engine that counted a request.
type usedWorld struct{ *world }

func (usedWorld) Traffic() []traffic.Totals {
	return []traffic.Totals{{Route: "shop@docker", Last: day(3)}, {Route: "", Last: day(3)}}
}

// The last request of a route is that of this run, or else one from before.
func TestLastRequest(t *testing.T) {
	w := newWorld(t)
	o := options(t, w)
	before := map[string]time.Time{"shop@docker": day(1)}
	for _, route := range w.table.Routes[1:] {
		before[route.ID] = day(2)
	}
	o.Engine = usedWorld{w}
	o.LastRequests = func() map[string]time.Time { return before }
	var found api.List[api.Route]
	rec := ask(t, newServer(t, o), "GET", "/v1/routes", nil)
	if err := json.Unmarshal(rec.Body.Bytes(), &found); err != nil || len(found.Items) < 2 {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	for _, route := range found.Items {
		want := day(2)
		if route.ID == "shop@docker" {
			want = day(3)
		}
		if !route.LastRequest.Equal(want) {
			t.Errorf("%s: %s, want %s", route.ID, route.LastRequest, want)
		}
	}
}
