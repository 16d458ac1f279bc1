package swarmservice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fairway/internal/clock"
	"fairway/internal/dockerapi"
)

// Progress is how far a service is.
type Progress struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Running is how many of the wanted tasks run, and Wanted how many are wanted.
	Running uint64 `json:"running"`
	Wanted  uint64 `json:"wanted"`
	// Update is Docker's word for the newest update; empty when there was none.
	Update string `json:"update,omitempty"`
	// Converged is true when nothing is left to be done.
	Converged bool `json:"converged"`
	// Failed is true when the update is paused or was rolled back.
	Failed bool `json:"-"`
	// Reason is why it has not converged, as far as that is known.
	Reason string `json:"reason,omitempty"`
}

// Wait reads services until all of them have been converged for the time settle, or one of
// them fails, or ctx ends; the error then is or wraps ErrNotConverged. report is called for
// each progress of a service. A manager that does not answer is asked again.
func (s *Swarm) Wait(ctx context.Context, services []Changed, settle time.Duration, report func(Progress)) ([]Progress, error) {
	newest := make([]Progress, len(services))
	var since time.Time // all have converged
	for {
		now, fault := s.read(ctx, services)
		if errors.Is(fault, ErrNotConverged) {
			return newest, fault
		}
		all := fault == nil
		for i, p := range now {
			if p != newest[i] {
				newest[i] = p
				report(p)
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
		if clock.Sleep(ctx, s.every) != nil {
			if fault != nil {
				return newest, fmt.Errorf("%w: %w", ErrNotConverged, fault)
			}
			return newest, ErrNotConverged
		}
	}
}

// read reads how far services are: each service, then the tasks and nodes of all at once.
func (s *Swarm) read(ctx context.Context, services []Changed) ([]Progress, error) {
	c, err := s.manager(ctx)
	if err != nil {
		return nil, err
	}
	states := make([]dockerapi.ServiceState, len(services))
	ids := make([]string, len(services))
	for i, service := range services {
		states[i], err = c.ServiceInspect(ctx, service.ID)
		if dockerapi.IsNotFound(err) {
			return nil, fmt.Errorf("%w: service %s was removed", ErrNotConverged, service.ID)
		}
		if err != nil {
			return nil, err
		}
		if service.RolledBack && states[i].Update == "rollback_completed" {
			states[i].Update = "completed" // that is what was asked for
		}
		ids[i] = states[i].ID
	}
	tasks, err := c.ServiceTasks(ctx, ids...)
	if err != nil {
		return nil, err
	}
	nodes, _, err := c.NodeList(ctx, nil)
	if err != nil {
		return nil, err
	}
	progress := make([]Progress, len(states))
	for i, state := range states {
		progress[i] = judge(state, tasks, nodes)
	}
	return progress, nil
}

// judge says how far a service is: the first case that holds decides.
func judge(state dockerapi.ServiceState, tasks []dockerapi.Task, nodes []dockerapi.Node) Progress {
	n := count(state.ID, tasks, nodes)
	p := Progress{ID: state.ID, Name: state.Name, Running: n.running, Wanted: state.Replicas, Update: state.Update}
	if state.Mode == "global" {
		p.Wanted = max(n.wanted, 1) // the Swarm makes one task for each node that suits
	}
	switch update := state.Update; {
	case strings.HasSuffix(state.Mode, "-job"):
		p.Converged = true // a job ends by itself, and is not waited for
	case update == "paused", update == "rollback_paused", update == "rollback_completed":
		p.Failed, p.Reason = true, "the update is "+strings.ReplaceAll(update, "_", " ")+": "+state.UpdateMessage
	case p.Running < p.Wanted:
		p.Reason = cmp.Or(n.hindrance, n.failure)
	case state.Updating, p.Running > p.Wanted, n.wanted != p.Wanted, n.stopping > 0:
		p.Reason = n.hindrance
	default:
		p.Converged = true
	}
	return p
}

// counted is what the tasks of a service add up to.
type counted struct {
	wanted, running, stopping uint64
	// hindrance is why a task does not run, failure why the newest that has failed did.
	hindrance, failure string
}

// count adds up the tasks of a service. Those of a node that is down go on to say that they
// run, and do not count as running.
func count(service string, tasks []dockerapi.Task, nodes []dockerapi.Node) (n counted) {
	up := map[string]bool{}
	for _, node := range nodes {
		up[node.ID] = node.State != "down"
	}
	var failed time.Time
	for _, t := range tasks {
		running := t.State == "running" && up[t.NodeID]
		switch {
		case t.ServiceID != service:
		case t.Desired == "running", t.Desired == "ready":
			n.wanted++
			n.hindrance = cmp.Or(t.Error, n.hindrance)
			if running && t.Desired == "running" {
				n.running++
			}
		case running:
			n.stopping++
		case (t.State == "failed" || t.State == "rejected") && t.Since.After(failed):
			failed, n.failure = t.Since, t.Error
		}
	}
	return n
}
