// Package observe reports what live tables, certificate files and engines show.
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

	"fairway/internal/files"
	"fairway/internal/notify"
	"fairway/internal/route"
)

const (
	// tableEvery is the shortest time between two looks at the live table.
	tableEvery = time.Second
	// maxSingle is how many problems of one table are reported one by one.
	maxSingle = 50
	// certificateEvery is how often certificates are checked.
	certificateEvery = time.Hour
	// maxCertificate bounds the file of a certificate, in bytes.
	maxCertificate = 1 << 20
)

// Tables publishes live tables. *feed.Feed[route.Table] is one.
type Tables interface {
	Newest() *route.Table
	Changed() <-chan struct{}
}

// Observer reports what it observes to a notifier. All fields are required.
type Observer struct {
	Notifier *notify.Notifier
	Tables   Tables
	// Synced says whether every source has answered; problems are not compared before.
	Synced func() bool
	// Drained are endpoints that have left the engine.
	Drained <-chan Drained
}

// Run observes until ctx ends, then returns nil.
func (o *Observer) Run(ctx context.Context) error {
	var drains sync.WaitGroup
	drains.Go(func() { o.followDrains(ctx) })
	o.followTables(ctx)
	drains.Wait()
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
	if more := len(begun) - maxSingle; more > 0 {
		o.Notifier.Suppress(begun[maxSingle:]...)
		begun = append(begun[:maxSingle], notify.Event{
			Kind: notify.Summary, Subject: "problems", Name: "problems",
			Text: fmt.Sprintf("and %d more labels or routes are refused; fairway problems lists them", more),
		})
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

// reportCertificates reports those that cannot be read, have expired or will soon.
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
}

// certificateEvents has a condition for a file that cannot be used, and for each term.
func certificateEvents(file string, now time.Time) []notify.Event {
	expires, names, err := readExpiry(file)
	var events []notify.Event
	add := func(what string, bad bool, text string) {
		e := notify.Event{Kind: notify.CertificateGood, Subject: "certificate/" + file + "/" + what, Name: file, Text: "certificate " + file + " is sound again"}
		if bad {
			e.Kind, e.Text = notify.CertificateBad, "certificate "+file+" "+text
		}
		if err == nil {
			e.Details = map[string]string{"expires": expires.UTC().Format(time.RFC3339), "names": names}
		}
		events = append(events, e)
	}
	add("unreadable", err != nil, fmt.Sprintf("cannot be used: %v", err))
	if err != nil {
		return events
	}
	left := expires.Sub(now)
	add("expired", left <= 0, "has expired")
	for _, days := range []int{3, 14} {
		add(fmt.Sprintf("%d days", days), left < time.Duration(days)*24*time.Hour, fmt.Sprintf("expires within %d days", days))
	}
	return events
}

// readExpiry reads the first certificate of a PEM file.
func readExpiry(file string) (expires time.Time, names string, err error) {
	data, err := files.ReadStream(file, maxCertificate)
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
