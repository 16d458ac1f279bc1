package printer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
	"fairway/internal/nearest"
)

// Traffic prints the traffic of routes.
func (c *Printer) Traffic(now api.Traffic) {
	one := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	milliseconds := func(ms float64) string {
		if ms == 0 {
			return "-"
		}
		return one(ms) + " ms"
	}
	t := c.Columns("ROUTE", "REQUESTS/S", "ERRORS/S", "MEDIAN", "P95", "P99")
	for _, r := range now.Routes {
		name, failing := console.Plain.Cell(r.Route), console.Plain.Cell(one(r.Errors))
		if r.Route == "" {
			name = console.Faint.Cell("(no route)")
		}
		if r.Errors > 0 {
			failing.Colour = console.Bad
		}
		t.Add(name, one(r.Rate), failing, milliseconds(r.Median), milliseconds(r.P95), milliseconds(r.P99))
	}
	t.Print()
}

// Routes prints routes.
func (c *Printer) Routes(routes []api.Route) {
	t := c.Columns("ROUTE", "MATCHES", "READY", "STATE", "+PRIORITY", "+FILTERS", "+BALANCE", "+SOURCE", "+LAST REQUEST")
	for _, r := range routes {
		balance := ""
		if r.Backend != nil {
			balance = r.Backend.Balance
		}
		t.Add(r.ID, takes(r), endpoints(r), routeState(r), r.Priority, strings.Join(r.Filters, "; "), balance, r.Source, r.LastRequest)
	}
	t.Print()
}

// maxHosts is how many hosts a hint lists.
const maxHosts = 10

// NoRoutes says that no route was found, and with a host which hosts all routes have.
func (c *Printer) NoRoutes(host string, all []api.Route) {
	var hosts []string
	for _, r := range all {
		for _, m := range r.Matches {
			if m.Host != "" && m.Host != "*" && m.HostKind != "regexp" {
				hosts = append(hosts, m.Host)
			}
		}
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	switch {
	case len(all) == 0:
		c.Note("No routes. A container gets one with the label fairway.host=NAME.")
	case host == "" || len(hosts) == 0:
		c.Note("No routes match; %s in all.", human.Plural(len(all), "route"))
	default:
		text, more := "No route has the host "+host, ""
		if near := nearest.Host(host, hosts); near != "" {
			text += "; did you mean " + near + "?"
		}
		if len(hosts) > maxHosts {
			more = fmt.Sprintf(" and %d more", len(hosts)-maxHosts)
		}
		c.Note("%s", text)
		c.Note("Hosts: %s%s", strings.Join(hosts[:min(maxHosts, len(hosts))], ", "), more)
	}
}

// Problems prints problems.
func (c *Printer) Problems(problems []api.Problem) {
	if c.CSV() {
		t := c.Columns("SERVICE", "SOURCE", "INSTANCE", "LABEL", "CODE", "ROUTE", "TEXT", "HINT", "WHERE", "SINCE")
		for _, p := range problems {
			t.Add(p.Service, p.Source, p.Instance, p.Label, p.Code, p.Route, p.Text, p.Hint, p.Where, p.Since)
		}
		t.Print()
		return
	}
	for i, p := range problems {
		if i > 0 {
			c.Printf("\n")
		}
		c.Problem(p)
	}
}

// Problem prints a problem in several lines.
func (c *Printer) Problem(p api.Problem) {
	subject := c.Paint(console.Bold, p.Service)
	if p.Label != "" {
		subject += " " + human.Escape(p.Label)
	}
	if p.Instance != "" {
		subject += human.Escape(" (instance " + p.Instance + ")")
	}
	// Everything in these lines is escaped already.
	since := ""
	if !p.Since.IsZero() {
		since = c.Paint(console.Faint, "  since "+c.Time(p.Since))
	}
	c.Raw(subject + "  " + c.Paint(console.Bad, p.Code) + since)
	c.Raw("  " + human.Escape(p.Text))
	if p.Route != "" && p.Route != p.Service {
		c.Raw(c.Paint(console.Faint, "  route: "+p.Route))
	}
	if p.Where != "" {
		c.Raw(c.Paint(console.Faint, "  of "+p.Where))
	}
	if p.Hint != "" {
		c.Raw("  " + c.Paint(console.Good, "hint: ") + human.Escape(p.Hint))
	}
}

// takes says which requests a route takes: by the rule as its label has it, or else by the
// matches.
func takes(r api.Route) string {
	if rule := ruleOf(r); rule != "" {
		return rule
	}
	var all []string
	for _, m := range r.Matches {
		all = append(all, short(m))
	}
	return strings.Join(all, " || ")
}

// ruleOf is the label with the rule of a route; empty where it has none, or another form
// of it is served.
func ruleOf(r api.Route) (rule string) {
	if r.LastGood || r.Refused != "" {
		return ""
	}
	for key, value := range r.Labels {
		// fairway.rule, or fairway.NAME.rule
		if strings.HasSuffix(key, ".rule") && strings.Count(key, ".") <= 2 && value != api.Masked {
			if rule != "" {
				return ""
			}
			rule = value
		}
	}
	return rule
}

// short writes a plain match as one writes a URL, and any other in full.
func short(m api.Match) string {
	if len(m.Conditions) > 0 || m.PathKind != "prefix" || m.HostKind == "regexp" {
		return m.Text
	}
	if m.Path == "/" {
		return m.Host
	}
	return m.Host + m.Path
}

// endpoints counts the endpoints of a route: those that take requests of all.
func endpoints(r api.Route) string {
	if r.Backend == nil {
		return "-"
	}
	return fmt.Sprintf("%d/%d", r.Ready, len(r.Endpoints))
}

// routeState is the condition of a route, with the first reason for it.
func routeState(r api.Route) console.Cell {
	text := r.Condition.State
	if why := r.Condition.Why(); why != "" {
		return stateColour(r.Condition.State).Cell(text + ": " + why)
	}
	if by := steered(r); by != "" {
		return console.Doubt.Cell(text + by)
	}
	return stateColour(r.Condition.State).Cell(text)
}

// steered is the command that an endpoint of the route obeys, after a colon; empty for
// none.
func steered(r api.Route) string {
	for _, e := range r.Endpoints {
		if e.By != "" {
			return ": " + e.By
		}
	}
	return ""
}
