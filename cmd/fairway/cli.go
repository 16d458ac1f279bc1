package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"fairway/internal/api"
	"fairway/internal/app"
	"fairway/internal/swarmservice"
)

// The exit codes. They are part of the interface and keep their meaning.
const (
	exitOK      = 0   // done, and the answer is yes
	exitNo      = 1   // done, and the answer is no: problems, no route, not ready, not served, not converged, not found
	exitUsage   = 2   // the command line or the configuration is wrong
	exitAbsent  = 3   // no Fairway answers at the admin address
	exitFailed  = 4   // anything else that went wrong
	exitStopped = 130 // interrupted before the answer was there
)

// exitCodes is the text about exit codes for people.
const exitCodes = `Exit codes:

    0    done, and the answer is yes
    1    done, and the answer is no: problems found, no route, not ready, not served, not converged, not found
    2    the command line or the configuration is wrong
    3    no Fairway answers at the admin address
    4    anything else that went wrong
    130  interrupted`

// errNo ends a command with exitNo when everything has been said already.
var errNo = errors.New("no")

// usageError is an error of the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// grammar is the command line. Kong reads it.
type grammar struct {
	Admin     string `name:"admin" group:"global" placeholder:"URL" help:"Where the admin API listens: http://HOST:PORT, https://HOST:PORT or unix:///PATH. Default: $FAIRWAY_ADMIN, else admin.listen of the configuration."`
	AdminCA   string `name:"admin-ca" group:"global" placeholder:"PATH" help:"PEM file with a certificate to believe for https://. Default: the machine's, and admin.tls-cert of the configuration."`
	TokenFile string `name:"token-file" group:"global" placeholder:"PATH" help:"File with the token for the admin API. Default: admin.token-file of the configuration, else the first token in its state-dir."`
	Output    string `name:"output" short:"o" group:"global" enum:"text,wide,json" default:"text" placeholder:"FORMAT" help:"Form of what is printed: text, wide (more columns, nothing cut off) or json."`
	NoColor   bool   `name:"no-color" group:"global" help:"Print without colours. The variable NO_COLOR does the same."`

	Run         runCommand         `cmd:"" group:"serve" help:"Serve: watch the sources and route requests."`
	Demo        demoCommand        `cmd:"" group:"serve" help:"See it work: start labelled services, route them, clean up."`
	Check       checkCommand       `cmd:"" group:"serve" help:"Check configurations, services files and the labels of Compose files, without a daemon."`
	Config      configCommand      `cmd:"" group:"serve" help:"Print the effective configuration and where each value comes from."`
	Routes      routesCommand      `cmd:"" group:"look" help:"List the routes that are served."`
	Services    servicesCommand    `cmd:"" group:"look" help:"List the services that exist, or show one."`
	Nodes       nodesCommand       `cmd:"" group:"look" help:"List the machines that run instances."`
	Problems    problemsCommand    `cmd:"" group:"look" help:"List refused labels and routes, with what to do."`
	Sources     sourcesCommand     `cmd:"" group:"look" help:"List the sources and how they are doing."`
	Events      eventsCommand      `cmd:"" group:"look" help:"List what happened."`
	Notify      notifyCommand      `cmd:"" group:"look" help:"Look after notifications: channels, what waits, a test."`
	Rules       rulesCommand       `cmd:"" group:"look" help:"Show how the rules of the configuration stand."`
	Explain     explainCommand     `cmd:"" group:"look" help:"Say which route takes a request, and why the others do not."`
	Doctor      doctorCommand      `cmd:"" group:"look" help:"Say why a service or container is served or not."`
	Plan        planCommand        `cmd:"" group:"steer" help:"Say what a Compose file, a stack or a label would change, before it is deployed."`
	History     historyCommand     `cmd:"" group:"steer" help:"List the tables that went live, each with its cause, or show one."`
	Diff        diffCommand        `cmd:"" group:"steer" help:"Show what differs between two entries of the history."`
	Rollback    rollbackCommand    `cmd:"" group:"steer" help:"Serve what an entry of the history was, and hold it."`
	Pin         pinCommand         `cmd:"" group:"steer" help:"Hold what is served now."`
	Unpin       unpinCommand       `cmd:"" group:"steer" help:"End a pin or rollback: serve what the labels say."`
	Drain       drainCommand       `cmd:"" group:"steer" help:"Give a service, instance or node nothing new."`
	Undrain     undrainCommand     `cmd:"" group:"steer" help:"End a drain."`
	Weight      weightCommand      `cmd:"" group:"steer" help:"Give a service, instance or node another share of requests."`
	Pause       pauseCommand       `cmd:"" group:"steer" help:"Make the requests for a service wait."`
	Resume      resumeCommand      `cmd:"" group:"steer" help:"End a pause."`
	Commands    commandsCommand    `cmd:"" group:"steer" help:"List what operators asked for and is in force."`
	Stats       statsCommand       `cmd:"" group:"swarm" help:"Show what containers use: CPU, memory, network and disk, by service."`
	Service     serviceCommand     `cmd:"" group:"swarm" help:"Create, scale, update or remove services of a Swarm."`
	Token       tokenCommand       `cmd:"" group:"access" help:"Make, list or revoke tokens for the admin API."`
	Audit       auditCommand       `cmd:"" group:"access" help:"List who changed what, and who was not allowed to."`
	Fleet       fleetCommand       `cmd:"" group:"fleet" help:"Manage the configurations of HAProxies on many Docker hosts."`
	HAProxy     haproxyCommand     `cmd:"" name:"haproxy" group:"fleet" help:"Run HAProxy in a container with a configuration out of one place."`
	Healthcheck healthcheckCommand `cmd:"" group:"other" help:"Ask whether requests are served; for HEALTHCHECK in images."`
	Completion  completionCommand  `cmd:"" group:"other" help:"Print a completion script for a shell."`
	Version     versionCommand     `cmd:"" group:"other" help:"Print the version."`
	Whoami      whoamiCommand      `cmd:"" hidden:"" help:"Serve requests with a description of themselves."`
}

