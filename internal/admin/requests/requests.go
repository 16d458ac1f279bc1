// Package requests shows the requests that an engine reports: the last errors of routes,
// and all of them as they come.
package requests

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"fairway/internal/admin/show"
	"fairway/internal/admin/stream"
	"fairway/internal/api"
	"fairway/internal/engine/traffic"
	"fairway/internal/human"
	"fairway/internal/route"
)

// Log is where engines report requests. *traffic.Log is one.
type Log interface {
	// Errors returns the last errors of a route, the newest first; the empty ID is for
	// what no route took.
	Errors(route string) []traffic.Error
	// Follow gives the lines that want is true for.
	Follow(want func(*traffic.Request) bool) *traffic.Follower
}

// Request is a request that was over at a moment. Only operators see its client and path.
func Request(v *show.View, r *traffic.Request, at time.Time, operator bool) api.Request {
	out := api.Request{
		At: at.UTC(), ID: r.ID, Method: r.Method, Host: r.Host, Status: r.Status, Error: r.Error, Aborted: r.Aborted,
		Milliseconds: 1000 * r.Seconds, Bytes: r.Bytes, Route: r.Route, Endpoint: r.Endpoint, Attempts: r.Attempts,
	}
	if operator {
		out.Client, out.Path = r.Client, r.Path
	}
	if out.Error == "" && r.Failed() {
		out.Error = fmt.Sprintf("the service itself answered %d", r.Status)
	}
	one := v.Table.Route(r.Route)
	if one == nil {
		return out
	}
	out.Service = one.Service
	if b := v.Table.Backend(one.Backend); b != nil {
		if i := slices.IndexFunc(b.Endpoints, func(e route.Endpoint) bool { return e.ID == r.Endpoint }); i >= 0 {
			out.Address, out.Instance = b.Endpoints[i].Address, b.Endpoints[i].Instance
		}
	}
	return out
}

// Query says which last errors are wanted.
type Query struct {
	// Service is the ID or name of a service, Route the ID of a route; empty for all, and
	// then for what no route took, too.
	Service, Route string
	// Limit is how many; at least 1.
	Limit int
	// Operator is true for one who sees clients and paths.
	Operator bool
}

// Errors returns the last errors, the newest first.
func Errors(v *show.View, log Log, q Query) (list []api.Request) {
	var ids []string
	if q.Service == "" && q.Route == "" {
		ids = append(ids, "")
	}
	for _, r := range v.Table.Routes {
		if v.IsService(q.Service, r.Service) && q.Route == "" {
			ids = append(ids, r.ID)
		}
	}
	one := v.Table.Route(q.Route)
	if q.Route != "" && (q.Service == "" || one != nil && v.IsService(q.Service, one.Service)) { // without a service also when it has left the table
		ids = append(ids, q.Route)
	}
	for _, id := range ids {
		for _, e := range log.Errors(id) {
			list = append(list, Request(v, &e.Request, e.At, q.Operator))
		}
	}
	slices.SortStableFunc(list, func(a, b api.Request) int { return b.At.Compare(a.At) })
	return list[:min(len(list), q.Limit)]
}

// Last is the newest error of a route that its client did not cause; nil for none.
func Last(v *show.View, log Log, id string, operator bool) *api.Request {
	for _, e := range log.Errors(id) {
		if !e.ByClient() {
			return new(Request(v, &e.Request, e.At, operator))
		}
	}
	return nil
}

// recently is how old an error may be to be worth a line in a diagnosis.
const recently = time.Hour

// Diagnose adds to a diagnosis the last error of the instance, or of the service.
func Diagnose(v *show.View, log Log, now time.Time, d *api.Diagnosis) {
	var last *api.Request
	for _, r := range v.RoutesOf(d.Service) {
		for _, e := range log.Errors(r.ID) {
			one := Request(v, &e.Request, e.At, false)
			if !e.ByClient() && (d.Instance == "" || d.Instance == one.Instance) && (last == nil || one.At.After(last.At)) {
				last = &one
			}
		}
	}
	if last == nil || now.Sub(last.At) > recently {
		return
	}
	d.Checks = append(d.Checks, api.Check{
		Name: "last error", Outcome: api.CheckDoubt,
		Text: fmt.Sprintf("%s ago, status %d: %s", human.Age(now.Sub(last.At)), last.Status, last.Error),
		Hint: "all of them: fairway errors " + d.Service,
	})
}

// Filter says which requests a follower wants.
type Filter struct {
	low, high int // of the status
	failed    bool
	routes    atomic.Pointer[map[string]bool] // nil: all
}

// NewFilter reads a status such as 404 or 5xx, empty for any; failed keeps what failed.
func NewFilter(status string, failed bool) (*Filter, error) {
	f := &Filter{high: 1000, failed: failed}
	if status == "" {
		return f, nil
	}
	digit, class := strings.CutSuffix(strings.ToLower(status), "xx")
	n, err := strconv.Atoi(digit)
	switch {
	case err == nil && class && n >= 1 && n <= 5:
		f.low, f.high = 100*n, 100*n+100
	case err == nil && !class && (n == 0 || n >= 100 && n < 600):
		f.low, f.high = n, n+1
	default:
		return nil, fmt.Errorf("status %q: want one such as 404, or 5xx", status)
	}
	return f, nil
}

// Restrict keeps the requests of a service, by ID or name, or of a route; of all where both
// are empty. It reports whether there is one.
func (f *Filter) Restrict(v *show.View, service, route string) bool {
	if cmp.Or(service, route) == "" {
		return true
	}
	routes := map[string]bool{}
	for _, r := range v.Table.Routes {
		if v.IsService(service, r.Service) && (route == "" || route == r.ID) {
			routes[r.ID] = true
		}
	}
	f.routes.Store(&routes)
	return len(routes) > 0
}

// Wants reports whether a request passes, from any goroutine.
func (f *Filter) Wants(r *traffic.Request) bool {
	routes := f.routes.Load()
	return r.Status >= f.low && r.Status < f.high && (!f.failed || r.Failed()) && (routes == nil || (*routes)[r.Route])
}

// look is how often a stream is seen to.
const look = time.Second

// Follow streams "request" for each request that passes the filter from now on, and "lost"
// for those that the client was too slow for. view is asked at once, and again when changed,
// of the table, is closed.
func Follow(out *stream.Stream, log Log, filter *Filter, changed func() <-chan struct{}, view func() *show.View) {
	next := changed()
	v := view()
	follower := log.Follow(filter.Wants)
	defer follower.Close()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for lost := uint64(0); out.KeepAlive(); {
		select {
		case <-out.Over.Done():
			return
		case <-next:
			next, v = changed(), view()
		case <-ticker.C:
			if n := follower.Lost(); n > lost {
				out.Send("lost", api.Lost{Lost: n - lost})
				lost = n
			}
		case one := <-follower.C:
			out.Send("request", Request(v, &one, time.Now(), true))
		}
	}
}
