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
	"fairway/internal/console"
	"fairway/internal/human"
	"fairway/internal/printer"
)

type explainCommand struct {
	Request []string `arg:"" name:"request" help:"URL, after an HTTP method where that is not GET. http:// may be left out."`
	Headers []string `name:"header" short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Header of the request. Repeatable. Do not give real credentials."`
	Client  string   `name:"client" placeholder:"IP" help:"Client address of the request."`
}

// Run prints the explanation.
func (e *explainCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
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

func (c *cli) explanation(x api.Explanation) {
	r := x.Request
	url := r.Scheme + "://" + r.Host + r.Path
	if r.Query != "" {
		url += "?" + r.Query
	}
	from := ""
	if r.Client != "" {
		from = " from " + r.Client
	}
	c.Raw(c.Paint(console.Bold, r.Method+" "+url) + human.Escape(from))
	col := console.Bad
	switch x.Outcome {
	case api.OutcomeRouted:
		col = console.Good
	case api.OutcomeAnswered:
		col = console.Doubt
	}
	c.Raw(c.Paint(col, x.Outcome) + ": " + human.Escape(x.Text))
	if x.Winner != nil {
		c.winner(*x.Winner)
	}
	c.losers(x.Losers, x.Omitted)
}

func (c *cli) winner(w api.Winner) {
	c.Raw("\n" + c.Paint(console.Bold, "Route"))
	r := w.Route
	owner := r.Service + ", source " + r.Source
	if r.Instance != "" {
		owner += ", instance " + r.Instance
	}
	var f console.Fields
	f.Add("route", r.ID)
	f.Add("match", w.Match)
	f.Add("owner", owner)
	f.Lines("labels", printer.LabelLines(r.Labels))
	f.Lines("defaults", printer.LabelLines(r.Defaults))
	f.Lines("filters", r.Filters)
	f.Add("refused", console.Bad.Cell(r.Refused))
	if r.LastGood {
		f.Add("last good", console.Doubt.Cell("its labels are refused; the last valid version is served (fairway problems)"))
	}
	f.Add("stale", console.Doubt.Cell(printer.StaleText(r.Stale)))
	f.Add("choice", w.Choice)
	c.Fields("  ", f)
	if len(r.Endpoints) > 0 {
		c.Raw("\n" + c.Paint(console.Bold, "Endpoints"))
		c.endpoints(r.Endpoints, w.Eligible)
	}
}

func (c *cli) endpoints(endpoints []api.Endpoint, eligible []string) {
	t := c.Columns("ADDRESS", "ELIGIBLE", "STATE", "INSTANCE", "-ADDRESS SOURCE")
	t.Indent = "  "
	for _, e := range endpoints {
		pick := console.Bad.Cell("no")
		if slices.Contains(eligible, e.ID) {
			pick = console.Good.Cell("yes")
		}
		state := cmp.Or(e.Fault, e.State)
		if e.Live != nil && e.Live.Ejected {
			state += ", ejected"
		}
		if e.Live != nil && e.Live.Health != "" {
			state += ", check " + e.Live.Health
		}
		t.Add(e.Address, pick, state, e.Instance, e.Reason)
	}
	t.Print()
}

// losers prints the routes that do not take the request; those of other hosts when all is
// asked for.
func (c *cli) losers(losers []api.Loser, omitted int) {
	if !c.Wide() {
		near := slices.DeleteFunc(slices.Clone(losers), func(l api.Loser) bool { return l.Part == "host" })
		omitted, losers = omitted+len(losers)-len(near), near
	}
	if omitted > 0 {
		defer func() {
			c.Raw("\n" + c.Paint(console.Faint, human.Plural(omitted, "route")+" of other hosts not shown; -o wide shows them"))
		}()
	}
	if len(losers) == 0 {
		return
	}
	c.Raw("\n" + c.Paint(console.Bold, "Other routes"))
	t := c.Columns("ROUTE", "REASON", "+MATCH")
	t.Indent, t.Wrap = "  ", true // The reasons are what was asked for.
	for _, l := range losers {
		t.Add(l.Route, l.Reason, l.Match)
	}
	t.Print()
}

type doctorCommand struct {
	Name   string `arg:"" help:"A service, container or other instance, by name or ID."`
	Config string `name:"config" placeholder:"PATH" help:"Configuration file that names the sources to read when no Fairway answers."`
}

// Run prints the diagnoses.
func (d *doctorCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Doctor(ctx, d.Name)
	if errors.Is(err, api.ErrNoAnswer) && c.admin == "" {
		c.Note("%v", err)
		c.Note("Reading the sources directly.")
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
		c.Fail(fmt.Errorf("nothing is called %q", d.Name))
		return errNo
	}
	return noIf(list(c, found, nil, c.diagnoses), slices.ContainsFunc(found.Items, func(d api.Diagnosis) bool { return !d.Served }))
}

func (c *cli) diagnoses(diagnoses []api.Diagnosis) {
	for i, d := range diagnoses {
		if i > 0 {
			c.Printf("\n")
		}
		verdict := c.Paint(console.Good, "served")
		if !d.Served {
			verdict = c.Paint(console.Bad, "not served")
		}
		subject := c.Paint(console.Bold, d.Service)
		if d.Instance != "" {
			subject = c.Paint(console.Bold, d.Instance) + human.Escape(" of "+d.Service)
		}
		c.Raw(subject + ": " + verdict)
		c.checks(d.Checks)
	}
}

// checks prints the steps of a diagnosis, uncut: they are what was asked for.
func (c *cli) checks(checks []api.Check) {
	width := 0
	for _, check := range checks {
		width = max(width, len(check.Name))
	}
	for _, check := range checks {
		mark := c.Paint(console.Bad, "FAIL")
		switch check.Outcome {
		case api.CheckOK:
			mark = c.Paint(console.Good, "ok  ")
		case api.CheckDoubt:
			mark = c.Paint(console.Doubt, "WARN")
		}
		name := fmt.Sprintf("%-*s", width, check.Name)
		c.Raw("  " + mark + "  " + c.Paint(console.Faint, name) + "  " + human.Escape(check.Text))
		if check.Hint != "" {
			c.Raw(strings.Repeat(" ", width+10) + c.Paint(console.Good, "hint: ") + human.Escape(check.Hint))
		}
	}
}
