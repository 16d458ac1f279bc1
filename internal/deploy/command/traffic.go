package command

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/api"
	"fairway/internal/deploy"
	"fairway/internal/deploy/marks"
)

// confirmed is what Fairways say: all of them have to.
type confirmed struct {
	fairways []*api.Client
	name     deploy.Name
	// unrouted is true where new instances get no requests.
	unrouted bool
}

// routes returns the IDs of the routes of services in the tables of all Fairways.
func (c confirmed) routes(ctx context.Context, services []string) (ids []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for _, f := range c.fairways {
		for _, service := range services {
			found, err := f.Routes(ctx, api.Query{Service: service})
			if err != nil {
				return nil, err
			}
			for _, r := range found.Items {
				ids = append(ids, r.ID)
			}
		}
	}
	return ids, nil
}

// expected says whether services have routes now, and whether they do after planned changes.
func expected(services, now []string, changes []api.DiffChange) (before, after bool) {
	gone := map[string]bool{}
	for _, c := range changes {
		name, _, _ := strings.Cut(c.ID, "@")
		of := slices.ContainsFunc(services, func(s string) bool { // other routes of a service have more behind its name
			rest, ok := strings.CutPrefix(name, s)
			return ok && (rest == "" || strings.ContainsAny(rest[:1], ".:/#~"))
		})
		gone[c.ID] = c.Kind == "removed"
		after = after || of && c.Kind == "added"
	}
	for _, id := range now {
		after = after || !gone[id]
	}
	return len(now) > 0, after
}

const answerWithin = 5 * time.Second

// endpoints calls each Fairway with those of an instance in its live table; on returns whether
// that is enough.
func (c confirmed) endpoints(ctx context.Context, in deploy.Instance, on func(list []api.Endpoint) bool) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	service := cmp.Or(in.Known, c.name.Project+"-"+c.name.Service)
	id := in.ID[:min(12, len(in.ID))] + ":"
	for _, f := range c.fairways {
		routes, err := f.Routes(ctx, api.Query{Service: service, Live: true})
		if err != nil {
			return false, err
		}
		var list []api.Endpoint
		for _, r := range routes.Items {
			for _, e := range r.Endpoints {
				if strings.HasPrefix(e.ID, id) {
					list = append(list, e)
				}
			}
		}
		if !on(list) {
			return false, nil
		}
	}
	return true, nil
}

// Routed reports whether every Fairway sends requests to an instance.
func (c confirmed) Routed(ctx context.Context, in deploy.Instance) (ok bool, why string, err error) {
	if c.unrouted {
		return true, "", nil
	}
	ok, err = c.endpoints(ctx, in, func(list []api.Endpoint) bool {
		if len(list) == 0 {
			why = "no route leads to it yet"
		}
		for _, e := range list {
			switch {
			case e.State != "ready":
				why = "it is " + e.State
			case e.Fault != "":
				why = e.Fault
			case e.Live != nil && !e.Live.InRotation:
				why = "its health check has not passed"
			default:
				continue
			}
			return false
		}
		return len(list) > 0
	})
	return ok, why, err
}

// Drained counts the requests that an instance is busy with, at every Fairway.
func (c confirmed) Drained(ctx context.Context, in deploy.Instance) (requests int, none bool, err error) {
	none, err = c.endpoints(ctx, in, func(list []api.Endpoint) bool {
		left := len(list) > 0 // what a Fairway does not know may be busy elsewhere
		for _, e := range list {
			if e.Live != nil {
				requests += e.Live.InFlight
			}
			left = left && e.State != "ready" && (e.Live == nil || e.Live.InFlight == 0)
		}
		return left
	})
	return requests, none, err
}

// waited waits fixed times in the place of asking.
type waited struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// unasked is how long it waits.
const unasked = 10 * time.Second

func (w *waited) over(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since == nil {
		w.since = map[string]time.Time{}
	}
	if w.since[key].IsZero() {
		w.since[key] = time.Now()
	}
	return time.Since(w.since[key]) >= unasked
}

// Routed returns true after a while.
func (w *waited) Routed(_ context.Context, in deploy.Instance) (ok bool, why string, err error) {
	return w.over("routed " + in.ID + in.Started.String()), "no Fairway is asked: a fixed time", nil
}

// Drained returns true a while after it gets nothing new.
func (w *waited) Drained(_ context.Context, in deploy.Instance) (requests int, none bool, err error) {
	return 0, in.Mark == marks.Leaving && w.over("drained "+in.ID), nil
}
