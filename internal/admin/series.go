package admin

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"fairway/internal/api"
	"fairway/internal/series"
)

// seriesOperations are those on samples that are kept.
func (s *Server) seriesOperations() []operation {
	return where(s.options.Series != nil, "no readings are kept here; series.every says how often",
		list("/v1/series", s.seriesGroups),
		get("/v1/series/{group}/{subject...}", s.series).with(
			param{name: "from", form: aTime, help: "An hour before the end by default."},
			param{name: "to", form: aTime, help: "Now by default."},
			param{name: "step", form: aDuration, help: "Time between two points; as fine as is kept by default."}),
		list("/v1/latency", s.latency).with(byService, param{name: "since", form: aDuration, help: "The time that it is about, up to 744h; the last hour by default."}))
}

// longest is how long readings are kept.
const longest = 31 * 24 * time.Hour

// latency is what the routes answered and, below each, its instances.
func (s *Server) latency(r *request) (items []api.Latency, err error) {
	since, now := time.Hour, time.Now()
	if r.text("since") != "" {
		since, _ = time.ParseDuration(r.text("since")) // it was checked
	}
	if since <= 0 || since > longest {
		return nil, api.Errorf(http.StatusBadRequest, "since=%s: up to %s", since, longest)
	}
	read := func(group, subject string) (api.Latency, error) {
		found, err := s.options.Series.Query(series.Query{Group: group, Subject: subject, From: now.Add(-since), To: now})
		l := api.Latency{Name: subject}
		if err == nil && len(found.Points) > 0 {
			rates, whole := known(found.Whole.Means), found.Whole
			l.Requests, l.Errors, l.InFlight = rates[series.Requests], rates[series.Errors], rates[series.InFlight]
			times := known([]float64{whole.Quantile(.5), whole.Quantile(.95), whole.Quantile(.99)})
			l.P50, l.P95, l.P99 = times[0], times[1], times[2]
		}
		return l, err
	}
	v := r.view()
	for _, one := range v.Table.Routes {
		if !v.IsService(r.text("service"), one.Service) {
			continue
		}
		subjects := [][2]string{{series.Routes, one.ID}}
		if b := v.Table.Backend(one.Backend); b != nil {
			for _, e := range b.Endpoints {
				if of := [2]string{series.Endpoints, e.Instance + "@" + e.Source}; !slices.Contains(subjects, of) {
					subjects = append(subjects, of)
				}
			}
		}
		for _, of := range subjects {
			l, err := read(of[0], of[1])
			if err != nil {
				return nil, err
			}
			l.Kind, l.Route, l.Service = of[0], one.ID, one.Service
			items = append(items, l)
		}
	}
	return items, nil
}

// quantiles stand for the buckets of routes and endpoints, in fields named p50, p95 and p99.
func quantiles() []float64 { return []float64{0.5, 0.95, 0.99} }

func seriesFields(group string, fields []series.Field) (list []api.SeriesField) {
	for _, f := range fields {
		list = append(list, api.SeriesField{Name: f.Name, Unit: f.Unit})
	}
	if group == series.Routes || group == series.Endpoints {
		for _, q := range quantiles() {
			list = append(list, api.SeriesField{Name: fmt.Sprintf("p%.0f", 100*q), Unit: "s"})
		}
	}
	return list
}

func (s *Server) seriesGroups(*request) (items []api.SeriesGroup, err error) {
	for _, g := range s.options.Series.Groups() {
		items = append(items, api.SeriesGroup{Name: g.Name, Fields: seriesFields(g.Name, g.Fields), Subjects: s.options.Series.Subjects(g.Name)})
	}
	return items, nil
}

func (s *Server) series(r *request) (api.Series, error) {
	q := series.Query{Group: r.PathValue("group"), Subject: r.PathValue("subject"), From: r.time("from"), To: r.time("to")}
	if q.To.IsZero() {
		q.To = time.Now()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-time.Hour)
	}
	q.Step, _ = time.ParseDuration(r.text("step")) // it was checked
	if !q.From.Before(q.To) {
		return api.Series{}, api.Errorf(http.StatusBadRequest, "the time to begin is not before the time to end")
	}
	found, err := s.options.Series.Query(q)
	if err != nil {
		return api.Series{}, err
	}
	out := api.Series{Group: q.Group, Subject: q.Subject, Fields: seriesFields(q.Group, found.Fields), Step: found.Step.String(), Points: []api.SeriesPoint{}}
	for _, p := range found.Points {
		means, peaks := p.Means, p.Peaks
		if len(p.Buckets) > 0 {
			for _, q := range quantiles() {
				means, peaks = append(means, p.Quantile(q)), append(peaks, math.NaN())
			}
		}
		out.Points = append(out.Points, api.SeriesPoint{At: p.At, Means: known(means), Peaks: known(peaks)})
	}
	return out, nil
}

// known makes numbers that are not known nil, as JSON wants it.
func known(values []float64) []*float64 {
	list := make([]*float64, len(values))
	for i, v := range values {
		if !math.IsNaN(v) {
			list[i] = &v
		}
	}
	return list
}
