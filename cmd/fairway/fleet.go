package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
	"fairway/internal/printer"
)

type fleetCommand struct {
	List     fleetListCommand     `cmd:"" help:"List the documents: named HAProxy configurations."`
	Get      fleetGetCommand      `cmd:"" help:"Print a revision of a document, byte for byte."`
	Put      fleetPutCommand      `cmd:"" help:"Store a file as the newest revision of a document."`
	Check    fleetCheckCommand    `cmd:"" help:"Validate a configuration with HAProxy on the hosts."`
	Plan     fleetPlanCommand     `cmd:"" help:"Show what a rollout would change on each host."`
	Rollout  fleetRolloutCommand  `cmd:"" help:"Roll a revision out in waves; revert on failure."`
	Rollback fleetRollbackCommand `cmd:"" help:"Roll out an earlier revision."`
	Watch    fleetWatchCommand    `cmd:"" help:"Follow the newest rollout to its end."`
	Stop     fleetStopCommand     `cmd:"" help:"Abort a rollout and restore the hosts."`
	Status   fleetStatusCommand   `cmd:"" help:"Show the state of the hosts."`
	History  fleetHistoryCommand  `cmd:"" help:"List the revisions of a document, or its rollouts."`
	Diff     fleetDiffCommand     `cmd:"" help:"Show what differs between two revisions."`
	Drift    fleetDriftCommand    `cmd:"" help:"Show manual edits on hosts; adopt them or restore the released revision."`
}

// patience is how long commands wait that read every host.
const patience = 5 * time.Minute

type fleetFlags struct {
	Host []string `name:"host" sep:"," placeholder:"NAME" help:"Only this host. Repeatable."`
}

type documentArg struct {
	Document string `arg:"" help:"Name of the document."`
}

// AfterApply makes every fleet command wait as long as hosts may take.
func (fleetCommand) AfterApply(c *cli) error {
	c.patience = patience
	return nil
}

type fleetListCommand struct{}

// Run prints the documents.
func (fleetListCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.FleetDocuments(ctx)
	return list(c, found, err, func(documents []api.FleetDocument) {
		t := c.Columns("DOCUMENT", "NEWEST", "RELEASED", "HOSTS", "ROLLOUT", "-AUTHOR", "-TIME", "-MESSAGE")
		for _, d := range documents {
			rollout := console.Plain.Cell("-")
			if d.Rollout != nil {
				rollout = printer.Phase(*d.Rollout)
			}
			t.Add(d.Name, printer.Revision(d.Newest), printer.Revision(d.Released), len(d.Hosts), rollout, d.Author, d.Time, d.Message)
		}
		t.Print()
	})
}

type fleetGetCommand struct {
	documentArg
	Revision uint64 `name:"revision" placeholder:"N" help:"Revision. Default: the newest."`
}

// Run prints a revision.
func (f *fleetGetCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.FleetRevision(ctx, f.Document, f.Revision)
	return show(c, found, err, func(r api.FleetRevision) { _, _ = c.Out.Write(r.Content) })
}

type fleetPutCommand struct {
	documentArg
	File string  `arg:"" help:"Configuration; - for standard input."`
	Base *uint64 `name:"base" placeholder:"N" help:"Revision that the file is based on, 0 for none. The command fails when there is a newer one. Default: the newest."`
	why
}

// Run puts a revision.
func (f *fleetPutCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	content, err := readInput(f.File)
	if err != nil {
		return err
	}
	base := f.Base
	if base == nil {
		newest, err := newestRevision(ctx, a, f.Document)
		if err != nil {
			return err
		}
		base = &newest
	}
	put, err := a.PutFleetRevision(ctx, f.Document, api.NewFleetRevision{Expect: *base, Message: f.Message, Content: content})
	return show(c, put, err, func(r api.FleetRevision) {
		next := "; fairway fleet rollout " + r.Document + " puts it on the hosts"
		if r.Released {
			next = ", released"
		}
		c.Printf("%s: revision %d (sha256 %s)%s\n", r.Document, r.Number, short12(r.Digest), next)
	})
}

