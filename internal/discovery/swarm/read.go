package swarm

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"fairway/internal/discovery/daemon"
	"fairway/internal/dockerapi"
)

// facts is what the lists of one refresh said. It is never written to once it is made.
type facts struct {
	services []dockerapi.Service
	tasks    []dockerapi.Task // that are meant to run
	leaving  []dockerapi.Task // that are not, and still do
	nodes    []dockerapi.Node
	networks []dockerapi.Network
	// own are the IDs of the networks that Fairway's container is on.
	own map[string]bool
}

// kinds says what is to be listed besides tasks and nodes.
type kinds struct{ services, networks, own bool }

func everything() kinds { return kinds{true, true, true} }

// maxIDs is how many tasks are asked for by name; beyond that all are listed.
const maxIDs = 100

// reader makes the calls of a refresh. One refresh runs at a time.
type reader struct {
	self   *dockerapi.Client
	selfID string
	seen   seen
}

// seen is what the newest answers were; see dockerapi.Seen.
type seen struct{ services, tasks, nodes, networks dockerapi.Seen }

// read asks client for what may have changed; a list that was not asked for stays.
func (r *reader) read(ctx context.Context, client *dockerapi.Client, before facts, want kinds) (now facts, err error) {
	defer func() {
		if err != nil {
			r.seen = seen{} // nothing of this refresh is taken
		}
	}()
	defer daemon.Recover(&err)
	now = before
	// The tasks that are more than history: "ready" is one that waits for its turn in an
	// update, "accepted" occurs in old Swarms, and "remove" is one that is scaled away.
	live := dockerapi.TaskFilter{Desired: []string{"accepted", "ready", "running", "remove"}}
	err = fetch(ctx, &now.tasks, &r.seen.tasks, func(ctx context.Context, s *dockerapi.Seen) ([]dockerapi.Task, bool, error) {
		return client.TaskList(ctx, live, s)
	})
	if err == nil {
		now.leaving, err = stillRunning(ctx, client, before, now.tasks)
	}
	// Services and nodes come after the tasks, so that no task is without.
	if err == nil {
		err = fetch(ctx, &now.nodes, &r.seen.nodes, client.NodeList)
	}
	if err == nil && (want.services || orphans(now)) {
		err = fetch(ctx, &now.services, &r.seen.services, client.ServiceList)
	}
	if err == nil && want.networks {
		err = fetch(ctx, &now.networks, &r.seen.networks, client.SwarmNetworkList)
	}
	if err == nil {
		now.own, err = r.ownNetworks(ctx, now, want.own)
	}
	return now, err
}

// fetch makes one call and replaces list if its answer is a new one.
func fetch[T any](ctx context.Context, list *[]T, seen *dockerapi.Seen, call func(context.Context, *dockerapi.Seen) ([]T, bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	next, changed, err := call(ctx, seen)
	if err == nil && changed {
		*list = next
	}
	return err
}

// stillRunning asks for the tasks that ran before and are not listed any more: until they
// have stopped they are leaving.
func stillRunning(ctx context.Context, client *dockerapi.Client, before facts, tasks []dockerapi.Task) ([]dockerapi.Task, error) {
	ran := make(map[string]bool)
	for _, list := range [][]dockerapi.Task{before.tasks, before.leaving} {
		for _, t := range list {
			if t.State == "running" {
				ran[t.ID] = true
			}
		}
	}
	for _, t := range tasks {
		delete(ran, t.ID)
	}
	if len(ran) == 0 {
		return nil, nil
	}
	filter := dockerapi.TaskFilter{IDs: slices.Sorted(maps.Keys(ran))}
	if len(ran) > maxIDs {
		filter = dockerapi.TaskFilter{}
	}
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	list, _, err := client.TaskList(ctx, filter, nil)
	list = slices.DeleteFunc(list, func(t dockerapi.Task) bool { return !ran[t.ID] || t.State != "running" })
	return list, err
}

func orphans(f facts) bool {
	known := make(map[string]bool, len(f.services))
	for _, s := range f.services {
		known[s.ID] = true
	}
	return slices.ContainsFunc(f.tasks, func(t dockerapi.Task) bool {
		return t.Desired != "remove" && t.ServiceID != "" && !known[t.ServiceID]
	})
}

// ownNetworks finds out which networks Fairway's own container is on: from its task, else
// from its engine. What the engine said before holds while it does not answer; without that
// every instance would look out of reach.
func (r *reader) ownNetworks(ctx context.Context, now facts, ask bool) (map[string]bool, error) {
	if r.selfID == "" {
		return nil, nil
	}
	own := make(map[string]bool)
	for _, t := range now.tasks {
		if strings.HasPrefix(t.ContainerID, r.selfID) {
			for _, a := range t.Attachments {
				own[a.NetworkID] = true
			}
			return own, nil
		}
	}
	if r.self == nil {
		return nil, errors.New("the networks of this container are not known: it is no task of the Swarm, and there is no local engine to ask")
	}
	if now.own != nil && !ask {
		return now.own, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	c, err := r.self.ContainerInspect(ctx, r.selfID)
	switch {
	case dockerapi.IsNotFound(err): // it runs on some other engine
		return own, nil
	case err != nil && now.own != nil:
		return now.own, nil
	case err != nil:
		return nil, err
	}
	for _, a := range c.Attachments {
		own[a.NetworkID] = true
	}
	return own, nil
}