// Help is the detail in the help of the program as a whole.
func (grammar) Help() string {
	return `Put the label fairway.host=app.example.com on a container, and requests reach it.

    fairway demo                                    see it work
    fairway run                                     serve what the local Docker engine runs
    fairway explain GET http://app.example.com/     which route takes this request, and why
    fairway doctor mycontainer                      why is this container not served

` + exitCodes
}

// run runs the command line and returns the exit code. It reads nothing but its
// arguments and what the command names.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	g := &grammar{}
	c := newConsole(stdout, stderr, environ)
	p, err := newParser(g, c)
	if err != nil {
		fmt.Fprintf(stderr, "fairway: %v\n", err)
		return exitFailed
	}
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help":
		args = append(args[1:len(args):len(args)], "--help")
	}
	parsed, err := p.Parse(args)
	if p.helped {
		return exitOK
	}
	if err != nil {
		c.misused(err)
		if beside(err) {
			return exitNo
		}
		return exitUsage
	}
	c.configure(g)
	parsed.BindTo(ctx, (*context.Context)(nil))
	return c.finish(ctx, parsed.Run(c, p))
}

// misused says what is wrong with the command line, and where to read on.
func (c *console) misused(err error) {
	c.fail(err)
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		n := parse.Context.Selected()
		c.note("Usage: fairway %s", n.Summary())
		c.note("Run \"fairway %s --help\" for more.", n.Path())
		return
	}
	c.note("Run \"fairway --help\" for the commands.")
}

// finish says what went wrong and returns the exit code for it.
func (c *console) finish(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errNo) {
		return exitNo
	}
	if errors.Is(err, errChanges) {
		return exitUsage
	}
	if errors.Is(err, errSame) {
		return exitSame
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return exitStopped
	}
	var refused *api.Error
	var faults app.Faults
	var usage usageError
	var fault swarmservice.InvalidError
	switch {
	case errors.Is(err, swarmservice.ErrNotConverged), errors.Is(err, swarmservice.ErrNoService):
		c.fail(err)
		return exitNo
	case errors.As(err, &faults), errors.As(err, &usage), errors.As(err, &fault):
		c.fail(err)
		return exitUsage
	case errors.Is(err, api.ErrNoAnswer):
		c.fail(err)
		return exitAbsent
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		c.fail(err)
		return exitNo
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		c.fail(err)
		return exitUsage
	default:
		c.fail(err)
		return exitFailed
	}
}

