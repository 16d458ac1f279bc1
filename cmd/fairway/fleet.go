package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/human"
)

type fleetCommand struct {
	List     fleetListCommand     `cmd:"" help:"List the documents: named HAProxy configurations."`
	Get      fleetGetCommand      `cmd:"" help:"Print a revision of a document, byte by byte."`
	Put      fleetPutCommand      `cmd:"" help:"Make a file the newest revision of a document."`
	Check    fleetCheckCommand    `cmd:"" help:"Ask HAProxy on the hosts whether it takes a configuration."`
	Plan     fleetPlanCommand     `cmd:"" help:"Show what a rollout would change on each host."`
	Rollout  fleetRolloutCommand  `cmd:"" help:"Put a revision on the hosts in waves, and back when something is wrong."`
	Rollback fleetRollbackCommand `cmd:"" help:"Roll an earlier revision out."`
	Watch    fleetWatchCommand    `cmd:"" help:"Follow the newest rollout to its end."`
	Stop     fleetStopCommand     `cmd:"" help:"Stop a rollout that is under way: the hosts get back what they had."`
	Status   fleetStatusCommand   `cmd:"" help:"Say how the hosts are."`
	History  fleetHistoryCommand  `cmd:"" help:"List the revisions of a document, or its rollouts."`
	Diff     fleetDiffCommand     `cmd:"" help:"Show what differs between two revisions."`
	Drift    fleetDriftCommand    `cmd:"" help:"Show what was edited by hand on hosts; adopt it, or put back what is out."`
}

// patience is how long commands wait that ask every host.
const patience = 5 * time.Minute

// fleetFlags choose hosts.
type fleetFlags struct {
	Host []string `name:"host" sep:"," placeholder:"NAME" help:"Only this host. Repeatable."`
}

// documentArg is the argument of nearly every command.
type documentArg struct {
	Document string `arg:"" help:"Name of the document, often the address that HAProxy serves."`
}

// withClient calls do with a client that waits as long as hosts may take.
func (c *console) withClient(do func(*api.Client) error) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	return do(client.Patient(patience))
}

type fleetListCommand struct{}

// Run prints the documents.
func (fleetListCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		list, err := client.FleetDocuments(ctx)
		if err != nil {
			return err
		}
		return c.print(list, func() {
			var rows [][]cell
			for _, d := range list.Items {
				rollout := text("-")
				if d.Rollout != nil {
					rollout = phase(*d.Rollout)
				}
				rows = append(rows, []cell{
					text(d.Name), text(revision(d.Newest)), text(revision(d.Released)), text(strconv.Itoa(len(d.Hosts))), rollout,
					text(d.Author), text(human.Time(d.Time)), text(d.Message),
				})
			}
			c.table("", []string{"DOCUMENT", "NEWEST", "OUT", "HOSTS", "ROLLOUT", "AUTHOR", "TIME", "MESSAGE"}, rows)
		})
	})
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
	Revision uint64 `name:"revision" placeholder:"N" help:"Another revision than the newest."`
}

// Run prints a revision.
func (f *fleetGetCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		r, err := client.FleetRevision(ctx, f.Document, f.Revision)
		if err != nil {
			return err
		}
		return c.print(r, func() { _, _ = c.out.Write(r.Content) })
	})
}

type fleetPutCommand struct {
	documentArg
	File string  `arg:"" help:"The configuration; - for standard input."`
	Base *uint64 `name:"base" placeholder:"N" help:"Revision that the file was made from, 0 for none: when there is a newer one, nothing is done. Default: the newest."`
	why
}

// Help implements kong.HelpProvider.
func (fleetPutCommand) Help() string {
	return `The file is kept as it is, byte by byte, as a revision that never changes. No host gets it before a rollout, except that the first revision of a document is out at once, and so is every one of a document that no host has.

    fairway fleet put 192.168.1.100 haproxy.cfg -m "8181 instead of 8080"
    fairway fleet get web > web.cfg; vi web.cfg; fairway fleet put web web.cfg --base 7`
}

