package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/control"
	"fairway/internal/engine/certs"
	"fairway/internal/engine/traffic"
	"fairway/internal/history"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// canary is in every place of the fixture where a secret can be.
	canary    = "hunter2-canary"
	goodToken = "0123456789abcdef-" + canary
	// hostile is what a tenant may call a container.
	hostile = `<script>alert("x")</script>`
)

func day(d int) time.Time { return time.Date(2026, 3, d, 12, 0, 0, 0, time.UTC) }

// world is a fixed Fairway for the handler to read.
type world struct {
	snapshot *catalog.Snapshot
	table    *route.Table
	status   control.Status
	doctor   func(name string) []api.Diagnosis
	past     []history.Recorded
	over     traffic.Log // where requests are reported
}

func (w *world) Changed() <-chan struct{}             { return nil }
func (w *world) Newest() *catalog.Snapshot            { return w.snapshot }
func (w *world) Table() *route.Table                  { return w.table }
func (w *world) Status() control.Status               { return w.status }
func (w *world) Name() string                         { return "embedded" }
func (w *world) Traffic() []traffic.Totals            { return nil }
func (w *world) Diagnose(name string) []api.Diagnosis { return w.doctor(name) }

// Report judges a world in which every address accepts connections.
func (w *world) Report() *condition.Report {
	at := condition.World{Now: day(3), Snapshot: w.snapshot, Compiled: w.table, Live: w.table, Sources: w.Sources(), Endpoints: w.Endpoints(), Connected: map[string]condition.Attempt{}}
	if w.table != nil {
		for _, b := range w.table.Backends {
			for _, e := range b.Endpoints {
				at.Connected[e.Address] = w.Connect(context.Background(), e.Address)
			}
		}
	}
	return condition.Judge(at, nil)
}

func (w *world) Connect(context.Context, string) condition.Attempt {
	return condition.Attempt{At: day(3)}
}

func (w *world) Sources() []catalog.SourceStatus {
	if w.snapshot == nil {
		return []catalog.SourceStatus{{Name: "docker"}}
	}
	return w.snapshot.Sources
}

func (w *world) Endpoints() []traffic.EndpointStatus {
	return []traffic.EndpointStatus{
		{Backend: "shop@docker", Endpoint: "c1:8080", InFlight: 3, Health: "passing"},
		{Backend: "shop@docker", Endpoint: "c2:8080", OutOfRotation: true, Ejected: true, Health: "failing"},
	}
}

