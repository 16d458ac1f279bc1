package observe

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"fairway/internal/notify"
)

// Drains of a service are reported after drainQuiet without one, or after drainLatest.
const (
	drainQuiet  = 2 * time.Second
	drainLatest = 30 * time.Second
)

// Drained is an endpoint that has left.
type Drained struct {
	// Service is the ID of its service.
	Service string
	// Requests are what it was busy with when it left; Failed had no answer.
	Requests int64
	Failed   uint64
	// Took is how long it was until the last of them was over.
	Took time.Duration
}

// followDrains reports how endpoints have left, together by service, until ctx ends.
func (o *Observer) followDrains(ctx context.Context) {
	waiting := departures{}
	for {
		var due <-chan time.Time
		if next, ok := waiting.due(); ok {
			due = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case d := <-o.Drained:
			waiting.add(d, time.Now())
		case <-due:
		}
		for service, list := range waiting.take(time.Now()) {
			_ = o.Notifier.Report(drainEvent(service, list)) // errors are logged
		}
	}
}

// departures are the endpoints that have left and are not reported yet, by service.
type departures map[string]*departure

type departure struct {
	list        []Drained
	due, latest time.Time // when they are to be reported
}

func (w departures) add(left Drained, now time.Time) {
	d := w[left.Service]
	if d == nil {
		d = &departure{latest: now.Add(drainLatest)}
		w[left.Service] = d
	}
	d.list, d.due = append(d.list, left), now.Add(drainQuiet)
	if d.due.After(d.latest) {
		d.due = d.latest
	}
}

// due is when the next service is to be reported; false when none waits.
func (w departures) due() (next time.Time, ok bool) {
	for _, d := range w {
		if !ok || d.due.Before(next) {
			next, ok = d.due, true
		}
	}
	return next, ok
}

// take removes and returns the services that are to be reported now.
func (w departures) take(now time.Time) map[string][]Drained {
	taken := map[string][]Drained{}
	for service, d := range w {
		if !now.Before(d.due) {
			taken[service] = d.list
			delete(w, service)
		}
	}
	return taken
}

// drainEvent reports the endpoints of one service that have left.
func drainEvent(service string, list []Drained) notify.Event {
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
