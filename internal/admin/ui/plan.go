package ui

import (
	"errors"
	"net/http"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

// planData is what a change would do, before it is made.
type planData struct {
	// What was asked.
	Text, Path, Project, Variables string
	Stack, Prune                   bool
	Subject, Label, Value          string
	Remove                         bool
	Wrong                          string
	Answer                         *planned
}

// planned is a plan, prepared to be shown.
type planned struct {
	api.Plan
	Diff  diffView
	Lines []diffLine
}

// diffLine is a line of a unified diff with its class: "add", "del", "at" or
// nothing.
type diffLine struct{ Class, Text string }

func (p *Pages) plan(c *call) (any, error) {
	d := planData{Path: "compose.yml"}
	if c.r.Method != http.MethodPost {
		return d, nil
	}
	if err := c.r.ParseForm(); err != nil {
		return nil, bad("The form cannot be read: " + err.Error())
	}
	form := func(name string) string { return strings.TrimSpace(c.r.PostForm.Get(name)) }
	d = planData{
		Text: c.r.PostForm.Get("text"), Path: form("path"), Project: form("project"), Variables: c.r.PostForm.Get("variables"),
		Stack: form("stack") != "", Prune: form("prune") != "",
		Subject: form("subject"), Label: form("label"), Value: form("value"), Remove: form("remove") != "",
	}
	q, wrong := d.question()
	if wrong != "" {
		d.Wrong = wrong
		return d, nil
	}
	found, err := c.ask.Plan(c, q)
	if refused, ok := errors.AsType[*api.Error](err); ok {
		d.Wrong = refused.Detail
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	d.Answer = newPlanned(found)
	return d, nil
}

// question makes what is asked of what was typed.
func (d planData) question() (q api.PlanRequest, wrong string) {
	q = api.PlanRequest{Project: d.Project, Stack: d.Stack, Prune: d.Prune}
	if strings.TrimSpace(d.Text) != "" {
		path := d.Path
		if path == "" {
			path = "compose.yml"
		}
		// A form sends lines as the wire has them.
		q.Files = []api.PlanFile{{Path: path, Text: strings.ReplaceAll(d.Text, "\r\n", "\n")}}
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
		if q.Variables == nil {
			q.Variables = map[string]string{}
		}
		q.Variables[name] = value
	}
	switch {
	case d.Subject != "" && d.Label != "":
		q.Labels = []api.PlanLabel{{Subject: d.Subject, Label: d.Label, Value: d.Value, Remove: d.Remove}}
	case d.Subject != "" && d.Remove:
		q.Remove = []string{d.Subject}
	case d.Subject != "":
		return q, "A label is needed, or the choice to remove the service."
	case d.Label != "":
		return q, "Of which service or instance is the label?"
	}
	if len(q.Files)+len(q.Labels)+len(q.Remove) == 0 {
		return q, "Paste a file, or name a label to change."
	}
	return q, ""
}

func newPlanned(found api.Plan) *planned {
	p := &planned{Plan: found, Lines: diffLines(strings.Join(found.Lines, "\n"))}
	p.Diff = newDiffView(api.Diff{Same: !found.Changes, Listeners: found.Listeners, Routes: found.Routes, Backends: found.Backends})
	return p
}

// diffLines colours a unified diff.
func diffLines(text string) []diffLine {
	var lines []diffLine
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		class := map[byte]string{'@': "at", '+': "add", '-': "del"}[human.DiffSign(line)]
		lines = append(lines, diffLine{class, line})
	}
	return lines
}
