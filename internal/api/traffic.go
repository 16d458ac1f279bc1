package api

import (
	"context"
	"net/url"
	"time"
)

// Change says that something is not as it was; what it is now has to be asked
// for. It is the event "change" of /v1/watch.
type Change struct {
	// Revision and Hash are those of the newest snapshot and the live table.
	Revision uint64 `json:"revision"`
	Hash     string `json:"hash"`
	// State and Pending are those of Info.Table.
	State   string `json:"state"`
	Pending string `json:"pending,omitempty"`
	// Condition and Findings are the state and the number of findings of /v1/status.
	Condition string `json:"condition"`
	Findings  int    `json:"findings"`
	// Problems is how many there are.
	Problems int `json:"problems"`
	// Stale are the names of the sources that do not answer, sorted.
	Stale []string `json:"stale"`
}

// Traffic is what goes through Fairway at the moment: rates over the last few
// seconds.
type Traffic struct {
	At time.Time `json:"at"`
	// Seconds is the time that the rates are taken over.
	Seconds float64 `json:"seconds"`
	// Total is all of it together; its Route is empty.
	Total RouteTraffic `json:"total"`
	// Routes is sorted by ID. In an event of /v1/watch those are left out that
	// are as in the event before.
	Routes []RouteTraffic `json:"routes"`
	// Endpoints is sorted by backend, then endpoint, with the same omission.
	Endpoints []EndpointTraffic `json:"endpoints"`
}

// RouteTraffic is the traffic of one route.
type RouteTraffic struct {
	// Route is the route's ID; empty for requests that no route took.
	Route string `json:"route"`
	// Rate is requests per second.
	Rate float64 `json:"rate"`
	// Errors is how many of these a second were answered with 5xx or broken off
	// before there was an answer.
	Errors float64 `json:"errors,omitempty"`
	// Median, P95 and P99 are the time to the last byte in milliseconds, within 10 %: half,
	// 95 % and 99 % of the requests took no longer. They are left out without requests.
	Median float64 `json:"median,omitempty"`
	P95    float64 `json:"p95,omitempty"`
	P99    float64 `json:"p99,omitempty"`
}

// EndpointTraffic is the traffic of one endpoint, with what the engine knows of it.
type EndpointTraffic struct {
	// Backend and Endpoint are the IDs in the table.
	Backend  string `json:"backend"`
	Endpoint string `json:"endpoint"`
	// Rate is requests per second, Failures how many of these failed.
	Rate     float64 `json:"rate"`
	Failures float64 `json:"failures,omitempty"`
	EndpointLive
}

// Traffic measures what goes through Fairway, for a second where no client watches.
func (c *Client) Traffic(ctx context.Context) (Traffic, error) {
	return get[Traffic](ctx, c, "/v1/traffic", nil)
}

// Recent is Traffic without measuring; Seconds is zero where no client watches.
func (c *Client) Recent(ctx context.Context) (Traffic, error) {
	return get[Traffic](ctx, c, "/v1/traffic", url.Values{"wait": {"false"}})
}
