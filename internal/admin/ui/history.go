package ui

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/admin/ui/compare"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
)

type historyData struct {
	listing.Order // of which nothing is sorted
	Days          []day
	Hold          *api.Command  // the rollback or pin in force; nil for none
	Commands      []api.Command // the others
	Info          *api.HistoryInfo
	Older         string // link to what came before; empty for nothing
	Service       string // only what has to do with it; empty for all
	By            string // only what this operator did; empty for all
	May           bool
	found         []api.Entry
}

type day struct {
	Date    string
	Entries []line
}

// line is an entry with what its cause does not say already.
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

// ByLink is the link to what an operator did; empty for none and for a name that is
// too long for one.
func (d historyData) ByLink(operator string) string {
	if operator == "" || len(operator) > maxLink {
		return ""
	}
	return d.With("by", operator, "before", "", "only", "")
}

func isHold(command api.Command) bool { return command.ID == api.HoldID }

// How many entries a page has, and a file.
const (
	perHistory         = 50
	maxExportedEntries = 1000
)

func readHistory(c *call) (any, error) {
	q := api.HistoryQuery{
		Limit: perHistory, Service: c.q.Get("service"), Operator: c.q.Get("by"), Words: c.q.Get("q"), Routes: c.q.Get("only") == "routes",
		Significant: c.q.Get("only") == "" && c.q.Get("q") == "",
	}
	if q.Operator == "" && c.q.Get("only") == "operator" {
		q.Operator = "*"
	}
	if text := c.q.Get("before"); text != "" {
		var err error
		if q.Before, err = strconv.ParseUint(text, 10, 64); err != nil || q.Before == 0 {
			return nil, problem(http.StatusBadRequest, "Bad Request", "before: want the number of an entry")
		}
	}
	if c.q.Get("format") != "" {
		q.Limit = maxExportedEntries
	}
	found := must(c.ask.History(c, q)).Items
	commands := must(c.ask.Commands(c)).Items
	_, order := listing.Sort[line](c.r.URL.Path, c.q, nil)
	d := historyData{
		Order: order, found: found,
		Hold: inForce(commands, isHold), Commands: slices.DeleteFunc(slices.Clone(commands), isHold),
		Info: must(c.ask.Info(c)).History, Service: q.Service, By: c.q.Get("by"), May: c.may(api.RoleOperator),
	}
	live := q.Before != 0 // the newest that is live is on this page or on one before
	for _, e := range found {
		date := e.Time.UTC().Format("Monday, 2 January 2006")
		if n := len(d.Days); n == 0 || d.Days[n-1].Date != date {
			d.Days = append(d.Days, day{Date: date})
		}
		last := &d.Days[len(d.Days)-1]
		l := newLine(e)
		l.Now = e.Live && !live
		live = live || e.Live
		last.Entries = append(last.Entries, l)
	}
	if n := len(found); n == perHistory && found[n-1].Number > 1 {
		d.Older = order.With("before", strconv.FormatUint(found[n-1].Number, 10))
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
	Diff    compare.Diff
	May     bool
	Back    *back // what a rollback to it would do; nil where it is not offered
	// BackError is why there is no rollback to it; empty for none.
	BackError string
}

// back is what a rollback would do.
type back struct {
	api.CommandPreview
	Diff compare.Diff
}

func (d entryData) title() string { return "Entry " + strconv.FormatUint(d.Number, 10) }

func readEntry(c *call) (any, error) {
	number, err := strconv.ParseUint(strings.TrimPrefix(c.r.URL.Path, "/history/"), 10, 64)
	if err != nil || number == 0 {
		return nil, problem(http.StatusNotFound, "No such entry", "Entries are numbered from 1.")
	}
	found := must(c.ask.Entry(c, number))
	d := entryData{Entry: found.Entry, Against: found.Diff.From, Before: true, Diff: compare.New(found.Diff), May: c.may(api.RoleOperator)}
	if text := c.q.Get("against"); text != "" {
		other, err := strconv.ParseUint(text, 10, 64)
		d.Against, d.Before, d.Live = other, false, text == "live"
		if err != nil && !d.Live {
			return nil, problem(http.StatusBadRequest, "Bad Request", "against: want the number of an entry, or live")
		}
		d.Diff = compare.New(must(c.ask.Diff(c, other, number)))
	}
	if d.May {
		if found, err := c.ask.Preview(c, api.NewCommand{Kind: api.CommandRollback, Entry: number}); err == nil {
			d.Back = &back{found, compare.New(found.Diff)}
		} else {
			d.BackError = err.Error()
		}
	}
	return d, nil
}
