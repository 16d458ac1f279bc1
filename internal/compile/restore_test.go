package compile

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// TestLastGoodSurvivesRestart: claims and last good forms are handed down by a
// table that was written and read back as by the same table in memory.
func TestLastGoodSurvivesRestart(t *testing.T) {
	service := func(id string, created int, labels map[string]string) *catalog.Service {
		return &catalog.Service{ID: id, Source: "docker", Created: seconds(created), Instances: []*catalog.Instance{instanceWith(id+"-1", labels)}}
	}
	incumbent := service("young", 9, map[string]string{"fairway.host": "a.example", "fairway.basic-auth": "file:/users", "fairway.strip-prefix": "/x"})
	before := New(Settings{}).Compile(snapshotOf(incumbent), nil)

	var written bytes.Buffer
	if err := route.Encode(&written, before); err != nil {
		t.Fatal(err)
	}
	restored, err := route.Decode(&written)
	if err != nil {
		t.Fatal(err)
	}
	broken := snapshotOf(
		service("young", 9, map[string]string{"fairway.host": "a.example", "fairway.basic-auth": "user:secret"}),
		service("old", 1, map[string]string{"fairway.host": "a.example"}),
	)
	inMemory := New(Settings{}).Compile(broken, before)
	afterRestart := New(Settings{}).Compile(broken, restored)
	if diff := cmp.Diff(inMemory.Text(), afterRestart.Text()); diff != "" {
		t.Errorf("the restart shows:\n%s", diff)
	}
	r := afterRestart.Route("young")
	if r == nil || !r.Origin.Stale || r.Refused != "" || len(r.Filters) != 2 {
		t.Fatalf("the last good form is not served:\n%s", afterRestart.Text())
	}
	if afterRestart.Route("old") != nil {
		t.Error("the older service took the host of the incumbent over")
	}
	if again := New(Settings{}).Compile(snapshotOf(incumbent), restored); again.Route("young") != restored.Route("young") {
		t.Error("a route that says the same as the restored one is another pointer")
	}
}

// TestRefusedIsNeverMadeGood: a refused route in the table before keeps only the
// labels that are all right, and must not be taken for a last good form.
func TestRefusedIsNeverMadeGood(t *testing.T) {
	s := snapshotOf(&catalog.Service{ID: "a", Source: "docker", Instances: []*catalog.Instance{
		instanceWith("a-1", map[string]string{"fairway.host": "a.example", "fairway.basic-auht": "file:/users"}),
	}})
	var table *route.Table
	for range 3 {
		table = New(Settings{}).Compile(s, table)
		if r := table.Route("a"); r == nil || r.Refused == "" || r.Backend != "" {
			t.Fatalf("the route is served unprotected:\n%s", table.Text())
		}
	}
}

// TestHTTPSPort: redirects to https name the port that the settings say.
func TestHTTPSPort(t *testing.T) {
	s := snapshotOf(&catalog.Service{ID: "a", Source: "docker", Instances: []*catalog.Instance{
		instanceWith("a-1", map[string]string{"fairway.host": "a.example", "fairway.redirect-https": "true"}),
	}})
	settings := Settings{HTTPSPort: 8443, Listeners: []route.Listener{{Name: "https", Address: ":8443", TLS: true, Certificates: []route.Certificate{{CertFile: "a.pem", KeyFile: "a.pem"}}}}}
	table := New(settings).Compile(s, nil)
	if got := table.Route("a").Filters[0].RedirectHTTPS.Port; got != 8443 {
		t.Errorf("the redirect names port %d", got)
	}
	if diff := cmp.Diff(settings.Listeners, table.Listeners); diff != "" {
		t.Error(diff)
	}
}

// TestFitted: the table of a run with another engine is served as far as
// this one can, and what it cannot is refused, not left to wider routes.
func TestFitted(t *testing.T) {
	s := snapshotOf(
		&catalog.Service{ID: "a", Source: "docker", Instances: []*catalog.Instance{
			instanceWith("a-1", map[string]string{"fairway.host": "a.example", "fairway.compress": "true"}),
		}},
		&catalog.Service{ID: "b", Source: "docker", Instances: []*catalog.Instance{instanceWith("b-1", map[string]string{"fairway.host": "*"})}},
	)
	unsupported := unsupportedOf("filter compress => it does not compress")
	last := New(Settings{}).Compile(s, nil)
	got, err := Settings{Unsupported: unsupported}.Fitted(last)
	if err != nil {
		t.Fatal(err)
	}
	if r := got.Route("a"); r.Refused == "" || r.Backend != "" || got.Backend("a") != nil || r.Claim != last.Route("a").Claim {
		t.Errorf("what cannot be served is not refused:\n%s", got.Text())
	}
	if got.Route("b") != last.Route("b") || got.Backend("b") != last.Backend("b") {
		t.Error("what can be served is another pointer")
	}
	if r := last.Route("a"); r.Refused != "" {
		t.Error("the table itself was changed")
	}
	compiled := New(Settings{Unsupported: unsupported}).Compile(s, last)
	if diff := cmp.Diff(compiled.Route("a").Matches, got.Route("a").Matches); diff != "" || compiled.Route("a").Refused == "" {
		t.Errorf("a last good form of another engine is served:\n%s", compiled.Text())
	}
	for _, all := range []func(*route.Route, *route.Backend) string{nil, unsupportedOf("nothing => nothing")} {
		if same, err := (Settings{Unsupported: all}).Fitted(last); err != nil || same != last {
			t.Errorf("a table that can be served is another one (%v)", err)
		}
	}
}

