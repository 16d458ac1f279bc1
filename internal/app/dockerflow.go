package app

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/discovery"
	"fairway/internal/discovery/certificates"
	"fairway/internal/discovery/posted"
	"fairway/internal/dockerflow"
	"fairway/internal/dockerflow/env"
	"fairway/internal/dockerflow/statistics"
	"fairway/internal/engine/embedded"
	"fairway/internal/engine/haproxy"
	"fairway/internal/metrics"
	"fairway/internal/owners"
)

// dockerFlow is compatibility with Docker Flow: labels, variables and the two HTTP APIs.
type dockerFlow struct {
	cfg DockerFlowConfig
	env *env.Environment
	log *slog.Logger
	// The sources behind the proxy's API; nil without it.
	posted       *posted.Source
	certificates *certificates.Source
	found        []catalog.Certificate // at start

	waiting func() string // what the proxy's API still lacks; nil when off
}

func (c DockerFlowProxyConfig) on() bool    { return c.Listen != "" && c.Listen != Off }
func (c DockerFlowListenerConfig) on() bool { return c.Listen != "" && c.Listen != Off }

// labels reports whether labels of Docker Flow are read.
func (f *dockerFlow) labels() bool { return f.cfg.Proxy.on() || f.cfg.Labels }

// readDockerFlow translates the environment, with the Docker secrets.
func readDockerFlow(cfg *Config, environ []string, secrets fs.FS) (*dockerFlow, error) {
	f := &dockerFlow{cfg: cfg.DockerFlow}
	f.cfg.Labels = f.cfg.Labels || cfg.Dialects.Flow()
	on := env.Parts{Proxy: f.labels(), Listener: f.cfg.Listener.on(), HAProxy: cfg.Engine == EngineHAProxy}
	var err error
	if f.env, err = env.Read(Environment(environ), secrets, on); err != nil {
		return nil, fmt.Errorf("variables of Docker Flow: %w", err)
	}
	return f, nil
}

// newDockerFlow also makes the sources. The state directory exists.
func newDockerFlow(cfg *Config, environ []string, secrets fs.FS, log *slog.Logger) (*dockerFlow, error) {
	f, err := readDockerFlow(cfg, environ, secrets)
	if err != nil {
		return nil, err
	}
	cfg.Dialects.Warn(log)
	f.log = log.With("part", "dockerflow")
	for _, notice := range f.env.Notices {
		f.log.Warn("variable of Docker Flow is left out", "reason", notice)
	}
	if !f.cfg.Proxy.on() {
		return f, nil
	}
	if f.posted, err = posted.New(posted.Options{Path: filepath.Join(cfg.StateDir, "posted.json"), Logger: f.log}); err != nil {
		return nil, err
	}
	if _, err := f.posted.Replace("environment", f.env.Services); err != nil {
		return nil, err
	}
	f.certificates, err = certificates.New(certificates.Options{
		Dir: f.cfg.Proxy.Certificates, Preferred: f.env.Preferred, Logger: f.log, May: owners.New(cfg.Owners).Uploads(posted.Name),
		More: []certificates.Dir{{Path: "/certs"}, {Path: compile.FlowSecrets, Prefixes: []string{"cert-", "cert_"}}},
	})
	if err != nil {
		return nil, err
	}
	if f.found, err = f.certificates.Read(); err != nil {
		f.log.Error("certificates cannot be read, trying again", "error", err)
	}
	return f, nil
}

// sources are those behind the APIs; a nil f has none.
func (f *dockerFlow) sources() []discovery.Source {
	if f == nil || f.posted == nil {
		return nil
	}
	return []discovery.Source{f.posted, f.certificates}
}

// settings are those of the compiler, with the listeners that the environment asks for.
func (f *dockerFlow) settings(cfg *Config) compile.Settings {
	s := compile.Settings{Listeners: f.env.ListenersOf(cfg.Listeners()), UserDirs: append([]string{}, cfg.LabelFiles...), Reserved: cfg.ownPorts(), Owners: owners.New(cfg.Owners)}
	_, s.ErrorPages = cfg.errorPages()
	cfg.Dialects.Settings(&s, cfg.TLS.Certificates)
	s.RedirectObtained = cfg.ACME.On() && cfg.ACME.Redirect
	s.Defaults, _ = cfg.compiledDefaults() // checked before
	if port := portOf(cfg.ListenTLS); port != 443 {
		s.HTTPSPort = port
	}
	for _, text := range cfg.TCPPorts {
		if ports, err := parsePortRange(text); err == nil {
			s.TCPPorts = append(s.TCPPorts, ports)
		}
	}
	if f.labels() {
		if cfg.Engine == EngineHAProxy {
			f.env.Labels.Snippets = cfg.HAProxy.Snippets
		}
		s.DockerFlow = &f.env.Labels
	}
	return s
}

// userDirs are the directories below which the engine opens user files.
func (f *dockerFlow) userDirs(cfg *Config) []string {
	dirs := slices.Clone(cfg.LabelFiles)
	if f.labels() {
		dirs = append(dirs, compile.FlowSecrets)
	}
	return dirs
}

// bindDockerFlow makes the APIs and binds their addresses.
func (a *App) bindDockerFlow(m *metrics.Set, shown func(key, value string) string) error {
	f := a.flow
	serve := func(key, address string, handler http.Handler, run func(context.Context) error) error {
		a.parts = append(a.parts, run)
		return a.listen(key, address, &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			ReadTimeout:       30 * time.Second,
			WriteTimeout:      time.Minute,
			IdleTimeout:       time.Minute,
			ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		}, nil)
	}
	if f.cfg.Proxy.on() {
		o, tables := f.env.ProxyOptions, a.control.Tables()
		if own := portOf(f.cfg.Proxy.Listen); own != 0 && o.Port == "" {
			o.Port = strconv.Itoa(int(own))
		}
		o.Posted, o.Certificates, o.Catalogue, o.Tables, o.ShownLabel, o.Logger = f.posted, f.certificates, a.feed, tables, shown, f.log
		o.Metrics = m
		switch e := a.engine.(type) {
		case *haproxy.Engine:
			o.ConfigText, o.Statistics = e.ConfigText, e.Statistics
		case *embedded.Engine:
			o.Statistics = statistics.CSV{Engine: e, Tables: tables}.Read
		}
		p, err := dockerflow.NewProxy(o)
		if err != nil {
			return err
		}
		f.waiting = p.Waiting
		if err := serve("dockerflow.proxy.listen", f.cfg.Proxy.Listen, p, p.Run); err != nil {
			return err
		}
	}
	if f.cfg.Listener.on() {
		o := f.env.ListenerOptions
		o.Catalogue, o.ShownLabel, o.Logger = a.feed, shown, f.log
		d, err := dockerflow.NewListener(o)
		if err != nil {
			return err
		}
		return serve("dockerflow.listener.listen", f.cfg.Listener.Listen, d, d.Run)
	}
	return nil
}

func secretsDir() fs.FS { return os.DirFS(compile.FlowSecrets) }
