package api

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// The groups of series.
const (
	SeriesInstances = "instance" // of each instance, by NAME@SOURCE
	SeriesServices  = "service"  // of each service, by ID
	SeriesNodes     = "node"     // of each node, by ID
	SeriesRoutes    = "route"    // of each route, by ID
	SeriesEndpoints = "endpoint" // of the endpoints of each instance, by NAME@SOURCE
)

// SeriesGroup is a sort of series that is kept. Groups are sorted by name.
type SeriesGroup struct {
	// Name is one of the Series constants.
	Name   string        `json:"name"`
	Fields []SeriesField `json:"fields"`
	// Subjects are those of which there are readings, sorted by name.
	Subjects []SeriesSubject `json:"subjects"`
}

// SeriesField is one figure of a series.
type SeriesField struct {
	Name string `json:"name"`
	// Unit is "percent", "bytes", "bytes/s", "1/s" or "s"; left out for a count.
	Unit string `json:"unit,omitempty"`
}

// SeriesSubject is one thing of which there are readings.
type SeriesSubject struct {
	Name string `json:"name"`
	// Newest is when the newest reading was taken.
	Newest time.Time `json:"newest"`
}

// Series are the readings of one subject.
type Series struct {
	Group   string        `json:"group"`
	Subject string        `json:"subject"`
	Fields  []SeriesField `json:"fields"`
	// Step is the time between two points.
	Step string `json:"step"`
	// Points is sorted by time; where nothing was read there is none.
	Points []SeriesPoint `json:"points"`
}

// SeriesPoint is what a subject was within one step.
type SeriesPoint struct {
	// At is when the step began.
	At time.Time `json:"at"`
	// Means are in the order of the fields; null where nothing is known.
	Means []*float64 `json:"means"`
	// Peaks are the largest readings; null for fields of which none is kept.
	Peaks []*float64 `json:"peaks"`
}

// Latency is what a route or an instance answered within some time. What is not known,
// since nothing was read, is left out; times are also where there was no request.
type Latency struct {
	// Kind is "route" or "endpoint": the endpoints of one instance together.
	Kind string `json:"kind"`
	// Name is the route's ID, or NAME@SOURCE of the instance.
	Name string `json:"name"`
	// Route is the ID of the route, of an instance too, and Service that of its service.
	Route   string `json:"route"`
	Service string `json:"service"`
	// Requests and Errors are per second. InFlight is how many were under way, in the mean.
	Requests *float64 `json:"requests,omitempty"`
	Errors   *float64 `json:"errors,omitempty"`
	InFlight *float64 `json:"inFlight,omitempty"`
	// P50, P95 and P99 are in seconds to the last byte, within 10 %, of all requests of the
	// time.
	P50 *float64 `json:"p50,omitempty"`
	P95 *float64 `json:"p95,omitempty"`
	P99 *float64 `json:"p99,omitempty"`
}

// Latency lists what routes answered in the last time, by route, and below each its
// instances. An empty service is all; zero is an hour.
func (c *Client) Latency(ctx context.Context, service string, since time.Duration) (List[Latency], error) {
	v := url.Values{}
	if service != "" {
		v.Set("service", service)
	}
	if since != 0 {
		v.Set("since", since.String())
	}
	return list[Latency](ctx, c, "/v1/latency", v)
}

// SeriesQuery narrows series down.
type SeriesQuery struct {
	From, To time.Time     // zero means an hour ago and now
	Step     time.Duration // the time between two points; zero means as fine as is kept
}

// SeriesGroups lists what is kept.
func (c *Client) SeriesGroups(ctx context.Context) (List[SeriesGroup], error) {
	return list[SeriesGroup](ctx, c, "/v1/series", nil)
}

// Series returns the readings of one subject of a group.
func (c *Client) Series(ctx context.Context, group, subject string, q SeriesQuery) (Series, error) {
	v := url.Values{}
	for name, t := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	if q.Step != 0 {
		v.Set("step", q.Step.String())
	}
	parts := strings.Split(subject, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return get[Series](ctx, c, "/v1/series/"+url.PathEscape(group)+"/"+strings.Join(parts, "/"), v)
}
