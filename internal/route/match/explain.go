package match

import (
	"fmt"

	"fairway/internal/route"
)

// Explanation says which route takes a request, and why every other does not.
type Explanation struct {
	// Winner is the ID of the route that takes the request, and Match the one of
	// its matches that does; both are empty when no route takes it.
	Winner, Match string
	// Losers are the other routes, in the order of precedence of their best match.
	Losers []Loser
}

// Loser is a route that does not take the request. When Part is set, the request
// does not fit the route; else it does, and another route goes first.
type Loser struct {
	// Route is the ID of the route; Match is the match of it that comes nearest.
	Route, Match string
	// Part names what is looked at by the first condition that fails: "host",
	// "path", "method", "header X-Env", "query q", "client IP", "listener".
	Part string
	// Expected is the condition, as in the text of a Match; Actual is what the
	// request has there, ready to be printed, and empty when it has nothing.
	Expected, Actual string
	// Behind is the ID of the winner when the route would take the request too,
	// and Reason says by what the winner goes first, in words in Because.
	Behind  string
	Reason  Reason
	Because string
}

// Reason says by what one route goes before another.
type Reason string

// The reasons, the weightiest first.
const (
	ReasonPriority   Reason = "priority"   // higher priority
	ReasonHost       Reason = "host"       // more specific host
	ReasonPath       Reason = "path"       // longer path
	ReasonPathKind   Reason = "path-kind"  // exact before regexp before prefix before start, of equal length
	ReasonConditions Reason = "conditions" // more conditions
	ReasonClaim      Reason = "claim"      // earlier claim
	ReasonID         Reason = "id"         // nothing but the order of IDs
)

// Explain does what Find does and says why. It looks at every route, one after
// the other, so it is for people and not for traffic.
func (m *Matcher) Explain(r *route.Request) Explanation {
	var winner *entry
	nearest := map[*route.Route]*verdict{}
	var order []*verdict // one for each route, by its best match
	for _, e := range m.entries {
		v := judge(e, r)
		if winner == nil && v.Part == "" {
			winner = e
		}
		known := nearest[e.route]
		if known == nil {
			nearest[e.route] = &v
			order = append(order, &v)
		} else if v.nearer(known) {
			*known = v
		}
	}
	var x Explanation
	if winner != nil {
		x.Winner, x.Match = winner.route.ID, winner.match.Match.String()
	}
	for _, v := range order {
		if winner == nil || v.entry.route != winner.route {
			x.Losers = append(x.Losers, v.loser(winner))
		}
	}
	return x
}

// verdict says how far a request gets with an entry; Part is empty when it fits.
type verdict struct {
	Loser  // Part, Expected and Actual of it
	entry  *entry
	passed int // number of conditions that hold, in their order
}

// nearer compares with a verdict on the same route that goes first.
func (v *verdict) nearer(other *verdict) bool {
	return other.Part != "" && (v.Part == "" || v.passed > other.passed)
}

func judge(e *entry, r *route.Request) verdict {
	v := verdict{entry: e}
	v.passed, v.Part, v.Expected, v.Actual = e.match.Test(r)
	return v
}

func (v *verdict) loser(winner *entry) Loser {
	l := v.Loser
	l.Route, l.Match = v.entry.route.ID, v.entry.match.Match.String()
	if l.Part == "" {
		l.Behind = winner.route.ID
		_, l.Reason = compareEntries(winner, v.entry)
		l.Because = because(l.Reason, winner, v.entry)
	}
	return l
}

func because(reason Reason, winner, loser *entry) string {
	w, l := winner.match.Match, loser.match.Match
	switch reason {
	case ReasonPriority:
		return fmt.Sprintf("higher priority (%d, not %d)", winner.route.Priority, loser.route.Priority)
	case ReasonHost:
		if w.Host.Kind == l.Host.Kind {
			return fmt.Sprintf("longer host (%s, not %s)", w.Host, l.Host)
		}
		return fmt.Sprintf("more specific host (%s, not %s)", w.Host.Kind, l.Host.Kind)
	case ReasonPath:
		return fmt.Sprintf("longer path (%s, not %s)", w.Path, l.Path)
	case ReasonPathKind:
		return fmt.Sprintf("more specific path (%s, not %s)", w.Path.Kind, l.Path.Kind)
	case ReasonConditions:
		return fmt.Sprintf("more conditions (%d, not %d)", len(w.Conditions), len(l.Conditions))
	case ReasonClaim:
		return fmt.Sprintf("earlier claim (%d, not %d)", winner.route.Claim, loser.route.Claim)
	}
	return "lower ID"
}
