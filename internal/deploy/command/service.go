package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"fairway/internal/console"
	"fairway/internal/deploy"
	"fairway/internal/deploy/engines"
	"fairway/internal/deploy/marks"
	"fairway/internal/dockerapi"
	"fairway/internal/fleet/agent/command"
	"fairway/internal/swarmservice"
)

// Service is the command service.
type Service struct {
	Create   serviceCreateCommand   `cmd:"" help:"Create a service of a Swarm."`
	Scale    serviceScaleCommand    `cmd:"" help:"Set the number of tasks of services."`
	Update   serviceUpdateCommand   `cmd:"" help:"Change a service of a Swarm."`
	Rollback serviceRollbackCommand `cmd:"" help:"Revert the last change of a service."`
	Rm       serviceRmCommand       `cmd:"" help:"Remove services."`
	Revert   serviceRevertCommand   `cmd:"" help:"Take a deploy that was broken off back to where it began."`
	Ls       serviceLsCommand       `cmd:"" help:"List the services that were deployed on an engine."`
	Ps       servicePsCommand       `cmd:"" help:"List the instances of a service that was deployed."`
	Logs     serviceLogsCommand     `cmd:"" help:"Print what the instances of a service that was deployed write."`
}

// nameOf reads PROJECT/SERVICE.
func nameOf(text string) (deploy.Name, error) {
	project, service, found := strings.Cut(text, "/")
	if !found || project == "" || service == "" || strings.Contains(service, "/") {
		return deploy.Name{}, swarmservice.Invalid(fmt.Errorf("%q: write PROJECT/SERVICE", text))
	}
	return deploy.Name{Project: project, Service: service}, nil
}

func (f engineFlags) one() EngineFlags {
	return EngineFlags{Path: f.Path, Docker: f.Docker, Insecure: f.Insecure}
}

// limits are those without a file.
func (f FairwayFlags) limits() deploy.Limits {
	return deploy.Limits{Ready: 5 * time.Minute, Up: 10 * time.Second, Settle: 5 * time.Second, Drain: f.DrainTimeout}
}

// deployed is a service that deploys have made.
func (t *target) deployed(ctx context.Context, text string, l deploy.Limits) (*engines.Engine, deploy.Observation, error) {
	e, o, err := t.found(ctx, text, l)
	if err == nil {
		err = ours(e.Service, o)
	}
	return e, o, err
}

// ours returns an error for a service that no deploy has made.
func ours(name deploy.Name, o deploy.Observation) error {
	if o.Lock == nil && !slices.ContainsFunc(o.Instances, func(in deploy.Instance) bool { return in.Run != "" }) {
		return swarmservice.Invalid(fmt.Errorf("%s was made by Compose: fairway deploy --adopt takes it over", name))
	}
	return nil
}

// found is a service that is there.
func (t *target) found(ctx context.Context, text string, l deploy.Limits) (*engines.Engine, deploy.Observation, error) {
	name, err := nameOf(text)
	if err != nil {
		return nil, deploy.Observation{}, err
	}
	e := &engines.Engine{Client: t.client, Service: name, Lock: t.lock, Limits: l}
	o, err := e.Observe(ctx)
	if err == nil && len(o.Instances) == 0 && o.Lock == nil {
		err = swarmservice.Invalid(fmt.Errorf("%s has no service %s", t.client.URL(), name))
	}
	return e, o, err
}

func (f *serviceRollbackCommand) deployed(ctx context.Context, h *command.Host, keys Flags, connect Client) error {
	t, err := open(ctx, h, keys, f.one(), f.Fairway, connect, true)
	if err != nil {
		return err
	}
	defer t.client.Close()
	e, o, err := t.deployed(ctx, f.Name, f.limits())
	if err != nil {
		return err
	}
	want, err := before(e.Service, o)
	if err != nil {
		return err
	}
	want.Run = t.run
	return t.do(ctx, []job{{engine: e, want: want, limits: f.limits()}}, deploy.RunOptions{TakeOver: f.TakeOver})
}

// keepAll is more than any slot has kept: such commands make nothing, and remove nothing kept.
const keepAll = 1 << 20

// before is what a service was before its last deploy.
func before(name deploy.Name, o deploy.Observation) (deploy.Want, error) {
	want := deploy.Want{Name: name, Slots: map[int]deploy.Target{}, StopFirst: o.IsStopFirst(), Keep: keepAll}
	for slot, now := range o.Now() {
		var kept *deploy.Instance
		for i, in := range o.Instances {
			if in.Slot == slot && in.Mark == marks.Kept && (kept == nil || in.Created.After(kept.Created)) {
				kept = &o.Instances[i]
			}
		}
		if kept == nil {
			return want, swarmservice.Invalid(fmt.Errorf("nothing is kept of slot %d of %s: deploy the file of before", slot, name))
		}
		want.Slots[slot] = deploy.Target{Digest: kept.Digest, Restart: now.Restart} // one that was adopted does not say its own
	}
	return want, nil
}

