package embedded

import (
	"net/http"
	"strconv"
	"strings"

	"fairway/internal/engine/embedded/bucket"
	"fairway/internal/engine/embedded/wire"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
	"fairway/internal/route/canonical"
	"fairway/internal/route/field"
)

// head is the start of a request as the transport read it.
type head struct {
	arrival.Head
	// target is as it was sent: a path with query, an absolute URL, or "*".
	target string
	// authority is the target's, or the Host header (RFC 9112, 3.2).
	authority string
}

// How many header fields a request may have, and how large all of them may be together.
const (
	maxHeaders     = 200
	maxHeaderBytes = 64 << 10
)

// request is a request that has passed the guards.
type request struct {
	route.Request // Host and Path canonical; Header is header
	header        field.List
	// connection: it is passed through, with client, listener and server name alone known.
	connection bool
	// port is the port that the client named with the host; empty for none.
	port string
	// sent is the path with its slashes as they came; filters make path of it.
	sent, path string
	// front is canonical.RequestPath's.
	front bool
	// prefix is what StripPrefix took off.
	prefix string
	// stripped is the Authorization header that a filter took out of header; empty for none.
	stripped string
	// bareQuery is true for a question mark that nothing follows.
	bareQuery bool
	length    int64
	// maxBody bounds the body; negative means that nothing does.
	maxBody int64
	// upgrade is the protocol that may be switched to, in lower case; empty for
	// none. Of any route it may be WebSocket; asked is another one that the request
	// names, as it was written, for backends that know it.
	upgrade  string
	asked    string
	identity arrival.Identity
	// charged are the limiters that have counted the request: each does so once.
	charged []*bucket.Limiter
	// certified is true when the connection has a client certificate that was verified, and
	// demands when the host demands one.
	certified, demands bool
}

// Malformed framing never gets here: package wire refuses it.
//
// admit makes q of a head, or says why it is refused. It deletes hop-by-hop
// headers, forbidden upgrades and identity headers of untrusted peers, so that the
// matcher sees nothing that the endpoint does not.
func (q *request) admit(h head, p arrival.Peer) *answer {
	lengths := h.Header.Count("Content-Length")
	switch {
	case h.Method == http.MethodConnect, h.Method == http.MethodTrace:
		a := refusal(http.StatusMethodNotAllowed, "method", "method "+h.Method+" is not served")
		a.header = allow()
		// Behind a CONNECT stands what was meant for the tunnel (RFC 9931).
		a.hangUp = h.Method == http.MethodConnect && h.Major == 1
		return a
	case !route.IsToken(h.Method):
		return refusal(http.StatusBadRequest, "method", "the method is not valid")
	case lengths > 1, lengths == 1 && !isNumber(h.Header.Get("Content-Length")): // in HTTP/2 it gets here
		return refusal(http.StatusBadRequest, "bad-length", "the length of the request is not one number")
	}
	if len(*h.Header)-h.Header.Count("Host") > maxHeaders {
		a := refusal(http.StatusRequestHeaderFieldsTooLarge, "too-many-headers", "the request has too many header fields")
		a.hangUp = true
		return a
	}
	if h.Major != 1 { // backends might look at either (RFC 9113, 8.3.1)
		for _, v := range h.Header.Values("Host") {
			if v != h.authority {
				return refusal(http.StatusBadRequest, "bad-host", "the request names two hosts")
			}
		}
	}
	h.Header.Del("Host")
	host, err := "", error(nil)
	if !h.Old || h.authority != "" { // only routes for any host take a request without one
		host, err = canonical.Host(h.authority)
	}
	if err != nil {
		a := refusal(http.StatusBadRequest, "bad-host", "the host of the request is missing or not valid")
		a.hangUp = true
		return a
	}
	if strings.IndexByte(h.target, '#') >= 0 {
		return refusal(http.StatusBadRequest, "bad-path", "the request target has a fragment")
	}
	rawPath, query, hasQuery := wire.SplitTarget(h.target, h.Major)
	path, err := canonical.ReadPath(rawPath)
	if err != nil {
		return refusal(http.StatusBadRequest, "bad-path", err.Error())
	}
	arrival.DropUnderscores(h.Header)
	*q = request{
		port:      arrival.PortOf(h.authority),
		sent:      path.Sent,
		front:     path.Front,
		bareQuery: hasQuery && query == "",
		length:    h.Length,
		maxBody:   -1,
	}
	q.upgrade, q.asked = arrival.DropHopByHop(h.Head)
	q.header = *h.Header
	q.Request = route.Request{
		Method: h.Method, Host: host, Path: path.Canonical, Other: path.Other, Query: query, Header: &q.header,
	}
	q.identity = arrival.Identify(&q.header, p, arrival.Bracketed(host), q.port)
	q.Client = q.identity.Client
	q.TLS = q.identity.Proto == "https"
	return nil
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// authority is the canonical host, with the port where the client named one.
func (q *request) authority() string {
	if q.port == "" {
		return arrival.Bracketed(q.Host)
	}
	return arrival.Bracketed(q.Host) + ":" + q.port
}

// allow is the header Allow of Fairway's own answers.
func allow() []route.HeaderValue {
	return []route.HeaderValue{{Name: "Allow", Value: route.AllowedMethods}}
}

// lastHop answers a request of OPTIONS that may go no further, and takes one hop
// off others of that method (RFC 9110, 7.6.2).
func lastHop(q *request) *answer {
	if q.Method != http.MethodOptions || q.header.Count("Max-Forwards") != 1 {
		return nil
	}
	hops, err := strconv.ParseUint(q.header.Get("Max-Forwards"), 10, 31)
	switch {
	case err != nil: // it says nothing
	case hops == 0:
		return &answer{status: http.StatusNoContent, header: allow()}
	default:
		q.header.Set("Max-Forwards", strconv.FormatUint(hops-1, 10))
	}
	return nil
}

// sameTLS refuses a request on a connection that was made for a host with other demands.
func (x *exchange) sameTLS() *answer {
	hosts, q := x.live.hosts, x.q
	if hosts == nil {
		return nil
	}
	q.demands = hosts.Of(q.Host).Require
	if x.in.tls == nil || !hosts.Misdirected(x.in.tls.ServerName, q.Host) {
		return nil
	}
	return refusal(http.StatusMisdirectedRequest, "misdirected", "the connection was made for another host, with other demands on TLS")
}
