// Package explain says what would become of a request. It is pure: nothing is sent.
package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/condition"
	"fairway/internal/nearest"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
	"fairway/internal/route/canonical"
	"fairway/internal/route/field"
	"fairway/internal/route/match"
	"fairway/internal/route/tlsoption"
)

// maxOtherHosts bounds the losers of other hosts, which say little.
const maxOtherHosts = 100

// Answer says what would become of the request in the query, or an *api.Error.
func Answer(v *show.View, live show.Live, judged *condition.Report, q url.Values) (api.Explanation, error) {
	asked, err := readRequest(q)
	if err != nil {
		return api.Explanation{}, err
	}
	if v.Table.Hash == "" {
		return api.Explanation{}, api.Errorf(http.StatusServiceUnavailable, "there is no table yet")
	}
	out := api.Explanation{
		Revision: v.Table.Revision, Hash: v.Table.Hash,
		Request: api.ExplainedRequest{Method: asked.method, Scheme: asked.scheme, Host: asked.host, Path: asked.path, Query: asked.query},
		Losers:  []api.Loser{},
	}
	if asked.client.IsValid() {
		out.Request.Client = asked.client.String()
	}
	request, refused := asked.arrive()
	if refused != nil {
		return end(out, api.OutcomeBadRequest, refused.Status, "answered with %d before any route is looked at: %s", refused.Status, refused.Detail), nil
	}
	out.Request.Host, out.Request.Path = request.Host, request.Path
	if request.TLS && asked.server != request.Host {
		out.Request.ServerName = asked.server
	}
	demands := demanded(v.Table)
	if request.TLS && demands.Misdirected(asked.server, request.Host) {
		return end(out, api.OutcomeBadRequest, http.StatusMisdirectedRequest,
			"answered with 421 before any route is looked at: the connection was made for %s, which demands %s in the handshake, and %s demands %s; browsers repeat the request on a connection of its own",
			asked.server, demands.Of(asked.server).Demands(), request.Host, demands.Of(request.Host).Demands()), nil
	}
	matcher, err := v.Matcher()
	if err != nil {
		return out, fmt.Errorf("the live table has no matcher: %w", err)
	}
	found := matcher.Explain(request)
	out.Losers, out.Omitted = losers(v.Table, found.Losers)
	winner := v.Table.Route(found.Winner)
	if winner == nil {
		return end(out, api.OutcomeNoRoute, http.StatusNotFound, "no route takes it: answered with 404%s%s", meant(v, request.Host), because(judged)), nil
	}
	if !matcher.TakesBoth(request, winner) {
		return end(out, api.OutcomeBadRequest, http.StatusBadRequest,
			"answered with 400: a backend could read the path as %s, which does not belong to route %s", request.Other, winner.ID), nil
	}
	out.Winner = &api.Winner{Route: v.Route(winner, live), Match: found.Match, Eligible: []string{}}
	show.Judge(&out.Winner.Route, judged)
	out = decide(out, v.Table, winner, live, request, demands.Of(request.Host))
	if c := judged.Routes[winner.ID]; len(c.Reasons) > 0 && out.Outcome != api.OutcomeRefused {
		out.Text += fmt.Sprintf("; the route is %s: %s", c.State, c.Reasons[0].Text)
		if hint := c.Reasons[0].Hint; hint != "" && c.Reasons[0].Code == condition.CodeCertificate {
			out.Text += ": " + hint
		}
	}
	for _, f := range judged.Findings {
		if f.Kind == condition.KindTable {
			out.Text += "; " + f.Reason.Text
		}
	}
	return out, nil
}

// demanded is what hosts demand of handshakes.
func demanded(t *route.Table) *tlsoption.Hosts {
	for _, l := range t.Listeners {
		if len(l.Hosts) > 0 { // all that have some have the same
			return tlsoption.NewHosts(l.Hosts)
		}
	}
	return nil
}

