package admin

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fairway/internal/api"
	"fairway/internal/api/anchor"
	"fairway/internal/api/names"
	"fairway/internal/api/published"
	"fairway/internal/api/rights"
)

// TestDocs holds docs/api.md to the code: every operation has a section that
// names its parameters, no section is about anything else, and every example
// is what the wire types say.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := sectionsOf(t)
	s := newServer(t, options(t, newWorld(t)))
	param := regexp.MustCompile("`([a-z]+)=[a-z]*`")
	for _, op := range s.operations() {
		title := title(op)
		body, ok := sections[title]
		if !ok {
			t.Errorf("docs/api.md says nothing about %s", title)
			continue
		}
		delete(sections, title)
		var named []string
		for _, m := range param.FindAllStringSubmatch(body, -1) {
			named = append(named, m[1])
		}
		slices.Sort(named)
		want := []string{}
		for _, p := range op.params {
			want = append(want, p.name)
		}
		slices.Sort(want)
		if named = slices.Compact(named); !slices.Equal(named, want) {
			t.Errorf("%s: the parameters are %q, docs/api.md names %q", title, want, named)
		}
		if op.public != strings.Contains(body, "No token.") {
			t.Errorf("%s: public is %v, docs/api.md differs", title, op.public)
		}
		for _, role := range []string{api.RoleOperator, api.RoleAdmin} {
			if (op.needs() == role) != strings.Contains(body, "Role: "+role+".") {
				t.Errorf("%s: it needs %s, docs/api.md differs", title, op.needs())
			}
		}
	}
	for title := range sections {
		t.Errorf("docs/api.md describes %s, which does not exist", title)
	}

	into := map[string]any{
		"list": &api.List[any]{}, "search": &api.List[api.Found]{}, "labels": &api.List[api.Label]{}, "error": &api.Error{}, "ready": &api.Readiness{}, "info": &api.Info{},
		"health": &struct{ Status string }{}, "routes": &api.List[api.Route]{}, "services": &api.List[api.Service]{},
		"problems": &api.List[api.Problem]{}, "sources": &api.List[api.Source]{}, "nodes": &api.List[api.Node]{}, "owners": &api.List[rights.OwnerRecord]{}, "owner-answers": &api.List[rights.OwnerAnswer]{}, "certificates": &api.Certificates{}, "authority": &anchor.Authority{}, "dns": &names.Names{}, "dns-names": &api.List[names.Name]{}, "dns-explain": &names.NameExplanation{}, "publish": &published.Published{},
		"history": &api.List[api.Entry]{}, "entry": &api.EntryDetail{}, "diff": &api.Diff{}, "commands": &api.List[api.Command]{},
		"new-command": &api.NewCommand{}, "command-result": &api.CommandResult{}, "command-preview": &api.CommandPreview{}, "plan-request": &api.PlanRequest{}, "plan": &api.Plan{},
		"fleet-documents": &api.List[api.FleetDocument]{}, "fleet-hosts": &api.List[api.FleetHost]{}, "fleet-revisions": &api.List[api.FleetRevision]{},
		"fleet-revision": &api.FleetRevision{}, "new-fleet-revision": &api.NewFleetRevision{}, "fleet-diff": &api.FleetDiff{},
		"new-fleet-check": &api.NewFleetCheck{}, "fleet-check": &api.List[api.FleetCheck]{}, "fleet-plan": &api.FleetPlan{},
		"new-fleet-repair": &api.NewFleetRepair{}, "fleet-repair": &api.FleetRepair{}, "fleet-rollout": &api.FleetRollout{}, "new-fleet-rollout": &api.NewFleetRollout{},
		"events": &api.List[api.Event]{}, "channels": &api.List[api.Channel]{}, "rules": &api.List[api.RuleState]{},
		"series-groups": &api.List[api.SeriesGroup]{}, "series": &api.Series{}, "latency": &api.List[api.Latency]{},
		"identity": &api.Identity{}, "session": &api.Session{}, "done": &api.Done{}, "tokens": &api.List[api.Token]{},
		"errors": &api.List[api.Request]{}, "request": &api.Request{}, "log": &api.List[api.LogLine]{},
		"status": &api.Status{}, "traffic": &api.Traffic{}, "change": &api.Change{}, "new-token": &api.NewToken{}, "made-token": &api.MadeToken{}, "audit": &api.List[api.AuditEntry]{}, "explain": &api.Explanation{}, "doctor": &api.List[api.Diagnosis]{},
	}
	for _, m := range regexp.MustCompile("(?s)\n```json ([a-z-]+)\n(.*?)\n```").FindAllStringSubmatch(string(text), -1) {
		v, ok := into[m[1]]
		if !ok {
			t.Errorf("example %s: of which type?", m[1])
			continue
		}
		delete(into, m[1])
		dec := json.NewDecoder(strings.NewReader(m[2]))
		dec.DisallowUnknownFields()
		if err := dec.Decode(v); err != nil {
			t.Errorf("example %s: %v", m[1], err)
		}
	}
	for name := range into {
		t.Errorf("docs/api.md has no example of %s", name)
	}
	for _, outcome := range []string{
		api.OutcomeRouted, api.OutcomeAnswered, api.OutcomeUnavailable, api.OutcomeRefused, api.OutcomeNoRoute, api.OutcomeBadRequest,
		api.StateHealthy, api.StateUnknown, api.StateHeld, api.StateDegraded, api.StateRefused, api.StateDown,
		api.SourceCurrent, api.SourceStale, api.SourceNeverAnswered, api.SeverityGood, api.SeverityBad, api.SeverityWarning, api.SeverityNeutral, api.StateStarting, api.StateRestored, api.StatePartial, api.StateSynced,
	} {
		if !strings.Contains(string(text), "`"+outcome+"`") {
			t.Errorf("docs/api.md does not say what `%s` means", outcome)
		}
	}
}

// TestDocsListProblemCodes holds the list of problem codes in docs/api.md to the
// constants of package route; -update writes it anew.
func TestDocsListProblemCodes(t *testing.T) {
	const file, begin, end = "../../docs/api.md", "<!-- problem codes: go test ./internal/admin -update -->\n", "<!-- end -->\n"
	f, err := parser.ParseFile(token.NewFileSet(), "../route/table.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	list.WriteString("| code | |\n|---|---|\n")
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Code" {
			fmt.Fprintf(&list, "| `%s` | %s |\n", strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`), strings.TrimSpace(spec.Comment.Text()))
		}
		return true
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	old, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatal("docs/api.md has no place for the problem codes")
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+list.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != list.String() {
		t.Errorf("the problem codes in docs/api.md are not those of package route; rewrite with -update:\n%s", list.String())
	}
}
