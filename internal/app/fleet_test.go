package app

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// A whole Fairway with a fleet: a document is put over the admin API, fetched as
// an HAProxy would, and told apart from what a host lacks that is not there.
func TestFleet(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"services.yml": "services: []\n",
		"token":        "0123456789abcdef",
		"fleet.yml": "readers: [{name: edge, token-file: token, documents: [web, other]}]\n" +
			"hosts: [{name: gone, docker: 'unix:///nowhere/docker.sock', containers: [{document: web, name: haproxy}]}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := startProgram(t, filepath.Join(dir, "services.yml"), t.TempDir(), func(c *Config) {
		c.Fleet = FleetConfig{File: filepath.Join(dir, "fleet.yml"), Listen: "127.0.0.1:0"}
		c.Admin.Anonymous = api.RoleAdmin
	})
	client := p.client(t)
	put := func(document string, expect uint64, content string) (api.FleetRevision, error) {
		return client.PutFleetRevision(t.Context(), document, api.NewFleetRevision{Expect: expect, Content: []byte(content)})
	}
	for i, content := range []string{"one\n", "two\n"} {
		for _, document := range []string{"web", "other"} {
			r, err := put(document, uint64(i), content)
			if err != nil || r.Number != uint64(i+1) || r.Author == "" {
				t.Fatalf("put: %+v, %v", r, err)
			}
		}
	}
	if _, err := put("web", 1, "three\n"); statusOf(err) != http.StatusConflict || !strings.Contains(err.Error(), "the newest is 2") {
		t.Errorf("an old base: %v", err)
	}
	// Nobody has put revision 2 on the host; nobody has to put the other document
	// anywhere.
	for document, want := range map[string]string{"web": "one\n", "other": "two\n", "nothing": "not yours to read\n"} {
		if got := fetch(t, fmt.Sprintf("http://%s/haproxy/%s", p.app.Addr("fleet.listen"), document)); got != want {
			t.Errorf("%s is %q, want %q", document, got, want)
		}
	}
	got, err := client.FleetRevision(t.Context(), "web", 0)
	if err != nil || string(got.Content) != "two\n" || got.Released {
		t.Errorf("revision: %+v, %v", got, err)
	}
	d, err := client.FleetDiff(t.Context(), "web", 0, 0)
	if err != nil || d.From != 1 || d.To != 2 || !strings.Contains(d.Diff, "-one\n+two\n") {
		t.Errorf("diff: %+v, %v", d, err)
	}
	documents, err := client.FleetDocuments(t.Context())
	if err != nil || len(documents.Items) != 2 || documents.Items[1].Name != "web" || documents.Items[1].Released != 1 || len(documents.Items[1].Hosts) != 1 {
		t.Errorf("documents: %+v, %v", documents, err)
	}
	plan, err := client.FleetPlan(t.Context(), "web", 0, nil)
	if err != nil || plan.Revision != 2 || plan.Hosts[0].Condition != api.FleetUnreachable {
		t.Errorf("plan: %+v, %v", plan, err)
	}
	if _, err := client.FleetPlan(t.Context(), "web", 0, []string{"who"}); statusOf(err) != http.StatusNotFound {
		t.Errorf("a host that is not there: %v", err)
	}
	if _, err := client.Rollout(t.Context(), "web"); statusOf(err) != http.StatusNotFound {
		t.Errorf("no rollout yet: %v", err)
	}
	if _, err := client.StartRollout(t.Context(), "web", api.NewFleetRollout{}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the rollout ends", func() bool {
		r, err := client.Rollout(t.Context(), "web")
		return err == nil && r.Phase == api.RolloutReverted && r.States["absent"] == 1 && strings.Contains(r.Reason, "no host could be reached")
	})
	testkit.Eventually(t, "the host is told to be unreachable", func() bool {
		hosts, err := client.FleetHosts(t.Context(), "web")
		return err == nil && len(hosts.Items) == 1 && hosts.Items[0].Condition == api.FleetUnreachable && hosts.Items[0].Error != ""
	})
}

func statusOf(err error) int {
	var refused *api.Error
	if errors.As(err, &refused) {
		return refused.Status
	}
	return 0
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("edge", "0123456789abcdef")
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
