package haproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/clock"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/engine/traffic"
	"fairway/internal/latency"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

// readings make of what HAProxy reports the figures, endpoint states and access log of
// the embedded engine, by the names of the table. Requests and connections are counted
// out of the lines that HAProxy sends when they are over: its own counters know no
// routes, and begin anew with each reload. States are asked for when they are read.
type readings struct {
	readingOptions
	counters *traffic.Counters
	unread   *metrics.Counter // lines that could not be made sense of
	access   *traffic.Log
	socket   net.Listener
	// datagrams is where lines come from HAProxy 3.4 and newer.
	datagrams *net.UnixConn
	serving   sync.WaitGroup
	cancel    context.CancelFunc

	mu      sync.Mutex // of what follows
	table   *route.Table
	shown   [3]*render.Config         // the newest first: lines of what was removed come late
	routes  map[string]*traffic.Route // by render.RouteKey; nil: the route is gone
	none    *traffic.Route            // what no route took
	counts  map[endpointKey]*endpointCounts
	leaving map[endpointKey]*departure

	asking sync.Mutex // of what follows
	heard  map[socket.Kind]heard
}

// heard is what HAProxy answered.
type heard struct {
	at    time.Time
	stats socket.Stats
	err   error
}

// readingOptions are what newReadings needs.
type readingOptions struct {
	// Socket is where HAProxy sends its lines; a file that is there is replaced.
	Socket string
	// Key begins each of them.
	Key string
	// Ask reads HAProxy's statistics of some kinds, of all sections or some.
	Ask func(context.Context, socket.Kind, ...string) (socket.Stats, error)
	// OnDrained gets how endpoints leave, from one goroutine; or nil.
	OnDrained func(traffic.Drained)
	// AccessLog gets one line of JSON for each request; nil writes none.
	AccessLog io.Writer
	Logger    *slog.Logger
	Metrics   *metrics.Set
}

// newReadings listens for HAProxy's lines until close.
func newReadings(o readingOptions) (*readings, error) {
	r := &readings{
		readingOptions: o, table: &route.Table{}, routes: map[string]*traffic.Route{}, counts: map[endpointKey]*endpointCounts{},
		leaving: map[endpointKey]*departure{}, heard: map[socket.Kind]heard{},
	}
	var err error
	if r.socket, r.datagrams, err = socket.ListenForLines(o.Socket, render.Datagrams(o.Socket)); err != nil {
		return nil, fmt.Errorf("haproxy: log socket: %w", err)
	}
	r.counters = traffic.NewCounters(o.Metrics, r.gauges)
	r.unread = o.Metrics.Counter("fairway_haproxy_unread_lines_total",
		"Lines of HAProxy's that report no request, such as handshakes that failed.")
	r.access = r.counters.NewLog(o.AccessLog, o.Logger)
	r.none = r.counters.Route("")
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.serving.Go(func() { r.accept(ctx) })
	r.serving.Go(r.readDatagrams)
	if o.OnDrained != nil {
		r.serving.Go(func() { r.watchLeaving(ctx) })
	}
	return r, nil
}

// close takes the lines that have arrived, and ends.
func (r *readings) close() error {
	err := errors.Join(r.socket.Close(), r.datagrams.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	r.cancel()
	r.serving.Wait()
	err = errors.Join(err, r.datagrams.Close()) // the file stays, until the next takes its place
	if flushErr := r.access.Close(); flushErr != nil {
		err = errors.Join(err, fmt.Errorf("haproxy: access log: %w", flushErr))
	}
	return err
}

// use makes lines and statistics be read by a configuration and its table, before they
// go live. The series of routes that are gone are deleted.
func (r *readings) use(c *render.Config, t *route.Table) {
	r.forget() // nothing that leaves from here on is judged by what was said before
	r.mu.Lock()
	defer r.mu.Unlock()
	if c != r.shown[0] {
		r.shown = [3]*render.Config{c, r.shown[0], r.shown[1]}
	}
	if t == r.table {
		return
	}
	former := r.table
	r.table = t
	r.depart(former, t)
	maps.DeleteFunc(r.routes, func(_ string, s *traffic.Route) bool { return s == nil }) // gone since the table before
	for _, o := range former.Routes {
		if t.Route(o.ID) == nil {
			key := render.RouteKey(o.ID)
			r.counters.Remove(r.routes[key])
			r.routes[key] = nil
		}
	}
	for _, n := range t.Routes {
		if former.Route(n.ID) == nil {
			r.routes[render.RouteKey(n.ID)] = r.counters.Route(n.ID)
		}
	}
}

// accept takes a connection of each worker. When ctx ends what is there is read, and
// nothing is waited for.
func (r *readings) accept(ctx context.Context) {
	for {
		conn, err := r.socket.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // too many open files, which pass
			continue
		}
		r.serving.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) })()
			r.read(conn)
		})
	}
}

