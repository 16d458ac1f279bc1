package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// claim is Match.Key, which no two routes can have. Priority is no part of it, or a
// stranger could take the very same requests by a higher one.
type claim string

// claimsOf returns the claims of a route, sorted, each once.
func claimsOf(r *route.Route) []claim {
	claims := make([]claim, len(r.Matches))
	for i, m := range r.Matches {
		claims[i] = claim(m.Key())
	}
	slices.Sort(claims)
	return slices.Compact(claims)
}

// contest is how a claimant fares in one compile.
type contest struct {
	// before is the route of the same ID and service in the table before, nil for none,
	// had its claims; kept is true when they are the same.
	before *route.Route
	had    []claim
	kept   bool
	rank   rank
	number uint64    // its place in the queue, once it is accepted
	winner *claimant // who has what it wants; nil once it is accepted
	lost   claim     // what that is; empty when it is the route's ID
	// members are the claimants that share its backend instead of losing to it.
	members []*claimant
}

// rank says who is asked first: the lower one.
type rank int

const (
	rankNamed   rank = iota // goes first by its name; see ranked
	rankKept                // was there with the same claims
	rankChanged             // was there with other claims
	rankLate                // likewise, and wants what another one of them had
	rankNew
	rankIdle // is added to the others: nothing of the service runs
)

// idle reports whether nothing of its owner runs that has to: a redirect in a services
// file needs no instance.
func (c *claimant) idle() bool {
	alone := c.backend == nil && c.route.Refused == "" && len(c.plan.service.Instances) == 0
	return c.plan.idle && !alone
}

// decide decides who has which claim, in the order of the ranks, then of the ages of
// routes and services. A route loses as a whole. Routes of one service settle among
// themselves: the first by name has the claim, even if it loses to another service,
// because it may protect what the next one would serve.
//
// Who asks for the same requests as before keeps its number; all others are numbered
// in the order in which their services were created.
func decide(all []*claimant, newest uint64) {
	order := make([]*claimant, 0, len(all))
	rivals := make(map[claim][]*claimant, len(all))
	for _, c := range all {
		if c.losesAtHome(rivals) {
			continue
		}
		order = append(order, c)
		for _, want := range c.claims {
			rivals[want] = append(rivals[want], c)
		}
	}
	for _, c := range order {
		c.rank = c.ranked(rivals)
	}
	slices.SortStableFunc(order, func(a, b *claimant) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.age(), b.age()), compareNewcomers(a, b))
	})
	taken := make(map[claim]*claimant, 2*len(all))
	var newcomers, losers []*claimant
	for _, c := range order {
		if winner, _ := c.takenBy(taken); winner != nil {
			losers = append(losers, c)
			continue
		}
		for _, want := range append(c.claims[:len(c.claims):len(c.claims)], c.identity()) {
			taken[want] = c
		}
		if c.number = c.age(); !c.kept {
			newcomers = append(newcomers, c)
		}
	}
	slices.SortStableFunc(newcomers, compareNewcomers)
	for _, c := range newcomers {
		newest++
		c.number = newest
	}
	for _, c := range losers { // only now is it known who has the first of their claims
		if c.winner, c.lost = c.takenBy(taken); c.joins() {
			c.winner.members = append(c.winner.members, c)
		}
	}
}

// losesAtHome says whether a route of the same service wants the same, and notes it.
// rivals holds the routes that come before it, those of its own service last.
func (c *claimant) losesAtHome(rivals map[claim][]*claimant) bool {
	for _, want := range c.claims {
		if asking := rivals[want]; len(asking) > 0 && asking[len(asking)-1].plan == c.plan {
			c.winner, c.lost = asking[len(asking)-1], want
			return true
		}
	}
	return false
}

// identity is a claim on the ID of the route. No Match.Key is like it.
func (c *claimant) identity() claim { return claim("\x00" + c.route.ID) }

