package condition_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/condition/situations"
	"fairway/internal/route"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestSituations is what is said of each broken situation: of the route, of its service,
// of the source and of the whole.
func TestSituations(t *testing.T) {
	for _, tt := range situations.All() {
		t.Run(tt.Name, func(t *testing.T) {
			w := tt.World(t)
			report := condition.Judge(w, nil)
			if got := report.Routes["shop@docker"].State; got != tt.Route {
				t.Errorf("the route is %q, want %q", got, tt.Route)
			}
			if got := report.Services["shop@docker"].State; got != tt.Service {
				t.Errorf("the service is %q, want %q", got, tt.Service)
			}
			if report.State != tt.Whole {
				t.Errorf("the whole is %q, want %q", report.State, tt.Whole)
			}
			ready := 0
			for _, b := range w.Live.Backends {
				for _, e := range b.Endpoints {
					if report.Endpoint(b.ID, e.ID).Up {
						ready++
					}
				}
			}
			if ready != tt.Ready {
				t.Errorf("%d endpoints are up, want %d", ready, tt.Ready)
			}
			if tt.Code == "" || !report.State.Wrong() {
				return
			}
			for _, f := range report.Findings {
				if f.Reason.Code == tt.Code && strings.Contains(f.Reason.Text, tt.Text) && strings.Contains(f.Reason.Hint, tt.Hint) {
					return
				}
			}
			t.Errorf("no finding %s %q (%s) among %+v", tt.Code, tt.Text, tt.Hint, report.Findings)
		})
	}
}

// TestSince keeps the time since which something is wrong, and begins anew after a break.
func TestSince(t *testing.T) {
	var report *condition.Report
	for i, tt := range []struct {
		refused bool
		want    time.Duration
	}{{true, 0}, {true, 0}, {false, -1}, {true, 3 * time.Minute}} {
		w := situations.All()[0].World(t)
		if tt.refused {
			w.Connected[w.Live.Backends[0].Endpoints[0].Address] = condition.Attempt{Error: "connection refused"}
		}
		w.Now = now.Add(time.Duration(i) * time.Minute)
		report = condition.Judge(w, report)
		switch {
		case tt.want < 0 && len(report.Findings) > 0:
			t.Errorf("step %d: %+v", i, report.Findings)
		case tt.want >= 0 && !report.Findings[0].Reason.Since.Equal(now.Add(tt.want)):
			t.Errorf("step %d: since %s", i, report.Findings[0].Reason.Since)
		}
	}
}

// TestSinceOfNames: each of two services that ask for one name has its own Since.
func TestSinceOfNames(t *testing.T) {
	taken := func(service string) condition.Finding {
		return condition.Finding{Kind: condition.KindName, Subject: "x.docker", Service: service, State: condition.Degraded, Reason: condition.Reason{Code: condition.CodeNameTaken, Text: service}}
	}
	w := situations.All()[0].World(t)
	w.Now, w.Names = now, []condition.Finding{taken("a")}
	before := condition.Judge(w, nil)
	w.Now, w.Names = now.Add(time.Minute), append(w.Names, taken("b"))
	for i, f := range condition.Judge(w, before).Findings {
		if want := now.Add(time.Duration(i) * time.Minute); !f.Reason.Since.Equal(want) {
			t.Errorf("%s since %s, want %s", f.Service, f.Reason.Since, want)
		}
	}
}

// BenchmarkJudge judges 5,000 services that work.
func BenchmarkJudge(b *testing.B) {
	var routes []*route.Route
	var backends []*route.Backend
	w := condition.World{Now: now, Snapshot: &catalog.Snapshot{}, Connected: map[string]condition.Attempt{}}
	for n := range 5000 {
		id := fmt.Sprintf("s%04d@docker", n)
		address := fmt.Sprintf("10.0.%d.%d:80", n/250, n%250)
		w.Snapshot.Services = append(w.Snapshot.Services, &catalog.Service{ID: id, Instances: []*catalog.Instance{{Name: id, State: catalog.StateReady}}})
		w.Connected[address] = condition.Attempt{At: now}
		routes = append(routes, &route.Route{ID: id, Service: id, Backend: id, Claim: uint64(n + 1), Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: fmt.Sprintf("s%d.example", n)}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}}})
		backends = append(backends, &route.Backend{ID: id, Service: id, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}, Endpoints: []route.Endpoint{{ID: "a", Address: address, Weight: 1, State: route.EndpointReady}}})
	}
	var err error
	if w.Live, err = route.New(1, nil, routes, backends, nil); err != nil {
		b.Fatal(err)
	}
	w.Compiled = w.Live
	var report *condition.Report
	for b.Loop() {
		report = condition.Judge(w, report)
	}
	if report.State != condition.Healthy {
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
		if got := condition.SourceHint(text); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: hint %q, want %q", text, got, want)
		}
	}
}

