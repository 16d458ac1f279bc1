package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/human"
)

// rolloutFlags say how a rollout goes.
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

// Help implements kong.HelpProvider.
func (fleetRolloutCommand) Help() string {
	return `On each host HAProxy validates the configuration and reloads, and the reload is verified. Then the wave is watched. When more requests fail than before, or on any other failure, every host is restored. Unreachable hosts get the revision when they are back. The exit code is 1 when the rollout was reverted. Interrupting the command does not abort the rollout; fairway fleet stop does.

    fairway fleet rollout web
    fairway fleet rollout web --canary 2 --wave 10% --pause 1m`
}

// Run rolls a revision out.
func (f *fleetRolloutCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		return f.start(ctx, c, client, f.Document, f.Revision)
	})
}

type fleetRollbackCommand struct {
	documentArg
	Revision uint64 `arg:"" optional:"" help:"Revision. Default: the one released before."`
	rolloutFlags
}

// Help implements kong.HelpProvider.
func (fleetRollbackCommand) Help() string {
	return `Rolls out an earlier revision.

    fairway fleet rollback web --canary 0 --wave 100% --pause 1s`
}

// Run rolls back.
func (f *fleetRollbackCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		number := f.Revision
		if number == 0 {
			ended, err := client.Rollouts(ctx, f.Document)
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
		return f.start(ctx, c, client, f.Document, number)
	})
}

// start begins a rollout and follows it to its end.
func (f rolloutFlags) start(ctx context.Context, c *console, client *api.Client, document string, number uint64) error {
	c.note("Reading the hosts ...")
	r, err := client.StartRollout(ctx, document, f.order(number))
	if err != nil {
		return err
	}
	c.begun(r)
	if f.Detach {
		c.note("fairway fleet watch %s follows it.", document)
		return c.print(r, func() { c.rollout(r) })
	}
	return c.toTheEnd(ctx, client, r)
}

// begun prints which rollout has begun.
func (c *console) begun(r api.FleetRollout) {
	c.note("Rollout %d of %s: revision %d on %s.", r.Number, r.Document, r.Revision, human.Plural(len(r.Hosts), "host"))
}

// toTheEnd follows a rollout and prints how it has ended.
func (c *console) toTheEnd(ctx context.Context, client *api.Client, r api.FleetRollout) error {
	r, err := c.follow(ctx, client, r)
	if err != nil {
		return err
	}
	if err := c.print(r, func() { c.rollout(r) }); err != nil {
		return err
	}
	if r.Phase == api.RolloutReverted {
		return errNo
	}
	return nil
}

type fleetWatchCommand struct{ documentArg }

// Help implements kong.HelpProvider.
func (fleetWatchCommand) Help() string {
	return `Follows a rollout that was started elsewhere or with --detach. Interrupting the command does not abort it. The exit code is 1 when the rollout was reverted.`
}

// Run follows a rollout.
func (f *fleetWatchCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		r, err := client.Rollout(ctx, f.Document)
		if err != nil {
			return err
		}
		c.begun(r)
		return c.toTheEnd(ctx, client, r)
	})
}

// followEvery is the time between two readings of a rollout.
const followEvery = 300 * time.Millisecond

