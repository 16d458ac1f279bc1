package command

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"fairway/internal/app"
	"fairway/internal/console"
	"fairway/internal/fleet/agent/command"
	"fairway/internal/swarmservice"
)

type waitFlags struct {
	Detach  bool          `name:"detach" short:"d" help:"Do not wait for convergence."`
	Timeout time.Duration `name:"timeout" placeholder:"DURATION" default:"5m" help:"Maximum time to wait. The change goes on."`
	Settle  time.Duration `name:"settle" placeholder:"DURATION" default:"5s" help:"Time that all tasks must run without a change."`
}

type serviceCreateCommand struct {
	swarmservice.Spec
	waitFlags
	engineFlags
}

// Run creates the service.
func (f *serviceCreateCommand) Run(ctx context.Context, h *command.Host, keys Flags) error {
	return f.change(ctx, h, keys, f.engineFlags, func(s *swarmservice.Swarm) (swarmservice.Changed, error) {
		return s.Create(ctx, f.Spec)
	})
}

// change is one change of a service.
type change func(*swarmservice.Swarm) (swarmservice.Changed, error)

type serviceScaleCommand struct {
	Services []string `arg:"" name:"name=n" help:"Service and number of tasks. Repeatable. PROJECT/SERVICE=N for one that was deployed."`
	FairwayFlags
	waitFlags
	engineFlags
}

// Run scales the services.
func (f *serviceScaleCommand) Run(ctx context.Context, h *command.Host, keys Flags, connect Client) error {
	if strings.Contains(strings.Join(f.Services, ""), "/") {
		return f.deployed(ctx, h, keys, connect)
	}
	var changes []change
	for _, pair := range f.Services {
		name, number, _ := strings.Cut(pair, "=")
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || name == "" {
			return swarmservice.Invalid(fmt.Errorf("%q: write NAME=N", pair))
		}
		changes = append(changes, func(s *swarmservice.Swarm) (swarmservice.Changed, error) {
			return s.Update(ctx, name, swarmservice.Change{Replicas: &n})
		})
	}
	return f.change(ctx, h, keys, f.engineFlags, changes...)
}

type serviceUpdateCommand struct {
	Name string `arg:"" help:"Name of the service."`
	swarmservice.Change
	waitFlags
	engineFlags
}

// Run updates the service.
func (f *serviceUpdateCommand) Run(ctx context.Context, h *command.Host, keys Flags) error {
	if reflect.DeepEqual(f.Change, swarmservice.Change{}) {
		return swarmservice.Invalid(errors.New("nothing to change; --force replaces the tasks as they are"))
	}
	return f.change(ctx, h, keys, f.engineFlags, func(s *swarmservice.Swarm) (swarmservice.Changed, error) {
		return s.Update(ctx, f.Name, f.Change)
	})
}

type serviceRollbackCommand struct {
	Name string `arg:"" help:"Name of the service; PROJECT/SERVICE for one that was deployed."`
	FairwayFlags
	waitFlags
	engineFlags
}

// Run rolls the service back.
func (f *serviceRollbackCommand) Run(ctx context.Context, h *command.Host, keys Flags, connect Client) error {
	if strings.Contains(f.Name, "/") {
		return f.deployed(ctx, h, keys, connect)
	}
	return f.change(ctx, h, keys, f.engineFlags, func(s *swarmservice.Swarm) (swarmservice.Changed, error) {
		return s.Rollback(ctx, f.Name)
	})
}

type serviceRmCommand struct {
	Names []string `arg:"" name:"name" help:"Names of the services; PROJECT/SERVICE for one that was deployed."`
	FairwayFlags
	engineFlags
}

// Run removes the services.
func (f *serviceRmCommand) Run(ctx context.Context, h *command.Host, keys Flags, connect Client) error {
	if strings.Contains(strings.Join(f.Names, ""), "/") {
		return f.deployed(ctx, h, keys, connect)
	}
	s, err := f.swarm(h, keys)
	if err != nil {
		return err
	}
	defer s.Close()
	answer := struct {
		Removed []string `json:"removed"`
	}{[]string{}}
	var faults []error
	for _, name := range f.Names {
		if err := s.Remove(ctx, name); err != nil {
			faults = append(faults, err)
			continue
		}
		answer.Removed = append(answer.Removed, name)
	}
	if err := h.Print(answer, func() {
		for _, name := range answer.Removed {
			h.Printf("%s\n", name)
		}
	}); err != nil {
		return err
	}
	return errors.Join(faults...)
}

func (f engineFlags) swarm(h *command.Host, keys Flags) (*swarmservice.Swarm, error) {
	loaded, err := app.Load(app.LoadOptions{Path: f.Path, Environ: h.Environ, Flags: keys})
	if err != nil {
		return nil, swarmservice.Invalid(err)
	}
	s, err := swarmservice.New(app.SwarmOptions(&loaded.Config, h.Env))
	if err != nil {
		return nil, swarmservice.Invalid(err)
	}
	return s, nil
}

// change makes changes and waits for convergence, unless detached.
func (f waitFlags) change(ctx context.Context, h *command.Host, keys Flags, engines engineFlags, changes ...change) error {
	if f.Timeout <= 0 || f.Settle < 0 {
		return swarmservice.Invalid(errors.New("--timeout must be above 0, and --settle not below"))
	}
	s, err := engines.swarm(h, keys)
	if err != nil {
		return err
	}
	defer s.Close()
	var changed []swarmservice.Changed
	for _, do := range changes {
		x, err := do(s)
		if err != nil {
			return err
		}
		changed = append(changed, x)
	}
	answer := struct {
		Services []swarmservice.Progress `json:"services"`
	}{}
	for _, x := range changed {
		for _, w := range x.Warnings {
			h.Note("Docker warns: %s", w)
		}
		answer.Services = append(answer.Services, swarmservice.Progress{ID: x.ID, Name: x.Name})
	}
	if !f.Detach {
		waiting, cancel := context.WithTimeout(ctx, f.Timeout)
		defer cancel()
		var newest []swarmservice.Progress
		newest, err = s.Wait(waiting, changed, f.Settle, func(p swarmservice.Progress) { progress(h, p) })
		for i, p := range newest {
			if p.ID != "" {
				answer.Services[i] = p
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if printErr := h.Print(answer, func() { printProgress(h, answer.Services, f.Detach) }); printErr != nil {
		return printErr
	}
	return err
}

// progress prints how far a service is, as a remark.
func progress(h *command.Host, p swarmservice.Progress) {
	line := fmt.Sprintf("%s: %d of %d running", p.Name, p.Running, p.Wanted)
	if p.Update != "" {
		line += ", update " + strings.ReplaceAll(p.Update, "_", " ")
	}
	if p.Reason != "" {
		line += ": " + p.Reason
	}
	h.Note("%s", line)
}

func printProgress(h *command.Host, services []swarmservice.Progress, detached bool) {
	t := h.Columns("SERVICE", "-ID", "TASKS", "STATE")
	for _, p := range services {
		state, tasks := console.Good.Cell("converged"), fmt.Sprintf("%d/%d", p.Running, p.Wanted)
		switch {
		case detached:
			state, tasks = console.Plain.Cell("accepted"), "-"
		case !p.Converged:
			state = console.Bad.Cell("not converged")
		}
		t.Add(p.Name, p.ID, tasks, state)
	}
	t.Print()
}
