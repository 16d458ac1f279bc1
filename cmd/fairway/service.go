package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/app"
	"fairway/internal/swarmservice"
)

type serviceCommand struct {
	Create   serviceCreateCommand   `cmd:"" help:"Create a service."`
	Scale    serviceScaleCommand    `cmd:"" help:"Set the number of tasks of services."`
	Update   serviceUpdateCommand   `cmd:"" help:"Change a service."`
	Rollback serviceRollbackCommand `cmd:"" help:"Revert the last change of a service."`
	Rm       serviceRmCommand       `cmd:"" help:"Remove services."`
}

// waitFlags say how long a command waits for convergence.
type waitFlags struct {
	Detach  bool          `name:"detach" short:"d" help:"Do not wait for convergence."`
	Timeout time.Duration `name:"timeout" placeholder:"DURATION" default:"5m" help:"Maximum time to wait. The change goes on."`
	Settle  time.Duration `name:"settle" placeholder:"DURATION" default:"5s" help:"Time that all tasks must run without a change."`
}

// updateFlags say how tasks are replaced.
type updateFlags struct {
	Parallelism *uint64        `name:"update-parallelism" placeholder:"N" help:"Tasks replaced at once; 0 for all."`
	Delay       *time.Duration `name:"update-delay" placeholder:"DURATION" help:"Pause between two steps."`
	Order       string         `name:"update-order" placeholder:"ORDER" help:"start-first or stop-first."`
}

func (f updateFlags) updates() swarmservice.Updates {
	return swarmservice.Updates{Parallelism: f.Parallelism, Delay: f.Delay, Order: f.Order}
}

type serviceCreateCommand struct {
	Name         string   `arg:"" help:"Name of the service."`
	Image        string   `arg:"" help:"Image of its containers."`
	Args         []string `arg:"" optional:"" help:"Arguments in place of the image's command. Put -- before flags."`
	Mode         string   `name:"mode" enum:"replicated,global" default:"replicated" help:"replicated or global."`
	Replicas     *uint64  `name:"replicas" placeholder:"N" help:"Number of tasks. Default: 1."`
	Command      []string `name:"command" sep:"none" placeholder:"WORD" help:"Entry point in place of the image's, one word each. Repeatable."`
	Network      []string `name:"network" sep:"none" placeholder:"NAME" help:"Network to attach it to. Repeatable."`
	Label        []string `name:"label" short:"l" sep:"none" placeholder:"KEY=VALUE" help:"Label of the service. Repeatable."`
	Env          []string `name:"env" short:"e" sep:"none" placeholder:"KEY=VALUE" help:"Environment variable of its containers. Repeatable."`
	Publish      []string `name:"publish" short:"p" sep:"none" placeholder:"PORT" help:"Port: mode=host,target=80,published=8080, or 8080:80. Repeatable."`
	EndpointMode string   `name:"endpoint-mode" placeholder:"MODE" help:"vip or dnsrr. Default: vip."`
	Mount        []string `name:"mount" sep:"none" placeholder:"MOUNT" help:"type=bind,source=/a,target=/b,readonly. Repeatable."`
	Constraint   []string `name:"constraint" sep:"none" placeholder:"TEXT" help:"Placement constraint, such as node.role==manager. Repeatable."`
	LimitCPU     string   `name:"limit-cpu" placeholder:"N" help:"CPU limit of a task, such as 0.5."`
	LimitMemory  string   `name:"limit-memory" placeholder:"BYTES" help:"Memory limit of a task, such as 256m."`
	updateFlags
	waitFlags
	engineFlags
}

// Help implements kong.HelpProvider.
func (serviceCreateCommand) Help() string {
	return `Waits until all tasks run and stay up. The exit code is 1 when they do not. The image is used as named; its digest is not resolved.

    fairway service create go-demo-db mongo:3.2.10 --network go-demo
    fairway service create go-demo vfarcic/go-demo:1.0 -e DB=go-demo-db --network go-demo --network proxy --label com.df.notify=true --label com.df.servicePath=/demo --label com.df.port=8080
    fairway service create util alpine --mode global --network go-demo -- sleep 1000000000`
}