func readInput(name string) (content []byte, err error) {
	file := os.Stdin
	if name != "-" {
		if file, err = os.Open(name); err != nil {
			return nil, usageError{err}
		}
		defer file.Close()
	}
	if content, err = io.ReadAll(io.LimitReader(file, 16<<20+1)); err != nil {
		return nil, usageError{err}
	}
	return content, nil
}

// newestRevision is the number of the newest revision; zero for none.
func newestRevision(ctx context.Context, client *api.Client, document string) (uint64, error) {
	list, err := client.FleetRevisions(ctx, document, 1)
	var refused *api.Error
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return 0, nil
	}
	if err != nil || len(list.Items) == 0 {
		return 0, err
	}
	return list.Items[0].Number, nil
}

type fleetCheckCommand struct {
	documentArg
	File     string `arg:"" optional:"" help:"Configuration; - for standard input. Default: the newest revision."`
	Revision uint64 `name:"revision" placeholder:"N" help:"Revision. Default: the newest."`
	fleetFlags
}

// Run asks the hosts.
func (f *fleetCheckCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	n := api.NewFleetCheck{Revision: f.Revision, Hosts: f.Host}
	if f.File != "" {
		var err error
		if n.Content, err = readInput(f.File); err != nil {
			return err
		}
		if len(n.Content) == 0 {
			return usageError{fmt.Errorf("%s is empty", f.File)}
		}
	}
	found, err := a.CheckFleet(ctx, f.Document, n)
	return noIf(list(c, found, err, func(hosts []api.FleetCheck) {
		t := c.Columns("HOST", "VERDICT", "REASON")
		for _, h := range hosts {
			verdict := console.Good.Cell("valid")
			switch {
			case !h.Asked:
				verdict = console.Doubt.Cell("not checked")
			case !h.OK:
				verdict = console.Bad.Cell("refused")
			}
			t.Add(h.Host, verdict, h.Error)
		}
		t.Print()
	}), slices.ContainsFunc(found.Items, func(h api.FleetCheck) bool { return !h.OK }))
}

type fleetPlanCommand struct {
	documentArg
	Revision uint64 `name:"revision" placeholder:"N" help:"Revision. Default: the newest."`
	fleetFlags
}

// Run prints the plan.
func (f *fleetPlanCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	p, err := a.FleetPlan(ctx, f.Document, f.Revision, f.Host)
	return noIf(show(c, p, err, func(p api.FleetPlan) { c.FleetPlan(p, fmt.Sprintf("revision %d", p.Revision)) }),
		anyHost(p, api.FleetEdited, api.FleetUnreachable))
}

// anyHost reports whether a host of a plan has one of the conditions.
func anyHost(p api.FleetPlan, conditions ...string) bool {
	return slices.ContainsFunc(p.Hosts, func(h api.FleetDifference) bool { return slices.Contains(conditions, h.Condition) })
}

type fleetHistoryCommand struct {
	documentArg
	Rollouts bool `name:"rollouts" help:"List finished rollouts instead."`
	Limit    int  `name:"limit" placeholder:"N" default:"20" help:"Maximum number of revisions, up to 1000."`
}

// Run prints revisions, or rollouts.
func (f *fleetHistoryCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if f.Rollouts {
		found, err := a.Rollouts(ctx, f.Document)
		return list(c, found, err, c.Rollouts)
	}
	found, err := a.FleetRevisions(ctx, f.Document, f.Limit)
	return list(c, found, err, func(revisions []api.FleetRevision) {
		t := c.Columns("REVISION", "TIME", "AUTHOR", "-BYTES", "-DIGEST", "MESSAGE")
		for _, r := range revisions {
			number := console.Plain.Cell(strconv.FormatUint(r.Number, 10))
			if r.Released {
				number = console.Good.Cell(number.Text + " released")
			}
			t.Add(number, r.Time, r.Author, r.Size, short12(r.Digest), r.Message)
		}
		t.Print()
	})
}

