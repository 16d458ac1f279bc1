package ui

import (
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
)

// seriesOf is a series with one reading of each field.
func seriesOf(fields ...api.SeriesField) *api.Series {
	s := &api.Series{Step: "1m", Fields: fields}
	for i := range 30 {
		v := float64(i + 1)
		point := api.SeriesPoint{At: now().Add(-time.Duration(30-i) * time.Minute)}
		for range fields {
			point.Means = append(point.Means, &v)
		}
		s.Points = append(s.Points, point)
	}
	return s
}

// The page of a service has the requests, latency and what is in flight of its routes,
// what it uses, and both of each instance; every chart says so in words, too.
func TestChartsOfAService(t *testing.T) {
	a := everything(plainText)
	answered := seriesOf(api.SeriesField{Name: "requests", Unit: "1/s"}, api.SeriesField{Name: "errors", Unit: "1/s"}, api.SeriesField{Name: "in-flight"},
		api.SeriesField{Name: "p50", Unit: "s"}, api.SeriesField{Name: "p95", Unit: "s"}, api.SeriesField{Name: "p99", Unit: "s"})
	used := seriesOf(api.SeriesField{Name: "cpu", Unit: "percent"}, api.SeriesField{Name: "memory", Unit: "bytes"})
	a["/v1/routes"].(*api.List[api.Route]).Items[0].Service = a["/v1/services"].(*api.List[api.Service]).Items[0].ID
	delete(a, "/v1/series/")
	for group, s := range map[string]*api.Series{"route": answered, "endpoint": answered, "service": used, "instance": used} {
		a["/v1/series/"+group+"/"] = s
	}
	body := get(t, newPages(t), a, paths(a)["service"]).Body.String()
	for _, want := range []string{
		`role="img" tabindex="0" aria-label="requests, last 33 min: requests least 1/s, latest 30/s, greatest 30/s; errors least 1/s, latest 30/s, greatest 30/s" data-points="{&#34;names&#34;:[&#34;requests&#34;,&#34;errors&#34;]`,
		`aria-label="latency, last 33 min: p50 least 1 s, latest 30 s, greatest 30 s; p95 least`, `aria-label="in flight, last 33 min: least 1, latest 30, greatest 30"`,
		`aria-label="CPU, last 33 min: least 1 %, latest 30 %, greatest 30 %"`,
		`<table class="rows" aria-label="Instances over time">`, `aria-label="p95, last 33 min: least 1 s, latest 30 s, greatest 30 s"`, `<small>Memory</small>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

// The page of a route has the same of the route, and of the instances that it leads to.
func TestChartsOfARoute(t *testing.T) {
	a := everything(plainText)
	r, s := &a["/v1/routes"].(*api.List[api.Route]).Items[0], &a["/v1/services"].(*api.List[api.Service]).Items[0]
	r.Service, r.Endpoints[0].Instance, r.Endpoints[0].Source = s.ID, s.Instances[0].Name, s.Instances[0].Source
	other := s.Instances[0]
	other.Name = "another"
	s.Instances = append(s.Instances, other)
	a["/v1/series/"] = seriesOf(api.SeriesField{Name: "requests", Unit: "1/s"}, api.SeriesField{Name: "p95", Unit: "s"})
	p := newPages(t)
	body := get(t, p, a, link("routes", r.ID)+"?range=24h").Body.String()
	for _, want := range []string{`aria-label="requests, last 24 h: requests least 1/s`, `aria-label="latency, last 24 h: p95 least`, `aria-label="Instances over time"`, "last request <time"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(body, "another") {
		t.Error("it has an instance that the route does not lead to")
	}
	for _, from := range []string{"/routes", link("services", s.ID)} {
		if !strings.Contains(get(t, p, a, from).Body.String(), `href="`+link("routes", r.ID)+`"`) {
			t.Errorf("%s does not lead there", from)
		}
	}
	if rec := get(t, p, a, "/routes/none"); rec.Code != 404 {
		t.Errorf("what does not exist: %d", rec.Code)
	}
}
