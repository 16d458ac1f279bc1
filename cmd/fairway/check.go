package main

import (
	"strings"

	"fairway/internal/app"
	"fairway/internal/human"
	"fairway/internal/plan"
)

type checkCommand struct {
	Paths []string `arg:"" optional:"" name:"path" help:"Configuration, services file, or Compose file; by what is in them. Without any: the configuration that run would use."`
}

// Help implements kong.HelpProvider.
func (checkCommand) Help() string {
	return `All files are checked together, as if everything in them ran on one machine: two services that claim the same host are a problem. A Compose file with labels under deploy, or beside a configuration that watches a Swarm, is a stack: its labels are those of services, and those of containers a problem. Labels are read as the configuration says that is given, else the one that run would use, with the variables of the environment. What only a daemon can know (addresses, the ports of an image) is left out. The exit code is 1 when there are problems.

    fairway check compose.yml
    fairway check fairway.yml services.yml shop/compose.yml blog/compose.yml
    docker compose config | fairway check /dev/stdin

The last one sees a Compose file with all that it extends and includes, which are not followed otherwise.`
}

// Run checks the files.
func (k *checkCommand) Run(c *console) error {
	checked, err := app.Check(k.Paths, c.environ)
	if err != nil {
		return usageError{err}
	}
	if err := c.print(checked, func() { c.checked(checked) }); err != nil {
		return err
	}
	if len(checked.Problems) > 0 {
		return errNo
	}
	return nil
}

func (c *console) checked(k *plan.Checked) {
	for _, p := range k.Problems {
		c.raw(strings.TrimSpace(c.paint(bold, p.Position()) + ": " + c.paint(bad, p.Code) + "  " + human.Escape(p.Subject())))
		c.raw("  " + human.Escape(p.Text))
		if p.Hint != "" {
			c.raw("  " + c.paint(good, "hint: ") + human.Escape(p.Hint))
		}
	}
	if len(k.Problems) > 0 && len(k.Routes) > 0 {
		c.printf("\n")
	}
	if len(k.Routes) > 0 {
		var rows [][]cell
		for _, r := range k.Routes {
			state := cell{"served", good}
			if r.Refused != "" {
				state = cell{"refused: " + r.Refused, bad}
			}
			rows = append(rows, []cell{text(r.ID), text(strings.Join(r.Takes, " || ")), state, text(r.File)})
		}
		c.table("", []string{"ROUTE", "WOULD TAKE", "STATE", "FILE"}, rows)
	}
	c.note("%s, %s, %s", human.Plural(len(k.Files), "file"), human.Plural(len(k.Routes), "route"), human.Plural(len(k.Problems), "problem"))
}
