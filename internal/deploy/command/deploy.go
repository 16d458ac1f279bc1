// Package command is the commands that put services on engines: deploy, and service.
package command

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"fairway/internal/api"
	"fairway/internal/api/local"
	"fairway/internal/app"
	"fairway/internal/catalog"
	"fairway/internal/console"
	"fairway/internal/deploy"
	"fairway/internal/deploy/engines"
	"fairway/internal/deploy/marks"
	"fairway/internal/deploy/spec"
	"fairway/internal/dockerapi"
	"fairway/internal/fleet/agent/command"
	"fairway/internal/plan"
	"fairway/internal/swarmservice"
)

// Flags are the texts given for keys of the configuration.
type Flags map[string][]string

// Client connects to the admin API.
type Client func() (*api.Client, error)

// The exit codes beside those of errors.
const (
	unwell      console.Exit = 1   // it did not settle, or was taken back
	interrupted console.Exit = 130 // and taken back
)

// auto is the value of flags that leave it to Fairway.
const auto = "auto"

// engineFlags name the engines of commands on services of a Swarm.
type engineFlags struct {
	Path     string   `name:"config" placeholder:"PATH" help:"Configuration file that names the engines."`
	Docker   []string `name:"docker" type:"key" placeholder:"URL" help:"Docker engine, as for run. Repeatable."`
	Swarm    []string `name:"swarm" type:"key" bare:"local" placeholder:"URL" help:"Manager of the Swarm, as for run; the flag alone means the engine on this machine. Repeatable."`
	Insecure bool     `name:"docker-insecure" type:"key" help:"Allow tcp:// Docker engines without TLS, as for run."`
}

// EngineFlags name the engine that services are put on.
type EngineFlags struct {
	Path     string   `name:"config" placeholder:"PATH" help:"Configuration file that names the engine."`
	Docker   []string `name:"docker" type:"key" placeholder:"URL" help:"Docker engine, as for run."`
	Insecure bool     `name:"docker-insecure" type:"key" help:"Allow tcp:// Docker engines without TLS, as for run."`
}

// FairwayFlags say who confirms, and how long is waited.
type FairwayFlags struct {
	Fairway      []string      `name:"fairway" placeholder:"URL" help:"Admin API of a Fairway that must have seen each change; none waits 10s instead. Repeatable. Default: the one of --admin."`
	DrainTimeout time.Duration `name:"drain-timeout" placeholder:"DURATION" default:"30s" help:"Maximum time for requests of an old instance to end. Then it is stopped, and the requests are counted."`
	TakeOver     bool          `name:"take-over" help:"End the deploy of another person or machine."`
}

// Deploy is the command deploy.
type Deploy struct {
	Files []string `arg:"" name:"file" help:"Compose files; later ones override earlier ones."`
	EngineFlags
	FairwayFlags
	Project     string        `name:"project" short:"p" placeholder:"NAME" help:"Name of the project. Default: as Compose finds it."`
	Service     []string      `name:"service" placeholder:"NAME" help:"Only this service. Repeatable."`
	Profile     []string      `name:"profile" placeholder:"NAME" help:"Services with this profile, too. Repeatable."`
	Plan        bool          `name:"plan" help:"Print what would happen, and change nothing."`
	ExitCode    bool          `name:"detailed-exitcode" help:"With --plan: exit code 1 when something would change."`
	Order       string        `name:"order" enum:"auto,start-first,stop-first" default:"auto" placeholder:"ORDER" help:"start-first, stop-first, or auto: start-first where two instances can run at once."`
	Parallelism int           `name:"parallelism" placeholder:"N" help:"How many slots are replaced at once. Default: update_config, else 1."`
	Delay       time.Duration `name:"delay" placeholder:"DURATION" help:"Time between two slots. Default: update_config, else none."`
	Timeout     time.Duration `name:"timeout" placeholder:"DURATION" default:"5m" help:"Maximum time for each new instance to get ready."`
	Settle      time.Duration `name:"settle" placeholder:"DURATION" help:"How long a new instance must run to be well. Default: 10s without a health check, 5s with one."`
	Keep        int           `name:"keep" placeholder:"N" default:"1" help:"How many old instances of each slot stay, stopped, for the way back."`
	Prune       bool          `name:"prune" help:"Remove services of the project that the files no longer have."`
	Pull        string        `name:"pull" enum:"auto,always,missing,never" default:"auto" placeholder:"WHEN" help:"always, missing, never, or auto: as pull_policy says, else always, and missing for an image with a digest."`
	NoRollback  bool          `name:"no-rollback" help:"Leave a deploy that failed as it is."`
	KeepFailed  bool          `name:"keep-failed" help:"Keep new instances that did not get ready, stopped."`
	Adopt       bool          `name:"adopt" help:"Take over containers that Compose has made for the same services."`
	ForceRoutes bool          `name:"force-routes" help:"Deploy although labels would be refused."`
}

