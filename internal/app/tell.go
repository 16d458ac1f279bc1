package app

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"fairway/internal/control"
	"fairway/internal/engine/embedded/balance"
	"fairway/internal/files"
	"fairway/internal/fleet"
	"fairway/internal/notify"
	"fairway/internal/route"
)

const (
	// tableEvery is how often the live table is looked at for problems.
	tableEvery = time.Second
	// maxTold is how many problems of one table are told one by one.
	maxTold = 50
	// certificateEvery is how often certificates are looked at.
	certificateEvery = time.Hour
	// drainQuiet: the drains of a service are reported once none of its endpoints has
	// left for this long, and drainLatest after the first of them at the latest.
	drainQuiet  = 2 * time.Second
	drainLatest = 30 * time.Second
	// maxDrained is how many endpoints that have left wait to be told of.
	maxDrained = 1024
	// rolloutEvery is how often rollouts are looked at.
	rolloutEvery = 2 * time.Second
)

// teller tells of what other parts see. Each of its methods runs until its context
// ends and returns nil.
type teller struct {
	notifier *notify.Notifier
	log      *slog.Logger
}

// each calls f at once and then again and again.
func each(ctx context.Context, every time.Duration, f func()) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// problems tells of problems that are new in the live table, and of those that are
// solved. While sources have not answered yet nothing is told.
func (t *teller) problems(ctx context.Context, c *control.Control) error {
	var last *route.Table
	return each(ctx, tableEvery, func() {
		table := c.Table()
		if table == nil || table == last || c.Status().State != control.StateSynced {
			return
		}
		last = table
		t.tableProblems(table.Problems)
	})
}

// tableProblems compares the problems of a table with those that were told.
func (t *teller) tableProblems(problems []route.Problem) {
	standing := map[string]notify.Event{}
	for _, e := range t.notifier.Standing() {
		if e.Kind == notify.ProblemNew || e.Kind == notify.ConflictNew {
			standing[e.Subject] = e
		}
	}
	var begun, over []notify.Event
	there := map[string]bool{}
	for _, p := range problems {
		e := problemEvent(p)
		if _, told := standing[e.Subject]; !told && !there[e.Subject] {
			begun = append(begun, e)
		}
		there[e.Subject] = true
	}
	for subject, e := range standing {
		if !there[subject] {
			e.Kind = map[notify.Kind]notify.Kind{notify.ProblemNew: notify.ProblemSolved, notify.ConflictNew: notify.ConflictSolved}[e.Kind]
			e.ID, e.At, e.Text = "", time.Time{}, "solved: "+e.Text
			over = append(over, e)
		}
	}
	if more := len(begun) - maxTold; more > 0 {
		t.notifier.Suppose(begun[maxTold:]...)
		begun = append(begun[:maxTold], notify.Event{
			Kind: notify.Summary, Subject: "problems", Name: "problems",
			Text: fmt.Sprintf("and %d more labels or routes are refused; fairway problems lists them", more),
		})
	}
	if more := len(over) - maxTold; more > 0 {
		t.notifier.Suppose(over[maxTold:]...)
		over = over[:maxTold]
	}
	_ = t.notifier.Tell(append(begun, over...)...) // what goes wrong is in the log
}

func problemEvent(p route.Problem) notify.Event {
	e := notify.Event{
		Kind: notify.ProblemNew, Name: p.Service,
		Subject: "problem/" + strings.Join([]string{p.Service, p.Route, p.Label, string(p.Code)}, "/"),
		Text:    p.Service + ": " + p.Text,
		Details: map[string]string{"code": string(p.Code), "source": p.Source},
	}
	if p.Code == route.CodeConflict {
		e.Kind = notify.ConflictNew
	}
	for name, value := range map[string]string{"instance": p.Instance, "route": p.Route, "label": p.Label, "hint": p.Hint} {
		if value != "" {
			e.Details[name] = value
		}
	}
	return e
}

// certificates tells of those that cannot be read, have expired or will soon.
func (t *teller) certificates(ctx context.Context, table func() *route.Table) error {
	return each(ctx, certificateEvery, func() {
		live := table()
		if live == nil {
			return
		}
		seen, now := map[string]bool{}, time.Now()
		for _, l := range live.Listeners {
			for _, c := range l.Certificates {
				if !seen[c.CertFile] {
					seen[c.CertFile] = true
					_ = t.notifier.Tell(certificateEvents(c.CertFile, now)...) // what goes wrong is in the log
				}
			}
		}
	})
}

// certificateEvents says how a certificate is doing: one condition each for a
// file that cannot be used, and for each of the times by which it should have
// been renewed.
func certificateEvents(file string, now time.Time) []notify.Event {
	expires, names, err := readExpiry(file)
	var events []notify.Event
	add := func(what string, bad bool, text string) {
		e := notify.Event{Kind: notify.CertificateGood, Subject: "certificate/" + file + "/" + what, Name: file, Text: "certificate " + file + " is sound again"}
		if bad {
			e.Kind, e.Text = notify.CertificateBad, text
		}
		if err == nil {
			e.Details = map[string]string{"expires": expires.UTC().Format(time.RFC3339), "names": names}
		}
		events = append(events, e)
	}
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	add("unreadable", err != nil, "certificate "+file+" cannot be used: "+reason)
	if err != nil {
		return events
	}
	left := expires.Sub(now)
	add("expired", left <= 0, "certificate "+file+" has expired")
	for _, days := range []int{3, 14} {
		add(fmt.Sprintf("%d days", days), left < time.Duration(days)*24*time.Hour, fmt.Sprintf("certificate %s expires within %d days", file, days))
	}
	return events
}

