package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
)

// historyData is what was served, the newest first.
type historyData struct {
	Days     []day
	Hold     *api.Command  // the rollback or pin in force; nil for none
	Commands []api.Command // the others
	Info     *api.HistoryInfo
	Older    string // link to what came before; empty for nothing
	Newest   bool   // nothing newer is left out
	Service  string // only what has to do with it; empty for all
	May      bool
	// Compare is the number of the entry that was picked to compare with.
	Compare uint64
}

// day is the entries of one day.
type day struct {
	Date    string
	Entries []line
}

// line is an entry with what is shown of it beside its cause, which names who asked
// for what in words of its own.
type line struct {
	api.Entry
	Now bool // it is the newest of those that are as what is live
}

// newLine leaves out what the cause says already.
func newLine(e api.Entry) line {
	l := line{Entry: e}
	if strings.Contains(e.Cause, e.Message) {
		l.Message = ""
	}
	if strings.Contains(e.Cause, " by "+e.Operator) {
		l.Operator = ""
	}
	l.Seen = slices.DeleteFunc(slices.Clone(e.Seen), func(s api.Seen) bool { return s.Kind == "command" })
	return l
}

// perHistory is how many entries a page has.
const perHistory = 50

func (p *Pages) history(c *call) (any, error) {
	q := api.HistoryQuery{Limit: perHistory, Service: c.q.Get("service")}
	if text := c.q.Get("before"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			return nil, bad("before: want the number of an entry")
		}
		q.Before = n
	}
	found, err := c.ask.History(c, q)
	if err != nil {
		return nil, err
	}
	commands, err := c.ask.Commands(c)
	if err != nil {
		return nil, err
	}
	info, err := c.ask.Info(c)
	if err != nil {
		return nil, err
	}
	d := historyData{Info: info.History, Newest: q.Before == 0, Service: q.Service, May: c.may(api.RoleOperator)}
	for i, command := range commands.Items {
		if command.ID == api.HoldID {
			d.Hold = &commands.Items[i]
		} else {
			d.Commands = append(d.Commands, command)
		}
	}
	live := false
	for _, e := range found.Items {
		date := e.Time.UTC().Format("Monday, 2 January 2006")
		if n := len(d.Days); n == 0 || d.Days[n-1].Date != date {
			d.Days = append(d.Days, day{Date: date})
		}
		last := &d.Days[len(d.Days)-1]
		l := newLine(e)
		l.Now = e.Live && d.Newest && !live
		live = live || e.Live
		last.Entries = append(last.Entries, l)
	}
	if n := len(found.Items); n == perHistory && found.Items[n-1].Number > 1 {
		v := url.Values{"before": {strconv.FormatUint(found.Items[n-1].Number, 10)}}
		if q.Service != "" {
			v.Set("service", q.Service)
		}
		d.Older = "/history?" + v.Encode()
	}
	return d, nil
}

// entryData is one entry with what it changed, or two compared.
type entryData struct {
	api.Entry
	// Against is the number of the entry that is compared with; zero is the live
	// table where Live is true, and nothing at all where there is none before.
	Against uint64
	Before  bool // it is compared with the entry before
	Live    bool // it is compared with what is live
	Diff    diffView
	May     bool
	Hold    *api.Command
	// Back is what a rollback to it would change.
	Back  diffView
	Newer uint64 // number of the entry after it; zero for none
}

func (d entryData) title() string { return "Entry " + strconv.FormatUint(d.Number, 10) }

func (p *Pages) entry(c *call) (any, error) {
	number, err := strconv.ParseUint(strings.TrimPrefix(c.r.URL.Path, "/history/"), 10, 64)
	if err != nil || number == 0 {
		return nil, &api.Error{Status: http.StatusNotFound, Title: "No such entry", Detail: "Entries are numbered from 1."}
	}
	found, err := c.ask.Entry(c, number)
	if err != nil {
		return nil, err
	}
	d := entryData{Entry: found.Entry, Against: found.Diff.From, Before: true, Diff: newDiffView(found.Diff), May: c.may(api.RoleOperator)}
	if text := c.q.Get("against"); text != "" {
		other, err := strconv.ParseUint(text, 10, 64)
		if text == "live" {
			err = nil
		}
		if err != nil {
			return nil, bad("against: want the number of an entry, or live")
		}
		diff, err := c.ask.Diff(c, other, number)
		if err != nil {
			return nil, err
		}
		d.Against, d.Before, d.Live, d.Diff = other, false, text == "live", newDiffView(diff)
	}
	if d.May {
		back, err := c.ask.Diff(c, 0, number)
		if err != nil {
			return nil, err
		}
		d.Back = newDiffView(back)
	}
	commands, err := c.ask.Commands(c)
	if err != nil {
		return nil, err
	}
	for i, command := range commands.Items {
		if command.ID == api.HoldID {
			d.Hold = &commands.Items[i]
		}
	}
	return d, nil
}

