// Package traffic is what every engine reports of requests and connections, in one
// form whatever the engine: its counters by route, and the lines of the access log.
package traffic

import (
	"cmp"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/latency"
	"fairway/internal/metrics"
)

// Totals are what has come through one route since it was added. They only grow.
type Totals struct {
	// Route is the ID in the table; empty for what no route took.
	Route string
	// Classes are requests by ClassOf their status.
	Classes [Classes]uint64
	// Took are requests by their latency.
	Took latency.Histogram
	// Last is when the newest request or connection was over, to the second; zero for none.
	Last time.Time
	// Seconds is the sum of all latencies.
	Seconds float64
	// Retries are attempts after the first.
	Retries uint64
	// Connections to TCP listeners that are over, with the bytes they passed from
	// clients and to them.
	Connections, Received, Sent uint64
}

// Requests is the number of all requests.
func (t *Totals) Requests() (n uint64) {
	for _, class := range t.Classes {
		n += class
	}
	return n
}

// Errors is the number of requests that were answered with 5xx or broken off.
func (t *Totals) Errors() uint64 { return t.Classes[5] + t.Classes[0] }

// Route counts what comes through one route, for any goroutine, also when it is removed.
type Route struct {
	id                                   string
	used                                 atomic.Bool  // something was counted
	last                                 atomic.Int64 // when the newest was over, in seconds since 1970
	classes                              [Classes]atomic.Uint64
	took                                 latency.Counter
	microseconds                         atomic.Uint64
	retries, connections, received, sent atomic.Uint64
}

// ID is the route's ID in the table.
func (r *Route) ID() string { return r.id }

// use has the route read from now on. Most counts find that it is.
func (r *Route) use() {
	if !r.used.Load() {
		r.used.Store(true)
	}
}

// touch notes that something is over now, once a second.
func (r *Route) touch(now time.Time) {
	if now := now.Unix(); r.last.Load() != now {
		r.last.Store(now)
	}
	r.use()
}

// Requests counts n requests that were answered alike; status is 0 where there was none.
func (r *Route) Requests(n uint64, status int, took time.Duration) {
	r.Answered(n, status, took, time.Now())
}

// Answered is Requests for who knows the time.
func (r *Route) Answered(n uint64, status int, took time.Duration, now time.Time) {
	r.classes[ClassOf(status)].Add(n)
	r.took.Add(n, took)
	r.microseconds.Add(n * uint64(max(0, took.Microseconds())))
	r.touch(now)
}

// Retried counts n attempts after the first.
func (r *Route) Retried(n uint64) {
	r.retries.Add(n)
	r.use()
}

// Connected counts a connection to a TCP listener that is over.
func (r *Route) Connected() {
	r.connections.Add(1)
	r.touch(time.Now())
}

// Passed counts bytes of connections to TCP listeners: received from clients, and
// sent to them.
func (r *Route) Passed(received, sent uint64) {
	r.received.Add(received)
	r.sent.Add(sent)
	r.use()
}

func (r *Route) totals() Totals {
	t := Totals{
		Route: r.id, Seconds: float64(r.microseconds.Load()) / 1e6, Retries: r.retries.Load(),
		Connections: r.connections.Load(), Received: r.received.Load(), Sent: r.sent.Load(), Took: r.took.Read(),
	}
	if last := r.last.Load(); last > 0 {
		t.Last = time.Unix(last, 0).UTC()
	}
	for i := range r.classes {
		t.Classes[i] = r.classes[i].Load()
	}
	return t
}

// Counters are the figures that every engine keeps.
type Counters struct {
	// Refusals are by the guard's reason, and of no route.
	Refusals *metrics.Vec[metrics.Counter]
	logLost  *metrics.Counter // lines of the access log

	mu     sync.Mutex
	routes map[string]*Route // by ID
}

