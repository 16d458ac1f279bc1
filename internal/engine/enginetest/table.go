package enginetest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/engine/enginetest/script"
	"fairway/internal/route"
)

// tableText is a table in the compact form of the cases. Everything that has a
// JSON form in package route is written in that form; times may be written as
// "1s" wherever package route has a duration.
type tableText struct {
	// Revision is 1 unless the text says otherwise.
	Revision *uint64 `json:"revision"`
	// Trusted are the trusted proxies of all listeners.
	Trusted []netip.Prefix `json:"trusted"`
	// TLS adds the listener "https" with a self-signed certificate for each name.
	TLS []string `json:"tls"`
	// Listeners are further ones, on ports of their own; one that is named http or
	// https adds to what that one is.
	Listeners []route.Listener `json:"listeners"`
	Routes    []routeText      `json:"routes"`
}

// routeText is a route together with its backend.
type routeText struct {
	ID string `json:"id"`
	// Host is written as in labels; "~" in front makes it a regular expression.
	// Missing, it is any.
	Host string `json:"host"`
	// Path is a prefix; "=" in front makes it exact, "~" a regular expression, "^"
	// what a path begins with. Missing, it is "/".
	Path string            `json:"path"`
	When []route.Condition `json:"when"`
	// Or holds further matches.
	Or       []matchText `json:"or"`
	Priority int         `json:"priority"`
	// Claim is the place in the text, from 1, unless it is given.
	Claim   uint64         `json:"claim"`
	Filters []route.Filter `json:"filters"`
	Hold    time.Duration  `json:"hold"`
	Timeout time.Duration  `json:"timeout"`
	Idle    time.Duration  `json:"idle"`
	Pause   time.Duration  `json:"bodyTimeout"`
	Pages   string         `json:"errorPages"`
	Refused string         `json:"refused"`

	// To names the endpoints of the backend: "e1", "e1*3" with a weight,
	// "e1!draining" or "e1!waiting" in a state. Missing, there is no backend;
	// empty, there is one without endpoints.
	To *[]string `json:"to"`
	// Use names the route whose backend this route uses, too.
	Use       string        `json:"use"`
	Scheme    route.Scheme  `json:"scheme"`
	Verify    *route.TLS    `json:"verify"`
	Balance   string        `json:"balance"` // "policy" or "hash:on:name"
	Sticky    string        `json:"sticky"`
	Domain    string        `json:"domain"`   // of the sticky cookie
	SameSite  string        `json:"sameSite"` // likewise
	Upgrade   []string      `json:"upgrade"`
	Health    *route.Health `json:"health"`
	SlowStart time.Duration `json:"slowStart"`
	MaxFails  int           `json:"maxFails"`
	SendProxy int           `json:"sendProxy"`
}

// matchText is one match.
type matchText struct {
	Host string            `json:"host"`
	Path string            `json:"path"`
	When []route.Condition `json:"when"`
}

// table makes a table of its text. The endpoints it names are started.
func (w *world) table(text string) *route.Table {
	w.Helper()
	text = strings.ReplaceAll(text, "$DIR", w.dir)
	var tt tableText
	if err := script.Decode(text, &tt); err != nil {
		w.Fatalf("table: %v", err)
	}
	listeners := []route.Listener{{Name: "http", Address: "127.0.0.1:0", TrustedProxies: tt.Trusted}}
	if w.quic && len(tt.TLS) == 0 {
		tt.TLS = []string{"a.example"}
	}
	if len(tt.TLS) > 0 {
		l := route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true, TrustedProxies: tt.Trusted}
		for _, name := range tt.TLS {
			file, host, _ := strings.Cut(name, " for ")
			c := w.certificate(file)
			c.Host = host
			l.Certificates = append(l.Certificates, c)
		}
		if w.quic {
			l.QUIC.Address = "127.0.0.1:0"
		}
		listeners = append(listeners, l)
	}
	listeners = addListeners(listeners, tt.Listeners, tt.Trusted)
	var routes []*route.Route
	var backends []*route.Backend
	for i, rt := range tt.Routes {
		if rt.Claim == 0 {
			rt.Claim = uint64(i + 1)
		}
		r, b, err := w.route(rt)
		if err != nil {
			w.Fatalf("table: route %s: %v", rt.ID, err)
		}
		routes = append(routes, r)
		if b != nil {
			backends = append(backends, b)
		}
	}
	w.revision++
	if tt.Revision != nil {
		w.revision = *tt.Revision
	}
	t, err := route.New(w.revision, listeners, routes, backends, nil)
	if err != nil {
		w.Fatalf("table: %v", err)
	}
	return t
}

