package condition

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/engine/traffic"
	"fairway/internal/route"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// shop is a service with two instances that work; edit breaks it.
func shop(t *testing.T, edit func(w *World, r *route.Route, b *route.Backend)) World {
	t.Helper()
	instance := func(n int) *catalog.Instance {
		return &catalog.Instance{
			ID: fmt.Sprint("c", n), Name: fmt.Sprint("shop-", n), Source: "docker", State: catalog.StateReady,
			Labels: map[string]string{"fairway.host": "shop.example"}, Ports: []catalog.Port{{Number: 8080, Protocol: "tcp"}},
		}
	}
	r := &route.Route{
		ID: "shop@docker", Service: "shop@docker", Backend: "shop@docker", Claim: 1, Origin: route.Origin{Source: "docker"},
		Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "shop.example"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
	}
	b := &route.Backend{ID: "shop@docker", Service: "shop@docker", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
	w := World{
		Now: now, Connected: map[string]Attempt{}, Rates: map[string]Rate{},
		Snapshot: &catalog.Snapshot{Services: []*catalog.Service{{ID: "shop@docker", Name: "shop", Source: "docker", Instances: []*catalog.Instance{instance(1), instance(2)}}}},
		Sources:  []catalog.SourceStatus{{Name: "docker", Synced: true, LastSuccess: now}},
	}
	for n := 1; n <= 2; n++ {
		e := route.Endpoint{ID: fmt.Sprintf("c%d:8080", n), Address: fmt.Sprintf("10.0.0.%d:8080", n), Weight: 1, State: route.EndpointReady, Instance: fmt.Sprint("shop-", n), Source: "docker"}
		b.Endpoints = append(b.Endpoints, e)
		w.Connected[e.Address] = Attempt{At: now}
	}
	if edit != nil {
		edit(&w, r, b)
	}
	routes, backends := []*route.Route{}, []*route.Backend{}
	if r.ID != "" {
		routes = append(routes, r)
	}
	if r.Backend != "" {
		backends = append(backends, b)
	}
	table, err := route.New(1, nil, routes, backends, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.Live == nil {
		w.Live = table
	}
	if w.Compiled == nil {
		w.Compiled = table
	}
	return w
}

// TestSituations is what is said of each broken situation: of the route, of its service,
// of the source and of the whole.
func TestSituations(t *testing.T) {
	refused := func(w *World, n int, state catalog.State, reason string) {
		in := w.Snapshot.Services[0].Instances[n]
		in.State, in.StateReason = state, reason
	}
	for name, tt := range map[string]struct {
		edit           func(w *World, r *route.Route, b *route.Backend)
		route, service State
		whole          State // as the service, where empty
		code, text     string
		hint           string
		ready          int
	}{
		"healthy": {route: Healthy, service: Healthy, ready: 2},
		"not observed yet": {
			edit:  func(w *World, _ *route.Route, _ *route.Backend) { clear(w.Connected) },
			route: Unknown, service: Unknown, code: CodeUnobserved,
		},
		"wrong port": {
			edit: func(w *World, _ *route.Route, b *route.Backend) {
				for i := range b.Endpoints {
					b.Endpoints[i].Address = strings.Replace(b.Endpoints[i].Address, "8080", "9999", 1)
					w.Connected[b.Endpoints[i].Address] = Attempt{At: now, Error: "connection refused"}
				}
			},
			route: Down, service: Down, code: CodeConnect, text: "connection refused at 10.0.0.1:9999", hint: "the image exposes 8080: set the label fairway.port=8080",
		},
		"nothing listens at the right port": {
			edit: func(w *World, _ *route.Route, b *route.Backend) {
				w.Connected[b.Endpoints[1].Address] = Attempt{At: now, Error: "connection refused"}
			},
			route: Degraded, service: Degraded, code: CodeConnect, text: "connection refused at 10.0.0.2:8080", hint: "see why nothing listens there: docker logs shop-2", ready: 1,
		},
		"image without ports": {
			edit: func(w *World, _ *route.Route, b *route.Backend) {
				w.Snapshot.Services[0].Instances[1].Ports = nil
				w.Connected[b.Endpoints[1].Address] = Attempt{At: now, Error: "connection refused"}
			},
			route: Degraded, service: Degraded, code: CodeConnect, hint: "set the label fairway.port to the port that it listens on; see: docker logs shop-2", ready: 1,
		},
		"dead health check": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Endpoints = []traffic.EndpointStatus{{Backend: "shop@docker", Endpoint: "c2:8080", Health: traffic.Failing, Reason: "status 500", OutOfRotation: true}}
			},
			route: Degraded, service: Degraded, code: CodeCheck, text: "the health check of shop-2 fails: status 500", ready: 1,
		},
		"a check that failed once keeps the endpoint": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Endpoints = []traffic.EndpointStatus{{Backend: "shop@docker", Endpoint: "c2:8080", Health: traffic.Failing}}
			},
			route: Healthy, service: Healthy, ready: 2,
		},
		"ejected": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Endpoints = []traffic.EndpointStatus{{Backend: "shop@docker", Endpoint: "c2:8080", Ejected: true}}
			},
			route: Degraded, service: Degraded, code: CodeEjected, ready: 1,
		},
		"requests fail": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Rates["shop@docker"] = Rate{Requests: 10, Errors: 3.2}
			},
			route: Degraded, service: Degraded, code: CodeErrors, text: "32 % of requests fail (3.2 of 10.0 a second)", ready: 2,
		},
		"few requests fail": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Rates["shop@docker"] = Rate{Requests: 100, Errors: 5}
			},
			route: Healthy, service: Healthy, ready: 2,
		},
		"stopped container": {
			edit: func(w *World, _ *route.Route, b *route.Backend) {
				refused(w, 1, catalog.StateStopped, "exited 137")
				b.Endpoints = b.Endpoints[:1]
			},
			route: Healthy, service: Degraded, code: CodeInstance, text: "instance shop-2: it is stopped (exited 137)", hint: "docker start shop-2", ready: 1,
		},
		"unhealthy container": {
			edit: func(w *World, _ *route.Route, b *route.Backend) {
				refused(w, 1, catalog.StateUnhealthy, "health check: curl: (7)")
				b.Endpoints[1].State = route.EndpointWaiting
			},
			route: Healthy, service: Degraded, code: CodeInstance, text: "it is unhealthy (health check: curl: (7))", ready: 1,
		},
		"all stopped": {
			edit: func(w *World, _ *route.Route, b *route.Backend) {
				refused(w, 0, catalog.StateStopped, "exited 1")
				refused(w, 1, catalog.StateStopped, "exited 1")
				b.Endpoints = nil
			},
			route: Down, service: Down, code: CodeUnavailable, text: "it has no endpoint: no instance can take requests",
		},
		"no instance": {
			edit: func(w *World, _ *route.Route, b *route.Backend) {
				w.Snapshot.Services[0].Instances, b.Endpoints = nil, nil
			},
			route: Down, service: Down, code: CodeUnavailable, text: "it has no endpoint: the service has no instance",
		},
		"drained": {
			edit: func(_ *World, _ *route.Route, b *route.Backend) {
				for i := range b.Endpoints {
					b.Endpoints[i].State, b.Endpoints[i].By = route.EndpointDraining, "drain by ann: new kernel"
				}
			},
			route: Down, service: Down, code: CodeUnavailable, text: "shop-1 takes no requests: drain by ann: new kernel",
		},
		"one drained": {
			edit: func(_ *World, _ *route.Route, b *route.Backend) {
				b.Endpoints[0].State, b.Endpoints[0].By = route.EndpointDraining, "drain by ann"
			},
			route: Healthy, service: Healthy, ready: 1,
		},
		"starting": {
			edit: func(w *World, _ *route.Route, b *route.Backend) {
				refused(w, 0, catalog.StateStarting, "health check: starting")
				b.Endpoints = b.Endpoints[:1]
				b.Endpoints[0].State = route.EndpointWaiting
			},
			route: Down, service: Down, code: CodeUnavailable, text: "shop-1 takes no requests: it is starting (health check: starting)",
		},
		"refused": {
			edit: func(_ *World, r *route.Route, _ *route.Backend) {
				r.Refused, r.Backend = "basic-auth: cannot read /users", ""
			},
			route: Refused, service: Refused, code: CodeRefused, text: "basic-auth: cannot read /users; requests get 503",
		},
		"last good": {
			edit:  func(_ *World, r *route.Route, _ *route.Backend) { r.Origin.Stale = true },
			route: Degraded, service: Degraded, code: CodeLastGood, ready: 2,
		},
		"source away": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Sources[0] = catalog.SourceStatus{Name: "docker", Stale: true, Error: "dial unix /var/run/docker.sock: connect: no such file or directory", LastSuccess: now.Add(-time.Hour)}
			},
			route: Degraded, service: Degraded, code: CodeStale, text: "source docker does not answer, and what it said before is kept", hint: "docker info", ready: 2,
		},
		"permission denied": {
			edit: func(w *World, r *route.Route, _ *route.Backend) {
				w.Sources[0] = catalog.SourceStatus{Name: "docker", Stale: true, Error: "dial unix /var/run/docker.sock: connect: permission denied"}
				w.Snapshot, r.ID, r.Backend = &catalog.Snapshot{}, "", ""
			},
			whole: Down, code: CodeNoAnswer, text: "source docker has never answered", hint: "sudo usermod -aG docker USER",
		},
		"not answered yet": {
			edit: func(w *World, r *route.Route, _ *route.Backend) {
				w.Sources[0] = catalog.SourceStatus{Name: "docker"}
				w.Snapshot, r.ID, r.Backend = &catalog.Snapshot{}, "", ""
			},
			whole: Unknown,
		},
		"rollback in force": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Holds = []Hold{{Command: "rollback to entry 20 by ann", Since: now.Add(-time.Hour)}}
			},
			route: Held, service: Held, code: CodeHold, text: "rollback to entry 20 by ann is in force: no change of containers or labels goes live", hint: "end it with: fairway unpin", ready: 2,
		},
		"pinned until labels change": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Holds = []Hold{{Command: "pin of entry 20 by ann", Services: map[string]bool{"other@docker": true}}}
			},
			route: Healthy, service: Healthy, whole: Held, code: CodeHold, ready: 2,
		},
		"started under a rollback": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Live = &route.Table{}
				w.Holds = []Hold{{Command: "rollback to entry 20 by ann"}}
			},
			service: Down, code: CodeNotServed, text: "it is not served: rollback to entry 20 by ann keeps out what came since", hint: "end it with: fairway unpin",
		},
		"certificate missing": {
			edit: func(w *World, r *route.Route, _ *route.Backend) {
				r.Filters = []route.Filter{{RedirectHTTPS: &route.RedirectHTTPS{}}}
				w.Covers = func(host string) bool { return host != "shop.example" }
			},
			route: Degraded, service: Degraded, code: CodeCertificate, text: "it redirects to HTTPS, and no certificate covers shop.example", ready: 2,
		},
		"engine refuses the table": {
			edit:  func(w *World, _ *route.Route, _ *route.Backend) { w.Pending = "haproxy: cannot bind :80" },
			route: Healthy, service: Healthy, whole: Degraded, code: CodePending, text: "haproxy: cannot bind :80", ready: 2,
		},
		"host taken": {
			edit: func(w *World, _ *route.Route, _ *route.Backend) {
				w.Snapshot.Services = append(w.Snapshot.Services, &catalog.Service{ID: "rival@docker", Source: "docker"})
				w.Live = &route.Table{Problems: []route.Problem{{Code: route.CodeConflict, Service: "shop@docker", Text: "shop.example belongs to rival@docker", Hint: "choose another host"}}}
			},
			service: Refused, code: CodeRefused, text: "shop.example belongs to rival@docker", hint: "choose another host",
		},
		"label refused beside a route": {
			edit: func(w *World, r *route.Route, b *route.Backend) {
				w.Live = &route.Table{Routes: []*route.Route{r}, Backends: []*route.Backend{b}, Problems: []route.Problem{{Code: route.CodeUnknownLabel, Service: "shop@docker", Text: "no label fairway.hots", Hint: "did you mean fairway.host?"}}}
				w.Compiled = w.Live
			},
			route: Healthy, service: Degraded, code: CodeRefused, text: "no label fairway.hots", ready: 2,
		},
		"asks for nothing": {
			edit: func(w *World, r *route.Route, _ *route.Backend) {
				r.ID, r.Backend = "", ""
				refused(w, 1, catalog.StateStopped, "exited")
			},
			whole: Healthy,
		},
	} {
		t.Run(name, func(t *testing.T) {
			report := Judge(shop(t, tt.edit), nil)
			if got := report.Routes["shop@docker"].State; got != tt.route {
				t.Errorf("the route is %q, want %q", got, tt.route)
			}
			if got := report.Services["shop@docker"].State; got != tt.service {
				t.Errorf("the service is %q, want %q", got, tt.service)
			}
			if want := cmp.Or(tt.whole, tt.service); report.State != want {
				t.Errorf("the whole is %q, want %q", report.State, want)
			}
			ready := 0
			for _, e := range report.Endpoints {
				if e.Up {
					ready++
				}
			}
			if ready != tt.ready {
				t.Errorf("%d endpoints are up, want %d", ready, tt.ready)
			}
			if tt.code == "" || !report.State.Wrong() {
				return
			}
			for _, f := range report.Findings {
				if f.Reason.Code == tt.code && strings.Contains(f.Reason.Text, tt.text) && strings.Contains(f.Reason.Hint, tt.hint) {
					return
				}
			}
			t.Errorf("no finding %s %q (%s) among %+v", tt.code, tt.text, tt.hint, report.Findings)
		})
	}
}