// NewCounters makes the counters and their metrics. gauges reads the open connections
// of each listener and how many requests are held, for each scrape; ok is false when
// nothing is known.
func NewCounters(m *metrics.Set, gauges func() (open map[string]int64, held int64, ok bool)) *Counters {
	c := &Counters{
		routes:   map[string]*Route{},
		Refusals: m.CounterVec("fairway_guard_refusals_total", "Requests and connections that a guard refused.", "reason"),
		logLost: m.Counter("fairway_access_log_lost_total",
			"Lines of the access log that were not written, since what reads it stands still or the disk fails."),
	}
	c.showRoutes(m)
	openConnections := m.Family(metrics.KindGauge, "fairway_open_connections", "Open connections of clients.", "listener")
	heldRequests := m.Family(metrics.KindGauge, "fairway_held_requests", "Requests that wait for an endpoint.")
	m.Collect(func(scrape *metrics.Scrape) {
		open, held, ok := gauges()
		if !ok {
			return
		}
		for listener, n := range open {
			scrape.Put(openConnections, float64(n), listener)
		}
		scrape.Put(heldRequests, float64(held))
	})
	return c
}

// showRoutes makes the metrics of routes. What is zero is left out.
func (c *Counters) showRoutes(m *metrics.Set) {
	counter := func(name, help string, labels ...string) *metrics.Family {
		return m.Family(metrics.KindCounter, "fairway_"+name, help, labels...)
	}
	requests := counter("requests_total", "Requests by route (empty: none took it) and class of the answer's status.", "code", "route")
	retries := counter("retries_total", "Attempts after the first.", "route")
	connections := counter("connections_total", "Connections to TCP listeners that are over, by route (empty: none took it).", "route")
	received := counter("connection_received_bytes_total", "Bytes passed from clients of TCP listeners to endpoints.", "route")
	sent := counter("connection_sent_bytes_total", "Bytes passed from endpoints to clients of TCP listeners.", "route")
	bounds := latency.Bounds()
	duration := m.Family(metrics.KindHistogram, "fairway_request_duration_seconds", "Time from a request's header to the last byte of its answer.", "route")
	m.Collect(func(scrape *metrics.Scrape) {
		count := func(f *metrics.Family, n uint64, labels ...string) {
			if n > 0 {
				scrape.Put(f, float64(n), labels...)
			}
		}
		for _, t := range c.Snapshot() {
			for class, n := range t.Classes {
				count(requests, n, ClassName(class), t.Route)
			}
			count(retries, t.Retries, t.Route)
			count(connections, t.Connections, t.Route)
			count(received, t.Received, t.Route)
			count(sent, t.Sent, t.Route)
			if t.Requests() > 0 {
				scrape.PutHistogram(duration, bounds, t.Took.Coarse(), t.Seconds, t.Route)
			}
		}
	})
}

// NewLog makes the access log of an engine: lines that are lost are counted, and
// errors go to logger.
func (c *Counters) NewLog(out io.Writer, logger *slog.Logger) *Log {
	return NewLog(out,
		func(lines int) { c.logLost.Add(uint64(lines)) },
		func(err error) { logger.Error("access log cannot be written", "error", err) })
}

// Route returns counters for a route; the empty ID is for what no route took. Of one
// ID there is one at a time: the one before has to be removed.
func (c *Counters) Route(id string) *Route {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &Route{id: id}
	c.routes[id] = r
	return r
}

// Remove deletes what was counted of a route, for good.
func (c *Counters) Remove(r *Route) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.routes[r.id] == r {
		delete(c.routes, r.id)
	}
}

// Snapshot returns the totals of every route that something came through, sorted.
// It asks no other program, and waits for no disk.
func (c *Counters) Snapshot() []Totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []Totals{}
	for _, r := range c.routes {
		if r.used.Load() {
			list = append(list, r.totals())
		}
	}
	slices.SortFunc(list, func(a, b Totals) int { return cmp.Compare(a.Route, b.Route) })
	return list
}

// Classes is the number of classes of answers.
const Classes = 6

// ClassOf is the first digit of a status; 0 for what is none.
func ClassOf(status int) int {
	if class := status / 100; class >= 1 && class < Classes {
		return class
	}
	return 0
}

// ClassName is a class as metrics name it: "2xx", or "none" for 0.
func ClassName(class int) string {
	if class == 0 {
		return "none"
	}
	return strconv.Itoa(class) + "xx"
}
