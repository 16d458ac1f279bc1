package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/dockerapi"
	"fairway/internal/fleet"
	"fairway/internal/fleet/driver"
)

// newFleet makes the fleet and the server of its documents; nothing without a
// fleet file.
func (a *App) newFleet(environ []string, metrics prometheus.Registerer) error {
	cfg := &a.cfg
	if cfg.Fleet.File == "" {
		return nil
	}
	env := environment(environ)
	log := a.log.With("part", "fleet")
	var err error
	a.fleet, err = fleet.New(fleet.Options{
		Path: cfg.Fleet.File, Documents: a.history, Records: a.history, Logger: log, Registerer: metrics, OnEnded: a.reportRollout,
		NewEngine: func(url string) (driver.Engine, error) { return dockerapi.New(dockerOptions(url, cfg, env)) },
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
