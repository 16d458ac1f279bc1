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
	"strings"
	"time"

	"fairway/internal/api"
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

// fleetFlags choose hosts.
type fleetFlags struct {
	Host []string `name:"host" sep:"," placeholder:"NAME" help:"Only this host. Repeatable."`
}

// documentArg is the argument of nearly every command.
type documentArg struct {
	Document string `arg:"" help:"Name of the document."`
}

// AfterApply makes every fleet command wait as long as hosts may take.
func (fleetCommand) AfterApply(c *console) error {
	c.patience = patience
	return nil
}

type fleetListCommand struct{}

// Run prints the documents.
func (fleetListCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	found, err := a.FleetDocuments(ctx)
	return list(c, found, err, func(documents []api.FleetDocument) {
		t := c.columns("DOCUMENT", "NEWEST", "RELEASED", "HOSTS", "ROLLOUT", "AUTHOR", "TIME", "MESSAGE")
		for _, d := range documents {
			rollout := text("-")
			if d.Rollout != nil {
				rollout = phase(*d.Rollout)
			}
			t.add(d.Name, revision(d.Newest), revision(d.Released), len(d.Hosts), rollout, d.Author, d.Time, d.Message)
		}
		t.print()
	})
}

// revision writes the number of a revision or a wave, "-" for none.
func revision(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

type fleetGetCommand struct {
	documentArg
	Revision uint64 `name:"revision" placeholder:"N" help:"Revision. Default: the newest."`
}

// Run prints a revision.
func (f *fleetGetCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	found, err := a.FleetRevision(ctx, f.Document, f.Revision)
	return show(c, found, err, func(r api.FleetRevision) { _, _ = c.out.Write(r.Content) })
}

type fleetPutCommand struct {
	documentArg
	File string  `arg:"" help:"Configuration; - for standard input."`
	Base *uint64 `name:"base" placeholder:"N" help:"Revision that the file is based on, 0 for none. The command fails when there is a newer one. Default: the newest."`
	why
}

// Run puts a revision.
func (f *fleetPutCommand) Run(ctx context.Context, c *console, a *api.Client) error {
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
		c.printf("%s: revision %d (sha256 %s)%s\n", r.Document, r.Number, short12(r.Digest), next)
	})
}

// readInput reads a file, or standard input for "-".
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
func (f *fleetCheckCommand) Run(ctx context.Context, c *console, a *api.Client) error {
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
		t := c.columns("HOST", "VERDICT", "REASON")
		for _, h := range hosts {
			verdict := cell{"valid", good}
			switch {
			case !h.Asked:
				verdict = cell{"not checked", doubt}
			case !h.OK:
				verdict = cell{"refused", bad}
			}
			t.add(h.Host, verdict, h.Error)
		}
		t.print()
	}), slices.ContainsFunc(found.Items, func(h api.FleetCheck) bool { return !h.OK }))
}

type fleetPlanCommand struct {
	documentArg
	Revision uint64 `name:"revision" placeholder:"N" help:"Revision. Default: the newest."`
	fleetFlags
}

// Run prints the plan.
func (f *fleetPlanCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	p, err := a.FleetPlan(ctx, f.Document, f.Revision, f.Host)
	return noIf(show(c, p, err, func(p api.FleetPlan) { c.differing(p, fmt.Sprintf("revision %d", p.Revision)) }),
		anyHost(p, api.FleetEdited, api.FleetUnreachable))
}

// anyHost reports whether a host of a plan has one of the conditions.
func anyHost(p api.FleetPlan, conditions ...string) bool {
	return slices.ContainsFunc(p.Hosts, func(h api.FleetDifference) bool { return slices.Contains(conditions, h.Condition) })
}

