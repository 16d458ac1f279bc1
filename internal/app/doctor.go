package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/control"
	"fairway/internal/discovery"
)

// lookTimeout bounds Doctor's look at the sources.
const lookTimeout = 10 * time.Second

// doctor asks the compiler about the newest snapshot and the live table.
type doctor struct {
	compiler *compile.Compiler
	feed     *catalog.Feed
	control  *control.Control
}

// Diagnose explains the services and instances of a name.
func (d doctor) Diagnose(name string) []api.Diagnosis {
	return diagnoses(d.compiler.Diagnose(d.feed.Newest(), d.control.Table(), name))
}

// Doctor explains the services and instances of a name without a Fairway that
// runs: it asks the sources of cfg once and compiles what they say. What only a
// running Fairway knows, such as who came first in a conflict, it judges as a
// first start would. The error tells that no source could be asked, and why.
func Doctor(ctx context.Context, cfg Config, o Options, name string) ([]api.Diagnosis, error) {
	a := &App{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	defer func() {
		// The undoing of clients cannot fail.
		_ = a.lifecycle.stop(context.WithoutCancel(ctx))
	}()
	sources, err := a.newSources(o.Environ)
	if err != nil {
		return nil, err
	}
	s, err := look(ctx, sources)
	if err != nil {
		return nil, err
	}
	flow, err := readDockerFlow(&cfg, o.Environ, secretsDir())
	if err != nil {
		return nil, err
	}
	settings := flow.settings(&cfg)
	settings.Unsupported = unsupported(ctx, &cfg)
	compiler := compile.New(settings)
	return diagnoses(compiler.Diagnose(s, compiler.Compile(s, nil), name)), nil
}

// look returns the first snapshot in which every source has answered or failed.
func look(ctx context.Context, sources []discovery.Source) (*catalog.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	feed := &catalog.Feed{}
	collector, err := discovery.New(discovery.Options{Sources: sources, Feed: feed, Settle: lookTimeout})
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- collector.Run(ctx) }()
	s, err := feed.Next(ctx, nil)
	cancel()
	if runErr := <-done; runErr != nil {
		return nil, runErr
	}
	if err != nil {
		return nil, fmt.Errorf("no source answered within %v", lookTimeout)
	}
	var failed []string
	for _, status := range s.Sources {
		if status.Stale {
			failed = append(failed, status.Name+": "+status.Error)
		}
	}
	if len(failed) == len(s.Sources) {
		return nil, errors.New(strings.Join(failed, "; "))
	}
	return s, nil
}

// diagnoses translates what the compiler found into the words of the API.
func diagnoses(found []compile.Diagnosis) []api.Diagnosis {
	out := make([]api.Diagnosis, len(found))
	for i, d := range found {
		out[i] = api.Diagnosis{Service: d.Service, Instance: d.Instance, Source: d.Source, Served: d.Served, Checks: []api.Check{}}
		for _, c := range d.Checks {
			out[i].Checks = append(out[i].Checks, api.Check{Name: c.Name, Outcome: string(c.Outcome), Text: c.Text, Hint: c.Hint})
		}
	}
	return out
}
