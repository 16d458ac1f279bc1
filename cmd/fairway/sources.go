package main

import (
	"context"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

type sourcesCommand struct{}

// Help implements kong.HelpProvider.
func (sourcesCommand) Help() string {
	return `A stale source answers with an error. What it said before is still served.

    fairway sources
    fairway sources -o json`
}

// Run prints the sources.
func (*sourcesCommand) Run(ctx context.Context, c *console) error {
	_, err := list(c, func(a *api.Client) (api.List[api.Source], error) { return a.Sources(ctx) }, c.sources)
	return err
}

func (c *console) sources(sources []api.Source) {
	header := []string{"SOURCE", "STATE", "SERVICES", "ANSWERED", "HELD"}
	if c.wide() {
		header = append(header, "LAST SUCCESS", "HELD SERVICES")
	}
	var rows [][]cell
	for _, s := range sources {
		col := doubt
		if s.State == api.SourceSynced {
			col = good
		}
		age := "never"
		if s.Age != "" {
			age = s.Age + " ago"
		}
		row := []cell{text(s.Name), {s.State, col}, text(strconv.Itoa(s.Services)), text(age), text(strconv.Itoa(len(s.Held)))}
		if c.wide() {
			row = append(row, text(human.Time(s.LastSuccess)), text(strings.Join(s.Held, " ")))
		}
		rows = append(rows, row)
	}
	c.table("", header, rows)
	for _, s := range sources {
		if s.Error != "" {
			c.raw("\n" + c.paint(bold, s.Name) + ": " + human.Escape(s.Error))
		}
		if len(s.Held) > 0 {
			c.raw("\n" + c.paint(bold, s.Name) + human.Escape(": gone from its newest answer, kept until the next one confirms it: "+strings.Join(s.Held, ", ")))
		}
	}
}

func staleText(s *api.Stale) string {
	t := "its source does not answer"
	if !s.Since.IsZero() {
		t += " since " + human.Time(s.Since)
	}
	if s.Error != "" {
		t += ": " + s.Error
	}
	return t
}
