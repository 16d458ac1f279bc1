package compile

import (
	"slices"
	"strings"

	"fairway/internal/route"
)

// l4 is what labels say about a route that passes connections through.
type l4 struct {
	port  uint16
	names []route.Host // server names that TLS clients ask for; nil: every client
	// check asks every instance for a connection now and then.
	check bool
	// listeners are those of port, once it is known that it may be used.
	listeners []string
}

// matches returns what the route takes; nil when its labels do not say.
func (l *l4) matches() []route.Match {
	if l.listeners == nil {
		return nil
	}
	names := l.names
	if names == nil {
		names = []route.Host{{Kind: route.HostAny}}
	}
	matches := make([]route.Match, 0, len(names))
	for _, h := range names {
		matches = append(matches, route.Match{
			Host: h, Path: route.Path{Kind: route.PathPrefix, Value: "/"},
			Conditions: []route.Condition{{Kind: route.ConditionListener, Values: l.listeners}},
		})
	}
	return matches
}

// l4Keys are the keys that only routes with the scheme tcp have, and sharedKeys
// those that they have in common with the others.
var (
	l4Keys     = []string{"listen", "sni", "proxy-protocol"}
	sharedKeys = []string{"priority", "idle", "ip-allow", "scheme", "balance", "slow-start", "max-fails", "via", "health.interval", "health.timeout"}
)

// checkL4 finds the labels that do not go together with the scheme, and the
// listener of a route that passes connections through.
func (d *draft) checkL4(p *ports, has func(key string) bool, fault func(key string, err *refusal)) {
	if d.backend.Scheme != route.SchemeTCP {
		for _, k := range l4Keys {
			if has(k) {
				fault(k, &refusal{route.CodeContradicts, "only a route that passes connections through has it", "add a scheme label with tcp, or leave it out"})
			}
		}
		return
	}
	for i := range keys {
		k := &keys[i]
		if k.scope == scopeInstance || k.scope == scopeService || slices.Contains(l4Keys, k.name) || slices.Contains(sharedKeys, k.name) {
			continue
		}
		if has(k.name) {
			fault(k.name, &refusal{route.CodeContradicts, "a route with the scheme tcp passes connections through as they are", "leave it out; " + prefix + "sni says which TLS clients are taken"})
		}
	}
	if d.backend.Balance.Policy == route.BalanceHash && d.backend.Balance.On != route.HashClientIP {
		fault("balance", &refusal{route.CodeContradicts, "a connection that is passed through has nothing of the kind to hash", "use hash:client-ip"})
	}
	if d.l4.port == 0 {
		if has("listen") {
			return // its value is at fault
		}
		fault("scheme", &refusal{route.CodeIncomplete, "the route does not say on which port Fairway listens for it", "add a listen label"})
		return
	}
	if d.l4.check = has("health.interval"); has("health.timeout") && !d.l4.check {
		fault("health.timeout", &refusal{route.CodeIncomplete, "no check is asked for", "add a health.interval label"})
	}
	names, err := p.tcp(d.l4.port)
	if err != nil {
		fault("listen", asRefusal(err))
		return
	}
	d.l4.listeners = names
}

func (d *draft) setVia(value string) error {
	switch strings.ToLower(value) {
	case "instances":
		d.wishes.virtual = false
	case "vip":
		d.wishes.virtual = true
	default:
		return bad("write instances or vip", "%s is neither instances nor vip", excerpt(value))
	}
	return nil
}
