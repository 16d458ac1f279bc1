package main

import (
	"errors"
	"fmt"
	"strings"

	"fairway/internal/app"
	"fairway/internal/confload"
)

// configFlags load the configuration: the file, and every key as a flag.
type configFlags struct {
	Path string     `name:"config" placeholder:"PATH" help:"Configuration file. Default: $FAIRWAY_CONFIG, else ./fairway.yml or /etc/fairway/fairway.yml, where there is one."`
	Keys app.Config `embed:"" group:"config"`
}

// load returns the configuration that the command line, the environment and
// the file make together.
func (f configFlags) load(c *console, p *parser) (*app.Loaded, error) {
	loaded, err := app.Load(app.LoadOptions{Path: f.Path, Environ: c.environ, Flags: p.flags})
	if err != nil {
		return loaded, configError(err)
	}
	if len(loaded.Ignored) > 0 {
		c.note("fairway: these variables mean nothing to Fairway: %s", strings.Join(loaded.Ignored, ", "))
	}
	return loaded, nil
}

// configError makes every error of the configuration one that ends with
// exitUsage.
func configError(err error) error {
	var faults confload.Faults
	if errors.As(err, &faults) {
		return err
	}
	return usageError{err}
}

type configCommand struct {
	configFlags `embed:""`
}

// Help implements kong.HelpProvider.
func (configCommand) Help() string {
	return `It takes the same flags as run, and checks as run does.

    fairway config
    fairway config --config /etc/fairway/fairway.yml -o json`
}

// Run prints the configuration.
func (f *configCommand) Run(c *console, p *parser) error {
	loaded, err := f.load(c, p)
	if err != nil {
		return err
	}
	answer := struct {
		File   string      `json:"file,omitempty"`
		Values []app.Value `json:"values"`
	}{loaded.Path, loaded.Values()}
	return c.print(answer, func() {
		var rows [][]cell
		for _, v := range answer.Values {
			origin := cell{v.Origin, plain}
			if v.Origin == "default" {
				origin.colour = faint
			}
			rows = append(rows, []cell{text(v.Key), text(valueText(v.Value)), origin})
		}
		c.table("", []string{"KEY", "VALUE", "FROM"}, rows)
	})
}

func valueText(v any) string {
	if list, ok := v.([]string); ok {
		return strings.Join(list, " ")
	}
	return fmt.Sprint(v)
}
