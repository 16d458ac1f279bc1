package main

import (
	"fmt"
	"strings"

	"fairway/internal/app"
	"fairway/internal/check"
	"fairway/internal/console"
	"fairway/internal/human"
	"fairway/internal/plan"
)

// configFlags load the configuration: the file, and every key as a flag.
type configFlags struct {
	Path string     `name:"config" placeholder:"PATH" help:"Configuration file. Default: $FAIRWAY_CONFIG, else ./fairway.yml or /etc/fairway/fairway.yml, where there is one."`
	ACME string     `name:"acme" placeholder:"EMAIL" group:"config" help:"Short for --acme.agree --acme.email EMAIL: certificates for the hosts of routes, from Let's Encrypt, whose terms of service you agree to."`
	Keys app.Config `embed:"" group:"config"`
}

// load also notes the variables that mean nothing.
func (f configFlags) load(c *cli, p *parser) (*app.Loaded, error) {
	if f.ACME != "" {
		p.flags["acme.agree"], p.flags["acme.email"] = []string{"true"}, []string{f.ACME}
	}
	loaded, err := c.load(f.Path, p.flags)
	if err == nil && len(loaded.Ignored) > 0 {
		c.Note("fairway: these variables mean nothing to Fairway: %s", strings.Join(loaded.Ignored, ", "))
	}
	return loaded, err
}

// load loads the configuration. Every error ends a command with exitUsage.
func (c *cli) load(path string, flags map[string][]string) (*app.Loaded, error) {
	loaded, err := app.Load(app.LoadOptions{Path: path, Environ: c.environ, Flags: flags})
	if err != nil {
		return nil, usageError{err}
	}
	return loaded, nil
}

// engineFlags name the engines of commands that work without a running Fairway. The
// rest comes from the configuration.
type engineFlags struct {
	Path     string   `name:"config" placeholder:"PATH" help:"Configuration file that names the engines."`
	Docker   []string `name:"docker" type:"key" placeholder:"URL" help:"Docker engine, as for run. Repeatable."`
	Swarm    []string `name:"swarm" type:"key" bare:"local" placeholder:"URL" help:"Manager of the Swarm, as for run; the flag alone means the engine on this machine. Repeatable."`
	Insecure bool     `name:"docker-insecure" type:"key" help:"Allow tcp:// Docker engines without TLS, as for run."`
}

type configCommand struct {
	configFlags `embed:""`
}

// Run prints the configuration.
func (f *configCommand) Run(c *cli, p *parser) error {
	loaded, err := f.load(c, p)
	if err != nil {
		return err
	}
	answer := struct {
		File   string      `json:"file,omitempty"`
		Values []app.Value `json:"values"`
	}{loaded.Path, loaded.Values()}
	return c.Print(answer, func() {
		t := c.Columns("KEY", "VALUE", "FROM")
		for _, v := range answer.Values {
			origin := console.Plain.Cell(v.Origin)
			if v.Origin == "default" {
				origin.Colour = console.Faint
			}
			t.Add(v.Key, valueText(v.Value), origin)
		}
		t.Print()
	})
}

func valueText(v any) string {
	if list, ok := v.([]string); ok {
		return strings.Join(list, " ")
	}
	return fmt.Sprint(v)
}

type checkCommand struct {
	Stack bool     `name:"stack" help:"The Compose files are deployed with docker stack deploy, also where they have no labels under deploy."`
	Paths []string `arg:"" optional:"" name:"path" help:"Configuration, services file, or Compose file; by what is in them. Without any: the configuration that run would use."`
}

// Run checks the files.
func (k *checkCommand) Run(c *cli) error {
	checked, err := check.Files(k.Paths, c.environ, k.Stack)
	if err != nil {
		return usageError{err}
	}
	return noIf(c.Print(checked, func() { c.checked(checked) }), len(checked.Problems) > 0)
}

func (c *cli) checked(k *plan.Checked) {
	said := func(found []plan.Problem, colour console.Colour) {
		for _, p := range found {
			c.Raw(strings.TrimSpace(c.Paint(console.Bold, p.Position()) + ": " + c.Paint(colour, p.Code) + "  " + human.Escape(p.Subject())))
			c.Raw("  " + human.Escape(p.Text))
			c.Hint("  ", p.Hint)
		}
	}
	said(k.Problems, console.Bad)
	said(k.Notes, console.Doubt)
	if len(k.Problems)+len(k.Notes) > 0 && len(k.Routes) > 0 {
		c.Printf("\n")
	}
	if len(k.Routes) > 0 {
		t := c.Columns("ROUTE", "WOULD TAKE", "STATE", "-FILE")
		for _, r := range k.Routes {
			state := console.Good.Cell("served")
			if r.Refused != "" {
				state = console.Bad.Cell("refused: " + r.Refused)
			}
			t.Add(r.ID, strings.Join(r.Takes, " || "), state, r.File)
		}
		t.Print()
	}
	c.Note("%s", k.Summary())
}