// meant says what a host that no route has may stand for.
func meant(v *show.View, host string) string {
	hosts := slices.Sorted(maps.Keys(show.Hosts(v.Table)))
	for _, p := range v.Table.Problems {
		if p.Code == route.CodeNotAllowed && strings.HasSuffix(p.Text, " the host "+host) {
			return "; service " + p.Service + " asks for it: " + p.Text
		}
	}
	if slices.ContainsFunc(v.Table.Routes, func(r *route.Route) bool {
		return slices.ContainsFunc(r.Matches, func(m route.Match) bool { return m.Host.Matches(host) })
	}) {
		return ""
	}
	if named := v.Snapshot.Called(host); len(named) > 0 {
		return "; " + host + " is a service: fairway doctor " + named[0].ID
	}
	if near := nearest.Host(host, hosts); near != "" {
		return "; no route has the host " + host + ", did you mean " + near + "?"
	}
	return ""
}

// because says why an expected route may be missing.
func because(judged *condition.Report) (text string) {
	for _, reason := range judged.Incomplete() {
		text += "; " + reason.Text
		if reason.Hint != "" {
			text += "; " + reason.Hint
		}
	}
	return text
}

// end is an explanation with its outcome and what it says of that.
func end(out api.Explanation, outcome string, status int, format string, args ...any) api.Explanation {
	out.Outcome, out.Status, out.Text = outcome, status, fmt.Sprintf(format, args...)
	return out
}

// losers sorts those that fit before those whose host fits and the others. Of the last it
// returns some, and how many are left out.
func losers(t *route.Table, found []match.Loser) (kept []api.Loser, omitted int) {
	const fits, sameHost, otherHost = 0, 1, 2
	class := func(l match.Loser) int {
		switch l.Part {
		case "":
			return fits
		case "host":
			return otherHost
		}
		return sameHost
	}
	found = slices.Clone(found)
	slices.SortStableFunc(found, func(a, b match.Loser) int { return cmp.Compare(class(a), class(b)) })
	others := slices.IndexFunc(found, func(l match.Loser) bool { return class(l) == otherHost })
	if others >= 0 {
		omitted = max(0, len(found)-others-maxOtherHosts)
	}
	return show.All(found[:len(found)-omitted], func(l match.Loser) api.Loser {
		return api.Loser{Route: l.Route, Service: t.Route(l.Route).Service, Match: l.Match, Part: l.Part, Reason: reason(l)}
	}), omitted
}

// reason says in words why a route does not take the request.
func reason(l match.Loser) string {
	if l.Part == "" {
		return l.Behind + " goes first: " + l.Because
	}
	wanted := l.Expected
	if l.Part == "host" || l.Part == "path" {
		// A condition names what it looks at; of the match's own host and path add it.
		word, _, more := strings.Cut(strings.TrimPrefix(wanted, "not "), " ")
		if kind, _, _ := strings.Cut(word, "-"); !more || kind != l.Part {
			wanted = l.Part + " " + wanted
		}
	}
	return fmt.Sprintf("wants %s, the request has %s", wanted, cmp.Or(l.Actual, "none"))
}

// decide fills in what the filters, then the endpoints, make of a request that r takes. host is
// what its host demands; a client that comes over TLS has the certificate that it requires.
func decide(out api.Explanation, t *route.Table, r *route.Route, live show.Live, request *route.Request, host tlsoption.Host) api.Explanation {
	const unavailable = http.StatusServiceUnavailable
	if r.Refused != "" {
		return end(out, api.OutcomeRefused, unavailable, "%s takes it and may not be served: answered with 503: %s", r.ID, r.Refused)
	}
	unreadable := unreadableUsers(t, r)
	for _, f := range r.Filters {
		if f.BasicAuth != nil && f.BasicAuth.File != "" && unreadable != "" {
			return end(out, api.OutcomeUnavailable, unavailable, "%s takes it: %s", r.ID, unreadable)
		}
		if f.RequireClientCert != nil && host.Require && request.TLS {
			continue
		}
		if code, why := filtered(f, request); code != 0 {
			return end(out, api.OutcomeAnswered, code, "%s takes it, and a filter answers with %d: %s", r.ID, code, why)
		}
	}
	if host.Require && !request.TLS {
		return end(out, api.OutcomeAnswered, http.StatusForbidden, "%s takes it, and is answered with 403: the request came without TLS, and its host demands %s", r.ID, host.Demands())
	}
	b := t.Backend(r.Backend)
	if b == nil {
		return end(out, api.OutcomeUnavailable, unavailable, "%s takes it and has nowhere to send it: answered with 503", r.ID)
	}
	picked := eligible(b, live)
	if len(picked) == 0 {
		out = end(out, api.OutcomeUnavailable, unavailable, "%s takes it, and of its endpoints (%d) none is ready: answered with 503", r.ID, len(b.Endpoints))
		if r.Hold > 0 {
			out.Text += fmt.Sprintf(" unless one gets ready within %s", r.Hold)
		}
		return out
	}
	out.Winner.Eligible, out.Winner.Choice = picked, choice(b)
	return end(out, api.OutcomeRouted, 0, "%s takes it; %d of %d endpoints can be picked", r.ID, len(picked), len(b.Endpoints))
}

