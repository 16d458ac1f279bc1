package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	certs "fairway/internal/acme/command"
	"fairway/internal/api"
	"fairway/internal/app"
	"fairway/internal/console"
	deploy "fairway/internal/deploy/command"
	names "fairway/internal/dns/command"
	"fairway/internal/fleet/agent/command"
	owners "fairway/internal/owners/command"
	publish "fairway/internal/publish/command"
	"fairway/internal/swarmservice"
	"fairway/internal/trust"
)

// The exit codes. They are part of the interface and keep their meaning.
const (
	exitOK      = 0   // success
	exitNo      = 1   // negative result: problems, no route, not ready, not served, not converged, not found
	exitUsage   = 2   // invalid command line or configuration
	exitAbsent  = 3   // no answer from the admin API
	exitFailed  = 4   // any other failure
	exitStopped = 130 // interrupted before the result was known
)

// exitCodes explains the exit codes in the help.
const exitCodes = `Exit codes:

    0    success
    1    negative result: problems found, no route, not ready, not served, not converged, not found
    2    invalid command line or configuration
    3    no answer from the admin API
    4    any other failure
    130  interrupted`

// errNo ends a command with exitNo after it has printed its answer.
const errNo console.Exit = exitNo

// usageError is an error of the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// grammar is the command line. Kong reads it.
type grammar struct {
	Admin     string `name:"admin" group:"global" placeholder:"URL" help:"Address of the admin API: http://HOST:PORT, https://HOST:PORT or unix:///PATH. Default: $FAIRWAY_ADMIN, else admin.listen of the configuration."`
	AdminCA   string `name:"admin-ca" group:"global" placeholder:"PATH" help:"CA certificate in PEM for https://, besides those of the machine. Default: admin.tls-cert of the configuration."`
	TokenFile string `name:"token-file" group:"global" placeholder:"PATH" help:"File with the token for the admin API. Default: admin.token-file of the configuration, else the first token in its state-dir."`
	Output    string `name:"output" short:"o" group:"global" enum:"text,wide,json,csv" default:"text" placeholder:"FORMAT" help:"Output format: text, wide (more columns, nothing cut off), json, or csv (of lists)."`
	UTC       bool   `name:"utc" group:"global" help:"Show times in UTC instead of the time zone of this machine, or of TZ. JSON and CSV have UTC always."`
	NoColor   bool   `name:"no-color" group:"global" help:"Print without colours, as with the variable NO_COLOR."`

	Run         runCommand         `cmd:"" group:"serve" help:"Watch the sources and route requests."`
	Demo        demoCommand        `cmd:"" group:"serve" help:"Start labelled services, route them, clean up."`
	Check       checkCommand       `cmd:"" group:"serve" help:"Validate configurations, services files and labels of Compose files, offline."`
	Config      configCommand      `cmd:"" group:"serve" help:"Print the effective configuration with the origin of each value."`
	Status      statusCommand      `cmd:"" group:"look" help:"Show what is wrong now, and why."`
	Routes      routesCommand      `cmd:"" group:"look" help:"List the routes."`
	Services    servicesCommand    `cmd:"" group:"look" help:"List the services, or show one."`
	Nodes       nodesCommand       `cmd:"" group:"look" help:"List the nodes that run instances."`
	Problems    problemsCommand    `cmd:"" group:"look" help:"List refused labels and routes, with hints."`
	Owners      owners.Commands    `cmd:"" group:"look" help:"List who may claim which hosts, paths and ports, and check it."`
	Certs       certs.Commands     `cmd:"" group:"look" help:"List the certificates, the hosts without one, and when they expire; renew and revoke them."`
	Sources     sourcesCommand     `cmd:"" group:"look" help:"List the sources and their state."`
	Events      eventsCommand      `cmd:"" group:"look" help:"List events."`
	Notify      notifyCommand      `cmd:"" group:"look" help:"Manage notifications: channels, pending events, a test."`
	Rules       rulesCommand       `cmd:"" group:"look" help:"List the rules and their state."`
	Errors      errorsCommand      `cmd:"" group:"look" help:"List the last requests that failed, and why."`
	Logs        logsCommand        `cmd:"" group:"look" help:"Print what the containers of a service write."`
	Requests    requestsCommand    `cmd:"" group:"look" help:"Print requests as they are answered: a live access log."`
	Explain     explainCommand     `cmd:"" group:"look" help:"Show which route a request matches, and why others do not."`
	DNS         names.Commands     `cmd:"" name:"dns" group:"look" help:"Show the names of services and instances, and why they are answered as they are."`
	Publish     publish.Commands   `cmd:"" group:"look" help:"Show what is written into Consul, and why it differs."`
	Doctor      doctorCommand      `cmd:"" group:"look" help:"Diagnose why a service or container is served or not."`
	Plan        planCommand        `cmd:"" group:"steer" help:"Show what a Compose file, a stack or a label would change."`
	History     historyCommand     `cmd:"" group:"steer" help:"List the tables that went live with their cause, or show one."`
	Diff        diffCommand        `cmd:"" group:"steer" help:"Compare two entries of the history."`
	Rollback    rollbackCommand    `cmd:"" group:"steer" help:"Serve an earlier table and hold it."`
	Pin         pinCommand         `cmd:"" group:"steer" help:"Hold the current table."`
	Unpin       unpinCommand       `cmd:"" group:"steer" help:"End a pin or rollback."`
	Drain       drainCommand       `cmd:"" group:"steer" help:"Drain a service, instance or node."`
	Undrain     undrainCommand     `cmd:"" group:"steer" help:"End a drain."`
	Weight      weightCommand      `cmd:"" group:"steer" help:"Set the weight of a service, instance or node."`
	Pause       pauseCommand       `cmd:"" group:"steer" help:"Hold the requests for a service."`
	Resume      resumeCommand      `cmd:"" group:"steer" help:"End a pause."`
	Maintenance maintenanceCommand `cmd:"" group:"steer" help:"Answer the requests for a service with a message, or list such services."`
	Commands    commandsCommand    `cmd:"" group:"steer" help:"List the commands in force."`
	Stats       statsCommand       `cmd:"" group:"swarm" help:"Show the CPU, memory, network and disk usage of containers."`
	Deploy      deploy.Deploy      `cmd:"" group:"swarm" help:"Put services of Compose files on an engine, without a failed request."`
	Leave       deploy.Leave       `cmd:"" group:"swarm" help:"Take one container out before it is stopped."`
	Service     deploy.Service     `cmd:"" group:"swarm" help:"Create, scale, update or remove services of a Swarm, and those that were deployed."`
	Token       tokenCommand       `cmd:"" group:"access" help:"Manage tokens for the admin API."`
	Audit       auditCommand       `cmd:"" group:"access" help:"Show the audit log."`
	Trust       trust.Command      `cmd:"" group:"access" help:"Have this machine trust the certificates that Fairway issues by itself."`
	Untrust     trust.Undo         `cmd:"" group:"access" help:"Take that trust back."`
	Fleet       fleetCommand       `cmd:"" group:"fleet" help:"Manage HAProxy configurations on many Docker hosts."`
	HAProxy     command.Commands   `cmd:"" name:"haproxy" group:"fleet" help:"Run HAProxy in a container with a configuration from the control server."`
	Healthcheck healthcheckCommand `cmd:"" group:"other" help:"Check readiness, for HEALTHCHECK in images."`
	OpenAPI     openAPICommand     `cmd:"" name:"openapi" group:"other" help:"Print the OpenAPI document of the admin API."`
	Completion  completionCommand  `cmd:"" group:"other" help:"Print a shell completion script."`
	Version     versionCommand     `cmd:"" group:"other" help:"Print the version."`
	Complete    completeCommand    `cmd:"" hidden:"" help:"Print what the last word may become."`
	Whoami      whoamiCommand      `cmd:"" hidden:"" help:"Answer requests with a description of themselves."`
}