// read takes the lines of a connection until it ends.
func (r *readings) read(conn net.Conn) {
	in := bufio.NewReaderSize(conn, 64<<10)
	var buf []byte
	for {
		frame, err := readFrame(in, buf)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
				r.Logger.Debug("lines of HAProxy end", "error", err)
			}
			return
		}
		buf = frame
		r.take(string(frame))
	}
}

// readDatagrams takes lines that come one by one, until the deadline that close sets.
func (r *readings) readDatagrams() {
	buf := make([]byte, maxFrame)
	for {
		n, err := r.datagrams.Read(buf)
		if err != nil {
			return
		}
		r.take(string(buf[:n]))
	}
}

// take counts and logs a line.
func (r *readings) take(line string) {
	e, err := parseLine(line, r.Key, time.Now())
	if err != nil {
		r.unread.Inc()
		return
	}
	r.mu.Lock()
	r.refused(e)
	s, known := r.none, true
	if e.key != "" {
		s, known = r.routes[e.key]
	}
	if known && s != nil {
		e.Route = s.ID()
		count(s, e)
	}
	if key, address, found := r.endpointOf(e.section, e.server); found {
		e.Endpoint, e.address = key.endpoint, address
		r.tally(key, e)
	}
	r.mu.Unlock()
	r.logEvent(e)
}

// endpointKey names an endpoint by the IDs of the table.
type endpointKey struct{ backend, endpoint string }

// endpointCounts count from when an endpoint is known.
type endpointCounts struct {
	requests, failures uint64
	took               latency.Histogram
}

// tally counts for an endpoint. Attempts on others, before it, are not counted.
func (r *readings) tally(key endpointKey, e event) {
	c := r.counts[key]
	if c == nil {
		c = &endpointCounts{}
		r.counts[key] = c
	}
	c.requests += uint64(e.weight)
	if !e.connection {
		c.took.Add(uint64(e.weight), e.took)
	}
	if e.end[0] == 'S' || e.end[0] == 's' {
		c.failures += uint64(e.weight)
	}
}

// endpointOf finds an endpoint and its address by HAProxy's names.
func (r *readings) endpointOf(section, server string) (key endpointKey, address string, found bool) {
	if server == "" {
		return key, "", false
	}
	for _, c := range r.shown {
		if c == nil {
			break
		}
		if s := c.Section(section); s != nil {
			if found := serverOf(s, server); found != nil {
				return endpointKey{s.Backend, found.Endpoint}, found.Address.String(), true
			}
		}
	}
	return key, "", false
}

// How long HAProxy may take to answer, and for how long an answer counts.
const (
	askTimeout = 5 * time.Second
	statsAge   = 500 * time.Millisecond
)

// newest returns HAProxy's statistics of some kinds, at most statsAge old; those of some sections are new.
func (r *readings) newest(ctx context.Context, of socket.Kind, sections ...string) (socket.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if len(sections) > 0 {
		return r.Ask(ctx, of, sections...)
	}
	r.asking.Lock()
	defer r.asking.Unlock()
	before := r.heard[of]
	if time.Since(before.at) < statsAge {
		return before.stats, before.err
	}
	stats, err := r.Ask(ctx, of)
	if err != nil && before.err == nil {
		r.Logger.Warn("HAProxy does not answer", "error", err)
	}
	r.heard[of] = heard{time.Now(), stats, err}
	return stats, err
}

