package explain

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"fairway/internal/api"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

// maxHeaders bounds the headers of a request to be explained.
const maxHeaders = 100

// asked is a request to be explained, as it would be written to the wire.
type asked struct {
	method, scheme, host, path, query string
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
	// The URL is cut up and not parsed: parsing decodes, and the engine sees
	// what was sent.
	rest, _, _ = strings.Cut(rest, "#")
	rest, a.query, _ = strings.Cut(rest, "?")
	a.host, a.path = rest, "/"
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		a.host, a.path = rest[:slash], rest[slash:]
	}
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

// arrive does to the request what the embedded engine does before it looks for a route:
// host and path take their canonical form, headers of the connection are gone, and those
// that name the client are Fairway's own. No proxy is trusted. The error is what the engine
// answers with.
func (a asked) arrive() (*route.Request, *api.Error) {
	if a.method == http.MethodConnect || a.method == http.MethodTrace {
		return nil, api.Errorf(http.StatusMethodNotAllowed, "method %s is not served", a.method)
	}
	host, err := route.CanonicalHost(a.host)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "%v", err)
	}
	path, err := route.ReadPath(a.path)
	if err != nil {
		return nil, api.Errorf(http.StatusBadRequest, "%v", err)
	}
	header := a.header.Clone()
	arrival.DropUnderscores(header, false)
	arrival.DropHopByHop(arrival.Head{Method: a.method, Header: header, Major: 1})
	id := arrival.Identify(header, arrival.Peer{Addr: a.client, TLS: a.scheme == "https"}, arrival.Bracketed(host), arrival.PortOf(a.host))
	id.ID = "00000000000000000000000000000000" // of a request that nobody has made
	id.Tell(header)
	if path.Front {
		path.Other = "" // it is settled in front of the backend
	}
	return &route.Request{
		Method: a.method, Host: host, Path: path.Canonical, Other: path.Other, Query: a.query,
		Header: header, Client: a.client, TLS: a.scheme == "https", Listener: a.listener,
	}, nil
}