// Help is the detail in the help.
func (Deploy) Help() string {
	return `Brings the services of Compose files to what the files say, one slot after the other, without a failed request: a new instance starts, gets ready and takes requests; only then the old one gets nothing new, finishes what it has, and is stopped. When the new one does not get well, everything is as it was before.

    fairway deploy compose.yml --plan
    fairway deploy compose.yml
    fairway deploy compose.yml production.yml --docker ssh://ops@edge2.example.com --fairway https://edge2.example.com:9443

How far a deploy is stands in the names of containers: the same command again, after it was killed, does what is left; fairway service revert PROJECT/SERVICE takes it back. Nothing that has not changed is touched.`
}

// target is the engine, and what is known of this process.
type target struct {
	h        *command.Host
	client   *dockerapi.Client
	fairways []*api.Client
	lock     deploy.Lock
	run      string
	changes  []api.DiffChange // of routes, as they are planned
}

// open reads the configuration and connects. ask is false where no Fairway is needed.
func open(ctx context.Context, h *command.Host, keys Flags, flags EngineFlags, fairways []string, connect Client, ask bool) (*target, error) {
	loaded, err := app.Load(app.LoadOptions{Path: flags.Path, Environ: h.Environ, Flags: keys})
	if err != nil {
		return nil, swarmservice.Invalid(err)
	}
	cfg := loaded.Config
	cfg.Swarm = nil
	options := app.SwarmOptions(&cfg, h.Env)
	if len(options) == 0 {
		options = []dockerapi.Options{{URL: "unix://"}}
	}
	if len(options) > 1 {
		return nil, swarmservice.Invalid(errors.New("several engines are configured: name one with --docker"))
	}
	c, err := dockerapi.New(options[0])
	if err != nil {
		return nil, swarmservice.Invalid(err)
	}
	t := &target{h: h, client: c, run: token(), lock: thisProcess()}
	if err := c.Ping(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", c.URL(), err)
	}
	if !ask || slices.Equal(fairways, []string{"none"}) {
		return t, nil
	}
	if len(fairways) == 0 {
		f, err := connect()
		if err != nil {
			return nil, err
		}
		t.fairways = append(t.fairways, f)
	}
	for _, url := range fairways {
		f, err := local.Access{URL: url, TokenFile: h.Env["FAIRWAY_ADMIN_TOKEN_FILE"]}.Client()
		if err != nil {
			return nil, swarmservice.Invalid(err)
		}
		t.fairways = append(t.fairways, f)
	}
	for _, f := range t.fairways {
		if _, err := f.Routes(ctx, api.Query{Service: "-"}); err != nil {
			if errors.Is(err, api.ErrNoAnswer) {
				h.Note("Hint: name the Fairway that routes to this engine with --fairway, or write --fairway none")
			}
			return nil, err
		}
	}
	return t, nil
}

func token() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// traffic is what confirms.
func (t *target) traffic(name deploy.Name) deploy.Traffic {
	if len(t.fairways) == 0 {
		return &waited{}
	}
	return confirmed{fairways: t.fairways, name: name}
}

