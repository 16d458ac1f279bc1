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
	"fairway/internal/human"
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
func (fleetListCommand) Run(ctx context.Context, c *console) error {
	_, err := list(c, func(a *api.Client) (api.List[api.FleetDocument], error) { return a.FleetDocuments(ctx) }, func(documents []api.FleetDocument) {
		var rows [][]cell
		for _, d := range documents {
			rollout := text("-")
			if d.Rollout != nil {
				rollout = phase(*d.Rollout)
			}
			rows = append(rows, []cell{
				text(d.Name), text(revision(d.Newest)), text(revision(d.Released)), text(strconv.Itoa(len(d.Hosts))), rollout,
				text(d.Author), text(human.Time(d.Time)), text(d.Message),
			})
		}
		c.table("", []string{"DOCUMENT", "NEWEST", "RELEASED", "HOSTS", "ROLLOUT", "AUTHOR", "TIME", "MESSAGE"}, rows)
	})
	return err
}

// revision writes the number of a revision, "-" for none.
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
func (f *fleetGetCommand) Run(ctx context.Context, c *console) error {
	_, err := ask(c, func(a *api.Client) (api.FleetRevision, error) { return a.FleetRevision(ctx, f.Document, f.Revision) },
		func(r api.FleetRevision) { _, _ = c.out.Write(r.Content) })
	return err
}

type fleetPutCommand struct {
	documentArg
	File string  `arg:"" help:"Configuration; - for standard input."`
	Base *uint64 `name:"base" placeholder:"N" help:"Revision that the file is based on, 0 for none. The command fails when there is a newer one. Default: the newest."`
	why
}

// Help implements kong.HelpProvider.
func (fleetPutCommand) Help() string {
	return `Stores the file byte for byte as a revision that never changes. Hosts get it with a rollout. The first revision of a document is released at once, as is every revision of a document without hosts.

    fairway fleet put 192.168.1.100 haproxy.cfg -m "8181 instead of 8080"
    fairway fleet get web > web.cfg; vi web.cfg; fairway fleet put web web.cfg --base 7`
}

// Run puts a revision.
func (f *fleetPutCommand) Run(ctx context.Context, c *console) error {
	content, err := readInput(f.File)
	if err != nil {
		return usageError{err}
	}
	_, err = ask(c, func(a *api.Client) (r api.FleetRevision, err error) {
		base := f.Base
		if base == nil {
			newest, err := newestRevision(ctx, a, f.Document)
			if err != nil {
				return r, err
			}
			base = &newest
		}
		return a.PutFleetRevision(ctx, f.Document, api.NewFleetRevision{Expect: *base, Message: f.Message, Content: content})
	}, func(r api.FleetRevision) {
		next := "; fairway fleet rollout " + r.Document + " puts it on the hosts"
		if r.Released {
			next = ", released"
		}
		c.printf("%s: revision %d (sha256 %s)%s\n", r.Document, r.Number, short12(r.Digest), next)
	})
	return err
}

// readInput reads a file, or standard input.
func readInput(name string) ([]byte, error) {
	const most = 16<<20 + 1
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return io.ReadAll(io.LimitReader(file, most))
	}
	return io.ReadAll(io.LimitReader(os.Stdin, most))
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

// Help implements kong.HelpProvider.
func (fleetCheckCommand) Help() string {
	return `Each host validates it with its own HAProxy and checks that the addresses are free. Nothing is changed. The exit code is 1 when a host refuses it or cannot be reached.

    fairway fleet check web web.cfg
    fairway fleet check web --host edge1`
}

// Run asks the hosts.
func (f *fleetCheckCommand) Run(ctx context.Context, c *console) error {
	n := api.NewFleetCheck{Revision: f.Revision, Hosts: f.Host}
	if f.File != "" {
		var err error
		if n.Content, err = readInput(f.File); err != nil {
			return usageError{err}
		}
		if len(n.Content) == 0 {
			return usageError{fmt.Errorf("%s is empty", f.File)}
		}
	}
	hosts, err := list(c, func(a *api.Client) (api.List[api.FleetCheck], error) { return a.CheckFleet(ctx, f.Document, n) }, func(hosts []api.FleetCheck) {
		var rows [][]cell
		for _, h := range hosts {
			verdict := cell{"valid", good}
			switch {
			case !h.Asked:
				verdict = cell{"not checked", doubt}
			case !h.OK:
				verdict = cell{"refused", bad}
			}
			rows = append(rows, []cell{text(h.Host), verdict, text(h.Error)})
		}
		c.table("", []string{"HOST", "VERDICT", "REASON"}, rows)
	})
	return noIf(err, slices.ContainsFunc(hosts, func(h api.FleetCheck) bool { return !h.OK }))
}

type fleetPlanCommand struct {
	documentArg
	Revision uint64 `name:"revision" placeholder:"N" help:"Revision. Default: the newest."`
	fleetFlags
}

// Help implements kong.HelpProvider.
func (fleetPlanCommand) Help() string {
	return `Shows the difference for each host without the revision. The exit code is 1 when a host was edited by hand, which stops a rollout, or cannot be reached.

    fairway fleet plan web
    fairway fleet plan web --revision 6 --host edge1`
}

