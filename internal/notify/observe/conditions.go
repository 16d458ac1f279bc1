package observe

import (
	"cmp"
	"context"
	"slices"
	"time"

	"fairway/internal/condition"
	"fairway/internal/notify"
)

// reportsEvery is the longest time between two looks at the newest report: what is in
// force is reported again.
const reportsEvery = time.Hour

// followReports reports how routes are doing, and holds, until ctx ends.
func (o *Observer) followReports(ctx context.Context) {
	routes := routeWatch{settle: o.Settle, changing: map[string]change{}}
	for {
		changed := o.Reports.Changed()
		now := time.Now()
		due := now.Add(tableEvery)
		if r := o.Reports.Newest(); r != nil && o.Synced() {
			due = o.look(r, &routes, now)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(time.Until(due)):
		}
	}
}

// look reports what is new in a report, and returns when to look again without a newer one.
func (o *Observer) look(r *condition.Report, routes *routeWatch, now time.Time) (due time.Time) {
	standing, held, names := map[string]notify.Event{}, map[string]notify.Event{}, map[string]notify.Event{}
	for _, e := range o.Notifier.Standing() {
		switch e.Kind {
		case notify.RouteDegraded, notify.RouteDown:
			standing[e.Subject] = e
		case notify.HoldBegun:
			held[e.Subject] = e
		case notify.NamesTrouble:
			names[e.Subject] = e
		}
	}
	begun, over, due := routes.next(r, standing, now)
	o.report(begun, over, notify.Event{Subject: "routes", Name: "routes", Text: "routes are degraded or down; fairway status lists them"})
	_ = o.Notifier.Report(append(holdEvents(r, held), nameEvents(r, names)...)...) // errors are logged
	return due
}

// routeWatch decides what to report of routes, a function of reports, time and what stands.
type routeWatch struct {
	settle   time.Duration
	changing map[string]change // by subject
}

// change is how a route is doing since a moment, otherwise than was reported.
type change struct {
	kind  notify.Kind
	since time.Time
}

// next returns what has begun, the worst first, and what is over; due is when to look again
// without a newer report.
func (w *routeWatch) next(r *condition.Report, standing map[string]notify.Event, now time.Time) (begun, over []notify.Event, due time.Time) {
	due = now.Add(reportsEvery)
	doing := routeEvents(r)
	for subject := range standing {
		if _, there := doing[subject]; !there {
			name := standing[subject].Name
			doing[subject] = notify.Event{Kind: notify.RouteHealthy, Subject: subject, Name: name, Text: "route " + name + " is gone"}
		}
	}
	for subject, e := range doing {
		if e.Kind == cmp.Or(standing[subject].Kind, notify.RouteHealthy) || e.Kind == "" {
			delete(w.changing, subject)
			continue
		}
		c := w.changing[subject]
		if c.kind != e.Kind {
			c = change{e.Kind, now}
		}
		w.changing[subject] = c
		switch at := c.since.Add(w.settle); {
		case now.Before(at):
			if at.Before(due) {
				due = at
			}
			continue
		case e.Kind == notify.RouteHealthy:
			over = append(over, e)
		default:
			begun = append(begun, e)
		}
		delete(w.changing, subject)
	}
	for subject := range w.changing {
		if _, there := doing[subject]; !there {
			delete(w.changing, subject)
		}
	}
	order := func(a, b notify.Event) int {
		return cmp.Or(cmp.Compare(b.Kind, a.Kind), cmp.Compare(a.Subject, b.Subject))
	}
	slices.SortFunc(begun, order)
	slices.SortFunc(over, order)
	return begun, over, due
}

// routeEvents says how each route is doing, by subject, and nothing of its kind where that
// is not known. What has events of its own, such as a source that does not answer or labels
// that are refused, counts for nothing.
func routeEvents(r *condition.Report) map[string]notify.Event {
	doing := make(map[string]notify.Event, len(r.Routes))
	for id, c := range r.Routes {
		e := notify.Event{Kind: notify.RouteHealthy, Subject: "route/" + id, Name: id, Text: "route " + id + " is healthy again"}
		if c.State == condition.Unknown {
			e.Kind = ""
		}
		doing[e.Subject] = e
	}
	for _, f := range r.Findings {
		kind := map[condition.State]notify.Kind{condition.Degraded: notify.RouteDegraded, condition.Down: notify.RouteDown}[f.State]
		e, there := doing["route/"+f.Subject]
		if f.Kind != condition.KindRoute || kind == "" || reportedElsewhere(f.Reason.Code) || !there || e.Kind != notify.RouteHealthy {
			continue // the worst of a route comes first
		}
		e.Kind, e.Text = kind, "route "+f.Subject+" is "+string(f.State)+": "+f.Reason.Text
		e.Details = map[string]string{"code": f.Reason.Code, "service": f.Service}
		if f.Reason.Hint != "" {
			e.Details["hint"] = f.Reason.Hint
		}
		doing[e.Subject] = e
	}
	return doing
}

// reportedElsewhere is true for reasons that have events of their own.
func reportedElsewhere(code string) bool {
	return code == condition.CodeStale || code == condition.CodeHold || code == condition.CodeMaintenance || code == condition.CodeLastGood || code == condition.CodeRefused
}

// holdEvents are the rollbacks and pins in force, and the end of those that were. The
// notifier sees to it that each is reported once, and again from time to time.
func holdEvents(r *condition.Report, held map[string]notify.Event) (events []notify.Event) {
	there := map[string]bool{}
	for _, f := range r.Findings {
		if f.Kind != condition.KindCommand || f.Reason.Code != condition.CodeHold && f.Reason.Code != condition.CodeMaintenance {
			continue
		}
		since := f.Reason.Since.UTC().Format(time.RFC3339Nano)
		e := notify.Event{Kind: notify.HoldBegun, Subject: "hold/" + since, Name: f.Subject, Text: f.Reason.Text, Details: map[string]string{"since": since, "hint": f.Reason.Hint}}
		there[e.Subject] = true
		events = append(events, e)
	}
	for subject, e := range held {
		if !there[subject] {
			events = append(events, notify.Event{Kind: notify.HoldOver, Subject: subject, Name: e.Name, Text: e.Name + " is over"})
		}
	}
	return events
}

// nameEvents are what is wrong with names, and the end of what was. The notifier reports each
// once.
func nameEvents(r *condition.Report, standing map[string]notify.Event) (events []notify.Event) {
	there := map[string]bool{}
	for _, f := range r.Findings {
		if f.Kind != condition.KindName {
			continue
		}
		e := notify.Event{Kind: notify.NamesTrouble, Subject: "name/" + f.Subject, Name: f.Subject, Text: f.Reason.Text, Details: map[string]string{"code": f.Reason.Code, "hint": f.Reason.Hint}}
		if f.Service != "" { // several may ask for one name
			e.Subject += "/" + f.Service
			e.Details["service"] = f.Service
		}
		if !there[e.Subject] {
			events = append(events, e)
		}
		there[e.Subject] = true
	}
	for subject, e := range standing {
		if !there[subject] {
			events = append(events, notify.Event{Kind: notify.NamesSound, Subject: subject, Name: e.Name, Text: "over: " + e.Text})
		}
	}
	return events
}