type fleetDiffCommand struct {
	documentArg
	From uint64 `arg:"" optional:"" help:"Revision. Default: the one before the other."`
	To   uint64 `arg:"" optional:"" help:"Revision. Default: the newest."`
}

// Run prints the difference.
func (f *fleetDiffCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	d, err := a.FleetDiff(ctx, f.Document, f.From, f.To)
	return noIf(show(c, d, err, func(d api.FleetDiff) { c.Unified(d.Diff) }), d.Diff != "")
}

type fleetDriftCommand struct {
	documentArg
	fleetFlags
	Adopt   string `name:"adopt" xor:"repair" placeholder:"HOST" help:"Store what this host has as the newest revision."`
	Restore string `name:"restore" xor:"repair" placeholder:"HOST" help:"Restore the released revision on this host."`
	why
}

// Run shows or repairs manual edits.
func (f *fleetDriftCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if f.Adopt != "" || f.Restore != "" {
		repaired, err := f.repair(ctx, a)
		return show(c, repaired, err, func(r api.FleetRepair) { c.Printf("%s\n", r.Text) })
	}
	p, err := a.FleetDrift(ctx, f.Document, f.Host)
	if err = show(c, p, err, func(p api.FleetPlan) { c.FleetPlan(p, fmt.Sprintf("revision %d, which is released", p.Revision)) }); err == nil && p.Revision == 0 {
		c.Note("Nothing of %s is released yet; --adopt HOST stores what a host has as its first revision.", f.Document)
	}
	return noIf(err, anyHost(p, api.FleetEdited))
}

func (f *fleetDriftCommand) repair(ctx context.Context, a *api.Client) (api.FleetRepair, error) {
	n := api.NewFleetRepair{Host: f.Restore, Action: "restore", Message: f.Message}
	if f.Adopt != "" {
		newest, err := newestRevision(ctx, a, f.Document)
		if err != nil {
			return api.FleetRepair{}, err
		}
		n.Host, n.Action, n.Expect = f.Adopt, "adopt", newest
	}
	return a.RepairFleet(ctx, f.Document, n)
}

type rolloutFlags struct {
	fleetFlags
	Canary    int           `name:"canary" placeholder:"N" default:"1" help:"Hosts in the first wave; 0 for none."`
	Wave      string        `name:"wave" placeholder:"N" default:"25%" help:"Hosts in each further wave: a number, or a share such as 25%."`
	Pause     time.Duration `name:"pause" placeholder:"DURATION" default:"10s" help:"Time to watch each wave."`
	Drift     bool          `name:"allow-drift" help:"Include hosts that were edited by hand; their edits are kept for a revert."`
	AllowDown bool          `name:"allow-down" help:"Accept backends that lose their last server."`
	Base      *uint64       `name:"base" placeholder:"N" help:"Expected released revision. The command fails when it is another."`
	Detach    bool          `name:"detach" short:"d" help:"Do not wait for completion."`
	why
}

func (f rolloutFlags) order(number uint64) api.NewFleetRollout {
	n := api.NewFleetRollout{
		Revision: number, Expect: f.Base, Hosts: f.Host, Message: f.Message,
		Settings: api.FleetSettings{
			Canary: f.Canary, Wave: f.Wave, Pause: f.Pause.String(), AllowDrift: f.Drift, AllowDown: f.AllowDown,
		},
	}
	if f.Canary == 0 {
		n.Settings.Canary = -1
	}
	return n
}

type fleetRolloutCommand struct {
	documentArg
	Revision uint64 `name:"revision" placeholder:"N" help:"Revision. Default: the newest."`
	rolloutFlags
}

// Run rolls a revision out.
func (f *fleetRolloutCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return f.start(ctx, c, a, f.Document, f.Revision)
}

type fleetRollbackCommand struct {
	documentArg
	Revision uint64 `arg:"" optional:"" help:"Revision. Default: the one released before."`
	rolloutFlags
}