// asked is the traffic of a job, whose engine learns whether its service has routes.
func (t *target) asked(ctx context.Context, j job) (deploy.Traffic, error) {
	if len(t.fairways) == 0 {
		return &waited{}, nil
	}
	o, err := j.engine.Observe(ctx)
	if err != nil {
		return nil, err
	}
	services := []string{j.want.Name.Project + "-" + j.want.Name.Service}
	for _, in := range o.Instances {
		services = append(services, in.Known)
	}
	if s := j.engine.Spec; s != nil {
		services = append(services, s.Config.Labels[catalog.ServiceLabel])
	}
	slices.Sort(services)
	services = slices.DeleteFunc(slices.Compact(services), func(s string) bool { return s == "" })
	c := confirmed{fairways: t.fairways, name: j.want.Name}
	now, err := c.routes(ctx, services)
	if err != nil {
		return nil, err
	}
	before, after := expected(services, now, t.changes)
	routed := before || after
	j.engine.Routed, c.unrouted = &routed, !after
	return c, nil
}

// job is what is to be done to one service.
type job struct {
	engine *engines.Engine
	want   deploy.Want
	why    string // for stop-first
	limits deploy.Limits
}

// Run deploys.
func (f *Deploy) Run(ctx context.Context, h *command.Host, keys Flags, connect Client) error {
	if f.Timeout <= 0 || f.DrainTimeout < 0 || f.Settle < 0 || f.Keep < 0 || f.Delay < 0 || f.Parallelism < 0 {
		return swarmservice.Invalid(errors.New("--timeout must be above 0, and no other time or number below"))
	}
	remote := len(f.Docker) > 0 && !strings.HasPrefix(f.Docker[0], "unix:")
	project, err := spec.Read(ctx, spec.Options{Files: f.Files, Environ: h.Environ, Project: f.Project, Profiles: f.Profile, Remote: remote})
	if err != nil {
		return swarmservice.Invalid(err)
	}
	for _, n := range project.Notes {
		h.Note("%s:%d: %s", n.File, n.Line, n.Text)
	}
	t, err := open(ctx, h, keys, f.EngineFlags, f.Fairway, connect, true)
	if err != nil {
		return err
	}
	defer t.client.Close()
	jobs, err := f.jobs(ctx, t, project)
	if err != nil {
		return err
	}
	if err := f.routes(ctx, h, t); err != nil {
		return err
	}
	if f.Plan {
		return f.plan(ctx, t, jobs)
	}
	return t.do(ctx, jobs, deploy.RunOptions{NoBack: f.NoRollback, TakeOver: f.TakeOver})
}

// routes asks what would be served otherwise, and stops for problems.
func (f *Deploy) routes(ctx context.Context, h *command.Host, t *target) error {
	if len(t.fairways) == 0 {
		return nil
	}
	request, err := plan.Request(f.Files, h.Environ)
	if err != nil {
		return swarmservice.Invalid(err)
	}
	if f.Project != "" {
		request.Project = f.Project
	}
	for _, fairway := range t.fairways {
		p, err := fairway.Plan(ctx, request)
		if refused, ok := errors.AsType[*api.Error](err); ok && (refused.Status == http.StatusNotFound || refused.Status == http.StatusNotImplemented) {
			h.Note("the routes cannot be planned: %s", refused.Error())
			continue
		}
		if err != nil {
			return err
		}
		t.changes = append(t.changes, p.Routes...)
		if p.Changes {
			h.Note("routes: %s", p.Summary)
		}
		if len(p.Problems) == 0 || f.ForceRoutes {
			continue
		}
		var lines []string
		for _, one := range p.Problems {
			lines = append(lines, fmt.Sprintf("%s:%d: %s: %s; %s", one.File, one.Line, one.Label, one.Text, one.Hint))
		}
		return swarmservice.Invalid(fmt.Errorf("labels would be refused; --force-routes deploys all the same:\n%s", strings.Join(lines, "\n")))
	}
	return nil
}

