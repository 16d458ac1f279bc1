package app

import (
	"cmp"
	"context"
	"os"
	"slices"
	"time"

	"fairway/internal/acme"
	"fairway/internal/acme/setup"
	"fairway/internal/compile"
	"fairway/internal/engine/certs"
	"fairway/internal/metrics"
	"fairway/internal/notify"
	"fairway/internal/route"
)

// newACME makes what gets certificates, where that is configured. It runs once there are
// tables.
func (a *App) newACME(o Options, m *metrics.Set, settings *compile.Settings) (err error) {
	if !a.cfg.ACME.On() {
		return nil
	}
	host, _ := os.Hostname() // it is named without, too
	a.acme, err = setup.Open(context.Background(), &a.cfg.ACME, setup.Parts{
		StateDir: a.cfg.StateDir, Recompile: a.recompile, Report: a.reportACME, Name: cmp.Or(a.cfg.Notify.Name, host), Version: o.Version,
		Inventory: func(t *route.Table) *certs.Inventory { return a.certificates.Exact(t, time.Now()) },
		Logger:    a.log.With("part", "acme"), Metrics: m,
	})
	if err != nil {
		return err
	}
	a.lifecycle.OnStop("acme", func(context.Context) error { return a.acme.Close() })
	settings.Own, a.flow.found = a.acme.Challenges, slices.Concat(a.acme.Certificates(), a.flow.found)
	a.parts = append(a.parts, func(ctx context.Context) error { return a.acme.Run(ctx, a.control.Tables()) })
	return nil
}

// reportACME reports what begins or ends as the condition of a certificate.
func (a *App) reportACME(e acme.Event) {
	event := notify.Event{Kind: notify.CertificateGood, Subject: "certificate/acme/" + e.Name, Name: e.Subject(), Text: e.Text}
	if e.Failed {
		event.Kind = notify.CertificateBad
	}
	_ = a.notifier.Report(event) // errors are logged
}