// Run creates the service.
func (f *serviceCreateCommand) Run(ctx context.Context, c *console, p *parser) error {
	return f.change(ctx, c, p, f.engineFlags, func(ctx context.Context, s *swarmservice.Swarm) ([]swarmservice.Changed, error) {
		made, err := s.Create(ctx, swarmservice.Spec{
			Name: f.Name, Image: f.Image, Mode: f.Mode, Replicas: f.Replicas, Command: f.Command, Args: f.Args,
			Networks: f.Network, Labels: f.Label, Env: f.Env, Publish: f.Publish, EndpointMode: f.EndpointMode,
			Mounts: f.Mount, Constraints: f.Constraint, LimitCPU: f.LimitCPU, LimitMemory: f.LimitMemory,
			Updates: f.updates(),
		})
		return []swarmservice.Changed{made}, err
	})
}

type serviceScaleCommand struct {
	Services []string `arg:"" name:"name=n" help:"Service and number of tasks. Repeatable."`
	waitFlags
	engineFlags
}

// Help implements kong.HelpProvider.
func (serviceScaleCommand) Help() string {
	return `Examples:

    fairway service scale go-demo=5
    fairway service scale go-demo=5 go-demo-db=1 --timeout 1m`
}

// Run scales the services.
func (f *serviceScaleCommand) Run(ctx context.Context, c *console, p *parser) error {
	counts := make([]uint64, len(f.Services))
	names := make([]string, len(f.Services))
	for i, pair := range f.Services {
		name, number, _ := strings.Cut(pair, "=")
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || name == "" {
			return usageError{fmt.Errorf("%q: write NAME=N", pair)}
		}
		names[i], counts[i] = name, n
	}
	return f.change(ctx, c, p, f.engineFlags, func(ctx context.Context, s *swarmservice.Swarm) ([]swarmservice.Changed, error) {
		var all []swarmservice.Changed
		for i, name := range names {
			changed, err := s.Update(ctx, name, swarmservice.Change{Replicas: &counts[i]})
			if err != nil {
				return all, err
			}
			all = append(all, changed)
		}
		return all, nil
	})
}

type serviceUpdateCommand struct {
	Name       string   `arg:"" help:"Name of the service."`
	Image      string   `name:"image" placeholder:"IMAGE" help:"Image of its containers."`
	LabelAdd   []string `name:"label-add" sep:"none" placeholder:"KEY=VALUE" help:"Label to add or replace. Repeatable."`
	LabelRm    []string `name:"label-rm" sep:"none" placeholder:"KEY" help:"Label to remove. Repeatable."`
	EnvAdd     []string `name:"env-add" sep:"none" placeholder:"KEY=VALUE" help:"Environment variable to add or replace. Repeatable."`
	EnvRm      []string `name:"env-rm" sep:"none" placeholder:"KEY" help:"Environment variable to remove. Repeatable."`
	NetworkAdd []string `name:"network-add" sep:"none" placeholder:"NAME" help:"Network to attach it to. Repeatable."`
	NetworkRm  []string `name:"network-rm" sep:"none" placeholder:"NAME" help:"Network to detach it from. Repeatable."`
	PublishAdd []string `name:"publish-add" sep:"none" placeholder:"PORT" help:"Port to publish, as for service create. Repeatable."`
	PublishRm  []string `name:"publish-rm" sep:"none" placeholder:"PORT" help:"Container port to unpublish, such as 80 or 53/udp. Repeatable."`
	Replicas   *uint64  `name:"replicas" placeholder:"N" help:"Number of tasks."`
	Force      bool     `name:"force" help:"Replace the tasks even without another change."`
	updateFlags
	waitFlags
	engineFlags
}

// Help implements kong.HelpProvider.
func (serviceUpdateCommand) Help() string {
	return `Concurrent changes are kept: on a conflict the service is read again and the change applied to that.

    fairway service update go-demo --image vfarcic/go-demo:1.1 --update-order start-first
    fairway service update go-demo --label-add fairway.path=/demo --label-rm com.df.servicePath
    fairway service update go-demo --network-add monitoring --publish-rm 80 --publish-add mode=host,target=80,published=8081
    fairway service update go-demo --force --update-parallelism 1 --update-delay 5s`
}

