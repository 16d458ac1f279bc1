package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"fairway/internal/dockerapi"
)

const (
	// swarmTimeout is the deadline of each call to a manager.
	swarmTimeout = 10 * time.Second
	// conflictTries is how often an update is tried while others change the same
	// service.
	conflictTries = 8
	// conflictPause is before the second try; each further one waits longer by it.
	conflictPause = 50 * time.Millisecond
	// progressEvery is how often a service is looked at while it converges.
	progressEvery = 250 * time.Millisecond
)

// ErrNotConverged tells that a service did not become what it was asked to be.
var ErrNotConverged = errors.New("not converged")

// ErrNoService tells that the Swarm has no service of that name.
var ErrNoService = errors.New("no such service")

// ServiceFault is what is wrong with what a service was asked to be.
type ServiceFault struct{ error }

// Unwrap returns the error inside.
func (f ServiceFault) Unwrap() error { return f.error }

// Swarm changes the services of a Swarm over the Remote API of its managers.
// Close it after use. Its methods may be called from any goroutine.
type Swarm struct {
	clients []*dockerapi.Client
	every   time.Duration
}

// NewSwarm returns access to the Swarm that cfg names: by the key swarm, else by
// the engines of docker, of which one has to be a manager.
func NewSwarm(cfg Config, environ []string) (*Swarm, error) {
	urls := cfg.Swarm
	if len(urls) == 0 {
		urls = cfg.Docker
	}
	if len(urls) == 0 {
		return nil, errors.New("no Swarm: give --swarm")
	}
	clients, err := newClients(&cfg, environ, urls, swarmTimeout)
	if err != nil {
		return nil, err
	}
	return &Swarm{clients: clients, every: progressEvery}, nil
}

// Close drops the connections.
func (s *Swarm) Close() {
	for _, c := range s.clients {
		c.Close()
	}
}

// ask returns the first engine that can be asked about the Swarm.
func (s *Swarm) ask(ctx context.Context) (*dockerapi.Client, error) {
	var faults []string
	for _, c := range s.clients {
		info, err := c.SwarmInfo(ctx)
		switch {
		case err != nil:
			faults = append(faults, c.URL()+": "+err.Error())
		case info.Error != "":
			faults = append(faults, c.URL()+": "+info.Error)
		case !info.Manager:
			faults = append(faults, c.URL()+" is no manager of a Swarm (its state is "+info.State+")")
		default:
			return c, nil
		}
	}
	return nil, fmt.Errorf("no manager: %s", strings.Join(faults, "; "))
}

// Changed is a service that was created or changed.
type Changed struct {
	ID, Name string
	// Warnings are what Docker warns of.
	Warnings []string
	// RolledBack tells that it was rolled back because somebody asked for it.
	RolledBack bool
}

// Create creates a service. It does not wait for its tasks.
func (s *Swarm) Create(ctx context.Context, n NewService) (Changed, error) {
	spec, err := n.spec()
	if err != nil {
		return Changed{}, ServiceFault{err}
	}
	c, err := s.ask(ctx)
	if err != nil {
		return Changed{}, err
	}
	id, warnings, err := c.ServiceCreate(ctx, spec)
	if dockerapi.IsNameTaken(err) {
		return Changed{}, fmt.Errorf("there is a service %s already", n.Name)
	}
	return Changed{ID: id, Name: n.Name, Warnings: warnings}, err
}

// Update changes the service of that name or ID. When somebody else changes it
// at the same moment, it is read again and the change is made to what they left.
// It does not wait for the tasks.
func (s *Swarm) Update(ctx context.Context, name string, change ServiceChange) (Changed, error) {
	// The faults that the service has no part in are told before it is asked for.
	alone := change
	alone.NetworksRemove, alone.PublishRemove = nil, nil
	if err := alone.apply(&swarm.ServiceSpec{
		Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{}},
		TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{}},
	}, nil); err != nil {
		return Changed{}, ServiceFault{err}
	}
	c, err := s.ask(ctx)
	if err != nil {
		return Changed{}, err
	}
	networks, err := change.networks(ctx, c)
	if err != nil {
		return Changed{}, err
	}
	return s.change(ctx, c, name, func(state dockerapi.ServiceState) ([]string, error) {
		spec := state.Spec
		if err := change.apply(&spec, networks); err != nil {
			return nil, ServiceFault{fmt.Errorf("service %s: %w", name, err)}
		}
		return c.ServiceUpdate(ctx, state.ID, state.Version, spec)
	})
}

// Rollback gives the service of that name or ID back the specification it had
// before its last change. It does not wait for the tasks.
func (s *Swarm) Rollback(ctx context.Context, name string) (Changed, error) {
	c, err := s.ask(ctx)
	if err != nil {
		return Changed{}, err
	}
	changed, err := s.change(ctx, c, name, func(state dockerapi.ServiceState) ([]string, error) {
		if !state.Previous {
			return nil, ServiceFault{fmt.Errorf("service %s: it has not been changed, there is nothing to go back to", name)}
		}
		return c.ServiceRollback(ctx, state.ID, state.Version, state.Spec)
	})
	changed.RolledBack = true
	return changed, err
}

// networks returns the IDs of the Swarm's networks by name, when the change needs
// them.
func (c ServiceChange) networks(ctx context.Context, from *dockerapi.Client) (map[string]string, error) {
	if len(c.NetworksAdd)+len(c.NetworksRemove) == 0 {
		return nil, nil
	}
	list, _, err := from.SwarmNetworkList(ctx, nil)
	ids := make(map[string]string, len(list))
	for _, n := range list {
		ids[n.Name] = n.ID
	}
	return ids, err
}

