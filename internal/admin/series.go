package admin

import (
	"math"
	"net/http"
	"slices"
	"time"

	"fairway/internal/api"
	"fairway/internal/series"
)

// seriesOperations are those on samples that are kept.
func (s *Server) seriesOperations() []operation {
	all := []operation{
		list("/v1/series", s.seriesGroups),
		get("/v1/series/{group}/{subject...}", s.series).with(
			param{name: "from", form: aTime, help: "An hour before the end by default."},
			param{name: "to", form: aTime, help: "Now by default."},
			param{name: "step", form: aDuration, help: "Time between two points; as fine as is kept by default."}),
	}
	for i := range all {
		serve := all[i].serve
		all[i].refusals = append(all[i].refusals, http.StatusServiceUnavailable)
		all[i].serve = func(r *request) error {
			if s.options.Series == nil {
				return api.Errorf(http.StatusServiceUnavailable, "no readings are kept here; series.every says how often")
			}
			return serve(r)
		}
	}
	return all
}

// quantiles are the fields that stand for the counts of a route.
func quantiles() []struct {
	name string
	q    float64
} {
	return []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}}
}

func seriesFields(group string, fields []series.Field) (list []api.SeriesField) {
	for i, f := range fields {
		if group != series.Routes || i < series.Latency {
			list = append(list, api.SeriesField{Name: f.Name, Unit: f.Unit})
		}
	}
	if group == series.Routes {
		for _, q := range quantiles() {
			list = append(list, api.SeriesField{Name: q.name, Unit: "s"})
		}
	}
	return list
}

func (s *Server) seriesGroups(*request) (items []api.SeriesGroup, err error) {
	for _, g := range s.options.Series.Groups() {
		group := api.SeriesGroup{Name: g.Name, Fields: seriesFields(g.Name, g.Fields), Subjects: []api.SeriesSubject{}}
		for _, one := range s.options.Series.Subjects(g.Name) {
			group.Subjects = append(group.Subjects, api.SeriesSubject{Name: one.Name, Newest: one.Newest})
		}
		items = append(items, group)
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
		if q.Group == series.Routes {
			means, peaks = slices.Clone(p.Means[:series.Latency]), slices.Clone(p.Peaks[:series.Latency])
			for _, one := range quantiles() {
				means, peaks = append(means, series.Quantile(p.Means, one.q)), append(peaks, math.NaN())
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