// unreadableUsers is the problem of an unreadable user file; empty for none.
func unreadableUsers(t *route.Table, r *route.Route) string {
	for _, p := range t.Problems {
		if p.Code == route.CodeUserFile && p.Route == r.ID {
			return p.Text
		}
	}
	return ""
}

// filtered is the code that a filter answers with by itself, and why; zero for none.
func filtered(f route.Filter, r *route.Request) (code int, why string) {
	within := func(prefixes []netip.Prefix) bool {
		client := r.Client.Unmap().WithZone("")
		return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(client) })
	}
	switch {
	case f.Maintenance != nil && !within(f.Maintenance.Allow):
		return http.StatusServiceUnavailable, f.Maintenance.By
	case f.IPAllow != nil:
		if !within(f.IPAllow.Prefixes) {
			return http.StatusForbidden, "the client's address is not in " + f.String()
		}
	case f.Methods != nil:
		if len(f.Methods.Allow) > 0 && !slices.Contains(f.Methods.Allow, r.Method) || slices.Contains(f.Methods.Deny, r.Method) {
			return http.StatusForbidden, "the method is not let through by " + f.String()
		}
	case f.RequireTLS != nil && !r.TLS:
		return http.StatusForbidden, "the request came without TLS"
	case f.RequireClientCert != nil:
		return http.StatusForbidden, "the request came without a client certificate"
	case f.RedirectHTTPS != nil && !r.TLS:
		code = http.StatusPermanentRedirect
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			code = http.StatusMovedPermanently
		}
		why = "the request came without TLS"
		if f.RedirectHTTPS.Obtained {
			why += "; the route redirects by default, for it has certificates that Fairway has obtained (take that off with fairway.redirect-https=false)"
		}
		return cmp.Or(f.RedirectHTTPS.Status, code), why
	case f.Redirect != nil:
		return f.Redirect.Status, f.String()
	case f.BasicAuth != nil && f.BasicAuth.File == "" && len(f.BasicAuth.Users) == 0:
		return http.StatusUnauthorized, "it asks for user and password, and no user is known"
	case f.BasicAuth != nil && len(r.Header.Values("Authorization")) == 0:
		return http.StatusUnauthorized, "it asks for user and password"
	}
	return 0, ""
}

// eligible returns the IDs of the endpoints that a new request can be sent to.
func eligible(b *route.Backend, live show.Live) []string {
	var rotation, kept []string
	for _, e := range b.Endpoints {
		at := live[[2]string{b.ID, e.ID}]
		if e.State != route.EndpointReady || e.Weight == 0 || at != nil && !at.InRotation {
			continue
		}
		rotation = append(rotation, e.ID)
		if at == nil || !at.Ejected {
			kept = append(kept, e.ID)
		}
	}
	if 2*len(kept) < len(rotation) {
		// When most have failed, the fault is likely not theirs, and those that
		// are left would break under the load: all are tried.
		return rotation
	}
	return kept
}

