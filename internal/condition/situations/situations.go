// Package situations is what can be wrong, and what has to be said of it: one service with
// two instances, broken in one way after the other. Only tests import it: the judge is
// held to it, and so is everything that shows what the judge found.
package situations

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/engine/traffic"
	"fairway/internal/route"
)

// now is the moment of all situations.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Situation is one thing that is wrong, with what has to be said of it.
type Situation struct {
	Name string
	// Route, Service and Whole are the states of the route and the service shop@docker and
	// of everything; empty for a route or service that is not there or not judged.
	Route, Service, Whole condition.State
	// Code is of a finding, and Text and Hint are parts of its sentences. Every place that shows
	// the situation contains Text.
	Code, Text, Hint string
	// Ready is how many endpoints take requests.
	Ready int

	edit     func(w *condition.World, r *route.Route, b *route.Backend)
	problems []route.Problem
	unserved bool // an older table is served, which has nothing of it
}

// World is the situation; it may be changed.
func (s Situation) World(t testing.TB) condition.World {
	t.Helper()
	instance := func(n int) *catalog.Instance {
		return &catalog.Instance{
			ID: fmt.Sprint("c", n), Name: fmt.Sprint("shop-", n), Source: "docker", State: catalog.StateReady,
			Labels: map[string]string{"fairway.host": "shop.example"}, Ports: []catalog.Port{{Number: 8080, Protocol: "tcp"}},
			Addresses: []catalog.Address{{Host: fmt.Sprint("10.0.0.", n), Network: "web", Reach: catalog.ReachShared}},
		}
	}
	r := &route.Route{
		ID: "shop@docker", Service: "shop@docker", Backend: "shop@docker", Claim: 1, Origin: route.Origin{Source: "docker"},
		Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "shop.example"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
	}
	b := &route.Backend{ID: "shop@docker", Service: "shop@docker", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
	w := condition.World{
		Now: now, Connected: map[string]condition.Attempt{}, Rates: map[string]condition.Rate{},
		Snapshot: &catalog.Snapshot{Services: []*catalog.Service{{ID: "shop@docker", Name: "shop", Source: "docker", Instances: []*catalog.Instance{instance(1), instance(2)}}}},
		Sources:  []catalog.SourceStatus{{Name: "docker", Synced: true, LastSuccess: now}},
	}
	for n := 1; n <= 2; n++ {
		e := route.Endpoint{ID: fmt.Sprintf("c%d:8080", n), Address: fmt.Sprintf("10.0.0.%d:8080", n), Weight: 1, State: route.EndpointReady, Instance: fmt.Sprint("shop-", n), Source: "docker"}
		b.Endpoints = append(b.Endpoints, e)
		w.Connected[e.Address] = condition.Attempt{At: now}
	}
	if s.edit != nil {
		s.edit(&w, r, b)
	}
	routes, backends := []*route.Route{}, []*route.Backend{}
	if r.ID != "" {
		routes = append(routes, r)
	}
	if r.Backend != "" {
		backends = append(backends, b)
	}
	var err error
	if w.Compiled, err = route.New(1, nil, routes, backends, s.problems); err != nil {
		t.Fatal(err)
	}
	if w.Live = w.Compiled; s.unserved {
		if w.Live, err = route.New(1, nil, nil, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// refuse puts instance n of the service into a state in which it gets no requests.
func refuse(w *condition.World, n int, state catalog.State, reason string) {
	in := w.Snapshot.Services[0].Instances[n]
	in.State, in.StateReason = state, reason
}

// All are the situations, the healthy one first.
func All() []Situation {
	all := slices.Concat(ofEndpoints(), ofRequests(), ofInstances(), ofLabelsAndSources(), ofTheTable())
	for i, s := range all {
		all[i].Whole = cmp.Or(s.Whole, s.Service)
	}
	return all
}

func ofEndpoints() []Situation {
	return []Situation{
		{Name: "healthy", Route: condition.Healthy, Service: condition.Healthy, Ready: 2},
		{
			Name:  "not observed yet",
			edit:  func(w *condition.World, _ *route.Route, _ *route.Backend) { clear(w.Connected) },
			Route: condition.Unknown, Service: condition.Unknown, Code: condition.CodeUnobserved,
		},
		{
			Name: "wrong port",
			edit: func(w *condition.World, _ *route.Route, b *route.Backend) {
				for i := range b.Endpoints {
					b.Endpoints[i].Address = strings.Replace(b.Endpoints[i].Address, "8080", "9999", 1)
					w.Connected[b.Endpoints[i].Address] = condition.Attempt{At: now, Error: "connection refused"}
				}
			},
			Route: condition.Down, Service: condition.Down, Code: condition.CodeConnect, Text: "connection refused at 10.0.0.1:9999", Hint: "the image exposes 8080: set the label fairway.port=8080",
		},
		{
			Name: "on its host's network, and not listening there",
			edit: func(w *condition.World, _ *route.Route, b *route.Backend) {
				w.Snapshot.Services[0].Instances[0].Addresses = []catalog.Address{{Host: "10.0.0.1", Network: "host", Reach: catalog.ReachBridge}}
				w.Connected[b.Endpoints[0].Address] = condition.Attempt{At: now, Error: "connection refused"}
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeConnect, Text: "connection refused at 10.0.0.1:8080", Hint: "on its host's network it has to listen on all addresses", Ready: 1,
		},
		{
			Name: "nothing listens at the right port",
			edit: func(w *condition.World, _ *route.Route, b *route.Backend) {
				w.Connected[b.Endpoints[1].Address] = condition.Attempt{At: now, Error: "connection refused"}
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeConnect, Text: "connection refused at 10.0.0.2:8080", Hint: "see why nothing listens there: docker logs shop-2", Ready: 1,
		},
		{
			Name: "image without ports",
			edit: func(w *condition.World, _ *route.Route, b *route.Backend) {
				w.Snapshot.Services[0].Instances[1].Ports = nil
				w.Connected[b.Endpoints[1].Address] = condition.Attempt{At: now, Error: "connection refused"}
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeConnect, Text: "connection refused at 10.0.0.2:8080", Hint: "set the label fairway.port to the port that it listens on; see: docker logs shop-2", Ready: 1,
		},
		{
			Name: "dead health check",
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Endpoints = []traffic.EndpointStatus{{Backend: "shop@docker", Endpoint: "c2:8080", Health: traffic.Failing, Reason: "status 500", OutOfRotation: true}}
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeCheck, Text: "the health check of shop-2 fails: status 500", Ready: 1,
		},
		{
			Name: "a check that failed once keeps the endpoint",
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Endpoints = []traffic.EndpointStatus{{Backend: "shop@docker", Endpoint: "c2:8080", Health: traffic.Failing}}
			},
			Route: condition.Healthy, Service: condition.Healthy, Ready: 2,
		},
		{
			Name: "ejected",
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Endpoints = []traffic.EndpointStatus{{Backend: "shop@docker", Endpoint: "c2:8080", Ejected: true}}
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeEjected, Text: "shop-2 at 10.0.0.2:8080 is left out after failed requests", Ready: 1,
		},
	}
}

func ofRequests() []Situation {
	return []Situation{
		{
			Name: "requests fail",
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Rates["shop@docker"] = condition.Rate{Requests: 10, Errors: 3.2}
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeErrors, Text: "32 % of requests fail (3.2 of 10.0 a second)", Ready: 2,
		},
		{
			Name: "one request of a few fails",
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Rates["shop@docker"] = condition.Rate{Requests: 0.2, Errors: 0.03}
			},
			Route: condition.Healthy, Service: condition.Healthy, Ready: 2,
		},
		{
			Name: "few requests fail",
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Rates["shop@docker"] = condition.Rate{Requests: 100, Errors: 5}
			},
			Route: condition.Healthy, Service: condition.Healthy, Ready: 2,
		},
	}
}

func ofInstances() []Situation {
	return []Situation{
		{
			Name: "stopped container",
			edit: func(w *condition.World, _ *route.Route, b *route.Backend) {
				refuse(w, 1, catalog.StateStopped, "exited 137")
				b.Endpoints = b.Endpoints[:1]
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeInstance, Text: "exited 137", Hint: "docker start shop-2", Ready: 1,
		},
		{
			Name: "unhealthy container",
			edit: func(w *condition.World, _ *route.Route, b *route.Backend) {
				refuse(w, 1, catalog.StateUnhealthy, "health check: curl: (7)")
				b.Endpoints[1].State = route.EndpointWaiting
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeInstance, Text: "health check: curl: (7)", Ready: 1,
		},
		{
			Name: "all stopped",
			edit: func(w *condition.World, _ *route.Route, b *route.Backend) {
				refuse(w, 0, catalog.StateStopped, "exited 1")
				refuse(w, 1, catalog.StateStopped, "exited 1")
				b.Endpoints = nil
			},
			Route: condition.Down, Service: condition.Down, Code: condition.CodeUnavailable, Text: "exited 1",
		},
		{
			Name: "no instance",
			edit: func(w *condition.World, _ *route.Route, b *route.Backend) {
				w.Snapshot.Services[0].Instances, b.Endpoints = nil, nil
			},
			Route: condition.Down, Service: condition.Down, Code: condition.CodeUnavailable, Text: "the service has no instance",
		},
		{
			Name: "drained",
			edit: func(_ *condition.World, _ *route.Route, b *route.Backend) {
				for i := range b.Endpoints {
					b.Endpoints[i].State, b.Endpoints[i].By = route.EndpointDraining, "drain by ann: new kernel"
				}
			},
			Route: condition.Down, Service: condition.Down, Code: condition.CodeUnavailable, Text: "drain by ann: new kernel",
		},
		{
			Name: "one drained",
			edit: func(_ *condition.World, _ *route.Route, b *route.Backend) {
				b.Endpoints[0].State, b.Endpoints[0].By = route.EndpointDraining, "drain by ann"
			},
			Route: condition.Healthy, Service: condition.Healthy, Ready: 1,
		},
		{
			Name: "starting",
			edit: func(w *condition.World, _ *route.Route, b *route.Backend) {
				refuse(w, 0, catalog.StateStarting, "health check: starting")
				b.Endpoints = b.Endpoints[:1]
				b.Endpoints[0].State = route.EndpointWaiting
			},
			Route: condition.Down, Service: condition.Down, Code: condition.CodeUnavailable, Text: "it is starting (health check: starting)",
		},
	}
}

func ofLabelsAndSources() []Situation {
	return []Situation{
		{
			Name: "refused",
			edit: func(_ *condition.World, r *route.Route, _ *route.Backend) {
				r.Refused, r.Backend = "basic-auth: cannot read /users", ""
			},
			Route: condition.Refused, Service: condition.Refused, Code: condition.CodeRefused, Text: "basic-auth: cannot read /users",
		},
		{
			Name:  "last good",
			edit:  func(_ *condition.World, r *route.Route, _ *route.Backend) { r.Origin.Stale = true },
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeLastGood, Text: "last good form", Ready: 2,
		},
		{
			Name: "source away",
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Sources[0] = catalog.SourceStatus{Name: "docker", Stale: true, Error: "dial unix /var/run/docker.sock: connect: no such file or directory", LastSuccess: now.Add(-time.Hour)}
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeStale, Text: "source docker does not answer, and what it said before is kept", Hint: "docker info", Ready: 2,
		},
		{
			Name: "permission denied",
			edit: func(w *condition.World, r *route.Route, _ *route.Backend) {
				w.Sources[0] = catalog.SourceStatus{Name: "docker", Stale: true, Error: "dial unix /var/run/docker.sock: connect: permission denied"}
				w.Snapshot, r.ID, r.Backend = &catalog.Snapshot{}, "", ""
			},
			Whole: condition.Down, Code: condition.CodeNoAnswer, Text: "source docker has never answered", Hint: "sudo usermod -aG docker USER",
		},
		{
			Name: "not answered yet",
			edit: func(w *condition.World, r *route.Route, _ *route.Backend) {
				w.Sources[0] = catalog.SourceStatus{Name: "docker"}
				w.Snapshot, r.ID, r.Backend = &catalog.Snapshot{}, "", ""
			},
			Whole: condition.Unknown,
		},
	}
}

func ofTheTable() []Situation {
	return []Situation{
		{
			Name: "rollback in force",
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Holds = []condition.Hold{{Command: "rollback to entry 20 by ann", Undo: "fairway unpin", Since: now.Add(-time.Hour)}}
			},
			Route: condition.Held, Service: condition.Held, Code: condition.CodeHold, Text: "rollback to entry 20 by ann", Hint: "end it with: fairway unpin", Ready: 2,
		},
		{
			Name: "pinned until labels change",
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Holds = []condition.Hold{{Command: "pin of entry 20 by ann", Undo: "fairway unpin", Services: map[string]bool{"other@docker": true}}}
			},
			Route: condition.Healthy, Service: condition.Healthy, Whole: condition.Held, Code: condition.CodeHold, Text: "pin of entry 20 by ann", Ready: 2,
		},
		{
			Name: "in maintenance",
			edit: func(w *condition.World, r *route.Route, _ *route.Backend) {
				w.Rates = map[string]condition.Rate{r.ID: {Requests: 9, Errors: 9}} // each of them is meant
				w.Holds = []condition.Hold{{
					Command: "maintenance of shop@docker by ann", Services: map[string]bool{"shop@docker": true}, Since: now.Add(-time.Hour),
					Maintenance: true, Undo: "fairway maintenance shop@docker off",
				}}
			},
			Route: condition.Held, Service: condition.Held, Code: condition.CodeMaintenance, Text: "held by maintenance of shop@docker by ann",
			Hint: "end it with: fairway maintenance shop@docker off", Ready: 2,
		},
		{
			Name: "started under a rollback", unserved: true,
			edit: func(w *condition.World, _ *route.Route, _ *route.Backend) {
				w.Holds = []condition.Hold{{Command: "rollback to entry 20 by ann", Undo: "fairway unpin"}}
			},
			Service: condition.Down, Code: condition.CodeNotServed, Text: "rollback to entry 20 by ann", Hint: "end it with: fairway unpin",
		},
		{
			Name: "certificate missing",
			edit: func(w *condition.World, r *route.Route, _ *route.Backend) {
				r.Filters = []route.Filter{{RedirectHTTPS: &route.RedirectHTTPS{}}}
				w.Certificates = func(string) (text, hint string) {
					return "it redirects to HTTPS, and no certificate covers shop.example", "add a certificate for shop.example to tls.certificates"
				}
			},
			Route: condition.Degraded, Service: condition.Degraded, Code: condition.CodeCertificate, Text: "it redirects to HTTPS, and no certificate covers shop.example", Hint: "add a certificate for shop.example", Ready: 2,
		},
		{
			Name:  "engine refuses the table",
			edit:  func(w *condition.World, _ *route.Route, _ *route.Backend) { w.Pending = "haproxy: cannot bind :80" },
			Route: condition.Healthy, Service: condition.Healthy, Whole: condition.Degraded, Code: condition.CodePending, Text: "haproxy: cannot bind :80", Ready: 2,
		},
		{
			Name:     "host taken",
			problems: []route.Problem{{Code: route.CodeConflict, Service: "shop@docker", Text: "shop.example belongs to rival@docker", Hint: "choose another host"}},
			edit: func(w *condition.World, r *route.Route, _ *route.Backend) {
				w.Snapshot.Services = append(w.Snapshot.Services, &catalog.Service{ID: "rival@docker", Source: "docker"})
				r.ID, r.Backend = "", ""
			},
			Service: condition.Refused, Code: condition.CodeRefused, Text: "shop.example belongs to rival@docker", Hint: "choose another host",
		},
		{
			Name:     "label refused beside a route",
			problems: []route.Problem{{Code: route.CodeUnknownLabel, Service: "shop@docker", Text: "no label fairway.hots", Hint: "did you mean fairway.host?"}},
			Route:    condition.Degraded, Service: condition.Degraded, Code: condition.CodeRefused, Text: "no label fairway.hots", Ready: 2,
		},
		{
			Name: "asks for nothing",
			edit: func(w *condition.World, r *route.Route, _ *route.Backend) {
				r.ID, r.Backend = "", ""
				refuse(w, 1, catalog.StateStopped, "exited")
			},
			Whole: condition.Healthy,
		},
	}
}