// newWorld is a shop on Docker that works, and a tenant on a file source that
// does not answer and tries what it can.
func newWorld(t *testing.T) *world {
	t.Helper()
	shopLabels := map[string]string{
		"fairway.host": "shop.example.com", "fairway.path": "/demo",
		"fairway.headers.request.set.Authorization": "Bearer " + canary,
		"com.example.db-password":                   canary,
	}
	rule := "Host(`*.example.com`) && Header(`X-Api-Key`, `" + canary + "`) && Query(`lang`, `en`)"
	snapshot := &catalog.Snapshot{
		Revision: 7, Taken: day(3),
		Sources: []catalog.SourceStatus{
			{Name: "docker", Synced: true, LastSuccess: day(3), Services: 1, Held: []string{"old@docker"}},
			{Name: "file:services.yml", Synced: true, Stale: true, Error: "services.yml: line 3: " + hostile, LastSuccess: day(2), Services: 1},
			{Name: "never"},
		},
		Services: []*catalog.Service{
			{
				ID: "shop@docker", Name: "shop", Source: "docker", Created: day(1),
				Instances: []*catalog.Instance{
					{
						ID: "c1", Name: "shop-1", Source: "docker", Node: "docker", Image: "shop:1", State: catalog.StateReady,
						Labels: shopLabels, Created: day(1), Started: day(1),
						Addresses: []catalog.Address{{Host: "172.18.0.2", Network: "proxy", Reach: catalog.ReachBridge}},
						Ports:     []catalog.Port{{Number: 8080, Protocol: "tcp", Published: "127.0.0.1:32768"}},
					},
					{ID: "c2", Name: "shop-2", Source: "docker", Node: "docker", State: catalog.StateStarting, StateReason: "health check: starting"},
				},
			},
			{
				ID: "tenant@file:services.yml", Name: hostile, Source: "file:services.yml",
				Labels: map[string]string{"fairway.rule": rule, "fairway.basic-auth": "admin:" + canary, "other.secret": canary},
			},
		},
		Nodes: []*catalog.Node{{ID: "docker", Name: "host1", Source: "docker", State: "ready", Engine: "29.1"}},
	}
	exact := func(host, path string) route.Match {
		return route.Match{Host: route.Host{Kind: route.HostExact, Value: host}, Path: route.Path{Kind: route.PathPrefix, Value: path}}
	}
	routes := []*route.Route{
		{
			ID: "shop@docker", Service: "shop@docker", Backend: "shop@docker", Claim: 1, Hold: 5 * time.Second,
			Matches: []route.Match{exact("shop.example.com", "/demo")},
			Filters: []route.Filter{
				{RateLimit: &route.RateLimit{Requests: 10, Per: time.Second, Burst: 20}},
				{StripPrefix: &route.StripPrefix{Prefix: "/demo"}},
				{RequestHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "Authorization", Value: "Bearer " + canary}}}},
				{ResponseHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "X-Frame-Options", Value: "DENY"}}}},
			},
			Origin: route.Origin{Source: "docker", Instance: "shop-1", Labels: shopLabels},
		},
		{
			ID: "shop@docker/secure", Service: "shop@docker", Claim: 2,
			Matches: []route.Match{exact("secure.example.com", "/")},
			Filters: []route.Filter{
				{IPAllow: &route.IPAllow{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
				{RedirectHTTPS: &route.RedirectHTTPS{}},
			},
			Origin: route.Origin{Source: "docker", Instance: "shop-1", Labels: shopLabels},
		},
		{
			ID: "tenant@file:services.yml", Service: "tenant@file:services.yml", Backend: "tenant@file:services.yml", Claim: 3,
			Matches: []route.Match{{
				Host: route.Host{Kind: route.HostWildcard, Value: "example.com"},
				Path: route.Path{Kind: route.PathPrefix, Value: "/"},
				Conditions: []route.Condition{
					{Kind: route.ConditionHeader, Name: "X-Api-Key", Values: []string{canary}},
					{Kind: route.ConditionQuery, Name: "lang", Values: []string{"en"}},
				},
			}},
			Origin: route.Origin{Source: "file:services.yml", Labels: snapshot.Services[1].Labels, Stale: true},
		},
		{
			ID: "tenant@file:services.yml/locked", Service: "tenant@file:services.yml", Claim: 4, Priority: 5,
			Matches: []route.Match{exact("locked.example.org", "/")},
			Refused: "basic-auth: want file:PATH",
			Origin:  route.Origin{Source: "file:services.yml", Labels: snapshot.Services[1].Labels},
		},
	}
	backends := []*route.Backend{
		{
			ID: "shop@docker", Service: "shop@docker", Scheme: route.SchemeHTTP,
			Balance: route.Balance{Policy: route.BalanceHash, On: route.HashHeader, Name: "X-User"}, Sticky: "lane",
			Health: &route.Health{Path: "/up", Interval: 2 * time.Second, Timeout: time.Second, Status: 204},
			Endpoints: []route.Endpoint{
				{ID: "c1:8080", Address: "172.18.0.2:8080", Weight: 1, State: route.EndpointReady, Instance: "shop-1", Source: "docker", Node: "docker", Reason: "bridge network proxy"},
				{ID: "c2:8080", Address: "172.18.0.3:8080", Weight: 1, State: route.EndpointReady, Instance: "shop-2", Source: "docker"},
				{ID: "c3:8080", Address: "172.18.0.4:8080", Weight: 1, State: route.EndpointDraining, Instance: "shop-3", Source: "docker"},
			},
		},
		{ID: "tenant@file:services.yml", Service: "tenant@file:services.yml", Scheme: route.SchemeHTTPS, Balance: route.Balance{Policy: route.BalanceRoundRobin}},
	}
	problems := []route.Problem{{
		Code: route.CodeBadValue, Source: "file:services.yml", Service: "tenant@file:services.yml", Route: "tenant@file:services.yml/locked",
		Label: "fairway.basic-auth", Text: "users do not belong into labels", Hint: "write file:PATH",
	}}
	listeners := []route.Listener{{Name: "http", Address: ":8000"}, {Name: "https", Address: ":8443", TLS: true}}
	table, err := route.New(7, listeners, routes, backends, problems)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		snapshot: snapshot, table: table,
		status: control.Status{State: control.StatePartial, Since: day(3), Applied: day(3)},
		doctor: func(name string) []api.Diagnosis {
			if name != "tenant" && name != "a/b" {
				return nil
			}
			return []api.Diagnosis{{
				Service: "tenant@file:services.yml", Source: "file:services.yml",
				Checks: []api.Check{{Name: "labels", Outcome: api.CheckFailed, Text: "users do not belong into labels", Hint: "write file:PATH"}},
			}}
		},
	}
	w.past = newPast(t, w)
	return w
}