// choice says in words how an endpoint is picked.
func choice(b *route.Backend) string {
	words := map[route.BalancePolicy]string{
		route.BalanceRoundRobin: "each in turn, by weight",
		route.BalanceLeastConn:  "the one with the fewest requests in flight, by weight",
		route.BalanceRandom2:    "the less busy of two picked at random, by weight",
		route.BalanceHash:       "always the same one for the same " + strings.TrimSpace(string(b.Balance.On)+" "+b.Balance.Name),
	}[b.Balance.Policy]
	if b.Sticky != "" {
		words = fmt.Sprintf("the one named by cookie %s as long as it is ready, else %s", b.Sticky, words)
	}
	return words
}

// maxHeaders bounds the headers of a request to be explained.
const maxHeaders = 100

// asked is a request to be explained, as it would be written to the wire.
type asked struct {
	method, scheme, host, path, query string
	server                            string // the URL's host in canonical form; empty where it has none
	listener                          string
	header                            http.Header
	client                            netip.Addr
}

// readRequest reads the parameters. What no client could send is an error; what
// a client could send and Fairway would refuse is not.
func readRequest(q url.Values) (asked, error) {
	a := asked{method: cmp.Or(q.Get("method"), http.MethodGet), header: http.Header{}}
	if !httpguts.ValidHeaderFieldName(a.method) { // a method is a token as well (RFC 9110, 9.1)
		return a, api.Errorf(http.StatusBadRequest, "method %q is not a method", a.method)
	}
	scheme, rest, ok := strings.Cut(q.Get("url"), "://")
	a.scheme = strings.ToLower(scheme)
	a.listener = cmp.Or(q.Get("listener"), a.scheme)
	if !ok || a.scheme != "http" && a.scheme != "https" {
		return a, api.Errorf(http.StatusBadRequest, "url: want http://HOST/PATH or https://HOST/PATH")
	}
	// The URL is not parsed: parsing decodes, and the engine sees what was sent.
	rest, _, _ = strings.Cut(rest, "#")
	rest, a.query, _ = strings.Cut(rest, "?")
	a.host, a.path = rest, "/"
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		a.host, a.path = rest[:slash], rest[slash:]
	}
	a.server, _ = canonical.Host(a.host)
	if a.host == "" || strings.Contains(a.host, "@") {
		return a, api.Errorf(http.StatusBadRequest, "url: want a host, without user and password")
	}
	lines := q["header"]
	if len(lines) > maxHeaders {
		return a, api.Errorf(http.StatusBadRequest, "more than %d headers", maxHeaders)
	}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return a, api.Errorf(http.StatusBadRequest, "header: want NAME: VALUE")
		}
		if strings.EqualFold(name, "Host") { // as with curl, it takes the place of the URL's
			a.host = value
			continue
		}
		a.header.Add(name, value)
	}
	if client := q.Get("client"); client != "" {
		addr, err := netip.ParseAddr(client)
		if err != nil {
			return a, api.Errorf(http.StatusBadRequest, "client %q is not an IP address", client)
		}
		a.client = addr.Unmap()
	}
	return a, nil
}

// arrive makes of the request what the embedded engine does before it looks for a route:
// canonical host and path, headers of the connection gone, Fairway's own about the client.
// No proxy is trusted. The error is the engine's answer.
func (a asked) arrive() (*route.Request, *api.Error) {
	if a.method == http.MethodConnect || a.method == http.MethodTrace {
		return nil, api.Errorf(http.StatusMethodNotAllowed, "method %s is not served", a.method)
	}
	host, err := canonical.Host(a.host)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "%v", err)
	}
	path, err := canonical.ReadPath(a.path)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "%v", err)
	}
	header := field.Of(a.header)
	arrival.DropUnderscores(&header)
	arrival.DropHopByHop(arrival.Head{Method: a.method, Header: &header, Major: 1})
	id := arrival.Identify(&header, arrival.Peer{Addr: a.client, TLS: a.scheme == "https"}, arrival.Bracketed(host), arrival.PortOf(a.host))
	id.ID = "00000000000000000000000000000000" // of a request that was not made
	id.Tell(&header)
	if path.Front {
		path.Other = "" // it is settled in front of the backend
	}
	return &route.Request{
		Method: a.method, Host: host, Path: path.Canonical, Other: path.Other, Query: a.query,
		Header: header.Header(), Client: a.client, TLS: a.scheme == "https", Listener: a.listener,
	}, nil
}