// takenBy returns who has something that c wants, and what; an empty claim is the ID.
func (c *claimant) takenBy(taken map[claim]*claimant) (*claimant, claim) {
	if winner := taken[c.identity()]; winner != nil {
		return winner, ""
	}
	for _, want := range c.claims {
		if winner := taken[want]; winner != nil {
			return winner, want
		}
	}
	return nil, ""
}

// ranked returns the rank of a claimant among those that want the same.
//
// With Docker Flow, of two services with an aclName the lower name goes first. That is no
// order of them all, for some have none, so a name counts only where all yield to it.
func (c *claimant) ranked(rivals map[claim][]*claimant) rank {
	r, contested, yielding, late := rankNew, false, true, false
	changed := c.before != nil && !c.kept
	for _, want := range c.claims {
		if c.draft.Rank == "" && !changed {
			break // it does not depend on the others
		}
		for _, other := range rivals[want] {
			if other == c || other.idle() {
				continue
			}
			contested = true
			yields := c.draft.Rank != "" && c.draft.Rank < other.draft.Rank
			yielding = yielding && yields
			late = late || !yields && !other.kept && slices.Contains(other.had, want)
		}
	}
	switch {
	case c.draft.Rank != "" && contested && yielding && !c.idle():
		return rankNamed
	case c.kept:
		r = rankKept
	case changed && late:
		r = rankLate
	case changed:
		r = rankChanged
	}
	if c.idle() {
		r += rankIdle
	}
	return r
}

// age is the number of the route in the table before; zero for none.
func (c *claimant) age() uint64 {
	if c.before == nil {
		return 0
	}
	return c.before.Claim
}

// joins says whether a claimant that lost gives its endpoints to the winner: both name the
// same group, ask for the same connections, and are of one owner.
func (c *claimant) joins() bool {
	return c.winner != nil && c.winner.winner == nil && c.plan.rights == c.winner.plan.rights && c.draft.Group != "" && c.draft.Group == c.winner.draft.Group &&
		(c.backend == nil) == (c.winner.backend == nil) && slices.Equal(c.claims, c.winner.claims)
}

// compareNewcomers orders by the ages of services, unknown ones last, then by ID.
func compareNewcomers(a, b *claimant) int {
	x, y := a.plan.service.Created, b.plan.service.Created
	if x.IsZero() != y.IsZero() {
		return y.Compare(x)
	}
	return cmp.Or(x.Compare(y), strings.Compare(a.route.ID, b.route.ID))
}

func (c *claimant) conflict() route.Problem {
	won, o := c.winner.route, c.route.Origin
	text := fmt.Sprintf("route %s already takes the same requests", chars.Printable(won.ID))
	hint := "take another host or path, or remove the other route"
	switch {
	case c.lost == "":
		text, hint = fmt.Sprintf("service %s already has a route of the ID %s", chars.Printable(won.Service), chars.Printable(won.ID)), "rename the service or the route"
	case c.idle() && !c.winner.idle():
		text = fmt.Sprintf("nothing of it runs, so service %s%s takes the same requests", chars.Printable(won.Service), of(won.Origin.Instance))
		hint = "remove it, or stop the other one before this one is started"
		if strings.HasPrefix(o.Source, "docker") {
			hint = "run docker rm " + o.Instance + ", or stop the other one before this one is started"
		}
	case won.Service != c.route.Service:
		text = fmt.Sprintf("service %s%s already takes the same requests", chars.Printable(won.Service), of(won.Origin.Instance))
	}
	for _, m := range c.route.Matches {
		if claim(m.Key()) == c.lost {
			text += ": " + chars.Printable(m.String()) // the claim itself holds secrets
			break
		}
	}
	return c.problem(c.draft.Label, draft.Refuse(route.CodeConflict, text, hint))
}

// of names the instance whose labels made a route, if there is one.
func of(instance string) string {
	if instance == "" {
		return ""
	}
	return " (" + chars.Printable(instance) + ")"
}
