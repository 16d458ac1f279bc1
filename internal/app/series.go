package app

import (
	"context"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