// addListeners adds further listeners to those that every table has.
func addListeners(all, further []route.Listener, trusted []netip.Prefix) []route.Listener {
	for _, l := range further {
		i := slices.IndexFunc(all, func(known route.Listener) bool { return known.Name == l.Name })
		if i < 0 {
			l.Address, l.TrustedProxies = "127.0.0.1:0", trusted
			all = append(all, l)
			continue
		}
		all[i].ProxyProtocol, all[i].ClientCAFile = l.ProxyProtocol, l.ClientCAFile
		all[i].TLSOptions, all[i].Hosts = l.TLSOptions, l.Hosts
	}
	return all
}

// route makes a route and its backend.
func (w *world) route(rt routeText) (*route.Route, *route.Backend, error) {
	r := &route.Route{
		ID: rt.ID, Service: rt.ID, Priority: rt.Priority, Claim: rt.Claim, Filters: rt.Filters,
		Backend: rt.Use, Hold: rt.Hold, Timeout: rt.Timeout, Idle: rt.Idle, BodyTimeout: rt.Pause, ErrorPages: rt.Pages, Refused: rt.Refused,
		Origin: route.Origin{Source: "enginetest"},
	}
	for _, mt := range append([]matchText{{rt.Host, rt.Path, rt.When}}, rt.Or...) {
		m, err := mt.match()
		if err != nil {
			return nil, nil, err
		}
		r.Matches = append(r.Matches, m)
	}
	if rt.To == nil {
		return r, nil, nil
	}
	r.Backend = rt.ID
	b := &route.Backend{
		ID: rt.ID, Service: rt.ID, Scheme: rt.Scheme, TLS: rt.Verify, Sticky: rt.Sticky,
		Health: rt.Health, SlowStart: rt.SlowStart, MaxFails: rt.MaxFails, SendProxy: rt.SendProxy,
		StickyDomain: rt.Domain, StickySameSite: route.SameSite(rt.SameSite), Upgrade: rt.Upgrade,
	}
	if b.Scheme == "" {
		b.Scheme = route.SchemeHTTP
	}
	policy, on, _ := strings.Cut(rt.Balance, ":")
	b.Balance.Policy = route.BalancePolicy(policy)
	if policy == "" {
		b.Balance.Policy = route.BalanceRoundRobin
	}
	kind, name, _ := strings.Cut(on, ":")
	b.Balance.On, b.Balance.Name = route.HashOn(kind), name
	for _, spec := range *rt.To {
		e, err := w.tableEndpoint(spec, b.Scheme)
		if err != nil {
			return nil, nil, err
		}
		b.Endpoints = append(b.Endpoints, e)
	}
	slices.SortFunc(b.Endpoints, func(a, b route.Endpoint) int { return strings.Compare(a.ID, b.ID) })
	return r, b, nil
}

// tableEndpoint reads the short form of an endpoint.
func (w *world) tableEndpoint(spec string, scheme route.Scheme) (route.Endpoint, error) {
	e := route.Endpoint{Weight: 1, State: route.EndpointReady}
	spec, state, ok := strings.Cut(spec, "!")
	if ok {
		e.State = route.EndpointState(state)
	}
	name, weight, ok := strings.Cut(spec, "*")
	if ok {
		var err error
		if e.Weight, err = strconv.Atoi(weight); err != nil {
			return e, fmt.Errorf("endpoint %s: weight: %w", spec, err)
		}
	}
	e.ID, e.Instance = name, name
	e.Address = w.endpoint(name, scheme).address
	return e, nil
}

func (mt matchText) match() (route.Match, error) {
	m := route.Match{
		Host:       route.Host{Kind: route.HostAny},
		Path:       route.Path{Kind: route.PathPrefix, Value: "/"},
		Conditions: mt.When,
	}
	for _, c := range m.Conditions {
		slices.Sort(c.Values)
	}
	var err error
	if expr, ok := strings.CutPrefix(mt.Host, "~"); ok {
		m.Host = route.Host{Kind: route.HostRegexp, Value: expr}
	} else if mt.Host != "" {
		if m.Host, err = route.ParseHost(mt.Host); err != nil {
			return m, err
		}
	}
	kind, value := route.PathPrefix, mt.Path
	if expr, ok := strings.CutPrefix(value, "~"); ok {
		kind, value = route.PathRegexp, expr
	} else if exact, ok := strings.CutPrefix(value, "="); ok {
		kind, value = route.PathExact, exact
	} else if start, ok := strings.CutPrefix(value, "^"); ok {
		kind, value = route.PathStart, start
	}
	if value != "" {
		m.Path, err = route.ParsePath(kind, value)
	}
	return m, err
}
