package main

import (
	"reflect"

	"github.com/alecthomas/kong"

	"fairway/internal/app"
	"fairway/internal/confload"
)

// engineFlags name the engines of commands that work without a running Fairway. The
// rest comes from the configuration.
type engineFlags struct {
	Path     string   `name:"config" placeholder:"PATH" help:"Configuration file that names the engines."`
	Docker   []string `name:"docker" placeholder:"URL" help:"Docker engine, as for run. Repeatable."`
	Swarm    []string `name:"swarm" placeholder:"URL" help:"Manager of the Swarm, as for run; the flag alone means the engine on this machine. Repeatable."`
	Insecure bool     `name:"docker-insecure" help:"Allow tcp:// Docker engines without TLS, as for run."`
}

// engineFlagsOf returns the engine flags of every command in a struct of commands.
func engineFlagsOf(v reflect.Value) (all []*engineFlags) {
	for i := range v.NumField() {
		field := v.Field(i)
		if field.Type() == reflect.TypeFor[engineFlags]() {
			all = append(all, (*engineFlags)(field.Addr().UnsafePointer())) // its name has a small letter
		} else if field.Kind() == reflect.Struct {
			all = append(all, engineFlagsOf(field)...)
		}
	}
	return all
}

// engineMappers makes the flags keys of the configuration.
func (p *parser) engineMappers(all ...*engineFlags) []kong.Option {
	keys := map[string]confload.Field{}
	for _, f := range app.Fields(new(app.Config)) {
		keys[f.Name] = f
	}
	var options []kong.Option
	for _, f := range all {
		options = append(options,
			kong.ValueMapper(&f.Docker, p.keyMapper(keys["docker"])),
			kong.ValueMapper(&f.Swarm, p.keyMapper(keys["swarm"])),
			kong.ValueMapper(&f.Insecure, p.keyMapper(keys["docker-insecure"])),
		)
	}
	return options
}

// load returns the configuration with the engines.
func (f engineFlags) load(c *console, p *parser) (app.Config, error) {
	loaded, err := app.Load(app.LoadOptions{Path: f.Path, Environ: c.environ, Flags: p.flags})
	if err != nil {
		return app.Config{}, configError(err)
	}
	return loaded.Config, nil
}