// A route that is refused, or served in its last good form, and the problem that says why are
// one finding; another problem of the service is one of its own.
func TestARefusedRouteIsOneFinding(t *testing.T) {
	for _, stale := range []bool{false, true} {
		r := &route.Route{ID: "shop@docker", Service: "shop@docker", Origin: route.Origin{Source: "docker", Stale: stale}, Matches: []route.Match{{
			Host: route.Host{Kind: route.HostExact, Value: "shop.example"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"},
		}}}
		want := []string{"route refused users do not belong into labels; requests get 503 | write file:PATH"}
		if r.Refused = "users do not belong into labels"; stale {
			r.Refused, r.Filters = "", []route.Filter{{Redirect: &route.Redirect{Status: 302, Host: "x.example"}}}
			want = []string{"route last-good its labels are refused (users do not belong into labels), and their last good form is served | write file:PATH"}
		}
		want = append(want, "service refused no label fairway.hots | did you mean fairway.host?")
		table, err := route.New(1, nil, []*route.Route{r}, nil, []route.Problem{
			{Code: route.CodeBadValue, Service: r.Service, Route: r.ID, Text: "users do not belong into labels", Hint: "write file:PATH"},
			{Code: route.CodeUnknownLabel, Service: r.Service, Text: "no label fairway.hots", Hint: "did you mean fairway.host?"},
		})
		if err != nil {
			t.Fatal(err)
		}
		s := &catalog.Snapshot{Services: []*catalog.Service{{ID: r.Service, Source: "docker"}}}
		found := condition.Judge(condition.World{Now: time.Unix(0, 0), Snapshot: s, Compiled: table, Live: table}, nil)
		var got []string
		for _, f := range found.Findings {
			got = append(got, f.Kind+" "+f.Reason.Code+" "+f.Reason.Text+" | "+f.Reason.Hint)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("findings\n%q, want\n%q", got, want)
		}
		if reasons := found.Services[r.Service].Reasons; len(reasons) != 2 {
			t.Errorf("the service has the reasons %+v", reasons)
		}
	}
}

// The hint of a wrong port names the label that the service says it by.
func TestPortHintNamesTheLabel(t *testing.T) {
	for _, tt := range []struct {
		service, instance map[string]string
		want              string
	}{
		{nil, map[string]string{"fairway.host": "x"}, "set the label fairway.port=8080"},
		{map[string]string{"com.df.notify": "true"}, nil, "set the label com.df.port=8080"},
		{map[string]string{"com.df.notify": "true", "com.df.port.1": "9999"}, nil, "set the label com.df.port.1=8080"},
		{map[string]string{"com.df.port": "9999"}, map[string]string{"fairway.host": "x"}, "set the label fairway.port=8080"},
		{nil, nil, "set the label fairway.port=8080"},
	} {
		in := &catalog.Instance{Name: "shop-1", Labels: tt.instance, Ports: []catalog.Port{{Number: 8080, Protocol: "tcp"}}}
		got := condition.PortHint(&catalog.Service{Labels: tt.service}, in, "10.0.0.1:9999")
		if !strings.HasSuffix(got, tt.want) {
			t.Errorf("%v, %v: %q, want %q", tt.service, tt.instance, got, tt.want)
		}
	}
	in := &catalog.Instance{Name: "shop-1", Labels: map[string]string{"com.df.notify": "true"}}
	if got := condition.PortHint(nil, in, "10.0.0.1:9999"); !strings.Contains(got, "com.df.port to the port") {
		t.Errorf("without a service: %q", got)
	}
}

func TestConsulHints(t *testing.T) {
	for text, want := range map[string]string{
		"consul: the token may not do that (403): Permission denied":                     "service:read",
		"consul: 500: No cluster leader":                                                 "list-peers",
		"consul at 127.0.0.1:8500: dial tcp 127.0.0.1:8500: connect: connection refused": "consul members",
		"consul at unix:///s: dial unix /s: connect: no such file or directory":          "consul members",
		"consul: the token sees less than before: services may be missing":               "restart Fairway",
		"consul suddenly has no service at all":                                          "restart Fairway",
		"consul key services/web: line 3: no address":                                    "correct the document",
		"consul: 429: slow down":                                                         "",
	} {
		if got := condition.SourceHint(text); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", text, got)
		}
	}
}