// shownLabel hides what the labels of the world have of secrets.
func shownLabel(key, value string) string {
	if strings.Contains(key, ".request.") || strings.HasSuffix(key, ".basic-auth") {
		return api.Masked
	}
	return strings.ReplaceAll(value, canary, api.Masked)
}

// options are those of a listener on a free loopback port over w.
func options(t *testing.T, w *world) Options {
	return Options{
		Listen: "127.0.0.1:0", Version: "1.2.3", History: historyOf{w},
		Catalogue: w, Tables: w, Sources: w.Sources, Engine: w, Diagnose: w.Diagnose, Conditions: w, ShownLabel: shownLabel, Fleet: newFleet(t),
		Certificates: certificates, Names: dnsNames{}, Publisher: publishes{}, Requests: w, Logs: w, Metrics: &metrics.Set{},
	}
}

// certificates are a sound one, one that ends soon and has a broken file now, one that has
// expired, and a host without.
func certificates() *certs.Inventory {
	return &certs.Inventory{
		At: day(3),
		Certificates: []certs.Use{
			{File: "/certs/none.pem", Error: "certificate: no such file", Listeners: []string{"https"}},
			{File: "/certs/old.pem", Names: []string{"old.example.com"}, Issuer: "self-signed", Key: "RSA 2048", NotBefore: day(1), NotAfter: day(2), Listeners: []string{"admin"}},
			{File: "/certs/soon.pem", Error: "not PEM; what it held before is in use", Names: []string{"soon.example.com"}, Issuer: "R11", Key: "Ed25519", NotBefore: day(-80), NotAfter: day(10), Listeners: []string{"https"}},
			{File: "/certs/shop.pem", Names: []string{"shop.example.com", "*.shop.example.com"}, Issuer: "R11", Key: "ECDSA P-256", NotBefore: day(1), NotAfter: day(31), Listeners: []string{"https"}, Routes: []string{"shop@docker"}},
		},
		Uncovered: []certs.Uncovered{{Host: "secure.example.com", Routes: []string{"shop@docker/secure"}, Text: "no certificate covers it", Hint: "add one"}},
	}
}

