package app

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/compile"
	"fairway/internal/confload"
	"fairway/internal/engine/haproxy"
	"fairway/internal/plan"
	"fairway/internal/route"
)

// Check checks files; see plan.Check. Without a configuration among them, the one that Load
// would find says how labels are read.
func Check(paths, environ []string) (*plan.Checked, error) {
	return plan.Check(plan.CheckOptions{
		Paths: paths, Environ: environ,
		Configuration: func(path string, data []byte) plan.Configured { return configured(path, data, environ) },
		Default: func() (string, []byte, error) {
			return readConfig("", Environment(environ)["FAIRWAY_CONFIG"])
		},
	})
}

// configured reads a configuration for Check; no path means that there is no file.
func configured(path string, data []byte, environ []string) plan.Configured {
	loaded, err := load(path, data, LoadOptions{Environ: environ})
	var faults confload.Faults
	errors.As(err, &faults) // It returns no other errors.
	var c plan.Configured
	for _, f := range faults {
		p := plan.Problem{File: f.Origin, Code: plan.CodeConfiguration, Label: f.Key, Text: f.Reason}
		if i := strings.LastIndex(f.Origin, ":"); i >= 0 {
			if line, err := strconv.Atoi(f.Origin[i+1:]); err == nil {
				p.File, p.Line = f.Origin[:i], line
			}
		}
		if f.Value != "" {
			p.Text = strconv.Quote(f.Value) + ": " + p.Text
		}
		c.Problems = append(c.Problems, p)
	}
	if len(faults) > 0 {
		return c
	}
	settings, err := settingsOf(context.Background(), &loaded.Config, environ)
	if err != nil {
		c.Problems = append(c.Problems, plan.Problem{File: "env", Code: plan.CodeConfiguration, Text: err.Error()})
		return c
	}
	c.Settings, c.OnlySwarm = &settings, len(loaded.Config.Swarm) > 0 && len(loaded.Config.Docker) == 0
	return c
}

func settingsOf(ctx context.Context, cfg *Config, environ []string) (compile.Settings, error) {
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
	defer func() { _ = a.lifecycle.stop(context.WithoutCancel(ctx)) }()
	sources, err := a.newSources()
	if err != nil {
		return nil, err
	}
	settings, err := settingsOf(ctx, &cfg, o.Environ)
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