// Help is the detail in the help of the program.
func (grammar) Help() string {
	return `Put the label fairway.host=app.example.com on a container, and requests reach it.

    fairway demo                                    try it
    fairway run                                     route to containers of the local Docker engine
    fairway explain GET http://app.example.com/     which route matches this request
    fairway doctor mycontainer                      why is this container not served

` + exitCodes
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	g := &grammar{}
	c := newCLI(stdout, stderr, environ)
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
		return c.misused(err, nil)
	}
	c.configure(g)
	defer c.close()
	if c.CSV() && !isList(parsed) {
		return c.misused(errNoList, parsed)
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(c, p)
	if err == nil && c.CSV() && c.Tables() == 0 {
		err = usageError{errNoList}
	}
	code := c.finish(ctx, err)
	if code != exitOK && command.Named(parsed, "healthcheck") {
		return exitNo // Docker knows no other
	}
	return code
}

// errNoList says that a command prints no table.
var errNoList = errors.New("-o csv is for lists, printed once; json is for everything")

// misused reports an invalid command line, names the help to read, and returns the exit code.
func (c *cli) misused(err error, line *kong.Context) int {
	c.Fail(err)
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		line = parse.Context
		c.Note("Usage: fairway %s", line.Selected().Summary())
		c.Note("Run \"fairway %s --help\" for more.", line.Selected().Path())
	} else {
		c.Note("Run \"fairway --help\" for the commands.")
	}
	if command.Named(line, "haproxy", "healthcheck") {
		return exitNo // 2 has another meaning there, or none
	}
	return exitUsage
}