// TestFittedLacksALockedDefault: what was recorded before a default was locked is not served
// without it; what has it, by a default or by its labels, is.
func TestFittedLacksALockedDefault(t *testing.T) {
	service := func(id string, labels map[string]string) *catalog.Service {
		return &catalog.Service{ID: id, Name: id, Source: "docker", Instances: []*catalog.Instance{instanceWith(id+"-1", labels)}}
	}
	s := snapshotOf(
		service("bare", map[string]string{"fairway.host": "bare.example"}),
		service("same", map[string]string{"fairway.host": "same.example", "fairway.basic-auth": "file:/users", "fairway.ip-allow": "10.0.0.0/8", "fairway.redirect-https": "true"}),
		service("tcp", map[string]string{"fairway.scheme": "tcp", "fairway.listen": "5432", "fairway.ip-allow": "10.0.0.0/8"}),
		service("opentcp", map[string]string{"fairway.scheme": "tcp", "fairway.listen": "5433"}),
	)
	open := Settings{TCPPorts: []PortRange{{First: 5432, Last: 5433}}}
	last := New(open).Compile(s, nil)
	list := []Default{{Key: "redirect-https", Value: "true"}, {Key: "ip-allow", Value: "10.0.0.0/8"}, {Key: "basic-auth", Value: "file:/users"}, {Key: "compress", Value: "true"}, {Key: "timeout", Value: "off"}}
	locked := open
	defaults, faults := NewDefaults(list, []string{"basic-auth", "ip-allow", "redirect-https", "compress", "timeout"}, nil)
	if locked.Defaults = defaults; len(faults) > 0 {
		t.Fatal(faults)
	}
	got, err := locked.Fitted(last)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"bare": "it is from before the default for redirect-https was locked (defaults.locked)", "same": "", "tcp": "",
		"opentcp": "it is from before the default for ip-allow was locked (defaults.locked)",
	} {
		if r := got.Route(id); r == nil || r.Refused != want || (got.Backend(id) == nil) != (want != "") {
			t.Errorf("%s: %+v, want %q", id, r, want)
		}
	}
	now := New(locked).Compile(s, nil)
	if same, err := locked.Fitted(now); err != nil || same != now {
		t.Errorf("a table with the defaults is another one (%v):\n%s", err, same.Text())
	}
	if locked.Defaults, _ = NewDefaults(list, nil, nil); locked.Defaults != nil {
		if same, err := locked.Fitted(last); err != nil || same != last {
			t.Errorf("what is not locked has an effect (%v)", err)
		}
	}
}

// TestAnswersOfTheEngine: a service that did not change is read again when the engine has
// another answer, and not before.
func TestAnswersOfTheEngine(t *testing.T) {
	answers, asked, why := uint64(0), 0, "HAProxy has not checked its lines yet"
	c := New(Settings{
		Listeners: []route.Listener{{Name: "http", Address: ":80"}},
		Answers:   func() uint64 { return answers },
		Unsupported: func(r *route.Route, _ *route.Backend) string {
			asked++
			return why
		},
	})
	service := &catalog.Service{ID: "a@file", Name: "a", Source: "file", Labels: map[string]string{"fairway.host": "a.example"}}
	s := &catalog.Snapshot{Revision: 1, Services: []*catalog.Service{service}}
	table := c.Compile(s, nil)
	if len(table.Problems) != 1 || table.Routes[0].Refused == "" {
		t.Fatalf("%+v", table.Problems)
	}
	before := asked
	why = ""
	if table = c.Compile(s, table); len(table.Problems) != 1 || asked != before {
		t.Errorf("it is asked again though nothing has changed")
	}
	answers++
	if table = c.Compile(s, table); len(table.Problems) != 0 || table.Routes[0].Refused != "" {
		t.Errorf("another answer changes nothing: %+v", table.Problems)
	}
}

// TestLastGoodOfOthersFault: a route keeps the labels that another router has at fault, and a
// text that should be a hash is forgotten.
func TestLastGoodOfOthersFault(t *testing.T) {
	const m, r = "traefik.http.middlewares.", "traefik.http.routers."
	labels := map[string]string{
		"traefik.enable": "true", m + "strip.stripprefix.prefixes": "/a", m + "add.addprefix.prefix": "/b",
		r + "x.rule": "Host(`x.example`)", r + "x.middlewares": "strip",
		r + "y.rule": "Host(`y.example`)", r + "y.middlewares": "add,strip", // which is the wrong order
		r + "z.rule": "Host(`z.example`)", r + "z.middlewares": "plain", m + "plain.basicauth.users": "ann:hunter2",
	}
	s := Settings{Dialects: []string{"traefik"}, Listeners: []route.Listener{{Name: "http", Address: ":80"}}}
	service := func() *catalog.Snapshot {
		return snapshotOf(&catalog.Service{ID: "a", Name: "a", Source: "docker", Instances: []*catalog.Instance{instanceWith("a-1", labels)}})
	}
	before := New(s).Compile(service(), nil)
	if kept := before.Route("a/traefik.x").Origin.Labels; kept[m+"strip.stripprefix.prefixes"] != "/a" || kept[m+"plain.basicauth.users"] != "" {
		t.Errorf("it remembers %v", kept)
	}
	labels[r+"x.middlewares"] = "nowhere"
	after := New(s).Compile(service(), before).Route("a/traefik.x")
	if after.Refused != "" || !after.Origin.Stale || len(after.Filters) == 0 {
		t.Errorf("the last good form is not served: %s", after.Text())
	}
}
