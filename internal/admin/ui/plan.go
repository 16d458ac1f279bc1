package ui

import (
	"cmp"
	"net/http"
	"strings"

	"fairway/internal/admin/ui/compare"
	"fairway/internal/api"
)

type planData struct {
	// What was asked.
	Text, Path, Project, Variables string
	Stack, Prune                   bool
	Subject, Label, Value          string
	Do                             string // doSet, doUnset or doRemove
	Wrong                          string
	Answer                         *planned
}

// What can be done to a service or a label of it.
const (
	doSet    = "set"
	doUnset  = "unset"
	doRemove = "remove"
)

type planned struct {
	api.Plan
	Diff compare.Diff
}

func readPlan(c *call) (any, error) {
	d := planData{Path: "compose.yml", Do: doSet}
	if c.r.Method != http.MethodPost {
		return d, nil
	}
	if err := c.r.ParseForm(); err != nil {
		return nil, problem(http.StatusBadRequest, "Bad Request", "The form cannot be read: "+err.Error())
	}
	form := func(name string) string { return strings.TrimSpace(c.r.PostForm.Get(name)) }
	d = planData{
		Text: c.r.PostForm.Get("text"), Path: form("path"), Project: form("project"), Variables: c.r.PostForm.Get("variables"),
		Stack: form("stack") != "", Prune: form("prune") != "",
		Subject: form("subject"), Label: form("label"), Value: form("value"), Do: cmp.Or(form("do"), doSet),
	}
	var q api.PlanRequest
	if q, d.Wrong = d.question(); d.Wrong != "" {
		return d, nil
	}
	found, err := c.ask.Plan(c, q)
	if d.Wrong = refusal(err); err == nil {
		changes := api.Diff{Same: !found.Changes, Listeners: found.Listeners, Routes: found.Routes, Backends: found.Backends}
		d.Answer = &planned{found, compare.New(changes)}
	}
	return d, nil
}

// question makes what is asked of what was typed.
func (d planData) question() (q api.PlanRequest, wrong string) {
	q = api.PlanRequest{Project: d.Project, Stack: d.Stack, Prune: d.Prune, Variables: map[string]string{}}
	if strings.TrimSpace(d.Text) != "" {
		// A form sends lines as the wire has them.
		q.Files = []api.PlanFile{{Path: cmp.Or(d.Path, "compose.yml"), Text: strings.ReplaceAll(d.Text, "\r\n", "\n")}}
	}
	for line := range strings.Lines(d.Variables) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return q, "Variables: want NAME=VALUE, one a line."
		}
		q.Variables[name] = value
	}
	switch {
	case d.Subject != "" && d.Do == doRemove:
		q.Remove = []string{d.Subject}
	case d.Subject != "" && d.Label != "":
		q.Labels = []api.PlanLabel{{Subject: d.Subject, Label: d.Label, Value: d.Value, Remove: d.Do == doUnset}}
	case d.Subject != "":
		return q, "Which label? To see the service removed, choose that."
	case d.Label != "":
		return q, "Of which service or instance is the label?"
	}
	if len(q.Files)+len(q.Labels)+len(q.Remove) == 0 {
		return q, "Paste a file, or name a label to change."
	}
	return q, ""
}
