package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

type explainCommand struct {
	Method  string   `arg:"" help:"HTTP method, such as GET."`
	URL     string   `arg:"" help:"URL; http:// may be left out."`
	Headers []string `name:"header" short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Header of the request. Repeatable. Do not give real credentials."`
	Client  string   `name:"client" placeholder:"IP" help:"Client address of the request."`
}

// Help implements kong.HelpProvider.
func (explainCommand) Help() string {
	return `Dry run: no request is sent. The exit code is 1 when no endpoint is eligible and no filter answers.

    fairway explain GET http://shop.example.com/demo
    fairway explain POST https://api.example.com/v1/orders -H 'X-Version: 2' --client 10.0.0.7`
}

// Run prints the explanation.
func (e *explainCommand) Run(ctx context.Context, c *console) error {
	url := e.URL
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	for _, h := range e.Headers {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			return usageError{errors.New("--header: write 'NAME: VALUE'")}
		}
	}
	x, err := ask(c, func(a *api.Client) (api.Explanation, error) {
		return a.Explain(ctx, api.ExplainRequest{Method: strings.ToUpper(e.Method), URL: url, Headers: e.Headers, Client: e.Client})
	}, c.explanation)
	return noIf(err, x.Outcome != api.OutcomeRouted && x.Outcome != api.OutcomeAnswered)
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
	c.losers(x.Losers)
}

func (c *console) winner(w api.Winner) {
	c.raw("\n" + c.paint(bold, "Route"))
	r := w.Route
	owner := r.Service + ", source " + r.Source
	if r.Instance != "" {
		owner += ", instance " + r.Instance
	}
	rows := [][]cell{
		{{"route", faint}, text(r.ID)},
		{{"match", faint}, text(w.Match)},
		{{"owner", faint}, text(owner)},
	}
	rows = append(rows, labelRows(r.Labels)...)
	for i, f := range r.Filters {
		rows = append(rows, []cell{{first(i, "filters"), faint}, text(f)})
	}
	if r.Refused != "" {
		rows = append(rows, []cell{{"refused", faint}, {r.Refused, bad}})
	}
	if r.LastGood {
		rows = append(rows, []cell{{"last good", faint}, {"its labels are refused; the last valid version is served (fairway problems)", doubt}})
	}
	if r.Stale != nil {
		rows = append(rows, []cell{{"stale", faint}, {staleText(r.Stale), doubt}})
	}
	if w.Choice != "" {
		rows = append(rows, []cell{{"choice", faint}, text(w.Choice)})
	}
	c.table("  ", nil, rows)
	if len(r.Endpoints) > 0 {
		c.raw("\n" + c.paint(bold, "Endpoints"))
		c.endpoints(r.Endpoints, w.Eligible)
	}
}

func (c *console) endpoints(endpoints []api.Endpoint, eligible []string) {
	var rows [][]cell
	for _, e := range endpoints {
		pick := cell{"no", bad}
		if slices.Contains(eligible, e.ID) {
			pick = cell{"yes", good}
		}
		state := e.State
		if e.Live != nil && e.Live.Ejected {
			state += ", ejected"
		}
		if e.Live != nil && e.Live.Health != "" {
			state += ", check " + e.Live.Health
		}
		rows = append(rows, []cell{text(e.Address), pick, text(state), text(e.Instance), text(e.Reason)})
	}
	c.table("  ", []string{"ADDRESS", "ELIGIBLE", "STATE", "INSTANCE", "ADDRESS SOURCE"}, rows)
}

func (c *console) losers(losers []api.Loser) {
	if len(losers) == 0 {
		return
	}
	c.raw("\n" + c.paint(bold, "Other routes"))
	header := []string{"ROUTE", "REASON"}
	if c.wide() {
		header = append(header, "MATCH")
	}
	var rows [][]cell
	for _, l := range losers {
		row := []cell{text(l.Route), text(l.Reason)}
		if c.wide() {
			row = append(row, text(l.Match))
		}
		rows = append(rows, row)
	}
	uncut := *c // The reasons are what was asked for.
	uncut.width = 0
	uncut.table("  ", header, rows)
}
