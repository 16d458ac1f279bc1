package notify

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Event is something that happened. Its texts may come from anywhere: Report makes them
// valid UTF-8 without control characters and bounds them.
type Event struct {
	// ID is unique; Report gives one to an event without.
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	// Subject is what it is about, unique and stable: "node/ID", "service/ID",
	// "instance/NAME@SOURCE". Events about one subject reach each receiver in order.
	Subject string `json:"subject"`
	// Name is what a person calls the subject.
	Name string `json:"name"`
	// At is when it happened; Report fills in now.
	At time.Time `json:"at"`
	// Text says it in one sentence without a full stop.
	Text string `json:"text"`
	// Details are further facts, at most 16.
	Details map[string]string `json:"details,omitempty"`
}

// Kind says what happened: a thing and a word about it, "node.down".
type Kind string

// The kinds of events. A kind once released keeps its meaning.
const (
	NodeDown   Kind = "node.down"
	NodeUp     Kind = "node.up"
	NodeJoined Kind = "node.joined"
	NodeLeft   Kind = "node.left"

	ServiceAppeared Kind = "service.appeared"
	ServiceGone     Kind = "service.gone"
	ServiceDeployed Kind = "service.deployed" // all instances run another image than before
	ServiceDown     Kind = "service.down"     // no instance is ready, although one is wanted
	ServiceUp       Kind = "service.up"

	InstanceUnhealthy Kind = "instance.unhealthy"
	InstanceHealthy   Kind = "instance.healthy"

	Flapping Kind = "flapping.begun" // something changes to and fro, and is not reported meanwhile
	Settled  Kind = "flapping.over"

	SourceStale Kind = "source.stale"
	SourceBack  Kind = "source.back"

	DrainClean Kind = "drain.clean" // an endpoint has left with all its requests answered
	DrainCut   Kind = "drain.cut"   // requests were broken off

	NamesTrouble Kind = "names.trouble" // a name is not answered as it ought to be
	NamesSound   Kind = "names.sound"

	RouteDegraded Kind = "route.degraded" // part of what serves a route fails
	RouteDown     Kind = "route.down"     // nothing that serves it works
	RouteHealthy  Kind = "route.healthy"  // it is served as it ought to be, or gone

	HoldBegun Kind = "hold.in-force" // a rollback, pin or maintenance decides what is served
	HoldOver  Kind = "hold.over"

	ProblemNew      Kind = "problem.new" // a label or route is refused
	ProblemSolved   Kind = "problem.solved"
	ConflictNew     Kind = "conflict.new" // two owners claim the same requests
	ConflictSolved  Kind = "conflict.solved"
	RolloutDone     Kind = "rollout.done"
	RolloutFailed   Kind = "rollout.failed"
	CertificateBad  Kind = "certificate.trouble" // it cannot be read, has expired or will soon
	CertificateGood Kind = "certificate.sound"
	RuleFired       Kind = "rule.fired"
	RuleCleared     Kind = "rule.cleared"
	RuleActed       Kind = "rule.acted" // a rule has drained or scaled something, or could not

	Test    Kind = "test"    // an operator asked for it
	Summary Kind = "summary" // several events in one message
)

// Severity says whether an event is good news.
type Severity string

// The severities.
const (
	Good    Severity = "good"
	Bad     Severity = "bad"
	Warning Severity = "warning" // it was asked for, and may be forgotten
	Neutral Severity = "neutral"
)

// conditions are what begins, and what ends it; only a change of these is reported.
var conditions = map[Kind]Kind{
	NodeDown: NodeUp, ServiceDown: ServiceUp, InstanceUnhealthy: InstanceHealthy, Flapping: Settled, SourceStale: SourceBack,
	ProblemNew: ProblemSolved, ConflictNew: ConflictSolved, CertificateBad: CertificateGood, RuleFired: RuleCleared,
	RouteDegraded: RouteHealthy, RouteDown: RouteHealthy, HoldBegun: HoldOver, NamesTrouble: NamesSound,
}

// Kinds lists the kinds that happen, sorted.
func Kinds() []Kind {
	all := []Kind{
		NodeJoined, NodeLeft, ServiceAppeared, ServiceGone, ServiceDeployed,
		DrainClean, DrainCut, RolloutDone, RolloutFailed, RuleActed, Test, Summary,
	}
	for begun, over := range conditions {
		all = append(all, begun, over)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// begins is true for a kind that begins a condition.
func (k Kind) begins() bool {
	_, ok := conditions[k]
	return ok
}

// ends returns the kind that k ends, empty when it ends none.
func (k Kind) ends() Kind {
	for begun, over := range conditions {
		if over == k {
			return begun
		}
	}
	return ""
}

// Severity says whether the kind is good news.
func (k Kind) Severity() Severity {
	switch {
	case k == HoldBegun:
		return Warning
	case k.begins(), k == DrainCut, k == RolloutFailed:
		return Bad
	case k.ends() != "", k == DrainClean, k == RolloutDone, k == ServiceDeployed:
		return Good
	}
	return Neutral
}

// condition names what an event begins or ends; empty when it does neither.
func (e *Event) condition() string {
	begun := e.Kind.ends()
	switch {
	case e.Kind.begins():
		return conditionOf(e.Kind, e.Subject)
	case begun != "":
		return conditionOf(begun, e.Subject)
	}
	return ""
}

// conditionOf names the condition that kind begins. A route has one, of two kinds.
func conditionOf(kind Kind, subject string) string {
	if kind == RouteDown {
		kind = RouteDegraded
	}
	return string(kind) + " " + subject
}

// repeatHold is how often a hold is reported while it is in force.
const repeatHold = 24 * time.Hour

// repeats is true for an event of a condition that stands which says something new: it has
// become worse or better, or must not be forgotten.
func (e *Event) repeats(standing Event) bool {
	return e.Kind.begins() && (e.Kind != standing.Kind || e.Kind == HoldBegun && e.At.Sub(standing.At) >= repeatHold)
}

// The longest texts of an event, in bytes.
const (
	maxName    = 256
	maxSubject = 512
	maxText    = 1000
	maxDetail  = 500
	maxDetails = 16
)

// cleaned returns the event with texts that can be shown anywhere.
func (e Event) cleaned() Event {
	e.Subject, e.Name, e.Text = clean(e.Subject, maxSubject), clean(e.Name, maxName), clean(e.Text, maxText)
	keys := slices.Sorted(maps.Keys(e.Details))
	details := map[string]string{}
	for _, key := range keys[:min(len(keys), maxDetails)] {
		details[clean(key, maxName)] = clean(e.Details[key], maxDetail)
	}
	e.Details = details
	return e
}

// clean makes one visible line of text, of at most limit bytes.
func clean(s string, limit int) string {
	const ellipsis = "…"
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case r == utf8.RuneError, unicode.IsControl(r), hidden(r):
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r)+len(ellipsis) > limit {
			b.WriteString(ellipsis)
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// hidden is true for characters that change how those around them are shown.
func hidden(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) || r >= 0xfe00 && r <= 0xfe0f
}

// quote is a text from outside within a sentence.
func quote(s string) string { return clean(s, 120) }
