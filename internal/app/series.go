package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/series"
	"fairway/internal/usage"
)

// SeriesConfig is the keys below series.
type SeriesConfig struct {
	Every    time.Duration `name:"every" placeholder:"DURATION" preset:"10s" help:"Interval for recording the usage of containers and the traffic of routes, 1s to 1m; 0s for never."`
	Subjects int           `name:"subjects" placeholder:"N" preset:"500" help:"Maximum number each of instances, services and routes to record; a tenth for nodes. It sets the size of the files: docs/rules.md."`
}

func (v *validation) series(c *SeriesConfig) {
	if c.Every != 0 {
		v.duration("series.every", c.Every, time.Second, time.Minute)
		if c.Every >= time.Second && (2*time.Minute)%c.Every != 0 {
			v.add("series.every", c.Every.String(), "two minutes must be a multiple of it: 1s, 2s, 5s, 10s, 15s, 20s, 30s or 1m")
		}
	}
	v.number("series.subjects", c.Subjects, 10, 20_000)
}

// newRecorder opens the series and makes what fills them; both are nil when none are
// to be kept.
func (a *App) newRecorder(feed *catalog.Feed, environ []string, metrics prometheus.Registerer) (*series.Store, *usage.Recorder, error) {
	cfg, log := &a.cfg, a.log.With("part", "series")
	if cfg.Series.Every == 0 {
		return nil, nil, nil
	}
	store, err := series.Open(series.Options{
		Dir: filepath.Join(cfg.StateDir, "series"), Groups: series.StandardGroups(cfg.Series.Subjects),
		Every: cfg.Series.Every, Logger: log, Registerer: metrics,
	})
	if err != nil {
		return nil, nil, err
	}
	a.lifecycle.onStop("series", func(context.Context) error { return store.Close() })
	o := usage.RecorderOptions{Store: store, Every: cfg.Series.Every, Snapshot: feed.Newest, Traffic: a.engine.Traffic, Logger: log}
	if len(cfg.Docker)+len(cfg.Swarm) > 0 {
		if o.Meter, err = usage.NewMeter(MeterOptions(cfg, environ, "")); err != nil {
			return nil, nil, err
		}
		a.lifecycle.onStop("meter", func(context.Context) error { o.Meter.Close(); return nil })
	}
	return store, usage.NewRecorder(o), nil
}

// seriesView shows the series to the admin API.
type seriesView struct{ store *series.Store }

// latencies are the fields that stand for the counts of a route.
var latencies = []struct {
	name string
	q    float64
}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}}

func seriesFields(g string, fields []series.Field) []api.SeriesField {
	var list []api.SeriesField
	for i, f := range fields {
		if g != series.Routes || i < series.Latency {
			list = append(list, api.SeriesField{Name: f.Name, Unit: f.Unit})
		}
	}
	if g == series.Routes {
		for _, l := range latencies {
			list = append(list, api.SeriesField{Name: l.name, Unit: "s"})
		}
	}
	return list
}

// Groups lists what is kept.
func (v seriesView) Groups() []api.SeriesGroup {
	list := []api.SeriesGroup{}
	for _, g := range v.store.Groups() {
		group := api.SeriesGroup{Name: g.Name, Fields: seriesFields(g.Name, g.Fields), Subjects: []api.SeriesSubject{}}
		for _, s := range v.store.Subjects(g.Name) {
			group.Subjects = append(group.Subjects, api.SeriesSubject{Name: s.Name, Newest: s.Newest})
		}
		list = append(list, group)
	}
	return list
}

// Query answers for one subject.
func (v seriesView) Query(group, subject string, q api.SeriesQuery) (api.Series, error) {
	found, err := v.store.Query(series.Query{Group: group, Subject: subject, From: q.From, To: q.To, Step: q.Step})
	switch {
	case errors.Is(err, series.ErrUnknown):
		return api.Series{}, failure(http.StatusNotFound, fmt.Sprintf("no group %q of readings", group))
	case err != nil:
		return api.Series{}, err
	}
	s := api.Series{Group: group, Subject: subject, Fields: seriesFields(group, found.Fields), Step: found.Step.String(), Points: []api.SeriesPoint{}}
	for _, p := range found.Points {
		means, peaks := p.Means, p.Peaks
		if group == series.Routes {
			means, peaks = append([]float64(nil), p.Means[:series.Latency]...), append([]float64(nil), p.Peaks[:series.Latency]...)
			for _, l := range latencies {
				means, peaks = append(means, series.Quantile(p.Means, l.q)), append(peaks, math.NaN())
			}
		}
		s.Points = append(s.Points, api.SeriesPoint{At: p.At, Means: known(means), Peaks: known(peaks)})
	}
	return s, nil
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
