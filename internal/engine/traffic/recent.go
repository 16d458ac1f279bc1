package traffic

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxErrors is how many errors are kept of a route, and as many by clients beside them.
	maxErrors = 20
	// maxErrorRoutes is of how many routes errors are kept: those that failed last.
	maxErrorRoutes = 1000
	// maxErrorPath is how many bytes of a path, and of other texts of clients, are kept.
	maxErrorPath = 256
)

// Failed reports whether a request counts among the errors of its route: it was broken
// off, answered with 5xx, or refused by Fairway itself, which gives a reason. A connection
// has failed when there is a reason.
func (r *Request) Failed() bool {
	return r.Error != "" || r.Aborted || r.Outcome == "" && (r.Status == 0 || r.Status >= http.StatusInternalServerError)
}

// ByClient reports whether it was the client by whom a request failed: it was refused, or
// left. That says nothing of the service.
func (r *Request) ByClient() bool {
	switch r.Outcome {
	case "":
		return r.Left || r.Status >= http.StatusBadRequest && r.Status < http.StatusInternalServerError
	case NoHeader, NoRoute, Refused:
		return true
	}
	return false
}

// Recent keeps the last errors of each route, for any goroutine. The zero value keeps
// none yet. What it holds is bounded; errors outlive their route,
// which may come back.
type Recent struct {
	mu     sync.Mutex
	routes map[string]*lastErrors
}

// lastErrors are those of one route. What clients cause at will does not push out what went
// wrong.
type lastErrors struct {
	newest             time.Time
	failures, byClient ring
}

// Error is a request that failed.
type Error struct {
	// At is when it was over.
	At time.Time
	Request
}

// ring holds the newest of what was added; next is the place of the oldest once it is full.
type ring struct {
	items []Error
	next  int
}

func (r *ring) add(one Error) {
	if len(r.items) < maxErrors {
		r.items = append(r.items, one)
		return
	}
	r.items[r.next] = one
	r.next = (r.next + 1) % maxErrors
}

// add keeps a request that failed at a moment.
func (k *Recent) add(one Request, now time.Time) {
	one.Path, one.Host = bounded(one.Path, maxErrorPath), bounded(one.Host, maxErrorPath)
	one.Method, one.ID = bounded(one.Method, 32), bounded(one.ID, 128)
	one.Error = bounded(one.Error, maxReason)
	one.Route, one.Endpoint, one.Client = strings.Clone(one.Route), strings.Clone(one.Endpoint), bounded(one.Client, 64)
	one.Captured = nil
	k.mu.Lock()
	defer k.mu.Unlock()
	last := k.routes[one.Route]
	if last == nil {
		k.makeRoom()
		last = &lastErrors{}
		k.routes[one.Route] = last
	}
	last.newest = now
	if one.ByClient() {
		last.byClient.add(Error{now, one})
	} else {
		last.failures.add(Error{now, one})
	}
}

// makeRoom forgets the route whose newest error is the oldest, where there are too many.
func (k *Recent) makeRoom() {
	if k.routes == nil {
		k.routes = map[string]*lastErrors{}
	}
	if len(k.routes) < maxErrorRoutes {
		return
	}
	oldest := ""
	for id, last := range k.routes {
		if before := k.routes[oldest]; before == nil || last.newest.Before(before.newest) {
			oldest = id
		}
	}
	delete(k.routes, oldest)
}

// Errors returns the last errors of a route, the newest first; the empty ID is for what
// no route took.
func (k *Recent) Errors(route string) []Error {
	k.mu.Lock()
	defer k.mu.Unlock()
	last := k.routes[route]
	if last == nil {
		return nil
	}
	list := slices.Concat(last.failures.items, last.byClient.items)
	slices.SortStableFunc(list, func(a, b Error) int { return b.At.Compare(a.At) })
	return list
}