// forget has HAProxy asked anew: what it said is of the table before.
func (r *readings) forget() {
	r.asking.Lock()
	defer r.asking.Unlock()
	clear(r.heard)
}

// endpoints reports the state of all endpoints, in the order of HAProxy's sections; one
// that several have once. While HAProxy does not answer nothing is known of any.
func (r *readings) endpoints() []traffic.EndpointStatus {
	stats, err := r.newest(context.Background(), socket.Servers)
	if err != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	config := r.shown[0]
	if config == nil {
		return nil
	}
	counts := make(map[endpointKey]*endpointCounts, len(r.counts))
	for key := range r.leaving {
		if c := r.counts[key]; c != nil {
			counts[key] = c
		}
	}
	defer func() { r.counts = counts }() // those of endpoints that are gone are forgotten
	rows := map[[2]string]socket.Row{}
	for row := range stats.Rows() {
		rows[[2]string{row.Proxy(), row.Server()}] = row
	}
	var list []traffic.EndpointStatus
	place := map[endpointKey]int{}
	for i := range config.Sections {
		s := &config.Sections[i]
		for j := range s.Servers {
			server := &s.Servers[j]
			row, ok := rows[[2]string{s.Name, server.Name}]
			if !ok {
				continue
			}
			status := statusOf(s.Backend, server, row)
			key := endpointKey{s.Backend, server.Endpoint}
			at, twice := place[key]
			if !twice {
				if c := r.counts[key]; c != nil {
					counts[key] = c
					status.Requests, status.Failures = c.requests, c.failures
				}
				place[key] = len(list)
				list = append(list, status)
				continue
			}
			known := &list[at]
			known.InFlight += status.InFlight
			known.Ejected = known.Ejected || status.Ejected
			known.OutOfRotation = known.OutOfRotation || status.OutOfRotation
			if known.Health == "" || status.Health == traffic.Failing {
				known.Health, known.Reason = status.Health, status.Reason
			}
		}
	}
	return list
}

// totals are the counts of endpoints that were asked for something; while none was, nothing is asked
// of HAProxy either.
func (r *readings) totals() (list []traffic.EndpointTotals) {
	r.mu.Lock()
	none := len(r.counts) == 0
	r.mu.Unlock()
	if none {
		return nil
	}
	all := r.endpoints()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range all {
		if c := r.counts[endpointKey{e.Backend, e.Endpoint}]; c != nil {
			list = append(list, traffic.EndpointTotals{
				Backend: e.Backend, Endpoint: e.Endpoint, InFlight: e.InFlight, Requests: c.requests, Failures: c.failures, Took: c.took,
			})
		}
	}
	return list
}

// statusOf reads the row of a server.
func statusOf(backend string, server *render.Server, row socket.Row) traffic.EndpointStatus {
	s := traffic.EndpointStatus{Backend: backend, Endpoint: server.Endpoint, InFlight: int(row.Number("scur"))}
	check := strings.TrimPrefix(row.Text("check_status"), "* ") // a star: one is under way
	down := strings.HasPrefix(row.Text("status"), "DOWN") || strings.HasPrefix(row.Text("status"), "NOLB")
	switch {
	case check == "HANA": // found out by requests
		s.Ejected = down
	case strings.HasSuffix(check, "OK"):
		s.Health = traffic.Passing
	case check != "" && check != "UNK" && check != "INI":
		s.Health, s.Reason = traffic.Failing, row.Reason()
	}
	s.OutOfRotation = server.State == route.EndpointReady && down && !s.Ejected
	return s
}

// Requests is where requests that are over are reported.
func (e *Engine) Requests() *traffic.Log { return e.readings.access }

// Traffic returns what has come through each route; see traffic.Counters.
func (e *Engine) Traffic() []traffic.Totals { return e.readings.counters.Snapshot() }

