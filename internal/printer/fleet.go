package printer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
)

// FleetPlan prints how hosts differ from a revision, the same difference once.
func (c *Printer) FleetPlan(p api.FleetPlan, than string) {
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
			c.Raw(c.Paint(console.Bad, h.Host+" cannot be reached: "+h.Error))
		case h.Same:
			c.Raw(c.Paint(console.Good, h.Host+" has "+than))
		case shown[body] != "":
			c.Raw(c.Paint(console.Bold, h.Host+" "+has+": the same difference as "+shown[body]))
		default:
			shown[body] = h.Host
			c.Raw(c.Paint(console.Bold, h.Host+" "+has))
			c.Unified(h.Diff)
		}
	}
}

// Unified prints a unified diff.
func (c *Printer) Unified(diff string) {
	for line := range strings.Lines(diff) {
		line = strings.TrimSuffix(line, "\n")
		c.Raw(c.Paint(DiffColour(line), strings.ReplaceAll(line, "\t", "    ")))
	}
}

// Rollouts prints rollouts, a line each.
func (c *Printer) Rollouts(rollouts []api.FleetRollout) {
	t := c.Columns("ROLLOUT", "REVISION", "PHASE", "TIME", "-TOOK", "-HOSTS", "-AUTHOR", "-MESSAGE", "REASON")
	for _, r := range rollouts {
		t.Add(r.Number, Revision(r.Revision), Phase(r), r.Began, r.Ended.Sub(r.Began).Round(time.Second), StateCounts(r), r.Author, r.Message, r.Reason)
	}
	t.Print()
}

// Rollout prints a rollout, and how it has ended if it has.
func (c *Printer) Rollout(r api.FleetRollout) {
	var pending []string
	t := c.Columns("HOST", "STATE", "WAVE", "-TOOK", "REASON")
	for _, h := range r.Hosts {
		took := "-"
		if !h.Ended.IsZero() && !h.Began.IsZero() {
			took = h.Ended.Sub(h.Began).Round(100 * time.Millisecond).String()
		}
		if h.Pending {
			pending = append(pending, h.Host)
		}
		t.Add(h.Host, stepState(h), Revision(uint64(h.Wave)), took, h.Error)
	}
	t.Print()
	if r.Ended.IsZero() {
		return
	}
	reason := ""
	if r.Reason != "" {
		reason = ": " + r.Reason
	}
	p := Phase(r)
	line := fmt.Sprintf("rollout %d of revision %d: ", r.Number, r.Revision)
	c.Raw(human.Escape(line) + c.Paint(p.Colour, p.Text) + human.Escape(reason))
	if len(pending) > 0 {
		what := "the revision"
		if r.Phase == api.RolloutReverted {
			what = "what is meant for them"
		}
		c.Raw(c.Paint(console.Doubt, "when they can be reached again, these hosts get "+what+": "+strings.Join(pending, ", ")))
	}
}

// FleetHosts prints hosts of the fleet with what HAProxy counts there.
func (c *Printer) FleetHosts(hosts []api.FleetHost) {
	t := c.Columns("HOST", "-DOCUMENT", "STATE", "REVISION", "-HAPROXY", "-REQUESTS/S", "-ERRORS/S", "-SERVERS", "-CONTACT", "-UPTIME",
		"+TRANSPORT", "+OLD", "+SESSIONS", "+REQUESTS", "+FAILED", "+CONNECT FAILURES", "+IN", "+OUT", "REASON")
	for _, h := range hosts {
		has := Revision(h.Revision)
		if h.Revision != h.Released && h.Released > 0 {
			has += " of " + Revision(h.Released)
		}
		contact := "never"
		if !h.Contact.IsZero() {
			contact = time.Since(h.Contact).Round(time.Second).String() + " ago"
		}
		rates, counts := statistics(h.Statistics)
		row := slices.Concat(
			[]any{h.Host, h.Document, ColourOf(h.Condition, console.Doubt).Cell(h.Condition), has, cmp.Or(h.Version, "-")}, rates,
			[]any{contact, cmp.Or(h.Uptime, "-"), cmp.Or(h.Transport, "-"), h.Old}, counts, []any{h.Error})
		t.Add(row...)
	}
	t.Print()
}

// Revision writes the number of a revision or a wave, "-" for none.
func Revision(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

// Phase is the phase of a rollout in its colour.
func Phase(r api.FleetRollout) console.Cell { return ColourOf(r.Phase, console.Doubt).Cell(r.Phase) }

func stepState(h api.FleetStep) console.Cell {
	otherwise, pending := console.Doubt, ""
	if h.State == "waiting" {
		otherwise = console.Faint
	}
	if h.Pending {
		pending = ", pending"
	}
	return ColourOf(h.State, otherwise).Cell(h.State + pending)
}

// StateCounts writes how many hosts are in which state.
func StateCounts(r api.FleetRollout) string {
	var states []string
	for _, state := range slices.Sorted(maps.Keys(r.States)) {
		states = append(states, strconv.Itoa(r.States[state])+" "+state)
	}
	return strings.Join(states, ", ")
}

// statistics are the cells of HAProxy's counters: what goes on now, and the sums.
func statistics(s *api.FleetStatistics) (rates, counts []any) {
	if s == nil {
		return slices.Repeat([]any{"-"}, 3), slices.Repeat([]any{"-"}, 6)
	}
	servers := console.Good.Cell(fmt.Sprintf("%d up", s.ServersUp))
	if s.ServersDown > 0 {
		servers = console.Doubt.Cell(fmt.Sprintf("%d up, %d down", s.ServersUp, s.ServersDown))
	}
	if len(s.Down) > 0 {
		servers = console.Bad.Cell(servers.Text + " (" + strings.Join(s.Down, ", ") + ")")
	}
	errs := console.Plain.Cell(fmt.Sprintf("%.1f", s.FailureRate))
	if s.FailureRate > 0 {
		errs.Colour = console.Bad
	}
	return []any{fmt.Sprintf("%.1f", s.RequestRate), errs, servers},
		[]any{s.Current, s.Requests, s.Failed, s.ConnectFailures, s.BytesIn, s.BytesOut}
}
