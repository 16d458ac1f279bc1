package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"fairway/internal/condition"
	"fairway/internal/control"
	names "fairway/internal/dns/server"
	"fairway/internal/engine/certs"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

// newConditions makes what judges how everything is doing, and shows it in metrics.
// nameServer may be nil.
func (a *App) newConditions(m *metrics.Set, nameServer *names.Server) *condition.Keeper {
	rates := condition.NewRates(a.engine.Traffic)
	a.certificates.Measure(m, a.control.Table)
	keeper := condition.NewKeeper(func(now time.Time) condition.World {
		live := a.control.Table()
		w := condition.World{
			Now: now, Snapshot: a.feed.Newest(), Live: live, Pending: a.control.Status().Pending,
			Sources: a.collector.Sources(), Endpoints: a.engine.Endpoints(),
			Rates: rates.At(now), Certificates: a.certificates.Of(live, now).Fault,
		}
		_, w.Compiled = a.control.Compiled()
		if nameServer != nil {
			w.Names = nameServer.Findings()
		}
		for _, c := range a.control.Commands() {
			if c.Hold != nil || c.Kind == control.CommandMaintenance {
				w.Holds = append(w.Holds, holdOf(c))
			}
		}
		return w
	})
	keeper.Measure(m)
	a.parts = append(a.parts, func(ctx context.Context) error { return keeper.Run(ctx, a.control.Table) })
	return keeper
}

// newCoverage makes what knows the certificates: of routes, of the admin API and of the fleet.
func newCoverage(cfg *Config, log *slog.Logger) *certs.Coverage {
	var own []route.Listener
	for _, of := range []struct{ name, cert, key string }{{"admin", cfg.Admin.TLSCert, cfg.Admin.TLSKey}, {"fleet", cfg.Fleet.TLSCert, cfg.Fleet.TLSKey}} {
		if of.cert != "" {
			own = append(own, route.Listener{Name: of.name, TLS: true, Certificates: []route.Certificate{{CertFile: of.cert, KeyFile: of.key}}})
		}
	}
	return certs.NewCoverage(log, cfg.LabelFiles, own...)
}

// holdOf is a rollback, pin or maintenance as conditions show it.
func holdOf(c control.Command) condition.Hold {
	h := condition.Hold{Since: c.Since, Undo: c.Undo(), Maintenance: c.Kind == control.CommandMaintenance}
	text := ""
	switch c.Kind {
	case control.CommandMaintenance:
		text = "maintenance of " + c.Subject.Service
		h.Services = map[string]bool{c.Subject.Service: true}
	case control.CommandRollback:
		text = fmt.Sprintf("rollback to entry %d", c.Hold.Entry)
	case control.CommandPin:
		text = fmt.Sprintf("pin of entry %d", c.Hold.Entry)
	}
	text += " by " + cmp.Or(c.Operator, "an unnamed operator")
	if c.Message != "" {
		text += " (" + c.Message + ")"
	}
	h.Command = text
	if c.Hold != nil && c.Hold.Release == control.ReleaseByLabels {
		h.Services = map[string]bool{}
		for id := range c.Hold.Services {
			h.Services[id] = true
		}
	}
	return h
}
