package swarm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairway/internal/dockerapi"
)

// facts is what the lists of one refresh said. A facts and everything in it is
// never written to once it is made, so that it may be shared between goroutines.
type facts struct {
	services []dockerapi.Service
	tasks    []dockerapi.Task // that are meant to run
	leaving  []dockerapi.Task // that are not, and still do
	nodes    []dockerapi.Node
	networks []dockerapi.SwarmNetwork
	// own are the IDs of the networks that Fairway's container is on.
	own map[string]bool
}

// kinds says what is to be listed besides tasks and nodes.
type kinds struct{ services, networks, own bool }

// everything is all kinds.
func everything() kinds { return kinds{true, true, true} }

// live are the desired states of tasks that are more than history: "ready" of
// one that waits for its turn in an update, "accepted" in old Swarms, and "remove"
// of one that is scaled away and will be gone without a trace.
func live() dockerapi.TaskFilter {
	return dockerapi.TaskFilter{Desired: []string{"accepted", "ready", "running", "remove"}}
}

// maxIDs is how many tasks are asked for by name in one call; beyond that all
// are listed.
const maxIDs = 100

// reader makes the calls of a refresh. One refresh runs at a time.
type reader struct {
	self   *dockerapi.Client
	selfID string
	// What the newest answers were; see dockerapi.Seen.
	services, tasks, nodes, networks dockerapi.Seen
}

// read asks client for what may have changed since before. A list that failed
// or was not asked for leaves before's. It returns an error if any call failed.
func (r *reader) read(ctx context.Context, client *dockerapi.Client, before facts, want kinds) (now facts, err error) {
	defer func() {
		// A panic in decoding what the engine sent is one more way to fail.
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			// Nothing of this refresh is taken, so nothing counts as seen.
			r.services, r.tasks, r.nodes, r.networks = dockerapi.Seen{}, dockerapi.Seen{}, dockerapi.Seen{}, dockerapi.Seen{}
		}
	}()
	now = before
	if err := fetch(ctx, &now.tasks, func(ctx context.Context) ([]dockerapi.Task, bool, error) {
		return client.TaskList(ctx, live(), &r.tasks)
	}); err != nil {
		return now, err
	}
	if now.leaving, err = stillRunning(ctx, client, before, now.tasks); err != nil {
		return now, err
	}
	// Services and nodes come after the tasks, so that no task is without.
	if err := fetch(ctx, &now.nodes, func(ctx context.Context) ([]dockerapi.Node, bool, error) {
		return client.NodeList(ctx, &r.nodes)
	}); err != nil {
		return now, err
	}
	if want.services || orphans(now) {
		if err := fetch(ctx, &now.services, func(ctx context.Context) ([]dockerapi.Service, bool, error) {
			return client.ServiceList(ctx, &r.services)
		}); err != nil {
			return now, err
		}
	}
	if want.networks {
		if err := fetch(ctx, &now.networks, func(ctx context.Context) ([]dockerapi.SwarmNetwork, bool, error) {
			return client.SwarmNetworkList(ctx, &r.networks)
		}); err != nil {
			return now, err
		}
	}
	now.own, err = r.ownNetworks(ctx, now, want.own)
	return now, err
}

// fetch makes one call and replaces list if its answer is a new one.
func fetch[T any](ctx context.Context, list *[]T, call func(context.Context) ([]T, bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	next, changed, err := call(ctx)
	if err == nil && changed {
		*list = next
	}
	return err
}

// stillRunning asks for the tasks that ran before and are to stop: they are
// not in the list of those that are to run, and until they have stopped they are
// leaving.
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
	var list []dockerapi.Task
	err := fetch(ctx, &list, func(ctx context.Context) ([]dockerapi.Task, bool, error) {
		return client.TaskList(ctx, filter, nil)
	})
	list = slices.DeleteFunc(list, func(t dockerapi.Task) bool { return !ran[t.ID] || t.State != "running" })
	return list, err
}

// orphans reports whether a task that is to run belongs to a service that is not
// known.
func orphans(f facts) bool {
	known := make(map[string]bool, len(f.services))
	for _, s := range f.services {
		known[s.ID] = true
	}
	return slices.ContainsFunc(f.tasks, func(t dockerapi.Task) bool {
		return t.Desired != "remove" && t.ServiceID != "" && !known[t.ServiceID]
	})
}

// ownNetworks finds out which networks Fairway's own container is on: from its
// task when it is one, else from its engine. While the engine does not answer,
// what it said before holds; if it never answered, that is an error, since every
// instance would look out of reach.
func (r *reader) ownNetworks(ctx context.Context, now facts, ask bool) (map[string]bool, error) {
	if r.selfID == "" {
		return nil, nil
	}
	for _, t := range now.tasks {
		if strings.HasPrefix(t.ContainerID, r.selfID) {
			own := make(map[string]bool)
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
	own := make(map[string]bool)
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
