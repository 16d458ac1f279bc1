package app

import (
	"cmp"
	"context"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"fairway/internal/catalog"
	"fairway/internal/control"
	"fairway/internal/notify"
	"fairway/internal/notify/observe"
	"fairway/internal/rules"
	"fairway/internal/series"
	"fairway/internal/swarmservice"
	"fairway/internal/usage"
)

// watching is what follows everything over time: notifications, series, rules.
type watching struct {
	notifier *notify.Notifier
	series   *series.Store // nil when none are kept, as is recorder
	recorder *usage.Recorder
	rules    *rules.Rules
	parts    []func(context.Context) error
}

// newWatching makes it. What needs to be undone is registered with the App.
func (a *App) newWatching(feed *catalog.Feed, environ []string, metrics *prometheus.Registry) (*watching, error) {
	cfg, log := &a.cfg, a.log.With("part", "notify")
	settle := cfg.Notify.Settle
	if settle == 0 {
		settle = -1 // the zero of notify is its default
	}
	host, _ := os.Hostname() // without one there is still a name below
	w := &watching{}
	var err error
	w.notifier, err = notify.New(notify.Options{
		Dir: cfg.StateDir, Feed: feed, Channels: cfg.Notify.Channels, Settle: settle,
		From: cmp.Or(cfg.Notify.Name, host, "fairway"), Logger: log, Registerer: metrics,
	})
	if err != nil {
		return nil, err
	}
	a.lifecycle.onStop("notifications", func(context.Context) error { return w.notifier.Close() })
	if w.series, w.recorder, err = a.newRecorder(feed, environ, metrics); err != nil {
		return nil, err
	}
	if err := w.newRules(a, feed, environ, metrics); err != nil {
		return nil, err
	}
	observer := observe.Observer{
		Notifier: w.notifier, Tables: a.control.Tables(), Drained: a.drained,
		Synced: func() bool { return a.control.Status().State == control.StateSynced },
	}
	w.parts = append(w.parts, w.notifier.Run, observer.Run, w.rules.Run)
	if w.recorder != nil {
		w.parts = append(w.parts, w.recorder.Run)
	}
	return w, nil
}

// newRules makes the rules of the configuration.
func (w *watching) newRules(a *App, feed *catalog.Feed, environ []string, metrics prometheus.Registerer) error {
	h := &ruleDriver{notifier: w.notifier, control: a.control, log: a.log.With("part", "rules")}
	if slices.ContainsFunc(a.cfg.Rules, func(r rules.Rule) bool { return r.Do == rules.DoScale }) {
		swarm, err := swarmservice.New(SwarmOptions(&a.cfg, environ))
		if err != nil {
			return err
		}
		a.lifecycle.onStop("swarm of rules", func(context.Context) error { swarm.Close(); return nil })
		h.swarm = swarm
	}
	fired, names := map[string]time.Time{}, map[string]bool{}
	for _, r := range a.cfg.Rules {
		names[r.Name] = true
	}
	still := map[string]bool{}
	for _, e := range w.notifier.Standing() {
		if e.Kind == notify.RuleFired && names[e.Name] {
			fired[e.Subject], still[e.Subject] = e.At, true
		}
	}
	w.notifier.Forget(notify.RuleFired, still) // of rules that are gone
	var err error
	w.rules, err = rules.New(rules.Options{
		Rules: a.cfg.Rules, Driver: h, Fired: fired, Logger: h.log, Registerer: metrics,
		World: func() *rules.World {
			now := time.Now()
			world := &rules.World{Now: now, Snapshot: feed.Newest(), Sources: a.collector.Sources()}
			if w.series != nil {
				world.Readings = func(group string) map[string][]float64 {
					return w.series.Newest(group, now, 3*a.cfg.Series.Every+usage.CallTimeout)
				}
			}
			return world
		},
	})
	return err
}

// run runs the parts until ctx ends.
func (w *watching) run(ctx context.Context, g *errgroup.Group) {
	for _, part := range w.parts {
		g.Go(func() error { return part(ctx) })
	}
}
