package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/control"
	"fairway/internal/feed"
	"fairway/internal/history"
	"fairway/internal/metrics"
	"fairway/internal/notify"
	"fairway/internal/notify/observe"
	"fairway/internal/route"
	"fairway/internal/rules"
	"fairway/internal/series"
	"fairway/internal/swarmservice"
	"fairway/internal/usage"
)

// newWatching makes what follows everything over time: notifications, series, rules.
func (a *App) newWatching(m *metrics.Set, reports *feed.Feed[condition.Report]) (err error) {
	cfg := &a.cfg
	settle := cfg.Notify.Settle
	if settle == 0 {
		settle = -1 // the zero of notify is its default
	}
	host, _ := os.Hostname() // without one there is still a name below
	a.notifier, err = notify.New(notify.Options{
		Dir: cfg.StateDir, Feed: a.feed, Channels: cfg.Notify.Channels, Settle: settle,
		From: cmp.Or(cfg.Notify.Name, host, "fairway"), Logger: a.log.With("part", "notify"), Metrics: m,
	})
	if err != nil {
		return err
	}
	a.lifecycle.OnStop("notifications", func(context.Context) error { return a.notifier.Close() })
	if err := a.newSeries(m); err != nil {
		return err
	}
	if err := a.newRules(m); err != nil {
		return err
	}
	observer := observe.Observer{
		Notifier: a.notifier, Tables: a.control.Tables(), Reports: reports, Settle: max(0, settle), Drained: a.drained,
		Synced: func() bool { return a.control.Status().State == control.StateSynced },
	}
	a.parts = append(a.parts, a.notifier.Run, observer.Run, a.rules.Run)
	return nil
}

func (a *App) newRules(m *metrics.Set) (err error) {
	d := &ruleDriver{notifier: a.notifier, control: a.control, log: a.log.With("part", "rules")}
	if slices.ContainsFunc(a.cfg.Rules, func(r rules.Rule) bool { return r.Do == rules.DoScale }) {
		swarm, err := swarmservice.New(SwarmOptions(&a.cfg, a.env))
		if err != nil {
			return err
		}
		a.lifecycle.OnStop("swarm of rules", func(context.Context) error { swarm.Close(); return nil })
		d.swarm = swarm
	}
	fired, still := map[string]time.Time{}, map[string]bool{}
	for _, e := range a.notifier.Standing() {
		named := func(r rules.Rule) bool { return r.Name == e.Name }
		if e.Kind == notify.RuleFired && slices.ContainsFunc(a.cfg.Rules, named) {
			fired[e.Subject], still[e.Subject] = e.At, true
		}
	}
	a.notifier.Forget(notify.RuleFired, func(subject string) bool { return !still[subject] }) // of rules that are gone
	a.rules, err = rules.New(rules.Options{
		Rules: a.cfg.Rules, Driver: d, Fired: fired, Logger: d.log, Metrics: m,
		World: func() *rules.World {
			now := time.Now()
			world := &rules.World{Now: now, Snapshot: a.feed.Newest(), Sources: a.collector.Sources()}
			if a.series != nil {
				world.Readings = func(group string) map[string][]float64 {
					return a.series.Newest(group, now, 3*a.cfg.Series.Every+usage.CallTimeout)
				}
			}
			return world
		},
	})
	return err
}

// newSeries makes the series and what fills them, if any are to be kept.
func (a *App) newSeries(m *metrics.Set) (err error) {
	cfg, log := &a.cfg, a.log.With("part", "series")
	if cfg.Series.Every == 0 {
		return nil
	}
	a.series, err = series.Open(series.Options{
		Dir: filepath.Join(cfg.StateDir, "series"), Groups: series.StandardGroups(cfg.Series.Subjects),
		Every: cfg.Series.Every, Logger: log, Metrics: m,
	})
	if err != nil {
		return err
	}
	a.lifecycle.OnStop("series", func(context.Context) error { return a.series.Close() })
	o := usage.RecorderOptions{
		Store: a.series, Every: cfg.Series.Every, Snapshot: a.feed.Newest, Traffic: a.engine.Traffic,
		Endpoints: a.engine.EndpointTotals, Table: func() *route.Table { return a.control.Table() }, Logger: log,
	}
	if len(cfg.Docker)+len(cfg.Swarm) > 0 {
		if o.Meter, err = usage.NewMeter(MeterOptions(cfg, a.env, "")); err != nil {
			return err
		}
		a.lifecycle.OnStop("meter", func(context.Context) error { o.Meter.Close(); return nil })
	}
	recorder := usage.NewRecorder(o)
	a.lastRequests = recorder.LastRequests
	a.parts = append(a.parts, recorder.Run)
	return nil
}

// scaler changes the number of tasks of a service, unless it has changed meanwhile.
type scaler interface {
	ScaleFrom(ctx context.Context, service string, from, to uint64) error
}

// ruleDriver carries out what rules decide.
type ruleDriver struct {
	notifier *notify.Notifier
	control  *control.Control
	swarm    scaler // nil when no rule scales
	log      *slog.Logger
}

// Report notifies of what a rule did.
func (d *ruleDriver) Report(e notify.Event) { _ = d.notifier.Report(e) } // errors are logged

func operatorOf(rule string) string { return "rule " + rule }

// Drain gives a command as an operator would. A drain of an operator stays as it is.
func (d *ruleDriver) Drain(ctx context.Context, subject catalog.Subject, rule, why string) error {
	for _, c := range d.control.Commands() {
		if c.Kind == control.CommandDrain && c.Subject.Same(subject) {
			return nil
		}
	}
	_, err := d.control.Give(ctx, control.Command{Kind: control.CommandDrain, Subject: subject, Operator: operatorOf(rule), Message: why})
	return err
}

// Undrain revokes a drain that the rule gave; drains of others stay.
func (d *ruleDriver) Undrain(ctx context.Context, subject catalog.Subject, rule string) error {
	for _, c := range d.control.Commands() {
		if c.Kind != control.CommandDrain || !c.Subject.Same(subject) || c.Operator != operatorOf(rule) {
			continue
		}
		if _, err := d.control.TakeBack(ctx, c.ID, operatorOf(rule), "the rule has cleared"); err != nil && !errors.Is(err, history.ErrNotFound) {
			return err
		}
	}
	return nil
}

// Scale changes the number of instances of a service of the Swarm.
func (d *ruleDriver) Scale(ctx context.Context, service string, from, to int) error {
	if d.swarm == nil {
		return errors.New("no Swarm")
	}
	name, _, _ := strings.Cut(service, "@")
	return d.swarm.ScaleFrom(ctx, name, uint64(from), uint64(to))
}
