package admin

import (
	"fmt"
	"math"
	"net/http"
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
			param{name: "step", form: aDuration, help: "Time between two points; as fine as is kept by default."}))
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