// Run updates the service.
func (f *serviceUpdateCommand) Run(ctx context.Context, c *console, p *parser) error {
	lists := [][]string{f.LabelAdd, f.LabelRm, f.EnvAdd, f.EnvRm, f.NetworkAdd, f.NetworkRm, f.PublishAdd, f.PublishRm}
	if f.Image == "" && len(slices.Concat(lists...)) == 0 && f.Replicas == nil && !f.Force &&
		f.updates() == (swarmservice.Updates{}) {
		return usageError{errors.New("nothing to change; --force replaces the tasks as they are")}
	}
	return f.change(ctx, c, p, f.engineFlags, func(ctx context.Context, s *swarmservice.Swarm) ([]swarmservice.Changed, error) {
		changed, err := s.Update(ctx, f.Name, swarmservice.Change{
			Image: f.Image, LabelsAdd: f.LabelAdd, LabelsRemove: f.LabelRm, EnvAdd: f.EnvAdd, EnvRemove: f.EnvRm,
			NetworksAdd: f.NetworkAdd, NetworksRemove: f.NetworkRm, PublishAdd: f.PublishAdd, PublishRemove: f.PublishRm,
			Replicas: f.Replicas, Force: f.Force, Updates: f.updates(),
		})
		return []swarmservice.Changed{changed}, err
	})
}

type serviceRollbackCommand struct {
	Name string `arg:"" help:"Name of the service."`
	waitFlags
	engineFlags
}

// Help implements kong.HelpProvider.
func (serviceRollbackCommand) Help() string {
	return `The Swarm keeps one previous specification. A second rollback undoes the first.

    fairway service rollback go-demo`
}

// Run rolls the service back.
func (f *serviceRollbackCommand) Run(ctx context.Context, c *console, p *parser) error {
	return f.change(ctx, c, p, f.engineFlags, func(ctx context.Context, s *swarmservice.Swarm) ([]swarmservice.Changed, error) {
		changed, err := s.Rollback(ctx, f.Name)
		return []swarmservice.Changed{changed}, err
	})
}

type serviceRmCommand struct {
	Names []string `arg:"" name:"name" help:"Names of the services."`
	engineFlags
}

// Help implements kong.HelpProvider.
func (serviceRmCommand) Help() string {
	return `Removes as many as it can. The exit code is 1 when one does not exist.

    fairway service rm go-demo go-demo-db`
}

// Run removes the services.
func (f *serviceRmCommand) Run(ctx context.Context, c *console, p *parser) error {
	cfg, err := f.load(c, p)
	if err != nil {
		return err
	}
	s, err := swarmservice.New(app.SwarmOptions(&cfg, c.environ))
	if err != nil {
		return usageError{err}
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
	if err := c.print(answer, func() {
		for _, name := range answer.Removed {
			c.printf("%s\n", name)
		}
	}); err != nil {
		return err
	}
	return errors.Join(faults...)
}

// change makes a change and waits for convergence, unless detached.
func (f waitFlags) change(ctx context.Context, c *console, p *parser, engines engineFlags, do func(context.Context, *swarmservice.Swarm) ([]swarmservice.Changed, error)) error {
	if f.Timeout <= 0 || f.Settle < 0 {
		return usageError{errors.New("--timeout must be above 0, and --settle not below")}
	}
	cfg, err := engines.load(c, p)
	if err != nil {
		return err
	}
	s, err := swarmservice.New(app.SwarmOptions(&cfg, c.environ))
	if err != nil {
		return usageError{err}
	}
	defer s.Close()
	changed, err := do(ctx, s)
	if err != nil {
		return err
	}
	answer := struct {
		Services []swarmservice.Progress `json:"services"`
	}{}
	for _, x := range changed {
		for _, w := range x.Warnings {
			c.note("Docker warns: %s", w)
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
	if printErr := c.print(answer, func() { c.outcome(answer.Services, f.Detach) }); printErr != nil {
		return printErr
	}
	return err
}

// progress prints how far a service is, as a remark.
func (c *console) progress(p swarmservice.Progress) {
	line := fmt.Sprintf("%s: %d of %d running", p.Name, p.Running, p.Wanted)
	if p.Update != "" {
		line += ", update " + strings.ReplaceAll(p.Update, "_", " ")
	}
	if p.Reason != "" {
		line += ": " + p.Reason
	}
	c.note("%s", line)
}

func (c *console) outcome(services []swarmservice.Progress, detached bool) {
	var rows [][]cell
	for _, p := range services {
		state := cell{"converged", good}
		switch {
		case detached:
			state = cell{"accepted", plain}
		case !p.Converged:
			state = cell{"not converged", bad}
		}
		tasks := fmt.Sprintf("%d/%d", p.Running, p.Wanted)
		if detached {
			tasks = "-"
		}
		rows = append(rows, []cell{text(p.Name), text(p.ID), text(tasks), state})
	}
	c.table("", []string{"SERVICE", "ID", "TASKS", "STATE"}, rows)
}