// jobs resolves images and says what is wanted of each service.
func (f *Deploy) jobs(ctx context.Context, t *target, project *spec.Project) (jobs []job, err error) {
	for _, name := range f.Service {
		if !slices.ContainsFunc(project.Services, func(s spec.Service) bool { return s.Config.Name == name }) {
			return nil, swarmservice.Invalid(fmt.Errorf("the files have no service %s", name))
		}
	}
	for i := range project.Services {
		s := &project.Services[i]
		if len(f.Service) > 0 && !slices.Contains(f.Service, s.Config.Name) {
			continue
		}
		j, err := f.job(ctx, t, project, s)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	names, err := engines.Services(ctx, t.client)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		known := slices.ContainsFunc(project.Services, func(s spec.Service) bool { return s.Config.Name == name.Service }) || slices.Contains(project.Others, name.Service)
		switch {
		case name.Project != project.Name || known:
		case f.Prune:
			jobs = append(jobs, t.remove(name, f.limits(nil)))
		default:
			t.h.Note("%s is not in the files any more, and stays; --prune removes it", name)
		}
	}
	return jobs, nil
}

func (f *Deploy) job(ctx context.Context, t *target, project *spec.Project, s *spec.Service) (j job, err error) {
	name := deploy.Name{Project: project.Name, Service: s.Config.Name}
	policy := s.Config.PullPolicy
	if f.Pull != auto {
		policy = f.Pull
	}
	credentials := registryAuth(t.h.Env, s.Config.Image)
	image, err := engines.Resolve(ctx, t.client, s.Config.Image, policy, credentials)
	if err != nil {
		return j, err
	}
	salt, err := engines.SaltOf(ctx, t.client, name)
	if err != nil {
		return j, err
	}
	salt = cmp.Or(salt, spec.NewSalt())
	limits := f.limits(s)
	e := &engines.Engine{
		Client: t.client, Service: name, Spec: s, Project: project, Image: image, Salt: salt, Settle: limits.Up, Auth: credentials, Lock: t.lock, Limits: limits,
	}
	want := deploy.Want{
		Name: name, Run: t.run, Slots: map[int]deploy.Target{}, Container: s.Config.ContainerName, Create: true, StopFirst: s.StopFirst,
		Parallel: cmp.Or(f.Parallelism, s.Parallel, 1), Keep: f.Keep, KeepFailed: f.KeepFailed,
	}
	if f.Order != auto {
		if f.Order == "stop-first" || !s.Exclusive { // nothing overrides what cannot be
			want.StopFirst, s.Why = f.Order == "stop-first", "--order says so"
		}
	}
	for _, path := range image.Volumes {
		if !slices.ContainsFunc(s.Config.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == path }) {
			t.h.Note("%s: its image has a volume without a name at %s: a new instance begins with an empty one; name it in volumes to keep its data", name, path)
		}
	}
	digest := s.Digest(image.Ref, salt)
	var names []string
	for slot := 1; slot <= s.Slots; slot++ {
		want.Slots[slot] = deploy.Target{Digest: digest, Restart: s.Restart}
		names = append(names, cmp.Or(s.Config.ContainerName, name.Slot(slot)))
	}
	if err := e.Foreign(ctx, names); err != nil {
		return j, swarmservice.Invalid(err)
	}
	o, err := e.Observe(ctx)
	if err != nil {
		return j, err
	}
	for _, in := range o.Instances {
		if in.Run == "" && in.Mark == marks.None && !f.Adopt { // marks are of a deploy that took it over
			return j, swarmservice.Invalid(fmt.Errorf("container %s (%s, image %s) was made by Compose: --adopt takes it over", in.Name, in.ID[:min(12, len(in.ID))], in.Image))
		}
	}
	return job{engine: e, want: want, why: s.Why, limits: limits}, nil
}

func (f *Deploy) limits(s *spec.Service) deploy.Limits {
	l := deploy.Limits{Ready: f.Timeout, Up: cmp.Or(f.Settle, 10*time.Second), Settle: cmp.Or(f.Settle, 5*time.Second), Drain: f.DrainTimeout, Delay: f.Delay}
	if l.Ready == 0 {
		l.Ready = 5 * time.Minute
	}
	if s != nil {
		l.Delay = cmp.Or(l.Delay, s.Delay)
		l.Settle = max(l.Settle, s.Monitor)
	}
	return l
}

