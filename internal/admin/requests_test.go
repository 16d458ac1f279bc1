package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairway/internal/admin/requests"
	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/engine/traffic"
	"fairway/internal/testkit"
)

// private is in paths of requests, which an operator may see.
const private = "private-path"

// Errors are those of shop, the newest first; one refusal among them.
func (w *world) Errors(route string) []traffic.Error {
	if route != "shop@docker" {
		return nil
	}
	one := func(status int, text, path, endpoint string) traffic.Error {
		return traffic.Error{At: day(3).Add(-time.Duration(status) * time.Second), Request: traffic.Request{
			ID: "id-1", Client: "192.0.2.1", Method: "GET", Host: "shop.example.com", Path: path, Status: status, Bytes: 10,
			Seconds: 0.25, Route: route, Endpoint: endpoint, Attempts: 2, Error: text,
		}}
	}
	return []traffic.Error{
		one(429, "too many requests", "/demo", ""), one(500, "", "/demo/"+private, "c1:8080"),
		one(502, "connection refused at 172.18.0.2:8080", "/demo/"+private, "c1:8080"),
	}
}

func (w *world) Follow(want func(*traffic.Request) bool) *traffic.Follower {
	return w.over.Follow(want)
}

// TestErrorsByRole: who may only look sees why requests failed, and neither paths nor
// clients.
func TestErrorsByRole(t *testing.T) {
	o := options(t, newWorld(t))
	o.Anonymous = api.RoleNone
	s := newServer(t, o)
	for _, role := range api.Roles() {
		made, err := s.access.Tokens.Create(api.NewToken{Name: role, Role: role, Days: 1}, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/v1/errors?service=shop", "/v1/routes/shop@docker/errors", "/v1/explain?url=http://shop.example.com/demo"} {
			body := ask(t, s, "GET", path, bearer(made.Secret)).Body.String()
			if !strings.Contains(body, "502") && !strings.Contains(body, `"status":500`) {
				t.Errorf("%s: %s has no error: %s", role, path, body)
			}
			if seen := strings.Contains(body, private) || strings.Contains(body, "192.0.2.1"); seen != (role != api.RoleViewer) {
				t.Errorf("%s: %s has paths or clients: %v", role, path, seen)
			}
		}
		if code := ask(t, s, "GET", "/v1/requests?status=no", bearer(made.Secret)).Code; (code == http.StatusForbidden) != (role == api.RoleViewer) {
			t.Errorf("%s: the stream of requests answers %d", role, code)
		}
	}
}

