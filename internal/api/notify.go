package api

import (
	"context"
	"net/url"
	"time"
)

// The severities of an event.
const (
	SeverityGood    = "good"
	SeverityBad     = "bad"
	SeverityWarning = "warning"
	SeverityNeutral = "neutral"
)

// Event is something that happened and was reported. Events are sorted by time, the
// newest first.
type Event struct {
	// ID is unique, and what receivers know the event by.
	ID string `json:"id"`
	// Kind is a thing and a word about it: "node.down". docs/notify.md lists them.
	Kind string `json:"kind"`
	// Severity is one of the Severity constants.
	Severity string `json:"severity"`
	// Subject is what it is about: "node/ID", "service/ID", "instance/NAME@SOURCE";
	// Name is what a person calls that.
	Subject string    `json:"subject"`
	Name    string    `json:"name"`
	At      time.Time `json:"at"`
	// Text says it in one sentence.
	Text    string            `json:"text"`
	Details map[string]string `json:"details,omitempty"`
}

// EventQuery narrows events down. The zero value narrows nothing.
type EventQuery struct {
	Kind     string    // a kind, or the beginning of some: "node."
	Subject  string    // a subject or a name
	Standing bool      // keeps those that began something which is not over
	Severity string    // one of the Severity constants
	Since    time.Time // keeps those since then
	Limit    int       // how many at most; zero means 100, and 2000 is the most
}

// Events lists what happened.
func (c *Client) Events(ctx context.Context, q EventQuery) (List[Event], error) {
	return list[Event](ctx, c, "/v1/events", url.Values{
		"kind": text(q.Kind), "subject": text(q.Subject), "standing": given(q.Standing), "limit": given(q.Limit),
		"severity": text(q.Severity), "since": moment(q.Since),
	})
}

// Channel is a way on which events are sent. Channels are sorted by name.
type Channel struct {
	Name string `json:"name"`
	// Kind is "webhook", "mail" or "slack".
	Kind string `json:"kind"`
	// Receiver is where it leads, without secrets.
	Receiver string `json:"receiver"`
	// Pending is how many events wait, and Oldest when the first of them happened.
	Pending int       `json:"pending"`
	Oldest  time.Time `json:"oldest,omitzero"`
	// Lost is how many were given up since the last delivery.
	Lost int `json:"lost,omitempty"`
	// LastSuccess and LastFailure are of this run.
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	LastFailure time.Time `json:"lastFailure,omitzero"`
	// Error is what went wrong with the last delivery, and Retry when it is tried
	// again; left out when nothing did.
	Error string    `json:"error,omitempty"`
	Retry time.Time `json:"retry,omitzero"`
}

// Channels lists the channels and how they are doing.
func (c *Client) Channels(ctx context.Context) (List[Channel], error) {
	return list[Channel](ctx, c, "/v1/notify/channels", nil)
}

// Pending lists what waits for a channel, in order, at most limit; zero means 100.
func (c *Client) Pending(ctx context.Context, channel string, limit int) (List[Event], error) {
	return list[Event](ctx, c, "/v1/notify/channels/"+url.PathEscape(channel)+"/pending", url.Values{"limit": given(limit)})
}

// TestChannel sends a test event; an *Error with 502 when it was not taken.
func (c *Client) TestChannel(ctx context.Context, channel string) (Done, error) {
	return post[Done](ctx, c, "/v1/notify/channels/"+url.PathEscape(channel)+"/test", nil)
}

// RuleState is how a rule stands with a subject. They are in the order of the
// configuration, then by subject; a rule that is about nothing there is stands
// there once, without a subject.
type RuleState struct {
	// Rule is the name, When the condition, and Do "notify", "drain" or "scale".
	Rule string `json:"rule"`
	When string `json:"when"`
	Do   string `json:"do"`
	// Subject is the ID of the node, service, instance, route or source, Name what
	// a person calls it.
	Subject string `json:"subject,omitempty"`
	Name    string `json:"name,omitempty"`
	// Value is what the metric last was; left out when that is not known.
	Value string `json:"value,omitempty"`
	// Fired is when the rule fired; left out when it has not, or is over.
	Fired time.Time `json:"fired,omitzero"`
	// Since is since when it is otherwise than that, but not yet for long enough.
	Since time.Time `json:"since,omitzero"`
	// Drained is true while the subject is drained by the rule.
	Drained bool `json:"drained,omitempty"`
}

// Rules lists how the rules stand.
func (c *Client) Rules(ctx context.Context) (List[RuleState], error) {
	return list[RuleState](ctx, c, "/v1/rules", nil)
}
