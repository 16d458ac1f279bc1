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

// claim is what a route asks for so that no route of another owner can have the
// same: Match.Key. Priority is no part of it, or a stranger could take the very
// same requests by a higher one.
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

// claimant is a route as it can be served, with what it claims. It is built once, and
// takes part in every contest as long as its service stays the same.
type claimant struct {
	plan    *plan
	route   route.Route    // without Claim and Backend
	backend *route.Backend // without ID; nil for none
	claims  []claim        // sorted, each once
	label   string         // the label that first says what is taken
	user    string         // the label that names the user file
	rank    string         // decides between services of Docker Flow; see favoured
	group   string         // of services of Docker Flow that share a backend; see joins
	// problems are those of the instances; they count when the route is served.
	problems []route.Problem

	// made is the route of the last compile, as it went into the table, with the backends
	// of madeOf; closed is the claimant that took its place last, see closedBy.
	made   *route.Route
	madeOf []*claimant
	closed *claimant

	contest
}

// contest is how a claimant fares in one compile.
type contest struct {
	// before is the route of the same ID and service in the table before, nil for none;
	// kept is true when it had the same claims.
	before *route.Route
	kept   bool
	seated bool      // it is in
	number uint64    // its place in the queue, once it is in
	winner *claimant // who has what it wants, when it is not in
	lost   claim     // what that is; empty when it is the route's ID
	// members are the claimants that share its backend instead of losing to it.
	members []*claimant
}

// idle reports whether nothing of its owner runs. A route that needs no instance, and
// whose service has none, is served all the same: a redirect in a services file.
func (c *claimant) idle() bool {
	alone := c.backend == nil && c.route.Refused == "" && len(c.plan.service.Instances) == 0
	return c.plan.idle && !alone
}

// decide decides who has which claim.
//
// Of two routes of one service the first one by name has the claim. A route that
// was in the table before with the same claims keeps its number and
// cannot lose to a newcomer. Then come routes that were there before with some of
// the claims, which no other route may take while they ask for them; then all others.
// Whoever asks for the same requests as before keeps its number; all others are
// numbered in the order in which their services were created. A route loses as a
// whole. Docker Flow's services may have an order of their own; see favoured. Behind
// all of these come the routes of idle services.
func decide(all []*claimant, newest uint64) {
	order := make([]*claimant, 0, len(all))
	var home map[claim]*claimant       // what earlier routes of the same service want
	incumbent := map[claim]*claimant{} // for routes that were there with other claims
	for i := range all {
		c := all[i]
		if i == 0 || all[i-1].plan != c.plan {
			home = nil
			if i+1 < len(all) && all[i+1].plan == c.plan {
				home = map[claim]*claimant{}
			}
		}
		if !c.asksAtHome(home) {
			continue
		}
		order = append(order, c)
		if c.before == nil || c.kept || c.idle() {
			continue
		}
		had := claimsOf(c.before)
		for _, want := range c.claims {
			if !slices.Contains(had, want) {
				continue
			}
			if i := incumbent[want]; i == nil || c.before.Claim < i.before.Claim {
				incumbent[want] = c
			}
		}
	}
	slices.SortStableFunc(order, compareClaimants)
	first := favoured(order)
	ids := make(map[string]*claimant, len(all))
	taken := make(map[claim]*claimant, len(all))
	var newcomers []*claimant
	for _, c := range slices.Concat(first, order) {
		if c.seated || c.winner != nil {
			continue
		}
		c.winner = ids[c.route.ID]
		for _, want := range c.claims {
			if c.winner != nil {
				break
			}
			c.lost = want
			c.winner = taken[want]
			if i := incumbent[want]; c.winner == nil && i != nil && i != c && i.winner == nil && !i.yields(c) {
				c.winner = i
			}
		}
		if c.winner != nil {
			continue
		}
		c.seated = true
		ids[c.route.ID] = c
		for _, want := range c.claims {
			taken[want] = c
		}
		if c.kept {
			c.number = c.before.Claim
		} else {
			newcomers = append(newcomers, c)
		}
	}
	slices.SortStableFunc(newcomers, compareNewcomers)
	for _, c := range newcomers {
		newest++
		c.number = newest
	}
	for _, c := range order {
		c.name(taken)
		if c.joins() {
			c.winner.members = append(c.winner.members, c)
		}
	}
}

