package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/fleet"
	"fairway/internal/fleet/driver"
	"fairway/internal/metrics"
	"fairway/internal/notify"
)

// newFleet makes the fleet, and what serves its documents; nothing without a fleet file.
func (a *App) newFleet(m *metrics.Set) (err error) {
	cfg, log := &a.cfg.Fleet, a.log.With("part", "fleet")
	if cfg.File == "" {
		return nil
	}
	a.fleet, err = fleet.New(fleet.Options{
		Path: cfg.File, Documents: a.history, Records: a.history, Logger: log, Metrics: m, OnEnded: a.reportRollout,
		NewEngine: func(url string) (driver.Engine, error) { return dockerapi.New(DockerOptions(url, &a.cfg, a.env)) },
	})
	if err != nil {
		return err
	}
	a.lifecycle.OnStop("fleet", func(context.Context) error { a.fleet.Close(); return nil })
	a.parts = append(a.parts, a.fleet.Run)
	if cfg.Listen == Off {
		return nil
	}
	conf, err := fleetTLS(cfg)
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	waiting, release := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:           a.fleet.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      90 * time.Second, // an answer may wait for one minute
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return waiting },
	}
	server.RegisterOnShutdown(release)
	if err := a.listen("fleet.listen", cfg.Listen, server, conf); err != nil {
		return err
	}
	if at, ok := a.bound["fleet.listen"].(*net.TCPAddr); ok && conf == nil && !at.IP.IsLoopback() {
		log.Warn("documents and tokens cross the network without TLS: set fleet.tls-cert and fleet.tls-key", "listen", at.String())
	}
	return nil
}

// reportRollout reports how a rollout of the fleet has ended.
func (a *App) reportRollout(r fleet.Rollout) {
	_ = a.notifier.Report(rolloutEvent(r)) // errors are logged
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

// fleetTLS is nil without a certificate, which is read again for each connection.
func fleetTLS(cfg *FleetConfig) (*tls.Config, error) {
	if cfg.TLSCert == "" && cfg.TLSKey == "" && cfg.ClientCA == "" {
		return nil, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		return &pair, err
	}
	if _, err := load(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	conf := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() },
	}
	if cfg.ClientCA != "" {
		text, err := os.ReadFile(cfg.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("client authorities: %w", err)
		}
		conf.ClientCAs = x509.NewCertPool()
		if !conf.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("client authorities: no certificate in %s", cfg.ClientCA)
		}
		conf.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return conf, nil
}
