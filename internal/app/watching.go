package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/catalog"
	"fairway/internal/control"
	"fairway/internal/dockerapi"
	"fairway/internal/fleet"
	"fairway/internal/fleet/driver"
	"fairway/internal/history"
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
	series   *series.Store // nil when none are kept
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
	if err := w.newSeries(a, feed, environ, metrics); err != nil {
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
	fired, still := map[string]time.Time{}, map[string]bool{}
	for _, e := range w.notifier.Standing() {
		named := func(r rules.Rule) bool { return r.Name == e.Name }
		if e.Kind == notify.RuleFired && slices.ContainsFunc(a.cfg.Rules, named) {
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

// newSeries opens the series and makes what fills them, if any are to be kept.
func (w *watching) newSeries(a *App, feed *catalog.Feed, environ []string, metrics prometheus.Registerer) (err error) {
	cfg, log := &a.cfg, a.log.With("part", "series")
	if cfg.Series.Every == 0 {
		return nil
	}
	w.series, err = series.Open(series.Options{
		Dir: filepath.Join(cfg.StateDir, "series"), Groups: series.StandardGroups(cfg.Series.Subjects),
		Every: cfg.Series.Every, Logger: log, Registerer: metrics,
	})
	if err != nil {
		return err
	}
	a.lifecycle.onStop("series", func(context.Context) error { return w.series.Close() })
	o := usage.RecorderOptions{Store: w.series, Every: cfg.Series.Every, Snapshot: feed.Newest, Traffic: a.engine.Traffic, Logger: log}
	if len(cfg.Docker)+len(cfg.Swarm) > 0 {
		if o.Meter, err = usage.NewMeter(MeterOptions(cfg, environ, "")); err != nil {
			return err
		}
		a.lifecycle.onStop("meter", func(context.Context) error { o.Meter.Close(); return nil })
	}
	w.parts = append(w.parts, usage.NewRecorder(o).Run)
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

// operatorOf is the name of a rule among the operators.
func operatorOf(rule string) string { return "rule " + rule }

// Drain gives a command as an operator would. A drain of an operator stays as it is.
func (d *ruleDriver) Drain(ctx context.Context, subject catalog.Subject, rule, why string) error {
	for _, c := range d.control.Commands() {
		if c.Kind == control.CommandDrain && c.Subject.Same(subject) {
			return nil
		}
	}
	_, err := d.control.Give(ctx, control.Order{Kind: control.CommandDrain, Subject: subject, Operator: operatorOf(rule), Message: why})
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

// newFleet makes the fleet and the server of its documents; nothing without a
// fleet file.
func (a *App) newFleet(metrics prometheus.Registerer) error {
	cfg := &a.cfg
	if cfg.Fleet.File == "" {
		return nil
	}
	log := a.log.With("part", "fleet")
	var err error
	a.fleet, err = fleet.New(fleet.Options{
		Path: cfg.Fleet.File, Documents: a.history, Records: a.history, Logger: log, Registerer: metrics, OnEnded: a.reportRollout,
		NewEngine: func(url string) (driver.Engine, error) { return dockerapi.New(dockerOptions(url, cfg, a.env)) },
	})
	if err != nil {
		return err
	}
	a.lifecycle.onStop("fleet", func(context.Context) error { a.fleet.Close(); return nil })
	if cfg.Fleet.Listen == Off {
		return nil
	}
	a.documents, err = fleet.NewServer(a.fleet, fleet.ServerOptions{
		Listen: cfg.Fleet.Listen, CertFile: cfg.Fleet.TLSCert, KeyFile: cfg.Fleet.TLSKey, ClientCAFile: cfg.Fleet.ClientCA, Logger: log,
	})
	if err != nil {
		return err
	}
	a.lifecycle.onStop("documents", func(context.Context) error { return a.documents.Close() })
	return nil
}

// reportRollout reports how a rollout of the fleet has ended.
func (a *App) reportRollout(r fleet.Rollout) {
	_ = a.watching.notifier.Report(rolloutEvent(r)) // errors are logged
}

func rolloutEvent(r fleet.Rollout) notify.Event {
	e := notify.Event{
		Kind: notify.RolloutDone, Subject: "document/" + r.Document, Name: r.Document,
		Text:    fmt.Sprintf("revision %d of document %s is on all hosts", r.Revision, r.Document),
		Details: map[string]string{"author": r.Author, "message": r.Message, "rollout": strconv.FormatUint(r.Number, 10)},
	}
	if r.Phase != fleet.Done {
		e.Kind = notify.RolloutFailed
		e.Text = fmt.Sprintf("the rollout of revision %d of document %s ended as %s: %s", r.Revision, r.Document, r.Phase, r.Reason)
	}
	return e
}
