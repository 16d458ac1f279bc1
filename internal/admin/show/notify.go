package show

import (
	"time"

	"fairway/internal/api"
	"fairway/internal/notify"
)

// Event is an event.
func Event(e notify.Event) api.Event {
	return api.Event{
		ID: e.ID, Kind: string(e.Kind), Severity: string(e.Kind.Severity()), Subject: e.Subject, Name: e.Name,
		At: e.At, Text: e.Text, Details: e.Details,
	}
}

// Time is a time of the clock as the API writes it.
func Time(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Millisecond)
}