// diffView is a difference, prepared to be shown side by side.
type diffView struct {
	Same   bool
	Parts  []diffPart
	Counts api.Counts
	// More is how many changes are left out of Parts.
	More int
	// Open is true where what changed is shown with its lines from the beginning.
	Open bool
}

// maxOpen is how many changes are shown with their lines: of more than that one
// wants the list first. maxChanges is how many are shown at all.
const (
	maxOpen    = 24
	maxChanges = 200
)

// diffPart is what differs of one kind of thing.
type diffPart struct {
	Title   string
	Changes []diffChange
}

type diffChange struct {
	Kind, ID string
	Pairs    []pair
}

// pair is a line as it was beside the line as it is; either may be missing.
type pair struct {
	Old, New       string
	HasOld, HasNew bool
}

func newDiffView(d api.Diff) diffView {
	v := diffView{Same: d.Same && len(d.Problems) == 0}
	for _, part := range []struct {
		title   string
		changes []api.DiffChange
	}{{"Routes", d.Routes}, {"Backends", d.Backends}, {"Listeners", d.Listeners}, {"Problems", d.Problems}} {
		if len(part.changes) == 0 {
			continue
		}
		out := diffPart{Title: part.title}
		for _, change := range part.changes {
			if v.Counts.Added+v.Counts.Removed+v.Counts.Changed < maxChanges {
				out.Changes = append(out.Changes, diffChange{Kind: change.Kind, ID: change.ID, Pairs: pairs(change.Lines)})
			} else {
				v.More++
			}
			switch change.Kind {
			case "added":
				v.Counts.Added++
			case "removed":
				v.Counts.Removed++
			default:
				v.Counts.Changed++
			}
		}
		if len(out.Changes) > 0 {
			v.Parts = append(v.Parts, out)
		}
	}
	v.Open = v.Counts.Added+v.Counts.Removed+v.Counts.Changed <= maxOpen
	return v
}

// pairs puts the lines that went beside those that came in their place.
func pairs(lines []string) []pair {
	var out []pair
	open := 0 // the first pair that has no new line yet
	for _, line := range lines {
		text, gone := strings.CutPrefix(line, "- ")
		if gone {
			out = append(out, pair{Old: text, HasOld: true})
			continue
		}
		text, came := strings.CutPrefix(line, "+ ")
		if !came {
			out = append(out, pair{line, line, true, true})
			open = len(out)
			continue
		}
		for open < len(out) && out[open].HasNew {
			open++
		}
		if open == len(out) {
			out = append(out, pair{})
		}
		out[open].New, out[open].HasNew = text, true
	}
	return out
}

// step is what happened to a service at one time.
type step struct {
	Entry             uint64
	Time              time.Time
	Operator, Command string
	Seen              []api.Seen // the first
	More              int
	Health            string
}

// maxSeen is how many things of one step are shown.
const maxSeen = 5

// steps tells what happened to a service, from the entries that concern it.
func steps(entries []api.Entry, service string) []step {
	var all []step
	for _, e := range entries {
		s := step{Entry: e.Number, Time: e.Time, Operator: e.Operator, Command: e.Command, Health: fine}
		for _, seen := range e.Seen {
			if seen.Service != service {
				continue
			}
			s.Health = worse(s.Health, seenHealth(seen))
			if len(s.Seen) < maxSeen {
				s.Seen = append(s.Seen, seen)
			} else {
				s.More++
			}
		}
		if len(s.Seen) > 0 || s.Command != "" {
			all = append(all, s)
		}
	}
	return all
}

// seenHealth is the colour of a thing that happened.
func seenHealth(s api.Seen) string {
	switch s.Kind {
	case "instance-state":
		return stateHealth(s.To)
	case "instance-removed", "service-removed":
		return idle
	case "instance-added", "service-added":
		return waiting
	}
	return fine
}
