package app

import (
	"context"
	"log/slog"

	"fairway/internal/api"
	"fairway/internal/compile"
	"fairway/internal/engine/haproxy"
	"fairway/internal/plan"
	"fairway/internal/route"
)

// Settings are what labels are read by.
func Settings(ctx context.Context, cfg *Config, environ []string) (compile.Settings, error) {
	flow, err := readDockerFlow(cfg, environ, secretsDir())
	if err != nil {
		return compile.Settings{}, err
	}
	settings := flow.settings(cfg)
	if cfg.Engine == EngineHAProxy {
		settings.Unsupported = haproxy.UnsupportedBy(ctx, cfg.HAProxy.Path)
	}
	return settings, nil
}

// Doctor asks the sources of cfg about a name; see plan.Diagnose.
func Doctor(ctx context.Context, cfg Config, o Options, name string) ([]api.Diagnosis, error) {
	a := &App{cfg: cfg, env: Environment(o.Environ), log: slog.New(slog.DiscardHandler)}
	// The undoing of clients cannot fail.
	defer func() { _ = a.lifecycle.Stop(context.WithoutCancel(ctx)) }()
	sources, err := a.newSources(nil)
	if err != nil {
		return nil, err
	}
	settings, err := Settings(ctx, &cfg, o.Environ)
	if err != nil {
		return nil, err
	}
	return plan.Diagnose(ctx, sources, settings, name)
}

func (a *App) planOptions(settings compile.Settings) plan.Options {
	o := plan.Options{Settings: settings, Current: a.control.Compiled, Holds: func() (kinds []string) {
		for _, command := range a.control.Commands() {
			if command.Hold != nil {
				kinds = append(kinds, string(command.Kind))
			}
		}
		return kinds
	}}
	for _, u := range a.cfg.Docker {
		o.Engines = append(o.Engines, dockerSourceName(u))
	}
	if len(a.cfg.Swarm) > 0 {
		o.Swarms = []string{swarmSourceName}
	}
	if p, ok := a.engine.(interface {
		Preview(before, after *route.Table) (was, then string, err error)
	}); ok {
		o.Preview = p.Preview
	}
	return o
}