// differing prints how hosts differ from a revision, hosts with the same
// difference once.
func (c *console) differing(p api.FleetPlan, than string) {
	shown := map[string]string{}
	for _, h := range p.Hosts {
		has := "has no revision"
		if h.Revision > 0 {
			has = fmt.Sprintf("has revision %d", h.Revision)
		}
		if h.Condition == api.FleetEdited {
			has = "was edited by hand"
		}
		// The names of host and revision are in the first two lines.
		_, body, _ := strings.Cut(h.Diff, "\n")
		_, body, _ = strings.Cut(body, "\n")
		switch {
		case h.Condition == api.FleetUnreachable:
			c.raw(c.paint(bad, h.Host+" cannot be reached: "+h.Error))
		case h.Same:
			c.raw(c.paint(good, h.Host+" has "+than))
		case shown[body] != "":
			c.raw(c.paint(bold, h.Host+" "+has+": the same difference as "+shown[body]))
		default:
			shown[body] = h.Host
			c.raw(c.paint(bold, h.Host+" "+has))
			c.unified(h.Diff)
		}
	}
}

// unified prints a difference.
func (c *console) unified(diff string) {
	for line := range strings.Lines(diff) {
		line = strings.TrimSuffix(line, "\n")
		c.raw(c.paint(diffColour(line), strings.ReplaceAll(line, "\t", "    ")))
	}
}

type fleetHistoryCommand struct {
	documentArg
	Rollouts bool `name:"rollouts" help:"List finished rollouts instead."`
	Limit    int  `name:"limit" placeholder:"N" default:"20" help:"Maximum number of revisions, up to 1000."`
}

// Run prints revisions, or rollouts.
func (f *fleetHistoryCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	if f.Rollouts {
		found, err := a.Rollouts(ctx, f.Document)
		return list(c, found, err, c.rollouts)
	}
	found, err := a.FleetRevisions(ctx, f.Document, f.Limit)
	return list(c, found, err, func(revisions []api.FleetRevision) {
		t := c.columns("REVISION", "TIME", "AUTHOR", "BYTES", "DIGEST", "MESSAGE")
		for _, r := range revisions {
			number := text(strconv.FormatUint(r.Number, 10))
			if r.Released {
				number = cell{number.text + " released", good}
			}
			t.add(number, r.Time, r.Author, r.Size, short12(r.Digest), r.Message)
		}
		t.print()
	})
}

func (c *console) rollouts(rollouts []api.FleetRollout) {
	t := c.columns("ROLLOUT", "REVISION", "PHASE", "TIME", "TOOK", "HOSTS", "AUTHOR", "MESSAGE", "REASON")
	for _, r := range rollouts {
		t.add(r.Number, revision(r.Revision), phase(r), r.Began, r.Ended.Sub(r.Began).Round(time.Second), stateCounts(r), r.Author, r.Message, r.Reason)
	}
	t.print()
}

type fleetDiffCommand struct {
	documentArg
	From uint64 `arg:"" optional:"" help:"Revision. Default: the one before the other."`
	To   uint64 `arg:"" optional:"" help:"Revision. Default: the newest."`
}

// Run prints the difference.
func (f *fleetDiffCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	d, err := a.FleetDiff(ctx, f.Document, f.From, f.To)
	return noIf(show(c, d, err, func(d api.FleetDiff) { c.unified(d.Diff) }), d.Diff != "")
}

type fleetDriftCommand struct {
	documentArg
	fleetFlags
	Adopt   string `name:"adopt" xor:"repair" placeholder:"HOST" help:"Store what this host has as the newest revision."`
	Restore string `name:"restore" xor:"repair" placeholder:"HOST" help:"Restore the released revision on this host."`
	why
}

// Run shows or repairs manual edits.
func (f *fleetDriftCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	if f.Adopt != "" || f.Restore != "" {
		repaired, err := f.repair(ctx, a)
		return show(c, repaired, err, func(r api.FleetRepair) { c.printf("%s\n", r.Text) })
	}
	p, err := a.FleetDrift(ctx, f.Document, f.Host)
	if err = show(c, p, err, func(p api.FleetPlan) { c.differing(p, fmt.Sprintf("revision %d, which is released", p.Revision)) }); err == nil && p.Revision == 0 {
		c.note("Nothing of %s is released yet; --adopt HOST stores what a host has as its first revision.", f.Document)
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
