package show

import (
	"slices"
	"testing"

	"fairway/internal/api"
)

func TestLinesOfADiffArePlain(t *testing.T) {
	for _, tt := range []struct{ lines, want []string }{
		{nil, []string{}},
		{
			[]string{"+ service web@docker", "+ claim 12", "+ filter strip-prefix /claim", "+ endpoint 10.0.0.1:80 ready weight 1 id 0123:80@docker instance web-1 source docker"},
			[]string{"+ service web@docker", "+ filter strip-prefix /claim", "+ endpoint 10.0.0.1:80 ready weight 1 instance web-1 source docker"},
		},
		{
			[]string{`- endpoint "1 instance" waiting weight 1 id "a \" b"`, "+ endpoint 10.0.0.1:80 ready weight 1 id 0"},
			[]string{`- endpoint "1 instance" waiting weight 1`, "+ endpoint 10.0.0.1:80 ready weight 1"},
		},
		{[]string{"- claim 3", "+ claim 12"}, []string{"~ its turn among routes that take the same requests"}},
		{
			[]string{"- endpoint 10.0.0.1:80 ready weight 1 id a instance web", "+ endpoint 10.0.0.1:80 ready weight 1 id b instance web"},
			[]string{"~ another container at the same address: 10.0.0.1:80 ready weight 1 instance web"},
		},
		{[]string{"~ a value that is not shown"}, []string{"~ a value that is not shown"}},
	} {
		if got := plainLines(tt.lines); !slices.Equal(got, tt.want) {
			t.Errorf("%q = %q, want %q", tt.lines, got, tt.want)
		}
	}
}

// The lines of a diff are data, too: what a property was stands beside what it is.
func TestFieldsOfADiff(t *testing.T) {
	got := fields([]string{
		"- match host a.example, path /", "- match host b.example, path /", "+ match host c.example, path /", "+ timeout 5s", "- refused", "~ its turn among routes",
	})
	want := []api.DiffField{
		{Name: "match", From: "host a.example, path /", To: "host c.example, path /"},
		{Name: "match", From: "host b.example, path /"},
		{Name: "timeout", To: "5s"},
		{Name: "refused", From: "refused"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if fields([]string{}) != nil {
		t.Error("there are fields without lines")
	}
}

func TestPlanSummary(t *testing.T) {
	p := api.Plan{Names: []api.DiffChange{{Kind: "added"}, {Kind: "removed"}}, Routes: []api.DiffChange{{Kind: "changed"}}, Solved: make([]api.Problem, 2)}
	if got, want := PlanSummary(p), "Would change: host names: 1 added, 1 removed; routes: 1 changed; problems: 2 removed."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := PlanSummary(api.Plan{}); got != "Nothing would change." {
		t.Errorf("for nothing %q", got)
	}
}
