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
