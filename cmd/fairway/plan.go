package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
	"fairway/internal/plan"
)

type planCommand struct {
	Files    []string `name:"file" short:"f" sep:"none" placeholder:"PATH" help:"Compose file, stack file or services file. Repeatable; later ones override earlier ones."`
	Labels   []string `name:"label" sep:"none" placeholder:"NAME=KEY=VALUE" help:"Label that a service or container would have; without =VALUE it would be gone. Repeatable."`
	Remove   []string `name:"remove" placeholder:"NAME" help:"Service or container that would be gone. Repeatable."`
	Project  string   `name:"project" short:"p" placeholder:"NAME" help:"Name of the Compose project or the stack. Default: as Compose finds it."`
	Stack    bool     `name:"stack" help:"The files are deployed with docker stack deploy. Implied where only a Swarm is watched."`
	Source   string   `name:"source" placeholder:"NAME" help:"Source that would see it, where there are several; see: fairway sources."`
	Prune    bool     `name:"prune" help:"Services of the project that the files do not name would be removed, as with --prune or --remove-orphans."`
	Detailed bool     `name:"detailed-exitcode" help:"Exit with 0 when nothing would change, 2 when something would, 1 when there would be new problems or the plan failed."`
}

// Run plans.
func (p *planCommand) Run(ctx context.Context, c *console) error {
	found, err := p.ask(ctx, c)
	if err == nil {
		err = c.print(found, func() { c.plan(found) })
	}
	switch {
	case err != nil && p.Detailed:
		c.fail(err)
		return errNo
	case err != nil:
		return err
	case len(found.Problems) > 0:
		return errNo
	case found.Changes && p.Detailed:
		return errChanges
	}
	return nil
}

// errChanges is the exit code that says that something would change, with
// --detailed-exitcode.
const errChanges exit = 2

func (p *planCommand) ask(ctx context.Context, c *console) (api.Plan, error) {
	if len(p.Files)+len(p.Labels)+len(p.Remove) == 0 {
		return api.Plan{}, usageError{errors.New("plan what? give -f, --label or --remove")}
	}
	request, err := plan.Request(p.Files, c.environ)
	if err != nil {
		return api.Plan{}, usageError{err}
	}
	for _, text := range p.Labels {
		subject, label, ok := strings.Cut(text, "=")
		key, value, has := strings.Cut(label, "=")
		if !ok || subject == "" || key == "" {
			return api.Plan{}, usageError{fmt.Errorf("label %q: want NAME=KEY=VALUE, or NAME=KEY for a label that would be gone", text)}
		}
		request.Labels = append(request.Labels, api.PlanLabel{Subject: subject, Label: key, Value: value, Remove: !has})
	}
	if p.Project != "" {
		request.Project = p.Project
	}
	request.Remove, request.Source, request.Stack, request.Prune = p.Remove, p.Source, p.Stack, p.Prune
	client, err := c.client()
	if err != nil {
		return api.Plan{}, err
	}
	return client.Plan(ctx, request)
}

// plan prints what would change.
func (c *console) plan(p api.Plan) {
	c.changed("name", p.Names)
	c.changed("listener", p.Listeners)
	c.changed("route", p.Routes)
	c.changed("backend", p.Backends)
	for _, line := range p.Lines {
		c.raw(c.paint(diffColour(line), line))
	}
	for _, solved := range p.Solved {
		c.raw(c.paint(good, "- problem solved") + "  " + human.Escape(solved.Service+" "+solved.Code+": "+solved.Text))
	}
	for _, problem := range p.Problems {
		c.raw("")
		where := problem.File
		if problem.Line != 0 {
			where = fmt.Sprintf("%s:%d", where, problem.Line)
		}
		c.raw(strings.TrimSpace(c.paint(bad, "+ problem") + "  " + c.paint(bold, where)))
		c.problem(problem.Problem)
	}
	if len(p.Problems) > 0 {
		c.raw("")
	}
	for _, remark := range p.Remarks {
		c.note("Note: %s", remark)
	}
	if !p.Changes {
		c.note("Nothing would change.")
		return
	}
	c.note("%s, %s, %s would change; %s would come, %d would go", human.Plural(len(p.Routes), "route"), human.Plural(len(p.Backends), "backend"),
		human.Plural(len(p.Listeners), "listener"), human.Plural(len(p.Problems), "problem"), len(p.Solved))
}