// gauges asks HAProxy. Connections to workers that were replaced are not counted.
func (r *readings) gauges() (open map[string]int64, held int64, ok bool) {
	stats, err := r.newest(context.Background(), socket.Frontends|socket.Backends)
	if err != nil {
		return nil, 0, false
	}
	open = map[string]int64{}
	for row := range stats.Rows() {
		switch row.Server() {
		case "BACKEND":
			held += row.Number("qcur")
		case "FRONTEND":
			if name := quote.Listener(row.Proxy()); name != "" {
				open[name] += row.Number("scur")
			}
		}
	}
	return open, held, true
}

// departure is an endpoint that leaves.
type departure struct {
	traffic.Drained
	at       time.Time
	asked    bool // Requests is known
	failures uint64
}

const (
	leavingInterval = 250 * time.Millisecond // between two looks at endpoints that leave
	maxSections     = 100                    // are asked about one by one
)

// depart notes the endpoints that were ready and are not in the next table. The caller
// holds the mutex.
func (r *readings) depart(old, next *route.Table) {
	if r.OnDrained == nil {
		return
	}
	for _, b := range old.Backends {
		now := next.Backend(b.ID)
		if now == b {
			continue
		}
		stays := map[string]bool{}
		if now != nil {
			for _, e := range now.Endpoints {
				stays[e.ID] = e.State != route.EndpointDraining
			}
		}
		for _, e := range b.Endpoints {
			key := endpointKey{b.ID, e.ID}
			if e.State != route.EndpointReady || stays[e.ID] || r.leaving[key] != nil {
				continue
			}
			d := &departure{Drained: traffic.Drained{Backend: b.ID, Endpoint: e.ID, Service: b.Service, Instance: e.Instance}, at: time.Now()}
			if c := r.counts[key]; c != nil {
				d.failures = c.failures
			}
			r.leaving[key] = d
		}
		for id, ready := range stays {
			if ready {
				delete(r.leaving, endpointKey{b.ID, id}) // it has come back
			}
		}
	}
}

// leavingSections are the sections of backends whose endpoints leave, nil for many. The caller holds
// the mutex.
func (r *readings) leavingSections() (names []string) {
	backends := map[string]bool{"": false}
	for key := range r.leaving {
		backends[key.backend] = true
	}
	for _, c := range r.shown {
		for i := 0; c != nil && len(r.leaving) > 0 && i < len(c.Sections); i++ {
			if s := &c.Sections[i]; backends[s.Backend] {
				names = append(names, s.Name)
			}
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > maxSections {
		return nil
	}
	return names
}

// watchLeaving reports endpoints that leave when nothing runs there any more, but for
// connections of a worker that was replaced, which are not seen.
func (r *readings) watchLeaving(ctx context.Context) {
	for clock.Sleep(ctx, leavingInterval) == nil {
		for _, d := range r.left(ctx) {
			r.OnDrained(d)
		}
	}
}

// left takes those off the list of what leaves that have nothing to do any more, as HAProxy says now.
func (r *readings) left(ctx context.Context) (over []traffic.Drained) {
	r.mu.Lock()
	asked, sections := maps.Clone(r.leaving), r.leavingSections()
	r.mu.Unlock()
	if len(asked) == 0 {
		return nil
	}
	stats, err := r.newest(ctx, socket.Servers, sections...)
	if err != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	busy := map[endpointKey]int64{}
	for row := range stats.Rows() {
		if key, _, ok := r.endpointOf(row.Proxy(), row.Server()); ok {
			busy[key] += row.Number("scur")
		}
	}
	for key, d := range r.leaving {
		if asked[key] == d && !d.asked {
			d.asked, d.Requests = true, busy[key]
		}
		if asked[key] != d || busy[key] > 0 { // the answer may not speak of what leaves since
			continue
		}
		d.Took = time.Since(d.at)
		delete(r.leaving, key)
		if c := r.counts[key]; c != nil { // it was asked for something
			d.Failed = c.failures - d.failures
			over = append(over, d.Drained)
		}
	}
	return over
}
