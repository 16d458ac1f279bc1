package render

import (
	"slices"
	"sort"
	"strconv"
	"strings"

	"fairway/internal/route"
)

// Routing is one lookup in a map for each kind of host, most specific first. A key
// is what stands for the host, the canonical path, and ">", which no canonical
// path has: with the longest key that a request begins with, the lookup finds all
// matches that take it. Which of them wins is decided here, once for each key.
//
//	prefix /demo   host/demo>  host/demo/
//	prefix /       host/
//	exact  /demo   host/demo>
//	start  /de     host/de
//
// Matches that ask for more than host and path, or for them by an expression, are
// rules of their own, see guarded.

// ending marks the end of the path in a key.
const ending = ">"

// What stands for hosts in keys. No canonical host begins like this.
const (
	wildcardMark = "."
	deepMark     = ".."
	anyMark      = "*"
)

// isSimple is true for matches that keys can express.
func isSimple(m *route.Match) bool {
	return len(m.Conditions) == 0 && m.Host.Kind != route.HostRegexp && m.Path.Kind != route.PathRegexp
}

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

// appendKeys appends the keys of a simple match.
func appendKeys(keys []string, m *route.Match) []string {
	host, path := hostKey(m.Host), m.Path.Value
	switch {
	case m.Path.Kind == route.PathExact:
		return append(keys, host+path+ending)
	case m.Path.Kind == route.PathStart, path == "/":
		return append(keys, host+path)
	}
	exact := host + path + "/>"
	return append(keys, exact[:len(exact)-2]+ending, exact[:len(exact)-1])
}

// isSimpleTCP is isSimple for the connections of TCP listeners, all of which ask
// for their listeners.
func isSimpleTCP(m *route.Match) bool {
	return len(m.Conditions) == 1 && m.Conditions[0].Kind == route.ConditionListener && !m.Conditions[0].Not &&
		m.Host.Kind != route.HostRegexp
}

// listenerMark ends the listener in a key for connections.
const listenerMark = "!"

// tcpKeys are the keys of a simple match for connections: the listener, and what
// stands for the host.
func tcpKeys(m *route.Match) (keys []string) {
	for _, listener := range m.Conditions[0].Values {
		keys = append(keys, listenerWord(listener)+listenerMark+hostKey(m.Host)+ending)
	}
	return keys
}

// claim is a simple match at one of its keys, or a guarded one, which has none.
type claim struct {
	key   string
	route *route.Route
	match int
	value string
}

// routeEntries is the map of routes: the winner at each key. Values come without
// the rank among guarded matches, which is put in here.
func routeEntries(claims []claim, guards []claim) []MapEntry {
	slices.SortFunc(claims, func(a, b claim) int { return strings.Compare(a.key, b.key) })
	entries := make([]MapEntry, 0, len(claims))
	var above []claim // winners at the keys that the current one begins with
	for i := 0; i < len(claims); {
		key := claims[i].key
		for len(above) > 0 && !strings.HasPrefix(key, above[len(above)-1].key) {
			above = above[:len(above)-1]
		}
		best := claims[i]
		for i++; i < len(claims) && claims[i].key == key; i++ {
			best = better(best, claims[i])
		}
		if len(above) > 0 {
			best = better(best, above[len(above)-1])
		}
		best.key = key
		above = append(above, best)
		entries = append(entries, MapEntry{Key: key, Value: ranked(best, guards)})
	}
	return entries
}

// better returns the claim that goes before the other.
func better(a, b claim) claim {
	if a.route != b.route || a.match != b.match {
		if route.Compare(b.route, b.match, a.route, a.match) < 0 {
			return b
		}
	}
	return a
}

// ranked puts the number of guarded matches that go before the claim into its
// value.
func ranked(c claim, guards []claim) string {
	rank := 0
	if len(guards) > 0 {
		rank = sort.Search(len(guards), func(i int) bool {
			return route.Compare(c.route, c.match, guards[i].route, guards[i].match) < 0
		})
	}
	return withRank(c.value, rank)
}

// The fields of a value in the map of routes, separated by "|". Those behind
// fieldMore are there only when one of them is needed, or the section is no shared
// one, as the mark in fieldMore says.
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
)

const moreMark = "~"

// priorityBase is added to priorities, because HAProxy reads no sign in the text of a
// number.
const priorityBase = 1_000_000

// rankMark stands for the rank until it is known.
const rankMark = "\x00"

func withRank(value string, rank int) string {
	i := strings.Index(value, rankMark)
	return value[:i] + strconv.Itoa(rank) + value[i+1:]
}

// knobs are what a route of a section that it shares with others may have.
type knobs struct {
	strip   int
	timeout int64
	hold    int64
	https   string
	err     string
	tunnel  int64
	upgrade string
	pause   int64
}

func (k knobs) value(section, token string, priority int) string {
	v := section + "|" + token + "|" + rankMark + "|" + strconv.Itoa(priority+priorityBase)
	if k == (knobs{}) && section != answersSection && !strings.HasPrefix(section, dedicatedPrefix) {
		return v
	}
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	return v + "|" + moreMark + "|" + number(int64(k.strip)) + "|" + number(k.timeout) + "|" + number(k.hold) + "|" +
		k.https + "|" + k.err + "|" + number(k.tunnel) + "|" + k.upgrade + "|" + number(k.pause)
}
