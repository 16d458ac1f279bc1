package render

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/route"
	"fairway/internal/route/match"
)

// Routing is one lookup in a map for each kind of host, most specific first. A key
// is what stands for the host, the canonical path, and ">", which no canonical path has:
// the longest key that a request begins with stands for all matches that take it. Which
// of them wins is decided here.
//
//	prefix /demo   host/demo>  host/demo/
//	prefix /       host/
//	exact  /demo   host/demo>
//	start  /de     host/de
//
// Other matches are rules of their own, see guarded.go.

// ending marks the end of the path in a key.
const ending = ">"

// What stands for hosts in keys. No canonical host begins like this.
const (
	wildcardMark = "."
	deepMark     = ".."
	anyMark      = "*"
)

// hostKey is what stands for a host in keys.
func hostKey(h route.Host) string {
	switch h.Kind {
	case route.HostWildcard:
		return wildcardMark + h.Value
	case route.HostDeep:
		return deepMark + h.Value
	case route.HostAny:
		return anyMark
	}
	return h.Value
}

// keysOf are the keys of a match; none when keys cannot express it.
func keysOf(m *route.Match) []string {
	if len(m.Conditions) > 0 || m.Host.Kind == route.HostRegexp || m.Path.Kind == route.PathRegexp {
		return nil
	}
	key := hostKey(m.Host) + m.Path.Value
	switch {
	case m.Path.Kind == route.PathExact:
		return []string{key + ending}
	case m.Path.Kind == route.PathStart, m.Path.Value == "/":
		return []string{key}
	}
	return []string{key + ending, key + "/"}
}

// listenerMark ends the listener in a key for connections.
const listenerMark = "!"

// tcpKeysOf are the keys of a match for connections: a listener, and that of the host.
func tcpKeysOf(m *route.Match) (keys []string) {
	if len(m.Conditions) != 1 || m.Conditions[0].Kind != route.ConditionListener || m.Conditions[0].Not || m.Host.Kind == route.HostRegexp {
		return nil
	}
	for _, listener := range m.Conditions[0].Values {
		keys = append(keys, listenerWord(listener)+listenerMark+hostKey(m.Host)+ending)
	}
	return keys
}

// claims are matches: simple ones at their keys, and guarded ones, which have none.
type claims struct{ simple, guarded []claim }

// claim is a match with the value of its route.
type claim struct {
	key   string
	route *route.Route
	match int
	value string
}

// compare is the order of precedence.
func (c claim) compare(other claim) int {
	return match.Compare(c.route, c.match, other.route, other.match)
}

// routeEntries is the map of routes: the winner at each key, ranked among guarded matches.
func routeEntries(c claims) []MapEntry {
	slices.SortFunc(c.simple, func(a, b claim) int { return strings.Compare(a.key, b.key) })
	entries := make([]MapEntry, 0, len(c.simple))
	var above []claim // winners at the keys that the current one begins with
	for i := 0; i < len(c.simple); {
		key := c.simple[i].key
		for len(above) > 0 && !strings.HasPrefix(key, above[len(above)-1].key) {
			above = above[:len(above)-1]
		}
		best := c.simple[i]
		for i++; i < len(c.simple) && c.simple[i].key == key; i++ {
			best = better(best, c.simple[i])
		}
		if len(above) > 0 {
			best = better(best, above[len(above)-1])
		}
		best.key = key
		above = append(above, best)
		rank, _ := slices.BinarySearchFunc(c.guarded, best, claim.compare)
		entries = append(entries, MapEntry{Key: key, Value: withRank(best.value, rank)})
	}
	return entries
}

// better returns the claim that goes before the other.
func better(a, b claim) claim {
	if b.compare(a) < 0 {
		return b
	}
	return a
}

// The fields of a value in the map of routes, separated by "|". Those from fieldMore on
// are there when one of them is needed, or the section is no shared one.
const (
	fieldSection  = 1 // where it is served
	fieldToken    = 2 // the route
	fieldRank     = 3 // how many guarded matches go before
	fieldPriority = 4
	fieldMore     = 5
	fieldStrip    = 6 // segments to take off the path
	fieldTimeout  = 7 // of the response header, in ms
	fieldHold     = 8 // in ms
	fieldHTTPS    = 9 // redirect: status.port.forwarded
	fieldError    = 10
	fieldTunnel   = 11 // idle time of upgraded connections, in ms
	fieldUpgrade  = 12 // protocols beside WebSocket, separated by commas
	fieldPause    = 13 // of a client that sends a body, in ms
	fieldPages    = 14 // the set of pages of errors
)

// What is in fieldMore: whether fields follow.
const plainMark, moreMark = "!", "~"

// priorityBase is added to priorities: HAProxy reads no sign in the text of a number.
const priorityBase = 1_000_000

// rankMark stands for the rank until it is known.
const rankMark = "\x00"

func withRank(value string, rank int) string { return strings.Replace(value, rankMark, itoa(rank), 1) }

// valueOf is the value of a route in the map of routes, with its backend or nil.
func valueOf(q *route.Route, b *route.Backend, section string) string {
	f := make([]string, fieldPages+1)
	f[fieldSection], f[fieldToken], f[fieldRank], f[fieldPriority] = section, RouteKey(q.ID), rankMark, itoa(q.Priority+priorityBase)
	if q.Refused != "" {
		f[fieldError] = "route-refused"
	} else {
		for field, d := range map[int]time.Duration{fieldTimeout: q.Timeout, fieldHold: q.Hold, fieldTunnel: q.Idle, fieldPause: q.BodyTimeout} {
			if ms := d.Milliseconds(); ms != 0 {
				f[field] = strconv.FormatInt(ms, 10)
			}
		}
		f[fieldPages] = q.ErrorPages
		if b != nil {
			f[fieldUpgrade] = strings.Join(b.Upgrade, ",")
		}
		if isShareable(q) { // else its section has the rest
			addFilters(f, q)
		}
	}
	dedicated := section == answersSection || strings.HasPrefix(section, dedicatedPrefix)
	if !dedicated && strings.Join(f[fieldMore:], "") == "" {
		f[fieldMore] = plainMark
		return strings.Join(f[1:fieldMore+1], "|")
	}
	f[fieldMore] = moreMark
	return strings.Join(f[1:], "|")
}

// addFilters adds the fields that stand for the filters of a route.
func addFilters(f []string, q *route.Route) {
	for i := range q.Filters {
		if strip := q.Filters[i].StripPrefix; strip != nil {
			f[fieldStrip] = itoa(strings.Count(strip.Prefix, "/"))
		}
		if https := q.Filters[i].RedirectHTTPS; https != nil {
			status := ""
			if https.Status != 0 {
				status = itoa(https.Status)
			}
			kind := map[route.ForwardedProto]string{
				route.ForwardedNone: "own", route.ForwardedWhenHTTP: "when", route.ForwardedUnlessHTTPS: "unless",
			}[https.Forwarded]
			f[fieldHTTPS] = status + "." + httpsPort(https) + "." + kind
		}
	}
	if q.Backend == "" {
		f[fieldError] = "no-backend"
	}
}
