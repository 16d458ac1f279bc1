package main

import (
	"cmp"
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

// Run rolls a revision out.
func (f *fleetRolloutCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	return f.start(ctx, c, a, f.Document, f.Revision)
}

type fleetRollbackCommand struct {
	documentArg
	Revision uint64 `arg:"" optional:"" help:"Revision. Default: the one released before."`
	rolloutFlags
}

// Run rolls back.
func (f *fleetRollbackCommand) Run(ctx context.Context, c *console, a *api.Client) error {
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

// start begins a rollout and follows it to its end.
func (f rolloutFlags) start(ctx context.Context, c *console, a *api.Client, document string, number uint64) error {
	c.note("Reading the hosts ...")
	r, err := a.StartRollout(ctx, document, f.order(number))
	if err != nil {
		return err
	}
	c.begun(r)
	if f.Detach {
		c.note("fairway fleet watch %s follows it.", document)
		return show(c, r, nil, c.rollout)
	}
	return c.toTheEnd(ctx, a, r)
}

// begun prints which rollout has begun.
func (c *console) begun(r api.FleetRollout) {
	c.note("Rollout %d of %s: revision %d on %s.", r.Number, r.Document, r.Revision, human.Plural(len(r.Hosts), "host"))
}

// toTheEnd follows a rollout and prints how it has ended.
func (c *console) toTheEnd(ctx context.Context, a *api.Client, r api.FleetRollout) error {
	r, err := c.follow(ctx, a, r)
	return noIf(show(c, r, err, c.rollout), r.Phase == api.RolloutReverted)
}

type fleetWatchCommand struct{ documentArg }

// Run follows a rollout.
func (f *fleetWatchCommand) Run(ctx context.Context, c *console, a *api.Client) error {
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
func (c *console) follow(ctx context.Context, client *api.Client, r api.FleetRollout) (api.FleetRollout, error) {
	noted := map[string]string{} // the newest remark about each host, and about the whole
	note := func(about, line string) {
		if noted[about] != line {
			noted[about] = line
			c.note("%s", line)
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
		line := fmt.Sprintf("wave %d of %d: %s", r.Wave, r.Waves, stateCounts(r))
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
	var pending []string
	t := c.columns("HOST", "STATE", "WAVE", "TOOK", "REASON")
	for _, h := range r.Hosts {
		took := "-"
		if !h.Ended.IsZero() && !h.Began.IsZero() {
			took = h.Ended.Sub(h.Began).Round(100 * time.Millisecond).String()
		}
		if h.Pending {
			pending = append(pending, h.Host)
		}
		t.add(h.Host, stepState(h), revision(uint64(h.Wave)), took, h.Error)
	}
	t.print()
	if r.Ended.IsZero() {
		return
	}
	reason := ""
	if r.Reason != "" {
		reason = ": " + r.Reason
	}
	p := phase(r)
	line := fmt.Sprintf("rollout %d of revision %d: ", r.Number, r.Revision)
	c.raw(human.Escape(line) + c.paint(p.colour, p.text) + human.Escape(reason))
	if len(pending) > 0 {
		what := "the revision"
		if r.Phase == api.RolloutReverted {
			what = "what is meant for them"
		}
		c.raw(c.paint(doubt, "when they can be reached again, these hosts get "+what+": "+strings.Join(pending, ", ")))
	}
}

func phase(r api.FleetRollout) cell { return cell{r.Phase, colourOf(r.Phase, doubt)} }

func stepState(h api.FleetStep) cell {
	otherwise, pending := doubt, ""
	if h.State == "waiting" {
		otherwise = faint
	}
	if h.Pending {
		pending = ", pending"
	}
	return cell{h.State + pending, colourOf(h.State, otherwise)}
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
func (f *fleetStopCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	return c.done(a.StopRollout(ctx, f.Document))
}

type fleetStatusCommand struct {
	Document string `arg:"" optional:"" help:"Only hosts with this document."`
}

// Run prints the status.
func (f *fleetStatusCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	found, err := a.FleetHosts(ctx, f.Document)
	return noIf(list(c, found, err, c.fleetHosts), slices.ContainsFunc(found.Items, func(h api.FleetHost) bool { return h.Condition != api.FleetCurrent }))
}

func (c *console) fleetHosts(hosts []api.FleetHost) {
	t := c.columns("HOST", "DOCUMENT", "STATE", "REVISION", "HAPROXY", "UPTIME", "REQUESTS/S", "ERRORS/S", "SERVERS", "CONTACT",
		"+TRANSPORT", "+OLD", "+SESSIONS", "+REQUESTS", "+FAILED", "+CONNECT FAILURES", "+IN", "+OUT", "REASON")
	for _, h := range hosts {
		has := revision(h.Revision)
		if h.Revision != h.Released && h.Released > 0 {
			has += " of " + revision(h.Released)
		}
		contact := "never"
		if !h.Contact.IsZero() {
			contact = time.Since(h.Contact).Round(time.Second).String() + " ago"
		}
		rates, counts := statistics(h.Statistics)
		row := slices.Concat(
			[]any{h.Host, h.Document, cell{h.Condition, colourOf(h.Condition, doubt)}, has, cmp.Or(h.Version, "-"), cmp.Or(h.Uptime, "-")}, rates,
			[]any{contact, cmp.Or(h.Transport, "-"), h.Old}, counts, []any{h.Error})
		t.add(row...)
	}
	t.print()
}

// statistics are the cells of HAProxy's counters: what goes on now, and the sums.
func statistics(s *api.FleetStatistics) (rates, counts []any) {
	if s == nil {
		return slices.Repeat([]any{"-"}, 3), slices.Repeat([]any{"-"}, 6)
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
	return []any{fmt.Sprintf("%.1f", s.RequestRate), errs, servers},
		[]any{s.Current, s.Requests, s.Failed, s.ConnectFailures, s.BytesIn, s.BytesOut}
}
