package api

import (
	"context"
	"net/url"
	"time"
)

// Request is a request that is over, or a connection of a TCP listener, whose method is TCP.
type Request struct {
	// At is when it was over.
	At time.Time `json:"at"`
	// ID is what the service got as X-Request-Id.
	ID string `json:"id,omitempty"`
	// Client is the address of the client, and Path the path without the query. Both are
	// for operators; a viewer gets neither.
	Client string `json:"client,omitempty"`
	Path   string `json:"path,omitempty"`
	Method string `json:"method"`
	Host   string `json:"host,omitempty"`
	// Status is that of the answer; 499: the client went away first; 0: there was none.
	Status int `json:"status"`
	// Error says why it failed, where it did.
	Error string `json:"error,omitempty"`
	// Aborted is true when the answer was broken off.
	Aborted bool `json:"aborted,omitempty"`
	// Milliseconds is the time to the last byte, Bytes what the client was sent.
	Milliseconds float64 `json:"milliseconds"`
	Bytes        int64   `json:"bytes"`
	// Route is the ID of the route, and Service that of its service; left out when none
	// took it.
	Route   string `json:"route,omitempty"`
	Service string `json:"service,omitempty"`
	// Endpoint is the ID of the endpoint of the last attempt, with its address and its
	// instance while they are in the table.
	Endpoint string `json:"endpoint,omitempty"`
	Address  string `json:"address,omitempty"`
	Instance string `json:"instance,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
}

// Lost says how many things were left out of a stream that was read too slowly. It is the
// event "lost" of streams.
type Lost struct {
	Lost uint64 `json:"lost"`
}

// ErrorQuery narrows last errors down; empty fields ask for everything.
type ErrorQuery struct {
	Service string // ID or name of a service
	Route   string // ID of a route
	Limit   int    // zero means the default
}

// Errors lists the last errors of routes, the newest first.
func (c *Client) Errors(ctx context.Context, q ErrorQuery) (List[Request], error) {
	return list[Request](ctx, c, "/v1/errors", url.Values{"service": text(q.Service), "route": text(q.Route), "limit": given(q.Limit)})
}

// RequestQuery narrows a stream of requests down; empty fields ask for everything.
type RequestQuery struct {
	Service string // ID or name of a service
	Route   string // ID of a route
	Status  string // such as 404 or 5xx
	Failed  bool   // only what failed
}

// Requests calls got with each request that is over from now on, and lost with how many were
// left out because got took too long, until ctx ends or the connection does.
func (c *Client) Requests(ctx context.Context, q RequestQuery, got func(Request), lost func(uint64)) error {
	query := url.Values{"service": text(q.Service), "route": text(q.Route), "status": text(q.Status), "failed": given(q.Failed)}
	return c.stream(ctx, "/v1/requests", query, func(event string, data []byte) error {
		switch event {
		case "request":
			return each(data, got)
		case "lost":
			return each(data, func(l Lost) { lost(l.Lost) })
		}
		return nil
	})
}