// joins says whether a claimant that lost gives its endpoints to the winner:
// both name the same group of Docker Flow, and ask for the same connections.
func (c *claimant) joins() bool {
	return c.winner != nil && c.winner.seated && c.group != "" && c.group == c.winner.group &&
		c.backend != nil && c.winner.backend != nil && slices.Equal(c.claims, c.winner.claims)
}

// favoured returns the routes that go before all others: those of Docker Flow's
// services with an aclName that contest their claims only with routes that have a
// higher one. Who sets an aclName yields to lower ones, as with Docker Flow; who
// does not is never made to.
func favoured(order []*claimant) []*claimant {
	var ranked []*claimant
	for _, c := range order {
		if c.rank != "" && !c.idle() {
			ranked = append(ranked, c)
		}
	}
	if len(ranked) < 2 {
		return nil
	}
	rivals := map[claim][]*claimant{}
	for _, c := range order {
		if c.idle() {
			continue
		}
		for _, want := range c.claims {
			rivals[want] = append(rivals[want], c)
		}
	}
	return slices.DeleteFunc(ranked, func(c *claimant) bool {
		contested := false
		for _, want := range c.claims {
			for _, r := range rivals[want] {
				if r != c && !r.yields(c) {
					return true
				}
				contested = contested || r != c
			}
		}
		return !contested
	})
}

// yields says whether c lets other go first because of their names.
func (c *claimant) yields(other *claimant) bool {
	return other.rank != "" && other.rank < c.rank
}

// name settles which winner a loser's problem names: the one that has the first of its claims
// that is taken, however the contest went.
func (c *claimant) name(taken map[claim]*claimant) {
	if c.winner == nil || c.lost == "" {
		return
	}
	for _, want := range c.claims {
		if w := taken[want]; w != nil {
			c.winner, c.lost = w, want
			return
		}
	}
}

// asksAtHome enters what c wants into home, which holds what the routes of the
// same service want that come before it. It returns false, and who has it, when
// one of them wants the same. A nil home is that of a service with one route.
func (c *claimant) asksAtHome(home map[claim]*claimant) bool {
	for _, want := range c.claims {
		if first := home[want]; first != nil {
			c.winner, c.lost = first, want
			return false
		}
	}
	if home != nil {
		for _, want := range c.claims {
			home[want] = c
		}
	}
	return true
}

// compareClaimants orders claimants by who is asked first.
func compareClaimants(a, b *claimant) int {
	class := func(c *claimant) int {
		n := 2
		switch {
		case c.kept:
			n = 0
		case c.before != nil:
			n = 1
		}
		if c.idle() {
			n += 3
		}
		return n
	}
	if n := cmp.Compare(class(a), class(b)); n != 0 {
		return n
	}
	if a.before != nil {
		return cmp.Or(cmp.Compare(a.before.Claim, b.before.Claim), strings.Compare(a.route.ID, b.route.ID))
	}
	return compareNewcomers(a, b)
}

// compareNewcomers orders routes that no table knows: the older service first,
// unknown ages last, then by ID.
func compareNewcomers(a, b *claimant) int {
	x, y := a.plan.service.Created, b.plan.service.Created
	if x.IsZero() != y.IsZero() {
		if x.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(x.Compare(y), strings.Compare(a.route.ID, b.route.ID))
}

// conflict is the problem of a claimant that lost.
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
	p := c.plan.problem(origin{o.Source, o.Instance}, c.route.ID, c.label, draft.Refuse(route.CodeConflict, text, hint))
	return p
}

// of names the instance whose labels made a route, if there is one.
func of(instance string) string {
	if instance == "" {
		return ""
	}
	return " (" + chars.Printable(instance) + ")"
}