// TestSince keeps the time since which something is wrong, and begins anew after a break.
func TestSince(t *testing.T) {
	broken := func(w *World, _ *route.Route, b *route.Backend) {
		w.Connected[b.Endpoints[0].Address] = Attempt{Error: "connection refused"}
	}
	var report *Report
	for i, tt := range []struct {
		edit func(*World, *route.Route, *route.Backend)
		want time.Duration
	}{{broken, 0}, {broken, 0}, {nil, -1}, {broken, 3 * time.Minute}} {
		w := shop(t, tt.edit)
		w.Now = now.Add(time.Duration(i) * time.Minute)
		report = Judge(w, report)
		switch {
		case tt.want < 0 && len(report.Findings) > 0:
			t.Errorf("step %d: %+v", i, report.Findings)
		case tt.want >= 0 && !report.Findings[0].Reason.Since.Equal(now.Add(tt.want)):
			t.Errorf("step %d: since %s", i, report.Findings[0].Reason.Since)
		}
	}
}

// BenchmarkJudge judges 5,000 services that work.
func BenchmarkJudge(b *testing.B) {
	var routes []*route.Route
	var backends []*route.Backend
	w := World{Now: now, Snapshot: &catalog.Snapshot{}, Connected: map[string]Attempt{}}
	for n := range 5000 {
		id := fmt.Sprintf("s%04d@docker", n)
		address := fmt.Sprintf("10.0.%d.%d:80", n/250, n%250)
		w.Snapshot.Services = append(w.Snapshot.Services, &catalog.Service{ID: id, Instances: []*catalog.Instance{{Name: id, State: catalog.StateReady}}})
		w.Connected[address] = Attempt{At: now}
		routes = append(routes, &route.Route{ID: id, Service: id, Backend: id, Claim: uint64(n + 1), Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: fmt.Sprintf("s%d.example", n)}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}}})
		backends = append(backends, &route.Backend{ID: id, Service: id, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}, Endpoints: []route.Endpoint{{ID: "a", Address: address, Weight: 1, State: route.EndpointReady}}})
	}
	var err error
	if w.Live, err = route.New(1, nil, routes, backends, nil); err != nil {
		b.Fatal(err)
	}
	w.Compiled = w.Live
	var report *Report
	for b.Loop() {
		report = Judge(w, report)
	}
	if report.State != Healthy {
		b.Fatal(report.Findings)
	}
}

// TestSourceHint: what to do about Docker is said of Docker alone.
func TestSourceHint(t *testing.T) {
	for text, want := range map[string]string{
		"dial unix /var/run/docker.sock: connect: permission denied":         "usermod -aG docker",
		"dial unix /var/run/docker.sock: connect: no such file or directory": "docker info",
		"dial tcp 10.0.0.1:2376: connect: connection refused":                "docker info",
		"open /etc/fairway/services.yml: permission denied":                  "let the user that Fairway runs as read it",
		"open services.yml: no such file or directory":                       "create the file, or correct its path",
		"services.yml: line 3: unknown key":                                  "",
	} {
		if got := SourceHint(text); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: hint %q, want %q", text, got, want)
		}
	}
}