// finish reports an error and returns the exit code for it.
func (c *cli) finish(ctx context.Context, err error) int {
	var code console.Exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return exitStopped
	}
	c.Fail(err)
	var refused *api.Error
	if errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Type == api.TypeRole) {
		c.tokenHint(refused.Status)
	}
	var usage usageError
	var fault swarmservice.InvalidError
	switch {
	case errors.Is(err, swarmservice.ErrNotConverged), errors.Is(err, swarmservice.ErrNoService):
		return exitNo
	case errors.As(err, &usage), errors.As(err, &fault):
		return exitUsage
	case errors.Is(err, api.ErrNoAnswer):
		return exitAbsent
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		return exitNo
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest:
		return exitUsage
	}
	return exitFailed
}

// parser is Kong with the configuration's keys as flags.
type parser struct {
	*kong.Kong
	// flags are the texts given for configuration keys.
	flags map[string][]string
	// helped is true once help was asked for and printed.
	helped bool
}

func newParser(g *grammar, c *cli) (*parser, error) {
	p := &parser{flags: map[string][]string{}}
	options := []kong.Option{
		kong.Name("fairway"),
		kong.Description("Fairway routes requests to containers by their labels."),
		kong.Writers(c.Out, c.Err),
		kong.Bind(c, c.Console, &command.Host{Console: c.Console, Environ: c.environ, Env: c.env}, owners.Client(c.client), trust.Client(c.client), deploy.Client(c.client), deploy.Flags(p.flags)),
		kong.BindSingletonProvider(c.client),
		kong.Exit(func(int) { p.helped = true }),
		kong.Help(console.Help("global")),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.ValueFormatter(flagHelp),
		kong.ExplicitGroups([]kong.Group{
			{Key: "serve", Title: "Serve:"},
			{Key: "look", Title: "Inspect:"},
			{Key: "steer", Title: "History and traffic control:"},
			{Key: "swarm", Title: "Services:"},
			{Key: "access", Title: "Access:"},
			{Key: "fleet", Title: "HAProxy fleet:"},
			{Key: "other", Title: "Other:"},
			{Key: "global", Title: "Global flags:"},
		}),
	}
	keys := keyMapper{p.flags}
	options = append(options, kong.NamedMapper("key", keys))
	for _, config := range []*app.Config{&g.Run.Keys, &g.Config.Keys} {
		for _, f := range app.Fields(config) {
			options = append(options, kong.ValueMapper(f.Pointer, keys))
		}
	}
	k, err := kong.New(g, options...)
	if err != nil {
		return nil, fmt.Errorf("command line: %w", err)
	}
	p.Kong = k
	describe(k.Model.Node)
	k.Model.HelpFlag.Group = &kong.Group{Key: "global", Title: "Global flags:"}
	return p, nil
}

// keyMapper records the text of a flag that is a key of the configuration, instead of
// parsing it: the loader of the configuration does, and reports all faults at once.
type keyMapper struct{ flags map[string][]string }

// Decode implements kong.Mapper.
func (m keyMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	next, bare := ctx.Scan.Peek(), ctx.Value.Tag.Get("bare")
	var text string
	switch {
	case m.IsBoolFromValue(target) && next.Type != kong.FlagValueToken:
		text = "true"
	case bare != "" && (next.IsEOL() || next.InferredType().IsAny(kong.FlagToken, kong.ShortFlagToken)):
		text = bare
	default:
		token, err := ctx.Scan.PopValue("value")
		if err != nil {
			return err
		}
		text = token.String()
	}
	m.flags[ctx.Value.Name] = append(m.flags[ctx.Value.Name], text)
	return nil
}

// PlaceHolder implements kong.PlaceHolderProvider.
func (keyMapper) PlaceHolder(f *kong.Flag) string { return console.PlaceHolder(f) }

// IsBoolFromValue implements kong.BoolMapperExt.
func (keyMapper) IsBoolFromValue(target reflect.Value) bool { return target.Kind() == reflect.Bool }

// flagHelp adds the default to the help of a flag, where a key of the
// configuration has one.
func flagHelp(v *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(v)
	if v.Tag == nil {
		return help
	}
	def := cmp.Or(v.Tag.Get("preset"), v.Tag.Get("derived"))
	if def == "" || def == "false" {
		return help
	}
	return strings.TrimSuffix(help, ".") + ". Default: " + def + "."
}
