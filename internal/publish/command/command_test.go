package command

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fairway/internal/api"
	"fairway/internal/api/published"
	"fairway/internal/console"
)

func TestCommands(t *testing.T) {
	p := published.Published{State: "behind", Reason: "not everything could be written", Entries: []published.PublishedEntry{
		{ID: "a:80", Name: "web", Address: "10.0.0.1", Port: 80, Check: "passing", State: "registered"},
		{ID: "b:80", Name: "web", Address: "10.0.0.2", Port: 80, Check: "critical", Output: "paused", State: "differs", Why: "port", Error: "403"},
		{ID: "c:80", Name: "web", Address: "10.0.0.3", Port: 80, State: "refused", Why: "another's"},
	}, Problems: []published.PublishedProblem{{Service: "db@docker", Instance: "db", Text: "none of its ports is published"}}}
	var calls []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.Method+" "+r.URL.RequestURI())
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			_ = json.NewEncoder(w).Encode(api.Done{Text: "done"})
			return
		}
		_ = json.NewEncoder(w).Encode(p)
	}))
	defer server.Close()
	a, err := api.NewClient(api.ClientOptions{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	run := func(name string, f func(c *console.Console) error, code bool, want ...string) {
		t.Helper()
		var out bytes.Buffer
		c := &console.Console{Out: &out, Err: &out}
		if err := f(c); (err != nil) != code {
			t.Errorf("%s: %v", name, err)
		}
		for _, text := range want {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s lacks %q:\n%s", name, text, out.String())
			}
		}
	}
	run("status", func(c *console.Console) error { return new(Status).Run(t.Context(), c, a) }, false, "behind: not everything", "a:80", "403; port; paused", "none of its ports")
	run("diff", func(c *console.Console) error { return new(Diff).Run(t.Context(), c, a) }, true, "b:80")
	run("withdraw", func(c *console.Console) error { return new(Withdraw).Run(t.Context(), c, a) }, false, "These are 2 entries")
	run("withdraw --yes", func(c *console.Console) error { return (&Withdraw{Yes: true}).Run(t.Context(), c, a) }, false, "done")
	run("apply", func(c *console.Console) error { return (&Apply{Removals: true}).Run(t.Context(), c, a) }, false, "done")
	p.Entries = p.Entries[:1]
	run("diff of none", func(c *console.Console) error { return new(Diff).Run(t.Context(), c, a) }, false, "No differences")
	p.Entries[0].Error = "403"
	run("diff of one that fails", func(c *console.Console) error { return new(Diff).Run(t.Context(), c, a) }, true, "a:80")
	p.Entries, p.State, p.Reason = nil, "away", "no answer"
	run("diff while nothing is compared", func(c *console.Console) error { return new(Diff).Run(t.Context(), c, a) }, true, "away: no answer")
	if got := strings.Join(calls, ", "); !strings.Contains(got, "POST /v1/publish/withdraw, POST /v1/publish/apply?removals=true") {
		t.Errorf("calls %s", got)
	}
}
