package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/app"
	"fairway/internal/human"
)

type explainCommand struct {
	Request []string `arg:"" name:"request" help:"URL, after an HTTP method where that is not GET. http:// may be left out."`
	Headers []string `name:"header" short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Header of the request. Repeatable. Do not give real credentials."`
	Client  string   `name:"client" placeholder:"IP" help:"Client address of the request."`
}

// Run prints the explanation.
func (e *explainCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	method, url := http.MethodGet, e.Request[len(e.Request)-1]
	if len(e.Request) > 2 {
		return usageError{errors.New("want a URL, or a method and a URL: fairway explain POST " + url)}
	}
	if len(e.Request) == 2 {
		method = strings.ToUpper(e.Request[0])
	}
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	for _, h := range e.Headers {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			return usageError{errors.New("--header: write 'NAME: VALUE'")}
		}
	}
	x, err := a.Explain(ctx, api.ExplainRequest{Method: method, URL: url, Headers: e.Headers, Client: e.Client})
	reached := x.Outcome == api.OutcomeRouted && x.Winner.Route.Condition.State != api.StateDown || x.Outcome == api.OutcomeAnswered
	return noIf(show(c, x, err, c.explanation), !reached)
}

func (c *console) explanation(x api.Explanation) {
	r := x.Request
	url := r.Scheme + "://" + r.Host + r.Path
	if r.Query != "" {
		url += "?" + r.Query
	}
	from := ""
	if r.Client != "" {
		from = " from " + r.Client
	}
	c.raw(c.paint(bold, r.Method+" "+url) + human.Escape(from))
	col := bad
	switch x.Outcome {
	case api.OutcomeRouted:
		col = good
	case api.OutcomeAnswered:
		col = doubt
	}
	c.raw(c.paint(col, x.Outcome) + ": " + human.Escape(x.Text))
	if x.Winner != nil {
		c.winner(*x.Winner)
	}
	c.losers(x.Losers, x.Omitted)
}

func (c *console) winner(w api.Winner) {
	c.raw("\n" + c.paint(bold, "Route"))
	r := w.Route
	owner := r.Service + ", source " + r.Source
	if r.Instance != "" {
		owner += ", instance " + r.Instance
	}
	var f fields
	f.add("route", r.ID)
	f.add("match", w.Match)
	f.add("owner", owner)
	f.lines("labels", labelLines(r.Labels))
	f.lines("filters", r.Filters)
	f.add("refused", cell{r.Refused, bad})
	if r.LastGood {
		f.add("last good", cell{"its labels are refused; the last valid version is served (fairway problems)", doubt})
	}
	f.add("stale", cell{staleText(r.Stale), doubt})
	f.add("choice", w.Choice)
	c.table("  ", nil, f)
	if len(r.Endpoints) > 0 {
		c.raw("\n" + c.paint(bold, "Endpoints"))
		c.endpoints(r.Endpoints, w.Eligible)
	}
}

func (c *console) endpoints(endpoints []api.Endpoint, eligible []string) {
	t := c.columns("ADDRESS", "ELIGIBLE", "STATE", "INSTANCE", "ADDRESS SOURCE")
	t.indent = "  "
	for _, e := range endpoints {
		pick := cell{"no", bad}
		if slices.Contains(eligible, e.ID) {
			pick = cell{"yes", good}
		}
		state := cmp.Or(e.Fault, e.State)
		if e.Live != nil && e.Live.Ejected {
			state += ", ejected"
		}
		if e.Live != nil && e.Live.Health != "" {
			state += ", check " + e.Live.Health
		}
		t.add(e.Address, pick, state, e.Instance, e.Reason)
	}
	t.print()
}

// losers prints the routes that do not take the request; those of other hosts when all is
// asked for.
func (c *console) losers(losers []api.Loser, omitted int) {
	if !c.wide() {
		near := slices.DeleteFunc(slices.Clone(losers), func(l api.Loser) bool { return l.Part == "host" })
		omitted, losers = omitted+len(losers)-len(near), near
	}
	if omitted > 0 {
		defer func() {
			c.raw("\n" + c.paint(faint, human.Plural(omitted, "route")+" of other hosts not shown; -o wide shows them"))
		}()
	}
	if len(losers) == 0 {
		return
	}
	c.raw("\n" + c.paint(bold, "Other routes"))
	uncut := *c // The reasons are what was asked for.
	uncut.width = 0
	t := uncut.columns("ROUTE", "REASON", "+MATCH")
	t.indent = "  "
	for _, l := range losers {
		t.add(l.Route, l.Reason, l.Match)
	}
	t.print()
}

type doctorCommand struct {
	Name   string `arg:"" help:"A service, container or other instance, by name or ID."`
	Config string `name:"config" placeholder:"PATH" help:"Configuration file that names the sources to read when no Fairway answers."`
}

// Run prints the diagnoses.
func (d *doctorCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	found, err := a.Doctor(ctx, d.Name)
	if errors.Is(err, api.ErrNoAnswer) && c.admin == "" {
		c.note("%v", err)
		c.note("Reading the sources directly.")
		var loaded *app.Loaded
		if loaded, err = c.load(d.Config, nil); err != nil {
			return err
		}
		found.Items, err = app.Doctor(ctx, loaded.Config, app.Options{Environ: c.environ}, d.Name)
	}
	if err != nil {
		return err
	}
	if len(found.Items) == 0 {
		c.fail(fmt.Errorf("nothing is called %q", d.Name))
		return errNo
	}
	return noIf(list(c, found, nil, c.diagnoses), slices.ContainsFunc(found.Items, func(d api.Diagnosis) bool { return !d.Served }))
}

func (c *console) diagnoses(diagnoses []api.Diagnosis) {
	for i, d := range diagnoses {
		if i > 0 {
			c.printf("\n")
		}
		verdict := c.paint(good, "served")
		if !d.Served {
			verdict = c.paint(bad, "not served")
		}
		subject := c.paint(bold, d.Service)
		if d.Instance != "" {
			subject = c.paint(bold, d.Instance) + human.Escape(" of "+d.Service)
		}
		c.raw(subject + ": " + verdict)
		c.checks(d.Checks)
	}
}

// checks prints the steps of a diagnosis, uncut: they are what was asked for.
func (c *console) checks(checks []api.Check) {
	width := 0
	for _, check := range checks {
		width = max(width, len(check.Name))
	}
	for _, check := range checks {
		mark := c.paint(bad, "FAIL")
		switch check.Outcome {
		case api.CheckOK:
			mark = c.paint(good, "ok  ")
		case api.CheckDoubt:
			mark = c.paint(doubt, "WARN")
		}
		name := fmt.Sprintf("%-*s", width, check.Name)
		c.raw("  " + mark + "  " + c.paint(faint, name) + "  " + human.Escape(check.Text))
		if check.Hint != "" {
			c.raw(strings.Repeat(" ", width+10) + c.paint(good, "hint: ") + human.Escape(check.Hint))
		}
	}
}