// Run rolls back.
func (f *fleetRollbackCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	number := f.Revision
	if number == 0 {
		ended, err := a.Rollouts(ctx, f.Document)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(ended.Items, func(r api.FleetRollout) bool {
			return r.Phase == api.RolloutDone && r.Before > 0 && r.Before != r.Revision
		})
		if i < 0 {
			return usageError{errors.New("no revision was released before; name one")}
		}
		number = ended.Items[i].Before
	}
	return f.start(ctx, c, a, f.Document, number)
}

func (f rolloutFlags) start(ctx context.Context, c *cli, a *api.Client, document string, number uint64) error {
	c.Note("Reading the hosts ...")
	r, err := a.StartRollout(ctx, document, f.order(number))
	if err != nil {
		return err
	}
	c.begun(r)
	if f.Detach {
		c.Note("fairway fleet watch %s follows it.", document)
		return show(c, r, nil, c.Rollout)
	}
	return c.toTheEnd(ctx, a, r)
}

func (c *cli) begun(r api.FleetRollout) {
	c.Note("Rollout %d of %s: revision %d on %s.", r.Number, r.Document, r.Revision, human.Plural(len(r.Hosts), "host"))
}

// toTheEnd follows a rollout and prints how it has ended.
func (c *cli) toTheEnd(ctx context.Context, a *api.Client, r api.FleetRollout) error {
	r, err := c.follow(ctx, a, r)
	return noIf(show(c, r, err, c.Rollout), r.Phase == api.RolloutReverted)
}

type fleetWatchCommand struct{ documentArg }

// Run follows a rollout.
func (f *fleetWatchCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	r, err := a.Rollout(ctx, f.Document)
	if err != nil {
		return err
	}
	c.begun(r)
	return c.toTheEnd(ctx, a, r)
}

// followEvery is the time between two readings of a rollout.
const followEvery = 300 * time.Millisecond

// follow prints the progress of a rollout until it has ended.
func (c *cli) follow(ctx context.Context, client *api.Client, r api.FleetRollout) (api.FleetRollout, error) {
	noted := map[string]string{} // the newest remark about each host, and about the whole
	note := func(about, line string) {
		if noted[about] != line {
			noted[about] = line
			c.Note("%s", line)
		}
	}
	for {
		for _, h := range r.Hosts {
			line := h.Host + ": " + h.State
			if h.Error != "" {
				line += ": " + h.Error
			}
			if h.State != "waiting" {
				note(h.Host, line)
			}
		}
		if r.Phase == api.RolloutDone || r.Phase == api.RolloutReverted {
			return r, nil
		}
		line := fmt.Sprintf("wave %d of %d: %s", r.Wave, r.Waves, printer.StateCounts(r))
		if r.Note != "" {
			line += "; watching: " + r.Note
		}
		if r.Phase == api.RolloutReverting {
			line = "reverting: " + r.Reason
		}
		note("", line)
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			c.Note("The rollout goes on; fairway fleet watch %s follows it, fairway fleet stop %s aborts it.", r.Document, r.Document)
			return r, ctx.Err()
		}
		now, err := client.Rollout(ctx, r.Document)
		if err != nil {
			return r, err
		}
		if now.Number != r.Number {
			return r, fmt.Errorf("rollout %d has ended, and rollout %d has begun; see: fairway fleet history %s --rollouts", r.Number, now.Number, r.Document)
		}
		r = now
	}
}

type fleetStopCommand struct{ documentArg }

// Run stops a rollout.
func (f *fleetStopCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.done(a.StopRollout(ctx, f.Document))
}

type fleetStatusCommand struct {
	Document string `arg:"" optional:"" help:"Only hosts with this document."`
}

// Run prints the status.
func (f *fleetStatusCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.FleetHosts(ctx, f.Document)
	return noIf(list(c, found, err, c.FleetHosts), slices.ContainsFunc(found.Items, func(h api.FleetHost) bool { return h.Condition != api.FleetCurrent }))
}