// parser is Kong with the configuration's keys as flags.
type parser struct {
	*kong.Kong
	// flags are the texts given for configuration keys.
	flags map[string][]string
	// helped is true once help was asked for and printed.
	helped bool
}

func newParser(g *grammar, c *console) (*parser, error) {
	p := &parser{flags: map[string][]string{}}
	options := []kong.Option{
		kong.Name("fairway"),
		kong.Description("Fairway routes requests to containers by their labels."),
		kong.Writers(c.out, c.err),
		kong.Exit(func(int) { p.helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ValueFormatter(flagHelp),
		kong.ExplicitGroups([]kong.Group{
			{Key: "serve", Title: "Serve:"},
			{Key: "look", Title: "Look into a running Fairway:"},
			{Key: "steer", Title: "See what was, and steer:"},
			{Key: "swarm", Title: "Ask the engines themselves:"},
			{Key: "access", Title: "Say who may do what:"},
			{Key: "fleet", Title: "Beside HAProxy:"},
			{Key: "other", Title: "Other:"},
			{Key: "config", Title: "Configuration:", Description: "Every flag here is also an environment variable (--admin.listen is FAIRWAY_ADMIN_LISTEN) and a key of fairway.yml (listen: below admin:). Flags go before variables, variables before the file."},
			{Key: "global", Title: "Global flags:"},
		}),
	}
	for _, config := range []*app.Config{&g.Run.Keys, &g.Config.Keys} {
		for _, f := range app.Fields(config) {
			options = append(options, kong.ValueMapper(f.Pointer, p.keyMapper(f)))
		}
	}
	options = append(options, p.engineMappers(engineFlagsOf(reflect.ValueOf(g).Elem())...)...)
	k, err := kong.New(g, options...)
	if err != nil {
		return nil, fmt.Errorf("command line: %w", err)
	}
	p.Kong = k
	return p, nil
}

// keyMapper remembers the text of a flag instead of parsing it: the loader of
// the configuration parses it, and tells of all faults at once.
func (p *parser) keyMapper(f app.Field) kong.Mapper {
	_, isSwitch := f.Pointer.(*bool)
	return keyMapper{key: f.Key, isSwitch: isSwitch, flags: p.flags}
}

type keyMapper struct {
	key      app.Key
	isSwitch bool
	flags    map[string][]string
}

// Decode implements kong.Mapper.
func (m keyMapper) Decode(ctx *kong.DecodeContext, _ reflect.Value) error {
	if m.isSwitch && ctx.Scan.Peek().Type != kong.FlagValueToken {
		m.flags[m.key.Name] = append(m.flags[m.key.Name], "true")
		return nil
	}
	if next := ctx.Scan.Peek(); m.key.Bare != "" && (next.IsEOL() || next.InferredType().IsAny(kong.FlagToken, kong.ShortFlagToken)) {
		m.flags[m.key.Name] = append(m.flags[m.key.Name], m.key.Bare)
		return nil
	}
	token, err := ctx.Scan.PopValue("value")
	if err != nil {
		return err
	}
	m.flags[m.key.Name] = append(m.flags[m.key.Name], token.String())
	return nil
}

// IsBool implements kong.BoolMapper.
func (m keyMapper) IsBool() bool { return m.isSwitch }

// flagHelp adds the default to the help of a flag, where a key of the
// configuration has one.
func flagHelp(v *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(v)
	if v.Tag == nil {
		return help
	}
	def := v.Tag.Get("preset")
	if def == "" {
		def = v.Tag.Get("derived")
	}
	if def == "" || def == "false" {
		return help
	}
	return strings.TrimSuffix(help, ".") + ". Default: " + def + "."
}