// follow prints the progress of a rollout until it has ended.
func (c *console) follow(ctx context.Context, client *api.Client, r api.FleetRollout) (api.FleetRollout, error) {
	printed := map[string]string{}
	last := ""
	for {
		for _, h := range r.Hosts {
			line := h.State
			if h.Error != "" {
				line += ": " + h.Error
			}
			if h.State != "waiting" && printed[h.Host] != line {
				printed[h.Host] = line
				c.note("%s: %s", h.Host, line)
			}
		}
		if r.Phase == api.RolloutDone || r.Phase == api.RolloutReverted {
			return r, nil
		}
		line := fmt.Sprintf("wave %d of %d: %s", r.Wave, r.Waves, stateCounts(r))
		if r.Note != "" {
			line += "; watching: " + r.Note
		}
		if r.Phase == api.RolloutReverting {
			line = "reverting: " + r.Reason
		}
		if line != last {
			last = line
			c.note("%s", line)
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			c.note("The rollout goes on; fairway fleet watch %s follows it, fairway fleet stop %s aborts it.", r.Document, r.Document)
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

// rollout prints a rollout, and how it has ended if it has.
func (c *console) rollout(r api.FleetRollout) {
	var rows [][]cell
	for _, h := range r.Hosts {
		took := "-"
		if !h.Ended.IsZero() && !h.Began.IsZero() {
			took = h.Ended.Sub(h.Began).Round(100 * time.Millisecond).String()
		}
		wave := "-"
		if h.Wave > 0 {
			wave = strconv.Itoa(h.Wave)
		}
		rows = append(rows, []cell{text(h.Host), stepState(h), text(wave), text(took), text(h.Error)})
	}
	c.table("", []string{"HOST", "STATE", "WAVE", "TOOK", "REASON"}, rows)
	if r.Ended.IsZero() {
		return
	}
	p := phase(r)
	line := fmt.Sprintf("rollout %d of revision %d: ", r.Number, r.Revision)
	c.raw(human.Escape(line) + c.paint(p.colour, p.text) + human.Escape(reasonOf(r)))
	var pending []string
	for _, h := range r.Hosts {
		if h.Pending {
			pending = append(pending, h.Host)
		}
	}
	if len(pending) > 0 {
		what := "the revision"
		if r.Phase == api.RolloutReverted {
			what = "what is meant for them"
		}
		c.raw(c.paint(doubt, "when they can be reached again, these hosts get "+what+": "+strings.Join(pending, ", ")))
	}
}

func reasonOf(r api.FleetRollout) string {
	if r.Reason == "" {
		return ""
	}
	return ": " + r.Reason
}

func phase(r api.FleetRollout) cell {
	switch r.Phase {
	case api.RolloutDone:
		return cell{r.Phase, good}
	case api.RolloutReverted:
		return cell{r.Phase, bad}
	}
	return cell{r.Phase, doubt}
}

func stepState(h api.FleetStep) cell {
	state := h.State
	if h.Pending {
		state += ", pending"
	}
	switch h.State {
	case "applied", "already":
		return cell{state, good}
	case "refused", "unknown", "lost":
		return cell{state, bad}
	case "waiting":
		return cell{state, faint}
	}
	return cell{state, doubt}
}

// stateCounts writes how many hosts are in which state.
func stateCounts(r api.FleetRollout) string {
	var states []string
	for _, state := range slices.Sorted(maps.Keys(r.States)) {
		states = append(states, strconv.Itoa(r.States[state])+" "+state)
	}
	return strings.Join(states, ", ")
}

type fleetStopCommand struct{ documentArg }

// Run stops a rollout.
func (f *fleetStopCommand) Run(ctx context.Context, c *console) error {
	return c.done(func(a *api.Client) (api.Done, error) { return a.StopRollout(ctx, f.Document) })
}

type fleetStatusCommand struct {
	Document string `arg:"" optional:"" help:"Only hosts with this document."`
}

// Help implements kong.HelpProvider.
func (fleetStatusCommand) Help() string {
	return `Shows the last reading; hosts are read every 30 s. The exit code is 1 when a host is not current. With -o wide HAProxy's counters are included.

    fairway fleet status
    fairway fleet status web -o wide`
}

// Run prints the status.
func (f *fleetStatusCommand) Run(ctx context.Context, c *console) error {
	hosts, err := list(c, func(a *api.Client) (api.List[api.FleetHost], error) { return a.FleetHosts(ctx, f.Document) }, c.fleetHosts)
	return noIf(err, slices.ContainsFunc(hosts, func(h api.FleetHost) bool { return h.Condition != api.FleetCurrent }))
}

func (c *console) fleetHosts(hosts []api.FleetHost) {
	header := []string{"HOST", "DOCUMENT", "STATE", "REVISION", "HAPROXY", "UPTIME", "REQUESTS/S", "ERRORS/S", "SERVERS", "CONTACT"}
	if c.wide() {
		header = append(header, "TRANSPORT", "OLD", "SESSIONS", "REQUESTS", "FAILED", "CONNECT FAILURES", "IN", "OUT")
	}
	header = append(header, "REASON")
	var rows [][]cell
	for _, h := range hosts {
		has := revision(h.Revision)
		if h.Revision != h.Released && h.Released > 0 {
			has += " of " + revision(h.Released)
		}
		row := []cell{text(h.Host), text(h.Document), condition(h.Condition), text(has), text(dash(h.Version)), text(dash(h.Uptime))}
		row = append(row, statistics(h.Statistics, c.wide())[:3]...)
		contact := "never"
		if !h.Contact.IsZero() {
			contact = time.Since(h.Contact).Round(time.Second).String() + " ago"
		}
		row = append(row, text(contact))
		if c.wide() {
			row = append(row, text(dash(h.Transport)), text(strconv.Itoa(h.Old)))
			row = append(row, statistics(h.Statistics, true)[3:]...)
		}
		rows = append(rows, append(row, text(h.Error)))
	}
	c.table("", header, rows)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// statistics are the cells of HAProxy's counters.
func statistics(s *api.FleetStatistics, wide bool) []cell {
	n := 3
	if wide {
		n = 9
	}
	if s == nil {
		return slices.Repeat([]cell{text("-")}, n)
	}
	servers := cell{fmt.Sprintf("%d up", s.ServersUp), good}
	if s.ServersDown > 0 {
		servers = cell{fmt.Sprintf("%d up, %d down", s.ServersUp, s.ServersDown), doubt}
	}
	if len(s.Down) > 0 {
		servers = cell{servers.text + " (" + strings.Join(s.Down, ", ") + ")", bad}
	}
	errs := text(fmt.Sprintf("%.1f", s.FailureRate))
	if s.FailureRate > 0 {
		errs.colour = bad
	}
	cells := []cell{text(fmt.Sprintf("%.1f", s.RequestRate)), errs, servers}
	if wide {
		for _, count := range []int64{s.Current, s.Requests, s.Failed, s.ConnectFailures, s.BytesIn, s.BytesOut} {
			cells = append(cells, text(strconv.FormatInt(count, 10)))
		}
	}
	return cells
}

func condition(s string) cell {
	switch s {
	case api.FleetCurrent:
		return cell{s, good}
	case api.FleetEdited, api.FleetUnreachable:
		return cell{s, bad}
	}
	return cell{s, doubt}
}
