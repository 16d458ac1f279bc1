// Package command is the commands of the agent beside HAProxy: what a container runs and what
// is run in it.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"fairway/internal/console"
	"fairway/internal/fleet/agent"
	"fairway/internal/human"
)

// The commands end with same when there is nothing to do, and with no also on an invalid
// command line.
const (
	no   console.Exit = 1
	same console.Exit = 2
)

// Host is where the commands print, and the environment of the process.
type Host struct {
	*console.Console
	Environ []string
	Env     map[string]string
}

// Named reports whether a command line, nil for none, is for a command with one of the names,
// or one below it.
func Named(line *kong.Context, names ...string) bool {
	return line != nil && slices.ContainsFunc(line.Path, func(p *kong.Path) bool {
		return p.Command != nil && slices.Contains(names, p.Command.Name)
	})
}

// Commands are the commands, as Kong reads them.
type Commands struct {
	Run    runCommand    `cmd:"" help:"Fetch the configuration and run HAProxy; the entry point of a container."`
	Update updateCommand `cmd:"" help:"Fetch, validate and install the configuration."`
	Apply  applyCommand  `cmd:"" help:"Install a configuration from standard input and reload."`
	Status statusCommand `cmd:"" help:"Show what is installed and what runs."`
	Stats  statsCommand  `cmd:"" help:"Print HAProxy's own statistics."`
}

// agentFlags are those of every command of the agent. Defaults come from variables.
type agentFlags struct {
	Name       string `name:"name" placeholder:"NAME" help:"Name of the configuration. Default: $VIP."`
	StorageDir string `name:"storage-dir" placeholder:"DIR" help:"Directory of NAME.cfg and its copies. Default: $STORAGE_DIR, else /usr/local/haproxy/etc."`
	RunDir     string `name:"run-dir" placeholder:"DIR" help:"Private directory for sockets. Default: $RUN_DIR, else /run/fairway-haproxy."`
	HAProxy    string `name:"haproxy" placeholder:"PATH" help:"HAProxy binary. Default: haproxy in PATH and the usual places."`
}

type fetchFlags struct {
	URL       string        `name:"url" placeholder:"URL" help:"Base URL of configurations; the name is appended. Default: $CFG_GET_URL."`
	TokenFile string        `name:"fetch-token-file" placeholder:"PATH" help:"File with the token for the control server. Default: $CFG_TOKEN_FILE."`
	CA        string        `name:"fetch-ca" placeholder:"PATH" help:"CA certificates for the control server. Default: $CFG_CA, else those of the system."`
	Cert      string        `name:"fetch-cert" placeholder:"PATH" help:"Client certificate for the control server. Default: $CFG_CERT."`
	Key       string        `name:"fetch-key" placeholder:"PATH" help:"Its key. Default: $CFG_KEY."`
	Timeout   time.Duration `name:"fetch-timeout" placeholder:"DURATION" default:"2m" help:"Maximum time for all attempts to fetch."`
	Retries   int           `name:"fetch-retries" placeholder:"N" default:"3" help:"Number of retries."`
	Backups   int           `name:"backups" placeholder:"N" help:"Number of replaced files to keep. Default: $BACKUP_KEEP, else 20."`
}

// value is the first that is not empty: the flag, the variable, the default.
func (c *Host) value(flag, variable, otherwise string) string {
	return cmp.Or(flag, c.Env[variable], otherwise)
}

// agent makes the agent with what the commands set further.
func (f agentFlags) agent(ctx context.Context, c *Host, log io.Writer, set ...func(*Host, *agent.Options) error) (*agent.Agent, error) {
	o := agent.Options{
		Name: c.value(f.Name, "VIP", ""), Dir: c.value(f.StorageDir, "STORAGE_DIR", "/usr/local/haproxy/etc"),
		RunDir: c.value(f.RunDir, "RUN_DIR", "/run/fairway-haproxy"), HAProxy: f.HAProxy, Keep: 20,
		Environ: c.Environ, Log: log, Output: c.Err,
	}
	for _, set := range set {
		if err := set(c, &o); err != nil {
			return nil, c.refused(err)
		}
	}
	a, err := agent.New(ctx, o)
	if err != nil {
		return nil, c.refused(err)
	}
	return a, nil
}