// remove is the job that removes a service.
func (t *target) remove(name deploy.Name, l deploy.Limits) job {
	return job{
		engine: &engines.Engine{Client: t.client, Service: name, Lock: t.lock, Limits: l},
		want:   deploy.Want{Name: name, Run: t.run, Everything: true, Replaced: deploy.Remove}, limits: l,
	}
}

// plan prints the steps that are left.
func (f *Deploy) plan(ctx context.Context, t *target, jobs []job) error {
	answer := planned{Services: []plannedService{}}
	for _, j := range jobs {
		o, err := j.engine.Observe(ctx)
		if err != nil {
			return err
		}
		list, err := deploy.Plan(j.want, o)
		if err != nil {
			return err
		}
		one := plannedService{Service: j.want.Name.String(), Image: j.engine.Image.Ref, Steps: []plannedStep{}}
		if j.want.StopFirst {
			one.Order, one.Why = "stop-first", j.why
		} else if j.want.Create {
			one.Order = "start-first"
		}
		for _, s := range list {
			one.Steps = append(one.Steps, plannedStep{Step: string(s.Kind), Slot: s.Slot, Container: s.Name, Text: describe(s)})
		}
		answer.Changes = answer.Changes || len(list) > 0
		answer.Services = append(answer.Services, one)
	}
	if err := t.h.Print(answer, func() { answer.print(t.h) }); err != nil {
		return err
	}
	if f.ExitCode && answer.Changes {
		return unwell
	}
	return nil
}

// do does jobs, one after the other.
func (t *target) do(ctx context.Context, jobs []job, opts deploy.RunOptions) error {
	opts.IsGone = isGone
	var done []outcome
	var failed error
	for _, j := range jobs {
		o, err := t.one(ctx, j, opts)
		if err != nil {
			failed = err
			break
		}
		done = append(done, o)
	}
	return t.finish(ctx, done, failed)
}

func (t *target) one(ctx context.Context, j job, opts deploy.RunOptions) (outcome, error) {
	began := time.Now()
	traffic, err := t.asked(ctx, j)
	if err != nil {
		return outcome{}, err
	}
	p := &progressLines{h: t.h, service: j.want.Name.String(), touched: map[int]bool{}}
	opts.Took = func(l deploy.Lock, why string) {
		t.h.Note("%s: takes over the deploy of %s on %s: %s", j.want.Name, l.Who, l.Host, why)
	}
	w := &deploy.Walker{Orchestrator: j.engine, Traffic: traffic, Limits: j.limits, Report: p.report}
	stop := context.AfterFunc(ctx, func() {
		t.h.Note("interrupted: going back. Once more stops at once; the same command again goes on then, and fairway service revert %s takes it back", j.want.Name)
	})
	defer stop()
	err = w.Run(ctx, context.WithoutCancel(ctx), j.want, opts)
	return outcome{
		Service: j.want.Name.String(), Slots: len(j.want.Slots), Replaced: len(p.touched), Seconds: time.Since(began).Seconds(), Cut: w.Cut,
		Confirmed: len(t.fairways) > 0, Image: j.engine.Image.Ref,
	}, err
}

// finish prints what was done and returns the exit code.
func (t *target) finish(ctx context.Context, done []outcome, failed error) error {
	if len(done) > 0 || failed == nil {
		if err := t.print(done); err != nil {
			return err
		}
	}
	if failed == nil {
		return nil
	}
	if lacks, ok := errors.AsType[*deploy.NotReadyError](failed); ok {
		t.h.Note("the last lines of %s:", lacks.Instance.Name)
		for _, line := range lacks.Log {
			t.h.Note("    %s", line)
		}
	}
	_, taken := errors.AsType[*deploy.FailedError](failed)
	switch {
	case ctx.Err() != nil:
		t.h.Fail(failed)
		return interrupted
	case taken:
		t.h.Fail(failed)
		return unwell
	}
	return failed
}

func thisProcess() deploy.Lock {
	host, _ := os.Hostname()
	return deploy.Lock{Who: who(), Host: host, Process: processID()}
}