func (f *serviceRmCommand) deployed(ctx context.Context, h *command.Host, keys Flags, connect Client) error {
	t, err := open(ctx, h, keys, f.one(), f.Fairway, connect, true)
	if err != nil {
		return err
	}
	defer t.client.Close()
	var jobs []job
	for _, name := range f.Names {
		e, _, err := t.deployed(ctx, name, f.limits())
		if err != nil {
			return err
		}
		jobs = append(jobs, t.remove(e.Service, f.limits()))
	}
	return t.do(ctx, jobs, deploy.RunOptions{TakeOver: f.TakeOver, NoBack: true})
}

func (f *serviceScaleCommand) deployed(ctx context.Context, h *command.Host, keys Flags, connect Client) error {
	t, err := open(ctx, h, keys, f.one(), f.Fairway, connect, true)
	if err != nil {
		return err
	}
	defer t.client.Close()
	var jobs []job
	for _, pair := range f.Services {
		name, number, _ := strings.Cut(pair, "=")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > 1000 {
			return swarmservice.Invalid(fmt.Errorf("%q: write PROJECT/SERVICE=N", pair))
		}
		e, o, err := t.deployed(ctx, name, f.limits())
		if err != nil {
			return err
		}
		now := o.Now()
		want := deploy.Want{Name: e.Service, Run: t.run, Slots: map[int]deploy.Target{}, Create: true, StopFirst: o.IsStopFirst(), Keep: keepAll}
		for slot := 1; slot <= n; slot++ {
			have, ok := now[slot]
			if !ok {
				return swarmservice.Invalid(fmt.Errorf("%s has no slot %d: for more instances, deploy its file with more", e.Service, slot))
			}
			want.Slots[slot] = have
		}
		jobs = append(jobs, job{engine: e, want: want, limits: f.limits()})
	}
	return t.do(ctx, jobs, deploy.RunOptions{TakeOver: f.TakeOver})
}

type serviceRevertCommand struct {
	Name string `arg:"" help:"PROJECT/SERVICE."`
	EngineFlags
	FairwayFlags
}

// Run takes a deploy back.
func (f *serviceRevertCommand) Run(ctx context.Context, h *command.Host, keys Flags, connect Client) error {
	t, err := open(ctx, h, keys, f.EngineFlags, f.Fairway, connect, true)
	if err != nil {
		return err
	}
	defer t.client.Close()
	e, o, err := t.found(ctx, f.Name, f.limits())
	if err != nil {
		return err
	}
	if o.Lock == nil {
		return swarmservice.Invalid(fmt.Errorf("no deploy of %s is under way: fairway service rollback %s goes back to what is kept", e.Service, e.Service))
	}
	want := o.Lock.Back(deploy.Want{Name: e.Service, Run: t.run})
	return t.do(ctx, []job{{engine: e, want: want, limits: f.limits()}}, deploy.RunOptions{TakeOver: f.TakeOver, Revert: true, NoBack: true})
}

type serviceLsCommand struct{ EngineFlags }

// listedService is a line of service ls.
type listedService struct {
	Service string `json:"service"`
	Running int    `json:"running"`
	Slots   int    `json:"slots"`
	Digest  string `json:"digest"`
	Image   string `json:"image"`
	// Deploy says who is deploying it; left out for none.
	Deploy string `json:"deploy,omitempty"`
}

// Run lists services.
func (f *serviceLsCommand) Run(ctx context.Context, h *command.Host, keys Flags) error {
	t, err := open(ctx, h, keys, f.EngineFlags, nil, nil, false)
	if err != nil {
		return err
	}
	defer t.client.Close()
	names, err := engines.Services(ctx, t.client)
	if err != nil {
		return err
	}
	list := []listedService{}
	for _, name := range names {
		o, err := (&engines.Engine{Client: t.client, Service: name}).Observe(ctx)
		if err != nil {
			return err
		}
		one := listedService{Service: name.String(), Slots: len(o.Now())}
		if o.Lock != nil {
			one.Deploy = fmt.Sprintf("by %s on %s since %s", o.Lock.Who, o.Lock.Host, h.Time(o.Lock.Since))
		}
		for _, in := range o.Instances {
			if in.State == deploy.Running {
				one.Running++
			}
			if in.Mark == marks.None {
				one.Digest, one.Image = in.Digest, in.Image
			}
		}
		list = append(list, one)
	}
	return h.Print(map[string]any{"items": list}, func() {
		t := h.Columns("SERVICE", "RUNNING", "DIGEST", "-DEPLOY", "IMAGE")
		for _, s := range list {
			t.Add(s.Service, fmt.Sprintf("%d/%d", s.Running, s.Slots), s.Digest, s.Deploy, s.Image)
		}
		t.Print()
	})
}

