package main

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
	"fairway/internal/swarmservice"
)

type serviceCommand struct {
	Create   serviceCreateCommand   `cmd:"" help:"Create a service."`
	Scale    serviceScaleCommand    `cmd:"" help:"Set the number of tasks of services."`
	Update   serviceUpdateCommand   `cmd:"" help:"Change a service."`
	Rollback serviceRollbackCommand `cmd:"" help:"Revert the last change of a service."`
	Rm       serviceRmCommand       `cmd:"" help:"Remove services."`
}

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
func (f *serviceCreateCommand) Run(ctx context.Context, c *cli, p *parser) error {
	return f.change(ctx, c, p, f.engineFlags, func(s *swarmservice.Swarm) (swarmservice.Changed, error) {
		return s.Create(ctx, f.Spec)
	})
}

// change is one change of a service.
type change func(*swarmservice.Swarm) (swarmservice.Changed, error)

type serviceScaleCommand struct {
	Services []string `arg:"" name:"name=n" help:"Service and number of tasks. Repeatable."`
	waitFlags
	engineFlags
}

// Run scales the services.
func (f *serviceScaleCommand) Run(ctx context.Context, c *cli, p *parser) error {
	var changes []change
	for _, pair := range f.Services {
		name, number, _ := strings.Cut(pair, "=")
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || name == "" {
			return usageError{fmt.Errorf("%q: write NAME=N", pair)}
		}
		changes = append(changes, func(s *swarmservice.Swarm) (swarmservice.Changed, error) {
			return s.Update(ctx, name, swarmservice.Change{Replicas: &n})
		})
	}
	return f.change(ctx, c, p, f.engineFlags, changes...)
}

type serviceUpdateCommand struct {
	Name string `arg:"" help:"Name of the service."`
	swarmservice.Change
	waitFlags
	engineFlags
}

// Run updates the service.
func (f *serviceUpdateCommand) Run(ctx context.Context, c *cli, p *parser) error {
	if reflect.DeepEqual(f.Change, swarmservice.Change{}) {
		return usageError{errors.New("nothing to change; --force replaces the tasks as they are")}
	}
	return f.change(ctx, c, p, f.engineFlags, func(s *swarmservice.Swarm) (swarmservice.Changed, error) {
		return s.Update(ctx, f.Name, f.Change)
	})
}

type serviceRollbackCommand struct {
	Name string `arg:"" help:"Name of the service."`
	waitFlags
	engineFlags
}

// Run rolls the service back.
func (f *serviceRollbackCommand) Run(ctx context.Context, c *cli, p *parser) error {
	return f.change(ctx, c, p, f.engineFlags, func(s *swarmservice.Swarm) (swarmservice.Changed, error) {
		return s.Rollback(ctx, f.Name)
	})
}

type serviceRmCommand struct {
	Names []string `arg:"" name:"name" help:"Names of the services."`
	engineFlags
}

// Run removes the services.
func (f *serviceRmCommand) Run(ctx context.Context, c *cli, p *parser) error {
	s, err := f.swarm(c, p)
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
	if err := c.Print(answer, func() {
		for _, name := range answer.Removed {
			c.Printf("%s\n", name)
		}
	}); err != nil {
		return err
	}
	return errors.Join(faults...)
}

func (f engineFlags) swarm(c *cli, p *parser) (*swarmservice.Swarm, error) {
	loaded, err := c.load(f.Path, p.flags)
	if err != nil {
		return nil, err
	}
	s, err := swarmservice.New(app.SwarmOptions(&loaded.Config, c.env))
	if err != nil {
		return nil, usageError{err}
	}
	return s, nil
}

// change makes changes and waits for convergence, unless detached.
func (f waitFlags) change(ctx context.Context, c *cli, p *parser, engines engineFlags, changes ...change) error {
	if f.Timeout <= 0 || f.Settle < 0 {
		return usageError{errors.New("--timeout must be above 0, and --settle not below")}
	}
	s, err := engines.swarm(c, p)
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
			c.Note("Docker warns: %s", w)
		}
		answer.Services = append(answer.Services, swarmservice.Progress{ID: x.ID, Name: x.Name})
	}
	if !f.Detach {
		waiting, cancel := context.WithTimeout(ctx, f.Timeout)
		defer cancel()
		var newest []swarmservice.Progress
		newest, err = s.Wait(waiting, changed, f.Settle, c.progress)
		for i, p := range newest {
			if p.ID != "" {
				answer.Services[i] = p
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if printErr := c.Print(answer, func() { c.outcome(answer.Services, f.Detach) }); printErr != nil {
		return printErr
	}
	return err
}

// progress prints how far a service is, as a remark.
func (c *cli) progress(p swarmservice.Progress) {
	line := fmt.Sprintf("%s: %d of %d running", p.Name, p.Running, p.Wanted)
	if p.Update != "" {
		line += ", update " + strings.ReplaceAll(p.Update, "_", " ")
	}
	if p.Reason != "" {
		line += ": " + p.Reason
	}
	c.Note("%s", line)
}

func (c *cli) outcome(services []swarmservice.Progress, detached bool) {
	t := c.Columns("SERVICE", "-ID", "TASKS", "STATE")
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