// readExpiry reads the first certificate of a PEM file.
func readExpiry(file string) (expires time.Time, names string, err error) {
	data, err := files.ReadStream(file, maxConfigBytes)
	if err != nil {
		return time.Time{}, "", err
	}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return time.Time{}, "", errors.New("there is no certificate in it")
		}
		if data = rest; block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, "", err
		}
		return cert.NotAfter, strings.Join(cert.DNSNames, " "), nil
	}
}

// drains reports how endpoints have left that drained, together for each service.
func (t *teller) drains(ctx context.Context, left <-chan balance.Drained) error {
	waiting := departures{}
	for {
		var due <-chan time.Time
		if next, ok := waiting.due(); ok {
			due = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case d := <-left:
			waiting.add(d, time.Now())
		case <-due:
		}
		for service, list := range waiting.take(time.Now()) {
			_ = t.notifier.Tell(drainEvent(service, list)) // what goes wrong is in the log
		}
	}
}

// departures are the endpoints that have left and are not reported yet, by service.
type departures map[string]*departure

type departure struct {
	list        []balance.Drained
	first, last time.Time // when one of them has left
}

func (d *departure) due() time.Time {
	due, latest := d.last.Add(drainQuiet), d.first.Add(drainLatest)
	if latest.Before(due) {
		return latest
	}
	return due
}

func (w departures) add(left balance.Drained, now time.Time) {
	d := w[left.Service]
	if d == nil {
		d = &departure{first: now}
		w[left.Service] = d
	}
	d.list, d.last = append(d.list, left), now
}

// due is when the next service is to be reported; false when none waits.
func (w departures) due() (next time.Time, ok bool) {
	for _, d := range w {
		if due := d.due(); !ok || due.Before(next) {
			next, ok = due, true
		}
	}
	return next, ok
}

// take removes and returns the services that are to be reported now.
func (w departures) take(now time.Time) map[string][]balance.Drained {
	taken := map[string][]balance.Drained{}
	for service, d := range w {
		if !now.Before(d.due()) {
			taken[service] = d.list
			delete(w, service)
		}
	}
	return taken
}

// drainEvent tells of the endpoints of one service.
func drainEvent(service string, list []balance.Drained) notify.Event {
	finished, cut := int64(0), uint64(0)
	var took time.Duration
	for _, d := range list {
		finished, cut, took = finished+d.Requests, cut+d.Failed, max(took, d.Took)
	}
	e := notify.Event{Kind: notify.DrainClean, Subject: "service/" + service, Name: service, Details: map[string]string{
		"endpoints": strconv.Itoa(len(list)), "requests": strconv.FormatInt(finished, 10), "took": took.Round(time.Millisecond).String(),
	}}
	e.Text = fmt.Sprintf("service %s: endpoints that have left cleanly: %d, with the requests that they still had: %d", service, len(list), finished)
	if cut > 0 {
		e.Kind = notify.DrainCut
		e.Details["cut"] = strconv.FormatUint(cut, 10)
		e.Text = fmt.Sprintf("service %s: requests that were cut when endpoints left: %d of %d", service, cut, finished)
	}
	return e
}

// rollouts tells how rollouts of the fleet end. Those that ended before are no
// news.
func (t *teller) rollouts(ctx context.Context, f *fleet.Fleet) error {
	seen := map[string]fleet.Rollout{}
	first := true
	return each(ctx, rolloutEvery, func() {
		list, err := f.List()
		if err != nil {
			return // the fleet says so itself
		}
		for _, d := range list {
			r, name := d.Rollout, d.Newest.Document
			before, known := seen[name]
			seen[name] = r
			news := !known || before.Number != r.Number || before.Phase != r.Phase
			if first || !news || r.Number == 0 || !r.Phase.Ended() {
				continue
			}
			_ = t.notifier.Tell(rolloutEvent(name, r)) // what goes wrong is in the log
		}
		first = false
	})
}

func rolloutEvent(document string, r fleet.Rollout) notify.Event {
	e := notify.Event{
		Kind: notify.RolloutDone, Subject: "document/" + document, Name: document,
		Text:    fmt.Sprintf("revision %d of document %s is on all hosts", r.Revision, document),
		Details: map[string]string{"author": r.Author, "message": r.Message, "rollout": strconv.FormatUint(r.Number, 10)},
	}
	if r.Phase != fleet.Done {
		e.Kind = notify.RolloutFailed
		e.Text = fmt.Sprintf("the rollout of revision %d of document %s ended as %s: %s", r.Revision, document, r.Phase, r.Reason)
	}
	return e
}