// change reads a service and has it changed, again while others were faster.
func (s *Swarm) change(ctx context.Context, c *dockerapi.Client, name string, update func(dockerapi.ServiceState) ([]string, error)) (Changed, error) {
	for try := 1; ; try++ {
		state, err := c.ServiceInspect(ctx, name)
		if err != nil {
			return Changed{}, noService(name, err)
		}
		warnings, err := update(state)
		switch {
		case err == nil:
			return Changed{ID: state.ID, Name: state.Name, Warnings: warnings}, nil
		case !dockerapi.IsConflict(err):
			return Changed{}, err
		case try == conflictTries:
			return Changed{}, fmt.Errorf("service %s: others changed it each of %d times: %w", name, try, err)
		}
		select {
		case <-ctx.Done():
			return Changed{}, ctx.Err()
		case <-time.After(time.Duration(try) * conflictPause):
		}
	}
}

// Remove removes the service of that name or ID. Its tasks end afterwards.
func (s *Swarm) Remove(ctx context.Context, name string) error {
	c, err := s.ask(ctx)
	if err != nil {
		return err
	}
	return noService(name, c.ServiceRemove(ctx, name))
}

// noService puts the absence of a service into our own words.
func noService(name string, err error) error {
	if dockerapi.IsNotFound(err) {
		return fmt.Errorf("%w: %s", ErrNoService, name)
	}
	return err
}

// Progress is how far a service is.
type Progress struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Running is how many tasks run that shall run, and Wanted how many there
	// shall be.
	Running uint64 `json:"running"`
	Wanted  uint64 `json:"wanted"`
	// Update is Docker's word for the newest update; empty when there was none.
	Update string `json:"update,omitempty"`
	// Converged is true when nothing is left to be done.
	Converged bool `json:"converged"`
	// Failed is true when nothing more will be done: the update is paused or was
	// rolled back.
	Failed bool `json:"-"`
	// Reason is why it has not converged, as far as that is known.
	Reason string `json:"reason,omitempty"`
}

// Wait looks at services until all of them have been what they were asked to be
// for the time settle, or one of them fails, or ctx ends; the error is
// ErrNotConverged then, or wraps it. tell is called whenever a service has come
// further. A manager that does not answer is asked again.
func (s *Swarm) Wait(ctx context.Context, services []Changed, settle time.Duration, tell func(Progress)) ([]Progress, error) {
	newest := make([]Progress, len(services))
	var since time.Time // all have converged
	var fault error
	for {
		all := true
		for i, service := range services {
			p, err := s.progress(ctx, service)
			switch {
			case dockerapi.IsNotFound(err):
				return newest, fmt.Errorf("%w: service %s was removed", ErrNotConverged, service.ID)
			case err != nil:
				fault, all = err, false
				continue
			}
			fault = nil
			if p != newest[i] {
				newest[i] = p
				tell(p)
			}
			if p.Failed {
				return newest, ErrNotConverged
			}
			all = all && p.Converged
		}
		switch {
		case !all:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		if all && time.Since(since) >= settle {
			return newest, nil
		}
		select {
		case <-ctx.Done():
			if fault != nil {
				return newest, fmt.Errorf("%w: %w", ErrNotConverged, fault)
			}
			return newest, ErrNotConverged
		case <-time.After(s.every):
		}
	}
}

// progress looks at one service.
func (s *Swarm) progress(ctx context.Context, service Changed) (Progress, error) {
	c, err := s.ask(ctx)
	if err != nil {
		return Progress{}, err
	}
	state, err := c.ServiceInspect(ctx, service.ID)
	if err != nil {
		return Progress{}, err
	}
	tasks, err := c.ServiceTasks(ctx, state.ID)
	if err != nil {
		return Progress{}, err
	}
	nodes, _, err := c.NodeList(ctx, nil)
	if err != nil {
		return Progress{}, err
	}
	if service.RolledBack && state.Update == "rollback_completed" {
		state.Update = "completed" // that is what was asked for
	}
	return judge(state, tasks, nodes), nil
}

// judge says how far a service is. A task counts when it shall run, does run, and
// its node is ready: the tasks of a dead node go on saying that they run.
func judge(state dockerapi.ServiceState, tasks []dockerapi.Task, nodes []dockerapi.Node) Progress {
	p := Progress{ID: state.ID, Name: state.Name, Wanted: state.Replicas, Update: state.Update}
	ready := map[string]bool{}
	for _, n := range nodes {
		ready[n.ID] = n.State != "down"
	}
	var wanted, leaving uint64
	var failed dockerapi.Task
	for _, t := range tasks {
		running := t.State == "running" && ready[t.NodeID]
		switch t.Desired {
		case "running", "ready":
			wanted++
			if running && t.Desired == "running" {
				p.Running++
			}
			if t.Error != "" {
				p.Reason = t.Error // such as that no node suits
			}
		default:
			if running {
				leaving++
			}
			if (t.State == "failed" || t.State == "rejected") && t.Since.After(failed.Since) {
				failed = t
			}
		}
	}
	switch state.Mode {
	case "global":
		// The Swarm makes one task for each node that suits.
		p.Wanted = max(wanted, 1)
	case "replicated-job", "global-job":
		p.Converged = true // A job ends by itself; that is not waited for.
		return p
	}
	switch state.Update {
	case "paused", "rollback_paused", "rollback_completed":
		p.Failed, p.Reason = true, "the update is "+strings.ReplaceAll(state.Update, "_", " ")+": "+state.UpdateMessage
		return p
	}
	p.Converged = !state.Updating && p.Running == p.Wanted && wanted == p.Wanted && leaving == 0
	switch {
	case p.Converged:
		p.Reason = ""
	case p.Running < p.Wanted && p.Reason == "":
		p.Reason = failed.Error
	}
	return p
}