// Run prints the plan.
func (f *fleetPlanCommand) Run(ctx context.Context, c *console) error {
	p, err := ask(c, func(a *api.Client) (api.FleetPlan, error) { return a.FleetPlan(ctx, f.Document, f.Revision, f.Host) },
		func(p api.FleetPlan) { c.differing(p, fmt.Sprintf("revision %d", p.Revision)) })
	return noIf(err, anyHost(p, api.FleetEdited, api.FleetUnreachable))
}

// anyHost reports whether a host of a plan has one of the conditions.
func anyHost(p api.FleetPlan, conditions ...string) bool {
	for _, h := range p.Hosts {
		if slices.Contains(conditions, h.Condition) {
			return true
		}
	}
	return false
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
func (f *fleetHistoryCommand) Run(ctx context.Context, c *console) error {
	if f.Rollouts {
		_, err := list(c, func(a *api.Client) (api.List[api.FleetRollout], error) { return a.Rollouts(ctx, f.Document) }, c.rollouts)
		return err
	}
	_, err := list(c, func(a *api.Client) (api.List[api.FleetRevision], error) {
		return a.FleetRevisions(ctx, f.Document, f.Limit)
	}, func(revisions []api.FleetRevision) {
		var rows [][]cell
		for _, r := range revisions {
			number := text(strconv.FormatUint(r.Number, 10))
			if r.Released {
				number = cell{number.text + " released", good}
			}
			rows = append(rows, []cell{number, text(human.Time(r.Time)), text(r.Author), text(strconv.Itoa(r.Size)), text(short12(r.Digest)), text(r.Message)})
		}
		c.table("", []string{"REVISION", "TIME", "AUTHOR", "BYTES", "DIGEST", "MESSAGE"}, rows)
	})
	return err
}

func (c *console) rollouts(rollouts []api.FleetRollout) {
	var rows [][]cell
	for _, r := range rollouts {
		rows = append(rows, []cell{
			text(strconv.FormatUint(r.Number, 10)), text(revision(r.Revision)), phase(r), text(human.Time(r.Began)),
			text(r.Ended.Sub(r.Began).Round(time.Second).String()), text(stateCounts(r)), text(r.Author), text(r.Message), text(r.Reason),
		})
	}
	c.table("", []string{"ROLLOUT", "REVISION", "PHASE", "TIME", "TOOK", "HOSTS", "AUTHOR", "MESSAGE", "REASON"}, rows)
}

type fleetDiffCommand struct {
	documentArg
	From uint64 `arg:"" optional:"" help:"Revision. Default: the one before the other."`
	To   uint64 `arg:"" optional:"" help:"Revision. Default: the newest."`
}

// Help implements kong.HelpProvider.
func (fleetDiffCommand) Help() string {
	return `The exit code is 1 when they differ.

    fairway fleet diff web         changes of the newest revision
    fairway fleet diff web 3       changes since revision 3
    fairway fleet diff web 3 5`
}

// Run prints the difference.
func (f *fleetDiffCommand) Run(ctx context.Context, c *console) error {
	d, err := ask(c, func(a *api.Client) (api.FleetDiff, error) { return a.FleetDiff(ctx, f.Document, f.From, f.To) },
		func(d api.FleetDiff) { c.unified(d.Diff) })
	return noIf(err, d.Diff != "")
}

type fleetDriftCommand struct {
	documentArg
	fleetFlags
	Adopt   string `name:"adopt" xor:"repair" placeholder:"HOST" help:"Store what this host has as the newest revision."`
	Restore string `name:"restore" xor:"repair" placeholder:"HOST" help:"Restore the released revision on this host."`
	why
}

// Help implements kong.HelpProvider.
func (fleetDriftCommand) Help() string {
	return `Compares hosts with the released revision. Lines with a plus were added by hand. The exit code is 1 when a host was edited.

    fairway fleet drift web
    fairway fleet drift web --adopt edge2 -m "what ops did on Sunday"
    fairway fleet drift web --restore edge2`
}

// Run shows or repairs manual edits.
func (f *fleetDriftCommand) Run(ctx context.Context, c *console) error {
	if f.Adopt != "" || f.Restore != "" {
		_, err := ask(c, func(a *api.Client) (api.FleetRepair, error) { return f.repair(ctx, a) },
			func(r api.FleetRepair) { c.printf("%s\n", r.Text) })
		return err
	}
	p, err := ask(c, func(a *api.Client) (api.FleetPlan, error) { return a.FleetDrift(ctx, f.Document, f.Host) },
		func(p api.FleetPlan) { c.differing(p, fmt.Sprintf("revision %d, which is released", p.Revision)) })
	if err == nil && p.Revision == 0 {
		c.note("Nothing of %s is released yet; --adopt HOST stores what a host has as its first revision.", f.Document)
	}
	return noIf(err, anyHost(p, api.FleetEdited))
}

func (f *fleetDriftCommand) repair(ctx context.Context, client *api.Client) (api.FleetRepair, error) {
	n := api.NewFleetRepair{Host: f.Restore, Action: "restore", Message: f.Message}
	if f.Adopt != "" {
		newest, err := newestRevision(ctx, client, f.Document)
		if err != nil {
			return api.FleetRepair{}, err
		}
		n.Host, n.Action, n.Expect = f.Adopt, "adopt", newest
	}
	return client.RepairFleet(ctx, f.Document, n)
}
