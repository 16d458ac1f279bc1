// Package command is the commands about what is published, over the admin API.
package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/api/published"
	"fairway/internal/console"
	"fairway/internal/human"
)

// Commands are the commands below publish.
type Commands struct {
	Status   Status   `cmd:"" help:"Show the entries in Consul: wanted, there, and why they differ."`
	Diff     Diff     `cmd:"" help:"Show what is still to be written or removed."`
	Apply    Apply    `cmd:"" help:"Write what differs now."`
	Withdraw Withdraw `cmd:"" help:"Remove all entries of this Fairway, and write nothing until apply."`
}

// Status is the command that shows all entries.
type Status struct{}

// Help is its help in full.
func (Status) Help() string {
	return `An entry is registered, missing, differs (from what the service asks for), refused (another has its place), waits (its source is silent) or unwanted (it is to go).

    fairway publish status
    fairway publish status -o wide`
}

// Run prints them.
func (*Status) Run(ctx context.Context, c *console.Console, a *api.Client) error {
	p, err := published.Get(ctx, a)
	if err != nil {
		return err
	}
	return c.Print(p, func() { show(c, p) })
}

// Diff is the command that shows what is still to be written.
type Diff struct{}

// Help is its help in full.
func (Diff) Help() string {
	return `The exit code is 1 when there is a difference, and when nothing could be compared.

    fairway publish diff`
}

// Run prints the differences.
func (*Diff) Run(ctx context.Context, c *console.Console, a *api.Client) error {
	p, err := published.Get(ctx, a)
	if err != nil {
		return err
	}
	compared := p.State == "current" || p.State == "behind"
	p.Entries = slices.DeleteFunc(p.Entries, func(e published.PublishedEntry) bool { return e.State == "registered" && e.Error == "" })
	p.Problems = []published.PublishedProblem{}
	if err := c.Print(p, func() {
		if compared && len(p.Entries) == 0 {
			c.Note("No differences.")
			return
		}
		show(c, p)
	}); err != nil {
		return err
	}
	if !compared || len(p.Entries) > 0 {
		return console.Exit(1)
	}
	return nil
}

func show(c *console.Console, p published.Published) {
	line := p.State
	if p.Reason != "" {
		line += ": " + p.Reason
	}
	colour := console.Good
	if p.State != "current" {
		colour = console.Bad
	}
	c.Raw(c.Paint(colour, human.Escape(line)))
	if len(p.Entries) > 0 {
		c.Raw("")
		t := c.Columns("ENTRY", "NAME", "ADDRESS", "CHECK", "STATE", "WHY")
		for _, e := range p.Entries {
			t.Add(e.ID, e.Name, e.Address+":"+strconv.Itoa(e.Port), e.Check, e.State, why(e))
		}
		t.Print()
	}
	if len(p.Problems) > 0 {
		c.Raw("")
		t := c.Columns("SERVICE", "INSTANCE", "PROBLEM")
		for _, x := range p.Problems {
			t.Add(x.Service, x.Instance, x.Text)
		}
		t.Print()
	}
}

// why is what is to be said of an entry.
func why(e published.PublishedEntry) string {
	var list []string
	for _, text := range []string{e.Error, e.Why, e.Output} {
		if text != "" && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return strings.Join(list, "; ")
}

// Apply is the command that has everything written now.
type Apply struct {
	Removals bool `name:"removals" help:"Also remove entries whose removal is held."`
}

// Help is its help in full.
func (Apply) Help() string {
	return `Differences are written by themselves; this does not wait for that. With --removals entries go that are no longer wanted, though more than half would go at once; never those of a source that is silent.

    fairway publish apply --removals`
}

// Run has it written.
func (x *Apply) Run(ctx context.Context, c *console.Console, a *api.Client) error {
	done, err := published.Apply(ctx, a, x.Removals)
	if err != nil {
		return err
	}
	return c.Print(done, func() { c.Note("%s", done.Text) })
}

// Withdraw is the command that removes all entries.
type Withdraw struct {
	Yes bool `name:"yes" help:"Remove them; without it they are listed."`
}

// Help is its help in full.
func (Withdraw) Help() string {
	return `Without --yes it lists the entries that would go. A restart of Fairway, or fairway publish apply, publishes again; consul.publish.services none does not.

    fairway publish withdraw --yes`
}

// Run removes them.
func (x *Withdraw) Run(ctx context.Context, c *console.Console, a *api.Client) error {
	p, err := published.Get(ctx, a)
	if err != nil {
		return err
	}
	if !x.Yes {
		p.Entries = slices.DeleteFunc(p.Entries, func(e published.PublishedEntry) bool { return e.State == "missing" || e.State == "refused" })
		return c.Print(p, func() {
			show(c, p)
			c.Note("%s", fmt.Sprintf("These are %d entries; fairway publish withdraw --yes removes them.", len(p.Entries)))
		})
	}
	done, err := published.Withdraw(ctx, a)
	if err != nil {
		return err
	}
	return c.Print(done, func() { c.Note("%s", done.Text) })
}
