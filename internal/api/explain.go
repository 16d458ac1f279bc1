package api

import "fairway/internal/api/automatic"

// ExplainRequest is a request that is only thought of: it is matched against the
// live table and never sent.
type ExplainRequest struct {
	Method string // the HTTP method; empty means GET
	// URL is absolute: its scheme says whether the client comes by TLS, its
	// host is the Host header. Path and query are taken as they are written.
	URL string
	// Headers are lines of the form "Name: value"; "Host: name" takes the place of
	// the URL's host. Forwarded headers are replaced as for any client that is
	// no trusted proxy. The lines travel in the query of the call; use made-up
	// values for credentials.
	Headers []string
	// Client is the IP address the request comes from; empty means unknown, and
	// then no condition or filter on the client's address lets it pass.
	Client string
	// Listener is the name of the listener it comes in by; empty means "http" or
	// "https", like the scheme of the URL.
	Listener string
}

// The outcomes of a request.
const (
	OutcomeRouted      = "routed"      // an endpoint gets it
	OutcomeAnswered    = "answered"    // a filter answers: a redirect, 403
	OutcomeUnavailable = "unavailable" // 503: no endpoint is ready
	OutcomeRefused     = "refused"     // 503: the route may not be served
	OutcomeNoRoute     = "no-route"    // 404: no route takes it
	OutcomeBadRequest  = "bad-request" // 400, 405 or 421: refused before any route is asked, or for a path with two readings
)

// Explanation says what happens to a request, and why.
type Explanation struct {
	// Revision and Hash are those of the table that was asked.
	Revision uint64 `json:"revision"`
	Hash     string `json:"hash"`
	// Request is what the matcher saw.
	Request ExplainedRequest `json:"request"`
	// Outcome is one of the Outcome constants.
	Outcome string `json:"outcome"`
	// Status is the status code that Fairway itself answers with; zero when an
	// endpoint answers.
	Status int `json:"status,omitempty"`
	// Text says the outcome in one sentence.
	Text string `json:"text"`
	// Winner is the route that takes the request; left out when none does.
	Winner *Winner `json:"winner,omitempty"`
	// Certificate is the one that the client is shown; left out without TLS, and where it is not known.
	Certificate *automatic.Answering `json:"certificate,omitempty"`
	// Losers are the routes that do not, best first: those that would take it
	// too, those that only share the host, then the others.
	Losers []Loser `json:"losers"`
	// Omitted is the number of losers of other hosts that are left out: no more
	// than a hundred of these are listed.
	Omitted int `json:"omitted,omitempty"`
}

// ExplainedRequest is a request in canonical form, as every match sees it and as
// it goes to the endpoint.
type ExplainedRequest struct {
	Method string `json:"method"`
	// Scheme is "http" or "https".
	Scheme string `json:"scheme"`
	Host   string `json:"host"`
	// ServerName is the host of the URL, for which a client with TLS makes its connection, where
	// the header Host names another one; left out where it does not.
	ServerName string `json:"serverName,omitempty"`
	// Path is escaped.
	Path string `json:"path"`
	// Query is raw, without the question mark.
	Query string `json:"query,omitempty"`
	// Client is the client's address; left out when unknown.
	Client string `json:"client,omitempty"`
}

// Winner is the route that takes a request.
type Winner struct {
	// Route has its labels, filters and endpoints, these with Live set.
	Route Route `json:"route"`
	// Match is the text of the alternative that took the request.
	Match string `json:"match"`
	// Choice says in words how the endpoint is picked.
	Choice string `json:"choice,omitempty"`
	// Eligible are the IDs of the endpoints that can be picked, sorted.
	Eligible []string `json:"eligible"`
	// LastError is the newest request of the route that failed, of those that are kept.
	LastError *Request `json:"lastError,omitempty"`
}

// Loser is a route that does not take a request.
type Loser struct {
	// Route is the route's ID, Service the ID of its service.
	Route   string `json:"route"`
	Service string `json:"service"`
	// Match is the text of the alternative that came closest.
	Match string `json:"match"`
	// Part is what the first condition that fails looks at, such as "host",
	// "path" or "header X-Env"; left out when the request fits and the winner
	// goes first.
	Part string `json:"part,omitempty"`
	// Reason says in words what fails, or why the winner goes first.
	Reason string `json:"reason"`
}