func (f fetchFlags) add(c *Host, o *agent.Options) error {
	o.URL, o.Timeout, o.Retries = c.value(f.URL, "CFG_GET_URL", ""), f.Timeout, f.Retries
	if o.URL == "" {
		return errors.New("no URL to fetch from: set CFG_GET_URL or --url, such as http://fairway:8081/haproxy/")
	}
	keep, err := strconv.Atoi(cmp.Or(c.Env["BACKUP_KEEP"], "20"))
	if f.Backups != 0 {
		keep, err = f.Backups, nil
	}
	if err != nil || keep < 1 {
		return errors.New("the number of backups is a number from 1 on")
	}
	o.Keep = keep
	if file := c.value(f.TokenFile, "CFG_TOKEN_FILE", ""); file != "" {
		token, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		o.Token = strings.TrimSpace(string(token))
	}
	o.Client, err = agent.NewClient(c.value(f.CA, "CFG_CA", ""), c.value(f.Cert, "CFG_CERT", ""), c.value(f.Key, "CFG_KEY", ""))
	return err
}

// refused reports an error and ends the command with no.
func (c *Host) refused(err error) error {
	c.Fail(err)
	return no
}

type updateCommand struct {
	agentFlags
	fetchFlags
}

// Run updates the file.
func (f *updateCommand) Run(ctx context.Context, c *Host) error {
	a, err := f.agent(ctx, c, c.Out, f.add)
	if err != nil {
		return err
	}
	switch changed, err := a.Update(ctx); {
	case err != nil:
		return no // the log has it
	case !changed:
		return same
	default:
		return nil
	}
}

type runCommand struct {
	agentFlags
	fetchFlags
	Follow   bool          `name:"follow" help:"Poll for configurations and reload on changes."`
	Interval time.Duration `name:"interval" placeholder:"DURATION" default:"30s" help:"Time between two fetches where the control server does not support long polling."`
	Grace    time.Duration `name:"grace" placeholder:"DURATION" default:"8s" help:"Maximum time for connections to end when the container is stopped."`
}

// Run runs HAProxy.
func (f *runCommand) Run(ctx context.Context, c *Host) error {
	// Early, so that no signal ends the container.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP)
	defer signal.Stop(signals)
	a, err := f.agent(ctx, c, c.Out, f.add, func(_ *Host, o *agent.Options) error {
		o.Follow, o.Interval, o.Grace = f.Follow, f.Interval, f.Grace
		return nil
	})
	if err != nil {
		return err
	}
	if err := a.Run(ctx, signals); err != nil {
		return c.refused(err)
	}
	return nil
}

type applyCommand struct {
	agentFlags
	Check     bool `name:"check" help:"Validate only; change nothing."`
	SkipCheck bool `name:"skip-check" help:"Do not validate: the configuration ran before."`
}

// Run applies what is on standard input.
func (f *applyCommand) Run(ctx context.Context, c *Host) error {
	a, err := f.agent(ctx, c, c.Err)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(io.LimitReader(os.Stdin, 64<<20))
	if err != nil {
		return c.refused(fmt.Errorf("standard input: %w", err))
	}
	result := a.Apply(ctx, content, agent.ApplyOptions{CheckOnly: f.Check, Trust: f.SkipCheck})
	if err := c.Print(result, func() { c.Printf("%s\n", strings.TrimSpace(result.Outcome+" "+result.Reason)) }); err != nil {
		return err
	}
	switch result.Outcome {
	case "updated":
		return nil
	case "same":
		return same
	default:
		return no
	}
}

type statusCommand struct {
	agentFlags
	Content bool `name:"content" help:"Include the configuration; with -o json."`
}

// Run prints the status.
func (f *statusCommand) Run(ctx context.Context, c *Host) error {
	a, err := f.agent(ctx, c, c.Err)
	if err != nil {
		return err
	}
	s, err := a.Status(ctx, f.Content)
	if err != nil {
		return c.refused(err)
	}
	err = c.Print(s, func() {
		c.Printf("file      %s\ndigest    %s\nrunning   %s\nhaproxy   %s\n", s.File, s.Digest, s.Running, s.Version)
		if s.Worker != 0 {
			c.Printf("worker    %d, for %s\nold       %d\n", s.Worker, s.Uptime.String(), s.Old)
		}
		if s.Trouble != "" {
			c.Printf("trouble   %s\n", s.Trouble)
		}
	})
	if err == nil && s.Worker == 0 {
		return no
	}
	return err
}

type statsCommand struct {
	agentFlags
}

// Run prints the statistics as HAProxy gives them.
func (f *statsCommand) Run(ctx context.Context, c *Host) error {
	a, err := f.agent(ctx, c, c.Err)
	if err != nil {
		return err
	}
	s, err := a.Statistics(ctx)
	if err != nil {
		return c.refused(err)
	}
	return c.Print(s, func() {
		for line := range strings.Lines(s.Info + "\n\n" + s.Stat + "\n") {
			c.Raw(human.Escape(strings.TrimSuffix(line, "\n")))
		}
	})
}