// Run puts a revision.
func (f *fleetPutCommand) Run(ctx context.Context, c *console) error {
	content, err := readInput(f.File)
	if err != nil {
		return usageError{err}
	}
	return c.withClient(func(client *api.Client) error {
		base := uint64(0)
		if f.Base != nil {
			base = *f.Base
		} else if base, err = newestRevision(ctx, client, f.Document); err != nil {
			return err
		}
		r, err := client.PutFleetRevision(ctx, f.Document, api.NewFleetRevision{Expect: base, Message: f.Message, Content: content})
		if err != nil {
			return err
		}
		return c.print(r, func() {
			out := "; fairway fleet rollout " + r.Document + " puts it on the hosts"
			if r.Released {
				out = ", and it is out"
			}
			c.printf("%s: revision %d (sha256 %s)%s\n", r.Document, r.Number, short12(r.Digest), out)
		})
	})
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
	File     string `arg:"" optional:"" help:"The configuration; - for standard input. Default: the newest revision."`
	Revision uint64 `name:"revision" placeholder:"N" help:"Another revision than the newest."`
	fleetFlags
}

// Help implements kong.HelpProvider.
func (fleetCheckCommand) Help() string {
	return `Each host is asked with its own HAProxy, and whether the addresses are free there. Nothing is changed. The exit code is 1 when one of them refuses it or cannot be asked.

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
	return c.withClient(func(client *api.Client) error {
		list, err := client.CheckFleet(ctx, f.Document, n)
		if err != nil {
			return err
		}
		if err := c.print(list, func() {
			var rows [][]cell
			for _, h := range list.Items {
				answer := cell{"valid", good}
				switch {
				case !h.Asked:
					answer = cell{"not asked", doubt}
				case !h.OK:
					answer = cell{"refused", bad}
				}
				rows = append(rows, []cell{text(h.Host), answer, text(h.Error)})
			}
			c.table("", []string{"HOST", "ANSWER", "REASON"}, rows)
		}); err != nil {
			return err
		}
		for _, h := range list.Items {
			if !h.OK {
				return errNo
			}
		}
		return nil
	})
}

type fleetPlanCommand struct {
	documentArg
	Revision uint64 `name:"revision" placeholder:"N" help:"Another revision than the newest."`
	fleetFlags
}

// Help implements kong.HelpProvider.
func (fleetPlanCommand) Help() string {
	return `The difference is shown for each host that does not have the revision yet. The exit code is 1 when one was edited by hand, which stops a rollout, or cannot be reached.

    fairway fleet plan web
    fairway fleet plan web --revision 6 --host edge1`
}

// Run prints the plan.
func (f *fleetPlanCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		p, err := client.FleetPlan(ctx, f.Document, f.Revision, f.Host)
		if err != nil {
			return err
		}
		if err := c.print(p, func() { c.differing(p, fmt.Sprintf("revision %d", p.Revision)) }); err != nil {
			return err
		}
		for _, h := range p.Hosts {
			if h.Condition == api.FleetEdited || h.Condition == api.FleetUnreachable {
				return errNo
			}
		}
		return nil
	})
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
	Rollouts bool `name:"rollouts" help:"List the rollouts that have ended instead."`
	Limit    int  `name:"limit" placeholder:"N" default:"20" help:"How many revisions, at most 1000."`
}

// Run prints revisions, or rollouts.
func (f *fleetHistoryCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		if f.Rollouts {
			list, err := client.Rollouts(ctx, f.Document)
			if err != nil {
				return err
			}
			return c.print(list, func() {
				var rows [][]cell
				for _, r := range list.Items {
					rows = append(rows, []cell{
						text(strconv.FormatUint(r.Number, 10)), text(revision(r.Revision)), phase(r), text(human.Time(r.Began)),
						text(r.Ended.Sub(r.Began).Round(time.Second).String()), text(stateCounts(r)), text(r.Author), text(r.Message), text(r.Reason),
					})
				}
				c.table("", []string{"ROLLOUT", "REVISION", "PHASE", "TIME", "TOOK", "HOSTS", "AUTHOR", "MESSAGE", "REASON"}, rows)
			})
		}
		list, err := client.FleetRevisions(ctx, f.Document, f.Limit)
		if err != nil {
			return err
		}
		return c.print(list, func() {
			var rows [][]cell
			for _, r := range list.Items {
				number := text(strconv.FormatUint(r.Number, 10))
				if r.Released {
					number = cell{number.text + " out", good}
				}
				rows = append(rows, []cell{number, text(human.Time(r.Time)), text(r.Author), text(strconv.Itoa(r.Size)), text(short12(r.Digest)), text(r.Message)})
			}
			c.table("", []string{"REVISION", "TIME", "AUTHOR", "BYTES", "DIGEST", "MESSAGE"}, rows)
		})
	})
}

type fleetDiffCommand struct {
	documentArg
	From uint64 `arg:"" optional:"" help:"A revision. Default: the one before the other."`
	To   uint64 `arg:"" optional:"" help:"Another. Default: the newest."`
}

// Help implements kong.HelpProvider.
func (fleetDiffCommand) Help() string {
	return `The exit code is 1 when they differ.

    fairway fleet diff web         what the newest revision has changed
    fairway fleet diff web 3       what has changed since revision 3
    fairway fleet diff web 3 5`
}

// Run prints the difference.
func (f *fleetDiffCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		d, err := client.FleetDiff(ctx, f.Document, f.From, f.To)
		if err != nil {
			return err
		}
		if err := c.print(d, func() { c.unified(d.Diff) }); err != nil {
			return err
		}
		if d.Diff != "" {
			return errNo
		}
		return nil
	})
}

type fleetDriftCommand struct {
	documentArg
	fleetFlags
	Adopt   string `name:"adopt" xor:"repair" placeholder:"HOST" help:"Make what this host has the newest revision."`
	PutBack string `name:"put-back" xor:"repair" placeholder:"HOST" help:"Give this host the revision again that is out."`
	why
}

// Help implements kong.HelpProvider.
func (fleetDriftCommand) Help() string {
	return `Hosts are compared with the revision that is out; lines that somebody has added by hand have a plus. The exit code is 1 when one was edited.

    fairway fleet drift web
    fairway fleet drift web --adopt edge2 -m "what ops did on Sunday"
    fairway fleet drift web --put-back edge2`
}

// Run shows or repairs what was edited.
func (f *fleetDriftCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		if f.Adopt != "" || f.PutBack != "" {
			return f.repair(ctx, c, client)
		}
		p, err := client.FleetDrift(ctx, f.Document, f.Host)
		if err != nil {
			return err
		}
		if err := c.print(p, func() { c.differing(p, fmt.Sprintf("revision %d, which is out", p.Revision)) }); err != nil {
			return err
		}
		if p.Revision == 0 {
			c.note("Nothing of %s is out yet; --adopt HOST makes what a host has its first revision.", f.Document)
		}
		for _, h := range p.Hosts {
			if h.Condition == api.FleetEdited {
				return errNo
			}
		}
		return nil
	})
}

func (f *fleetDriftCommand) repair(ctx context.Context, c *console, client *api.Client) error {
	n := api.NewFleetRepair{Host: f.PutBack, Action: "put-back", Message: f.Message}
	if f.Adopt != "" {
		n.Host, n.Action = f.Adopt, "adopt"
		var err error
		if n.Expect, err = newestRevision(ctx, client, f.Document); err != nil {
			return err
		}
	}
	done, err := client.RepairFleet(ctx, f.Document, n)
	if err != nil {
		return err
	}
	return c.print(done, func() { c.printf("%s\n", done.Text) })
}
