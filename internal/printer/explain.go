package printer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/api/automatic"
	"fairway/internal/console"
	"fairway/internal/human"
)

// Explanation prints which route takes a request, and why the others do not.
func (p *Printer) Explanation(x api.Explanation) {
	r := x.Request
	url := r.Scheme + "://" + r.Host + r.Path
	if r.Query != "" {
		url += "?" + r.Query
	}
	from := ""
	if r.Client != "" {
		from = " from " + r.Client
	}
	if r.ServerName != "" {
		from += " on a connection for " + r.ServerName
	}
	p.Raw(p.Paint(console.Bold, r.Method+" "+url) + human.Escape(from))
	col := console.Bad
	switch x.Outcome {
	case api.OutcomeRouted:
		col = console.Good
	case api.OutcomeAnswered:
		col = console.Doubt
	}
	p.Raw(p.Paint(col, x.Outcome) + ": " + human.Escape(x.Text))
	if x.Certificate != nil {
		p.answering(*x.Certificate)
	}
	if x.Winner != nil {
		p.winner(*x.Winner)
	}
	p.losers(x.Losers, x.Omitted)
}

// answering prints which certificate the client is shown, and what its handshake must have.
func (p *Printer) answering(a automatic.Answering) {
	p.Raw("\n" + p.Paint(console.Bold, "Certificate"))
	colour := console.Good
	if a.Text != "" {
		colour = console.Bad
	}
	var f console.Fields
	f.Add("shown", colour.Cell(cmp.Or(strings.Join(a.Names, ", "), a.Summary())))
	f.Add("issuer", a.Issuer)
	f.Add("key", a.Key)
	f.Add("expires", a.Ends)
	f.Add("origin", a.Origin())
	f.Add("wrong", console.Bad.Cell(a.Text))
	f.Add("hint", a.Hint)
	f.Add("automatic", a.Doing())
	f.Add("next order", a.Next)
	if t := a.Authority; t != nil {
		f.Add("authority", console.Bad.Cell("cannot be used: "+t.Error))
	}
	f.Add("handshake", cmp.Or(a.Handshake.Demands(), "TLS "+a.Handshake.MinVersion+" or newer")+"; "+strings.Join(a.Handshake.Protocols, ", "))
	f.Add("curves", strings.Join(a.Handshake.Curves, ", "))
	if a.Handshake.Record != "" {
		f.Add("demanded by", "tls.hosts: "+a.Handshake.Record)
	}
	p.Fields("  ", f)
}

func (p *Printer) winner(w api.Winner) {
	p.Raw("\n" + p.Paint(console.Bold, "Route"))
	r := w.Route
	owner := r.Service + ", source " + r.Source
	if r.Instance != "" {
		owner += ", instance " + r.Instance
	}
	var f console.Fields
	f.Add("route", r.ID)
	f.Add("match", w.Match)
	f.Add("owner", owner)
	f.Lines("labels", LabelLines(r.Labels))
	f.Lines("defaults", LabelLines(r.Defaults))
	f.Lines("filters", r.Filters)
	f.Add("refused", console.Bad.Cell(r.Refused))
	if r.LastGood {
		f.Add("last good", console.Doubt.Cell("its labels are refused; the last valid version is served (fairway problems)"))
	}
	f.Add("stale", console.Doubt.Cell(p.staleText(r.Stale)))
	f.Add("choice", w.Choice)
	if e := w.LastError; e != nil {
		f.Add("last error", console.Doubt.Cell(fmt.Sprintf("%s ago: %d %s: %s", human.Age(time.Since(e.At)), e.Status, e.Method, e.Error)))
	}
	p.Fields("  ", f)
	if len(r.Endpoints) > 0 {
		p.Raw("\n" + p.Paint(console.Bold, "Endpoints"))
		p.endpoints(r.Endpoints, w.Eligible)
	}
}

func (p *Printer) endpoints(endpoints []api.Endpoint, eligible []string) {
	t := p.Columns("ADDRESS", "ELIGIBLE", "STATE", "INSTANCE", "-ADDRESS SOURCE")
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
func (p *Printer) losers(losers []api.Loser, omitted int) {
	if !p.Wide() {
		near := slices.DeleteFunc(slices.Clone(losers), func(l api.Loser) bool { return l.Part == "host" })
		omitted, losers = omitted+len(losers)-len(near), near
	}
	if omitted > 0 {
		defer func() {
			p.Raw("\n" + p.Paint(console.Faint, human.Plural(omitted, "route")+" of other hosts not shown; -o wide shows them"))
		}()
	}
	if len(losers) == 0 {
		return
	}
	p.Raw("\n" + p.Paint(console.Bold, "Other routes"))
	t := p.Columns("ROUTE", "REASON", "+MATCH")
	t.Indent, t.Wrap = "  ", true // The reasons are what was asked for.
	for _, l := range losers {
		t.Add(l.Route, l.Reason, l.Match)
	}
	t.Print()
}

// Diagnoses prints the steps of diagnoses.
func (p *Printer) Diagnoses(diagnoses []api.Diagnosis) {
	for i, d := range diagnoses {
		if i > 0 {
			p.Printf("\n")
		}
		verdict := p.Paint(console.Good, "served")
		if !d.Served {
			verdict = p.Paint(console.Bad, "not served")
		}
		subject := p.Paint(console.Bold, d.Service)
		if d.Instance != "" {
			subject = p.Paint(console.Bold, d.Instance) + human.Escape(" of "+d.Service)
		}
		p.Raw(subject + ": " + verdict)
		p.checks(d.Checks)
	}
}

// checks prints the steps of a diagnosis, uncut: they are what was asked for.
func (p *Printer) checks(checks []api.Check) {
	width := 0
	for _, check := range checks {
		width = max(width, len(check.Name))
	}
	for _, check := range checks {
		mark := p.Paint(console.Bad, "FAIL")
		switch check.Outcome {
		case api.CheckOK:
			mark = p.Paint(console.Good, "ok  ")
		case api.CheckDoubt:
			mark = p.Paint(console.Doubt, "WARN")
		}
		name := fmt.Sprintf("%-*s", width, check.Name)
		p.Raw("  " + mark + "  " + p.Paint(console.Faint, name) + "  " + human.Escape(check.Text))
		if check.Hint != "" {
			p.Raw(strings.Repeat(" ", width+10) + p.Paint(console.Good, "hint: ") + human.Escape(check.Hint))
		}
	}
}
