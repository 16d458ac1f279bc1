// Package observe reports what live tables, certificate files, engines and conditions show.
package observe

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"fairway/internal/condition"
	"fairway/internal/files"
	"fairway/internal/human"
	"fairway/internal/notify"
	"fairway/internal/route"
)

const (
	// tableEvery is the shortest time between two looks at the live table.
	tableEvery = time.Second
	// maxSingle is how many problems of one table, or routes, are reported one by one.
	maxSingle = 50
	// certificateEvery is how often certificates are checked.
	certificateEvery = time.Hour
	// maxCertificate bounds the file of a certificate, in bytes.
	maxCertificate = 1 << 20
)

// Feed publishes live tables or reports. A *feed.Feed[T] is one.
type Feed[T any] interface {
	Newest() *T
	Changed() <-chan struct{}
}

// Observer reports what it observes to a notifier. All fields are required.
type Observer struct {
	Notifier *notify.Notifier
	Tables   Feed[route.Table]
	// Reports says how routes are doing, and what rollback or pin is in force.
	Reports Feed[condition.Report]
	// Settle is how long a route must be doing otherwise before that is reported.
	Settle time.Duration
	// Synced says whether every source has answered; nothing is compared before.
	Synced func() bool
	// Drained are endpoints that have left the engine.
	Drained <-chan Drained
}

// Run observes until ctx ends, then returns nil.
func (o *Observer) Run(ctx context.Context) error {
	var others sync.WaitGroup
	others.Go(func() { o.followDrains(ctx) })
	others.Go(func() { o.followReports(ctx) })
	o.followTables(ctx)
	others.Wait()
	return nil
}

// followTables reports problems, and certificates of listeners, until ctx ends.
func (o *Observer) followTables(ctx context.Context) {
	check := time.NewTicker(certificateEvery)
	defer check.Stop()
	var last *route.Table
	for {
		changed := o.Tables.Changed()
		table := o.Tables.Newest()
		if table != nil && table != last && o.Synced() {
			o.reportProblems(table.Problems)
		}
		if table != nil && last == nil {
			o.reportCertificates(table)
		}
		last = table
		select {
		case <-ctx.Done():
			return
		case <-time.After(tableEvery):
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-check.C:
			if table != nil {
				o.reportCertificates(table)
			}
		}
	}
}

// reportProblems reports what is new in the problems of a table, and what is solved.
func (o *Observer) reportProblems(problems []route.Problem) {
	solved := map[notify.Kind]notify.Kind{notify.ProblemNew: notify.ProblemSolved, notify.ConflictNew: notify.ConflictSolved}
	standing := map[string]notify.Event{}
	for _, e := range o.Notifier.Standing() {
		if solved[e.Kind] != "" {
			standing[e.Subject] = e
		}
	}
	var begun, over []notify.Event
	there := map[string]bool{}
	for _, p := range problems {
		e := problemEvent(p)
		if _, known := standing[e.Subject]; !known && !there[e.Subject] {
			begun = append(begun, e)
		}
		there[e.Subject] = true
	}
	for subject, e := range standing {
		if !there[subject] {
			e.Kind, e.ID, e.At, e.Text = solved[e.Kind], "", time.Time{}, "solved: "+e.Text
			over = append(over, e)
		}
	}
	o.report(begun, over, notify.Event{Subject: "problems", Name: "problems", Text: "labels or routes are refused; fairway problems lists them"})
}

// report reports conditions one by one, maxSingle at most, and in a summary how many more
// have begun.
func (o *Observer) report(begun, over []notify.Event, rest notify.Event) {
	if more := len(begun) - maxSingle; more > 0 {
		o.Notifier.Suppress(begun[maxSingle:]...)
		rest.Kind, rest.Text = notify.Summary, fmt.Sprintf("and %d more %s", more, rest.Text)
		begun = append(begun[:maxSingle], rest)
	}
	if len(over) > maxSingle {
		o.Notifier.Suppress(over[maxSingle:]...)
		over = over[:maxSingle]
	}
	_ = o.Notifier.Report(append(begun, over...)...) // errors are logged
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

// reportCertificates reports those that cannot be read, have expired or will soon. What was
// said of a file that no listener has any more is withdrawn; orders of certificates are
// reported, and withdrawn, by who places them.
func (o *Observer) reportCertificates(table *route.Table) {
	seen, now := map[string]bool{}, time.Now()
	for _, l := range table.Listeners {
		for _, c := range l.Certificates {
			if !seen[c.CertFile] {
				seen[c.CertFile] = true
				_ = o.Notifier.Report(certificateEvents(c.CertFile, now)...) // errors are logged
			}
		}
	}
	if o.Synced() {
		o.Notifier.Forget(notify.CertificateBad, func(subject string) bool {
			file := strings.TrimPrefix(subject[:strings.LastIndex(subject, "/")], "certificate/")
			return !seen[file] && !strings.HasPrefix(subject, orders)
		})
	}
}

// orders begins the subjects of events on orders of certificates.
const orders = "certificate/acme/"

// certificateEvents has a condition for a file that cannot be used, and for each term.
func certificateEvents(file string, now time.Time) []notify.Event {
	cert, err := read(file)
	var events []notify.Event
	add := func(what string, bad bool, text string) {
		e := notify.Event{Kind: notify.CertificateGood, Subject: "certificate/" + file + "/" + what, Name: file, Text: "certificate " + file + " is sound again"}
		if bad {
			e.Kind, e.Text = notify.CertificateBad, "certificate "+file+" "+text
		}
		if err == nil {
			e.Details = map[string]string{"expires": cert.NotAfter.UTC().Format(time.RFC3339), "names": strings.Join(cert.DNSNames, " ")}
		}
		events = append(events, e)
	}
	add("unreadable", err != nil, fmt.Sprintf("cannot be used: %v", err))
	if err != nil {
		return events
	}
	left, life := cert.NotAfter.Sub(now), cert.NotAfter.Sub(cert.NotBefore)
	add("expired", left <= 0, "has expired")
	for _, one := range []struct{ days, part int }{{3, 10}, {14, 5}} { // of a short life a part of it
		term := min(time.Duration(one.days)*24*time.Hour, life/time.Duration(one.part))
		add(fmt.Sprintf("%d days", one.days), left < term, "expires within "+human.Days(term))
	}
	return events
}

// read reads the first certificate of a PEM file.
func read(file string) (*x509.Certificate, error) {
	data, err := files.ReadStream(file, maxCertificate)
	if err != nil {
		return nil, err
	}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("there is no certificate in it")
		}
		if data = rest; block.Type != "CERTIFICATE" {
			continue
		}
		return x509.ParseCertificate(block.Bytes)
	}
}