type servicePsCommand struct {
	Name string `arg:"" help:"PROJECT/SERVICE."`
	EngineFlags
}

// instanceLine is a line of service ps.
type instanceLine struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	Slot    int       `json:"slot"`
	Digest  string    `json:"digest"`
	State   string    `json:"state"`
	Mark    string    `json:"mark,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Image   string    `json:"image"`
}

// Run lists instances.
func (f *servicePsCommand) Run(ctx context.Context, h *command.Host, keys Flags) error {
	t, err := open(ctx, h, keys, f.EngineFlags, nil, nil, false)
	if err != nil {
		return err
	}
	defer t.client.Close()
	_, o, err := t.found(ctx, f.Name, deploy.Limits{})
	if err != nil {
		return err
	}
	list := []instanceLine{}
	for _, in := range o.Instances {
		base, _ := marks.Read(in.Name)
		state := string(in.State)
		if in.Health != "" {
			state += ", " + in.Health
		}
		list = append(list, instanceLine{
			Name: base, ID: in.ID, Slot: in.Slot, Digest: in.Digest, State: state, Mark: string(in.Mark), Detail: in.Detail, Started: in.Started, Image: in.Image,
		})
	}
	return h.Print(map[string]any{"items": list}, func() {
		t := h.Columns("CONTAINER", "SLOT", "STATE", "DEPLOY", "DIGEST", "STARTED", "+IMAGE", "+ID", "DETAIL")
		for _, in := range list {
			state := console.Plain.Cell(in.State)
			if in.State == "running, unhealthy" || in.Mark == "" && !strings.HasPrefix(in.State, "running") {
				state.Colour = console.Bad
			}
			t.Add(in.Name, in.Slot, state, in.Mark, in.Digest, in.Started, in.Image, in.ID[:min(12, len(in.ID))], in.Detail)
		}
		t.Print()
	})
}

type serviceLogsCommand struct {
	Name   string `arg:"" help:"PROJECT/SERVICE."`
	Follow bool   `name:"follow" short:"f" help:"Go on with lines that come."`
	Tail   int    `name:"tail" placeholder:"N" default:"100" help:"How many lines of each instance that are there."`
	EngineFlags
}

// Run prints lines of all instances that are not kept, those that are there in the order of time.
func (f *serviceLogsCommand) Run(ctx context.Context, h *command.Host, keys Flags) error {
	t, err := open(ctx, h, keys, f.EngineFlags, nil, nil, false)
	if err != nil {
		return err
	}
	defer t.client.Close()
	_, o, err := t.found(ctx, f.Name, deploy.Limits{})
	if err != nil {
		return err
	}
	type said struct {
		name string
		line dockerapi.LogLine
	}
	var lines []said
	var mu sync.Mutex
	var following sync.WaitGroup
	var faults []error
	show := func(s said) { h.Printf("%s  %s\n", h.Paint(console.Good, s.name), h.Paint(console.Plain, s.line.Text)) }
	for _, in := range o.Instances {
		base, mark := marks.Read(in.Name)
		if mark.Kind == marks.Kept || mark.Kind == marks.Failed {
			continue
		}
		found, err := t.client.ContainerLog(ctx, in.ID, f.Tail)
		if err != nil {
			faults = append(faults, err)
		}
		for _, l := range found {
			lines = append(lines, said{base, l})
		}
		if f.Follow && in.State == deploy.Running {
			following.Go(func() {
				err := t.client.ContainerLogs(ctx, in.ID, dockerapi.LogOptions{Follow: true}, func(l dockerapi.LogLine) error {
					mu.Lock()
					defer mu.Unlock()
					show(said{base, l})
					return nil
				})
				if err != nil && ctx.Err() == nil {
					mu.Lock()
					faults = append(faults, err)
					mu.Unlock()
				}
			})
		}
	}
	slices.SortStableFunc(lines, func(a, b said) int { return a.line.Time.Compare(b.line.Time) })
	mu.Lock()
	for _, s := range lines {
		show(s)
	}
	mu.Unlock()
	following.Wait()
	return errors.Join(faults...)
}
