// Package ending says in words how a request or a connection ended that HAProxy reports
// in its log (configuration manual, 8.5).
package ending

import (
	"cmp"
	"fmt"
	"strings"
)

// End is what HAProxy's log says of the end of a request or a connection.
type End struct {
	// State is the termination state: who ended it, and in which phase; "--" for neither side.
	State [2]byte
	// Code is that of an answer of Fairway's own; empty for none.
	Code string
	// Address is that of the endpoint, or its name; empty where none was chosen.
	Address string
	// Retries are the attempts after the first.
	Retries int
}

// Reason says why it failed; empty for what did not. It holds nothing that clients send.
func (e End) Reason() string {
	reason := e.state()
	switch {
	case reason == "" && e.Code == "", e.Code == "" && e.State[0] == 'L':
		return ""
	case reason == "", e.State[0] == 'L' || e.State == [2]byte{'P', 'R'}:
		return cmp.Or(answers()[e.Code], reason, strings.ReplaceAll(e.Code, "-", " "))
	}
	if e.Retries > 0 {
		reason = fmt.Sprintf("%s, after %d more attempts", reason, e.Retries)
	}
	return strings.Replace(reason, ", after 1 more attempts", ", after 1 more attempt", 1)
}

// state reads the termination state.
func (e End) state() string {
	at := ""
	if e.Address != "" {
		at = " at " + e.Address
	}
	who, phase := e.State[0], e.State[1]
	switch who {
	case 'C':
		if phase == 'D' || phase == 'L' {
			return "the client went away before the answer was over"
		}
		return "the client went away"
	case 'c':
		if phase == 'D' || phase == 'L' {
			return "the client took too long to take the answer"
		}
		return "the client took too long to send its request"
	case 'S':
		switch phase {
		case 'C':
			return "no connection: refused or reset" + at
		case 'H':
			return "the connection was closed before there was an answer" + at
		case 'Q':
			return "no endpoint was ready before the wait was over"
		}
		return "the endpoint broke off its answer" + at
	case 's':
		switch phase {
		case 'C':
			return "no connection in time" + at
		case 'H':
			return "no answer in time" + at
		case 'Q':
			return "no endpoint was ready before the wait was over"
		}
		return "the endpoint stopped sending" + at
	case 'P':
		if phase == 'H' || phase == 'D' {
			return "the endpoint answered nonsense" + at
		}
		return "refused by Fairway"
	case 'R':
		return "HAProxy has no room: memory, sockets or ports are used up"
	case 'I':
		return "HAProxy found an error of its own"
	case 'D', 'U', 'K':
		return "cut off: the endpoint left" + at
	}
	return ""
}

// answers are the texts of Fairway's own answers, by code; those that name what the client
// has sent are said without it.
func answers() map[string]string {
	return map[string]string{
		"method": "the method is not served", "bad-length": "the length of the request is not one number",
		"bad-header": "a header of the request has a control character", "expectation": "the expectation of the request is not known",
		"version": "this version of HTTP is not served", "too-many-headers": "the request has too many header fields",
		"bad-host": "the host of the request is missing or not valid", "bad-path": "the path is not valid, or can be read in two ways",
		"underscore-header": "a header with an underscore would be taken for an identity header",
		"route-refused":     "the route is known but may not be served; see the problems of the service",
		"no-backend":        "the route has no backend", "starting": "what there is to serve is not known yet",
		"no-route": "no route on this host takes the request", "unknown-host": "no route for this host",
		"no-endpoint": "no endpoint of the service is ready", "unauthorized": "user and password are needed",
		"auth-unavailable": "the users of this route cannot be read", "rate-limited": "too many requests",
		"source-limit": "too many connections from this address", "slow-body": "the request body came too slowly",
		"body-too-large": "the request body is too large", "bad-body": "the request body cannot be read",
		"ip-not-allowed": "this address is not allowed here", "method-not-allowed": "this method is not allowed here",
		"tls-required": "this is served over TLS only", "certificate-required": "a client certificate is needed",
		"misdirected": "the connection was made for another host, with other demands on TLS",
		"unreachable": "no endpoint could be reached", "bad-gateway": "the endpoint broke off or answered nonsense",
		"timeout": "the endpoint did not answer in time", "internal": "internal error",
	}
}