// TestErrorsNarrowed: lists and streams are of one service or route; what is not there is
// said to be missing.
func TestErrorsNarrowed(t *testing.T) {
	o := options(t, newWorld(t))
	o.Anonymous = api.RoleOperator
	s := newServer(t, o)
	for path, want := range map[string]int{
		"/v1/errors?service=shop": 3, "/v1/errors?route=shop%40docker": 3, "/v1/errors?limit=1": 1, "/v1/errors?service=tenant@file:services.yml": 0,
		"/v1/errors?route=shop@docker/secure": 0, "/v1/errors?service=shop&route=shop%40docker": 3, "/v1/errors?service=tenant@file:services.yml&route=shop%40docker": 0,
	} {
		var got api.List[api.Request]
		if err := json.Unmarshal(ask(t, s, "GET", path, nil).Body.Bytes(), &got); err != nil || len(got.Items) != want || got.Items == nil {
			t.Errorf("%s: %d errors, want %d (%v)", path, len(got.Items), want, err)
		}
	}
	for path, want := range map[string]int{
		"/v1/errors?service=none": 404, "/v1/errors?route=none": 404, "/v1/requests?service=none": 404, "/v1/requests?status=6xx": 400,
		"/v1/requests?failed=1": 400,
	} {
		if code := ask(t, s, "GET", path, nil).Code; code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// TestFollowRequests: an operator sees requests as they come, of the service that was asked
// for, and how many were lost.
func TestFollowRequests(t *testing.T) {
	w := newWorld(t)
	o := options(t, w)
	o.Anonymous = api.RoleOperator
	s := newServer(t, o)
	run(t, s)
	e := openStream(t, s, "/v1/requests?service=shop&status=5xx")
	testkit.Eventually(t, "the stream has begun", func() bool { return w.over.Wants(false) })
	for _, r := range []traffic.Request{
		{Route: "tenant@file:services.yml", Status: 502},
		{Route: "shop@docker", Status: 200},
		{Route: "shop@docker", Status: 502, Path: "/demo", Client: "192.0.2.1", Endpoint: "c1:8080", Seconds: 0.5},
	} {
		w.over.Request(r)
	}
	var got api.Request
	if !e.next("request", &got) || got.Status != 502 || got.Service != "shop@docker" || got.Instance != "shop-1" || got.Address != "172.18.0.2:8080" ||
		got.Path != "/demo" || got.Client == "" || got.Milliseconds != 500 || got.At.IsZero() || got.Error == "" {
		t.Errorf("the first request is %+v", got)
	}
}

// TestFilter: a status is one or a class.
func TestFilter(t *testing.T) {
	for status, want := range map[string][]int{"": {0, 200, 499, 502}, "5xx": {502}, "4XX": {499}, "200": {200}, "0": {0}} {
		f, err := requests.NewFilter(status, false)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, n := range []int{0, 200, 499, 502} {
			if f.Wants(&traffic.Request{Status: n}) {
				got = append(got, n)
			}
		}
		if len(got) != len(want) || got[0] != want[0] {
			t.Errorf("%q wants %v, want %v", status, got, want)
		}
	}
	for _, bad := range []string{"x", "6xx", "0xx", "99", "600", "-1", "xx"} {
		if _, err := requests.NewFilter(bad, false); err == nil {
			t.Errorf("%q is a status", bad)
		}
	}
	f, _ := requests.NewFilter("", true)
	if f.Wants(&traffic.Request{Outcome: traffic.Closed}) || f.Wants(&traffic.Request{Status: 200}) || !f.Wants(&traffic.Request{Status: 401, Error: "no"}) {
		t.Error("what went well passes for what failed")
	}
}

// leaving is a world whose clients leave, and connect where they may not.
type leaving struct{ *world }

func (l leaving) Errors(route string) []traffic.Error {
	left := traffic.Request{Route: route, Endpoint: "c1:8080", Status: 200, Aborted: true, Left: true, Error: traffic.ClientLeft}
	refused := traffic.Request{Route: route, Outcome: traffic.Refused, Error: "refused by a filter, or the route is"}
	return append([]traffic.Error{{At: day(3), Request: left}, {At: day(3), Request: refused}}, l.world.Errors(route)...)
}

// TestDiagnoseLastError: a diagnosis says what failed last, for an hour, and not what a
// client was refused or broke off.
func TestDiagnoseLastError(t *testing.T) {
	w := newWorld(t)
	v := show.New(w.snapshot, w.table, shownLabel)
	at := day(3).Add(-500 * time.Second)
	for _, c := range []struct {
		instance string
		after    time.Duration
		want     string
	}{
		{"", 12 * time.Second, "12 s ago, status 500: the service itself answered 500"},
		{"shop-1", 12 * time.Second, "12 s ago, status 500: the service itself answered 500"},
		{"shop-2", 12 * time.Second, ""},
		{"", 61 * time.Minute, ""},
	} {
		d := api.Diagnosis{Service: "shop@docker", Instance: c.instance}
		requests.Diagnose(v, leaving{w}, at.Add(c.after), &d)
		got := ""
		for _, check := range d.Checks {
			got += check.Text
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if last := requests.Last(v, leaving{w}, "shop@docker", false); last == nil || last.Status != 500 {
		t.Errorf("the last error of the route is %+v", last)
	}
}