func newServer(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.started = day(1)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask puts a request to the handler as a client on this machine would. edit may
// be nil.
func ask(t *testing.T, s *Server, method, path string, edit func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Host = s.Addr().String()
	if edit != nil {
		edit(r)
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	return rec
}

// everyPath is a path for each operation that reads, and answers 200 in the fixed
// world to whoever may ask. Streams, which never end, are left out.
func everyPath(s *Server) map[string]string {
	paths := map[string]string{
		"/v1/services/{name...}": "/v1/services/shop",
		"/v1/doctor/{name...}":   "/v1/doctor/tenant",
		"/v1/explain":            "/v1/explain?url=http://shop.example.com/demo/x",
		"/v1/dns/explain":        "/v1/dns/explain?name=shop.docker",
		"/v1/history/{number}":   "/v1/history/1",
	}
	for _, op := range s.operations() {
		if paths[op.path] == "" && op.method == http.MethodGet && !op.events {
			paths[op.path] = strings.NewReplacer("{document}", "web", "{number}", "1", "{route}", "shop@docker", "{instance}", "shop-1").Replace(op.path)
		}
	}
	return paths
}

func TestGolden(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, options(t, w))
	explain := "/v1/explain?method=GET&url="
	tests := map[string]string{
		"healthz":                  "/healthz",
		"ready":                    "/ready",
		"info":                     "/v1/info",
		"routes":                   "/v1/routes",
		"routes-live":              "/v1/routes?live=true&service=shop&host=SHOP.example.com.",
		"routes-state":             "/v1/routes?state=refused,down",
		"services":                 "/v1/services",
		"service":                  "/v1/services/shop%40docker",
		"problems":                 "/v1/problems",
		"nodes":                    "/v1/nodes",
		"search":                   "/v1/search?q=shop",
		"search-entry":             "/v1/search?q=first+table&limit=1",
		"certificates":             "/v1/certificates",
		"dns":                      "/v1/dns",
		"dns-names":                "/v1/dns/names",
		"dns-explain":              "/v1/dns/explain?name=shop.docker&type=A&client=172.18.0.7",
		"publish":                  "/v1/publish",
		"error-bad-client":         "/v1/dns/explain?name=shop.docker&client=nonsense",
		"errors":                   "/v1/errors?limit=2",
		"errors-route":             "/v1/routes/shop%40docker/errors",
		"error-unknown-route":      "/v1/routes/none/errors",
		"doctor":                   "/v1/doctor/tenant",
		"explain-routed":           explain + "http://Shop.Example.com:8000/demo//a/%252e/../b%3Fc&client=10.1.2.3",
		"explain-loser":            explain + "http://shop.example.com/other&header=X-Api-Key:+wrong",
		"explain-fits":             explain + "http://shop.example.com/demo%3Flang=en&header=X-Api-Key:+" + canary,
		"explain-unavailable":      explain + "http://a.example.com/%3Flang=en&header=X-Api-Key:+" + canary,
		"explain-refused":          explain + "http://locked.example.org/",
		"explain-redirect":         explain + "http://secure.example.com/&client=10.1.2.3",
		"explain-forbidden":        explain + "https://secure.example.com/",
		"explain-no-backend":       explain + "https://secure.example.com/&client=10.1.2.3",
		"explain-no-route":         explain + "http://nobody.example.net",
		"explain-bad-path":         explain + "http://shop.example.com/a%255cb",
		"explain-other-path":       explain + "http://shop.example.com/demo%252fx%3Flang=en&header=X-Api-Key:+" + canary,
		"explain-host-header":      explain + "http://127.0.0.1:8000/demo&header=Host:+shop.example.com",
		"error-unknown-service":    "/v1/services/" + "no%22%3Cb%3E",
		"error-unknown-path":       "/v2/routes",
		"error-unknown-parameter":  "/v1/routes?servce=a",
		"error-repeated-parameter": "/v1/routes?service=a&service=b",
		"error-bad-flag":           "/v1/routes?live=1",
		"error-bad-host":           "/v1/routes?host=a%20b",
		"error-bad-url":            "/v1/explain?url=shop.example.com",
	}
	for name, path := range tests {
		t.Run(name, func(t *testing.T) {
			rec := ask(t, s, "GET", path, nil)
			got := http.StatusText(rec.Code) + "\n" + rec.Header().Get("Content-Type") + "\n\n"
			if strings.Contains(rec.Header().Get("Content-Type"), "json") {
				var b bytes.Buffer
				if err := json.Indent(&b, rec.Body.Bytes(), "", "  "); err != nil {
					t.Fatal(err)
				}
				got += b.String()
			} else {
				got += rec.Body.String()
			}
			// The text that tables are hashed by is package route's own affair.
			golden(t, name, strings.ReplaceAll(got, w.table.Hash, "HASH"))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; rewrite with -update):\n%s", path, diff)
	}
}

// The sources' age runs with the clock, so that they have no golden file.
func TestSources(t *testing.T) {
	now := day(3).Add(90*time.Second + 400*time.Millisecond)
	w := newWorld(t)
	var got []api.Source
	for _, st := range w.Sources() {
		got = append(got, show.Source(st, now))
	}
	want := []api.Source{
		{Name: "docker", State: api.SourceCurrent, LastSuccess: day(3), Age: "1m30s", Services: 1, Held: []string{"old@docker"}},
		{Name: "file:services.yml", State: api.SourceStale, Error: "services.yml: line 3: " + hostile, LastSuccess: day(2), Age: "24h1m30s", Services: 1, Held: []string{}},
		{Name: "never", State: api.SourceNeverAnswered, Held: []string{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// No list is null, whatever is missing.
func TestNoNull(t *testing.T) {
	empty := &world{status: control.Status{State: control.StateStarting}, doctor: func(string) []api.Diagnosis { return []api.Diagnosis{{Checks: []api.Check{}}} }}
	for name, w := range map[string]*world{"full": newWorld(t), "empty": empty} {
		s := newServer(t, options(t, w))
		for _, path := range everyPath(s) {
			if body := ask(t, s, "GET", path, nil).Body.String(); strings.Contains(body, "null") && path != "/v1/openapi.json" {
				t.Errorf("%s world: GET %s: %s", name, path, body)
			}
		}
	}
}

func TestBeforeTheFirstTable(t *testing.T) {
	s := newServer(t, options(t, &world{status: control.Status{State: control.StateStarting}, doctor: func(string) []api.Diagnosis { return nil }}))
	for path, want := range map[string]int{
		"/healthz": 200, "/ready": 503, "/metrics": 200, "/v1/info": 200, "/v1/routes": 200, "/v1/services": 200,
		"/v1/services/a": 404, "/v1/problems": 200, "/v1/sources": 200, "/v1/nodes": 200, "/v1/search": 400, "/v1/doctor/a": 404,
		"/v1/explain?url=http://a/": 503,
	} {
		if rec := ask(t, s, "GET", path, nil); rec.Code != want {
			t.Errorf("GET %s = %d, want %d: %s", path, rec.Code, want, rec.Body)
		}
	}
}

// A route that has nothing to do with what is bad beside it is the same bytes.
func TestItemsDoNotDependOnTheirNeighbours(t *testing.T) {
	item := func(w *world) string {
		var l struct{ Items []json.RawMessage }
		rec := ask(t, newServer(t, options(t, w)), "GET", "/v1/routes?service=shop", nil)
		if err := json.Unmarshal(rec.Body.Bytes(), &l); err != nil || len(l.Items) != 2 {
			t.Fatal(rec.Body, err)
		}
		return string(slices.Concat(l.Items[0], l.Items[1]))
	}
	with := newWorld(t)
	without := newWorld(t)
	without.snapshot.Revision, without.snapshot.Services = 9, without.snapshot.Services[:1]
	var err error
	if without.table, err = route.New(9, without.table.Listeners, without.table.Routes[:2], without.table.Backends[:1], nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(item(with), item(without)); diff != "" {
		t.Error(diff)
	}
}

func TestNoSecretAnywhere(t *testing.T) {
	var log bytes.Buffer
	o := options(t, newWorld(t))
	o.Token = goodToken
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := newServer(t, o)
	paths := slices.Collect(maps.Values(everyPath(s)))
	for _, url := range []string{
		"http://shop.example.com/demo", "http://locked.example.org/", "http://a.example.com/", "http://nobody/", "http://a.example.com/?lang=en",
	} {
		paths = append(paths, "/v1/explain?url="+url, "/v1/explain?header=X-Api-Key:+wrong&url="+url)
	}
	paths = append(paths, "/v1/routes?live=true", "/v1/none", "/v1/services/tenant@file:services.yml")
	for _, path := range paths {
		for _, token := range []string{"", "Bearer " + goodToken, "Bearer " + goodToken + "x", "Basic " + goodToken} {
			rec := ask(t, s, "GET", path, func(r *http.Request) { r.Header.Set("Authorization", token) })
			var all bytes.Buffer
			if err := rec.Result().Header.Write(&all); err != nil {
				t.Fatal(err)
			}
			all.Write(rec.Body.Bytes())
			if strings.Contains(all.String(), canary) {
				t.Errorf("GET %s tells a secret:\n%s", path, all.String())
			}
		}
	}
	if strings.Contains(log.String(), canary) {
		t.Errorf("the log tells a secret:\n%s", log.String())
	}
}

// The typed client understands the real handler, over a real connection.
func TestClientAgainstServer(t *testing.T) {
	o := options(t, newWorld(t))
	o.Token = goodToken
	s := newServer(t, o)
	stop := run(t, s)
	c := newClient(t, api.ClientOptions{URL: "http://" + s.Addr().String(), Token: goodToken})
	ctx := t.Context()

	if _, err := c.Info(ctx); err != nil {
		t.Error("Health:", err)
	}
	if r, err := c.Ready(ctx); err != nil || r.State != api.StatePartial || !r.Ready() {
		t.Errorf("Ready = %+v, %v", r, err)
	}
	if info, err := c.Info(ctx); err != nil || info.Version != "1.2.3" || info.Table.Routes != 4 {
		t.Errorf("Info = %+v, %v", info, err)
	}
	file := api.Query{Source: "file:services.yml"}
	counts := []struct {
		name string
		want int
		list func() (int, error)
	}{
		{"routes", 4, func() (int, error) { return length(c.Routes(ctx, api.Query{})) }},
		{"routes of the shop", 2, func() (int, error) { return length(c.Routes(ctx, api.Query{Service: "shop"})) }},
		{"routes of the file", 2, func() (int, error) { return length(c.Routes(ctx, file)) }},
		{"routes for a host", 1, func() (int, error) { return length(c.Routes(ctx, api.Query{Host: "a.example.com"})) }},
		{"routes for no one", 0, func() (int, error) { return length(c.Routes(ctx, api.Query{Host: "b.a.example.com"})) }},
		{"services", 2, func() (int, error) { return length(c.Services(ctx, api.Query{})) }},
		{"services for a host", 1, func() (int, error) { return length(c.Services(ctx, api.Query{Host: "a.example.com"})) }},
		{"services for a host of two", 2, func() (int, error) { return length(c.Services(ctx, api.Query{Host: "shop.example.com"})) }},
		{"one service", 1, func() (int, error) { return length(c.Service(ctx, "tenant@file:services.yml")) }},
		{"problems of the file", 1, func() (int, error) { return length(c.Problems(ctx, file)) }},
		{"problems of the shop", 0, func() (int, error) { return length(c.Problems(ctx, api.Query{Service: "shop"})) }},
		{"sources", 3, func() (int, error) { return length(c.Sources(ctx)) }},
		{"nodes", 1, func() (int, error) { return length(c.Nodes(ctx, api.Query{})) }},
		{"nodes of the file", 0, func() (int, error) { return length(c.Nodes(ctx, file)) }},
		{"diagnoses", 1, func() (int, error) { return length(c.Doctor(ctx, "a/b")) }},
	}
	for _, tt := range counts {
		if n, err := tt.list(); err != nil || n != tt.want {
			t.Errorf("%s: got %d, %v; want %d", tt.name, n, err, tt.want)
		}
	}
	x, err := c.Explain(ctx, api.ExplainRequest{Method: "POST", URL: "http://shop.example.com/demo?a=1&b=2", Headers: []string{"X-A: 1", "X-A: 2"}, Client: "::ffff:10.0.0.1"})
	if err != nil || x.Outcome != api.OutcomeRouted || x.Winner.Route.ID != "shop@docker" || x.Request.Client != "10.0.0.1" || x.Request.Query != "a=1&b=2" {
		t.Errorf("Explain = %+v, %v", x, err)
	}
	var refused *api.Error
	if _, err := c.Doctor(ctx, "nobody"); !errors.As(err, &refused) || refused.Status != 404 {
		t.Errorf("Doctor of nobody: %v", err)
	}
	if _, err := c.Nodes(ctx, api.Query{Service: "x"}); !errors.As(err, &refused) || refused.Status != 400 {
		t.Errorf("a field that the list does not know: %v", err)
	}
	if err := stop(); err != nil {
		t.Error("Run:", err)
	}
	if _, err := c.Info(ctx); !errors.Is(err, api.ErrNoAnswer) {
		t.Errorf("after the end: %v, want ErrNoAnswer", err)
	}
}

func length[T any](l api.List[T], err error) (int, error) { return len(l.Items), err }

func newClient(t *testing.T, o api.ClientOptions) *api.Client {
	t.Helper()
	c, err := api.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestMetrics(t *testing.T) {
	s := newServer(t, options(t, newWorld(t)))
	ask(t, s, "GET", "/v1/services/one", nil)
	ask(t, s, "GET", "/v1/services/two", nil)
	ask(t, s, "GET", "/v1/made-up", nil)
	ask(t, s, "POST", "/v1/routes", nil)
	body := ask(t, s, "GET", "/metrics", nil).Body.String()
	for _, want := range []string{
		`fairway_admin_requests_total{code="404",path="/v1/services/{name...}"} 2`,
		`fairway_admin_requests_total{code="404",path="other"} 1`,
		`fairway_admin_requests_total{code="405",path="/v1/routes"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}

// TestBadHostIsRefusedEverywhere: also where no service could have it; and a state that
// there is not.
func TestBadHostIsRefusedEverywhere(t *testing.T) {
	s := newServer(t, options(t, newWorld(t)))
	for _, path := range []string{"/v1/services?host=a%20b", "/v1/services?service=none&host=a%20b", "/v1/routes?host=a%20b", "/v1/routes?state=broken"} {
		if rec := ask(t, s, "GET", path, nil); rec.Code != 400 {
			t.Errorf("%s = %d", path, rec.Code)
		}
	}
}
