package haproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/engine/traffic"
	"fairway/internal/metrics"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// lockedBuffer may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// tableOf makes a table with one route for each service.
func tableOf(t *testing.T, services ...string) *route.Table {
	t.Helper()
	var routes []*route.Route
	for i, s := range services {
		routes = append(routes, &route.Route{
			ID: s, Service: s, Claim: uint64(i + 1), Refused: "only its name is needed",
			Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: s + ".example"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
		})
	}
	table, err := route.New(1, nil, routes, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// configOf has one section s1 of the backend shop, with the servers v1 and v2.
func configOf() *render.Config {
	return &render.Config{Sections: []render.Section{
		{Name: "s1", Backend: "shop", Servers: []render.Server{
			{Name: "v1", Endpoint: "e1", State: route.EndpointReady},
			{Name: "v2", Endpoint: "e2", State: route.EndpointReady},
			{Name: "v3", Endpoint: "e3", State: route.EndpointDraining},
		}},
		{Name: "s2", Backend: "shop", Route: "shop/own", Servers: []render.Server{{Name: "v1", Endpoint: "e1", State: route.EndpointReady}}},
		{Name: "s3"},
	}}
}

const statsHeader = "# pxname,svname,qcur,scur,status,check_status,\n"

// newTestReadings are readings that are told answer, with the function that sends
// them lines as HAProxy does.
func newTestReadings(t *testing.T, answer *string) (*readings, *metrics.Set, *lockedBuffer, func(...string)) {
	t.Helper()
	registry, log := &metrics.Set{}, &lockedBuffer{}
	path := filepath.Join(t.TempDir(), "log.sock")
	r, err := newReadings(readingOptions{
		Socket: path, AccessLog: log, Logger: slog.New(slog.DiscardHandler), Metrics: registry,
		Ask: func(context.Context, socket.Kind, ...string) (socket.Stats, error) {
			if *answer == "" {
				return socket.Stats{}, errors.New("gone")
			}
			return socket.ParseStats(statsHeader + *answer)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.use(configOf(), tableOf(t, "shop", "blog"))
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return r, registry, log, func(lines ...string) {
		for _, l := range lines {
			if _, err := fmt.Fprintf(conn, "%d %s", len(l), l); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// request is the beginning of a line about one.
func request(key, status, retries, code, section, server string) string {
	return strings.Join([]string{render.LineRequest, key, status, "12", retries, code, "--", section, server, "345", "-"}, "\t") + "\n"
}

// standing makes the line of a request stand for more.
func standing(line, weight string) string { return strings.TrimSuffix(line, "-\n") + weight + "\n" }

func TestReadings(t *testing.T) {
	answer := "in-http,FRONTEND,,3,OPEN,,\n" + "stats,FRONTEND,,9,OPEN,,\n" + "s1,BACKEND,2,4,UP,,\n"
	r, registry, _, send := newTestReadings(t, &answer)
	shop, blog := render.RouteKey("shop"), render.RouteKey("blog")
	all := []string{
		request(shop, "200", "0", "-", "s1", "v1"), standing(request(shop, "204", "+2", "-", "s1", "v2"), "5"),
		request(blog, "-1", "0", "-", "s9", "v9"),
		request("-", "404", "0", "unknown-host", "in-http", "<NOSRV>"),
		request("-", "400", "0", "bad-host", "in-http", "<NOSRV>"),
		request(blog, "400", "0", "bad-path", "s9", "<NOSRV>"),
		"in-https/1: SSL handshake failure\n",
		strings.Join([]string{render.LineConnection, shop, "11", "5", "0", "-", "--", "s1", "v1", "22", "-"}, "\t"),
	}
	send(all...)
	want := map[string]float64{
		"requests_total 2xx shop": 6, "request_duration_seconds shop": 6, "retries_total shop": 10,
		"requests_total none blog": 1, "requests_total 4xx blog": 1, "request_duration_seconds blog": 2,
		"requests_total 4xx ": 2, "request_duration_seconds ": 2, "guard_refusals_total bad-host": 1, "access_log_lost_total": 0,
		"haproxy_unread_lines_total": 1,
		"connections_total shop":     1, "connection_received_bytes_total shop": 11, "connection_sent_bytes_total shop": 22,
		"open_connections http": 3, "held_requests": 2,
	}
	testkit.Eventually(t, "all lines are counted", func() bool { return testkit.Metrics(t, registry)["connections_total shop"] == 1 })
	if diff := cmp.Diff(want, testkit.Metrics(t, registry)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}

	// A route that is gone takes its series along, and lines that come late do not
	// bring them back.
	r.use(configOf(), tableOf(t, "blog"))
	send(request(shop, "200", "0", "-", "s1", "v1"), request(blog, "200", "0", "-", "s1", "v1"))
	testkit.Eventually(t, "the line of blog is counted", func() bool { return testkit.Metrics(t, registry)["requests_total 2xx blog"] == 1 })
	for name := range testkit.Metrics(t, registry) {
		if strings.Contains(name, "shop") {
			t.Errorf("series %q of a route that is gone", name)
		}
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
}

func TestReadingsAccessLog(t *testing.T) {
	answer := ""
	r, _, log, send := newTestReadings(t, &answer)
	long := func(kind, key, status, took, retries, end, section, server string, rest ...string) string {
		return strings.Join(append([]string{kind, key, status, took, retries, "-", end, section, server, "345", "-"}, rest...), "\t")
	}
	shop := render.RouteKey("shop")
	send(
		long("H", shop, "200", "1500", "+1", "--", "s1", "v2",
			"1700000001500", "in-https", "1", "2001:db8::1", "id-1", "HTTP/2.0", "GET", "{curl|a#7Cb}", "a.example", "/x%20y"),
		long("H", shop, "200", "3", "0", "SD", "s1", "v1",
			"1700000000003", "in-http", "0", "192.0.2.1", "id-2", "HTTP/1.1", "POST", "", "a.example", "/"),
		long("T", "-", "0", "0", "0", "PR", "in-tcp-6379", "<NOSRV>",
			"1700000000000", "in-tcp-6379", "0", "192.0.2.1", "-", "TCP", "-", "", "db.example", "-"),
	)
	// One more line ends the waiting for the others.
	send(request("-", "404", "0", "-", "in-http", "<NOSRV>"))
	testkit.Eventually(t, "all lines are there", func() bool {
		_ = r.access.Flush()
		return strings.Count(log.String(), "\n") == 4
	})

	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(log.String(), "\n")
	var first, second traffic.Request
	var third traffic.Connection
	for i, to := range []any{&first, &second, &third} {
		if err := json.Unmarshal([]byte(lines[i]), to); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(traffic.Request{
		Time: "2023-11-14T22:13:20Z", ID: "id-1", Client: "2001:db8::1", Method: "GET", Host: "a.example", Path: "/x%20y",
		Proto: "HTTP/2.0", TLS: true, Status: 200, Bytes: 345, Seconds: 1.5, Route: "shop", Endpoint: "e2", Attempts: 2, Captured: []string{"curl", "a#7Cb"},
	}, first); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if address := serverOf(&configOf().Sections[0], "v1").Address.String(); !second.Aborted || second.Endpoint != "e1" ||
		second.Error != "the endpoint broke off its answer at "+address {
		t.Errorf("an answer that broke off: %+v", second)
	}
	if kept := r.access.Errors("shop"); len(kept) != 1 || kept[0].ID != "id-2" || kept[0].Error != second.Error {
		t.Errorf("kept as the last errors of the route: %+v", kept)
	}
	if diff := cmp.Diff(traffic.Connection{
		Time: "2023-11-14T22:13:20Z", Client: "192.0.2.1", Listener: "tcp-6379", Host: "db.example", Proto: "TCP", TLS: true,
		Outcome: traffic.NoRoute, Bytes: 345,
	}, third); diff != "" {
		t.Errorf("connection (-want +got):\n%s", diff)
	}
}

func TestEndpoints(t *testing.T) {
	answer := "s1,v1,,2,UP,L7OK,\n" + "s2,v1,,1,UP,L7OK,\n" + "s1,v2,,0,DOWN,* L4CON,\n" + "s1,v3,,4,MAINT,,\n" + "s3,BACKEND,,,,,\n"
	r, _, _, _ := newTestReadings(t, &answer)
	defer func() { _ = r.close() }()
	r.take(request("-", "200", "0", "-", "s1", "v1"))
	r.take(strings.Replace(request("-", "502", "0", "-", "s2", "v1"), "--", "SH", 1))
	r.take(request("-", "503", "0", "-", "s1", "<NOSRV>"))
	want := []traffic.EndpointStatus{
		{Backend: "shop", Endpoint: "e1", InFlight: 3, Health: "passing", Requests: 2, Failures: 1},
		{Backend: "shop", Endpoint: "e2", OutOfRotation: true, Health: "failing"},
		{Backend: "shop", Endpoint: "e3", InFlight: 4},
	}
	if diff := cmp.Diff(want, r.endpoints()); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	one := traffic.EndpointTotals{Backend: "shop", Endpoint: "e1", InFlight: 3, Requests: 2, Failures: 1}
	one.Took.Add(2, 12*time.Millisecond)
	if diff := cmp.Diff([]traffic.EndpointTotals{one}, r.totals()); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	clear(r.heard)
	answer = "s1,v1,,2,DOWN,HANA,\n"
	if diff := cmp.Diff([]traffic.EndpointStatus{{Backend: "shop", Endpoint: "e1", InFlight: 2, Ejected: true, Requests: 2, Failures: 1}}, r.endpoints()); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	clear(r.heard)
	answer = ""
	if got := r.endpoints(); got != nil {
		t.Errorf("HAProxy says nothing, and this is said of endpoints: %v", got)
	}
}

// TestReadingsOutlastNonsense: whatever comes, the next connection is read.
func TestReadingsOutlastNonsense(t *testing.T) {
	answer := ""
	r, registry, _, send := newTestReadings(t, &answer)
	defer func() { _ = r.close() }()
	for _, text := range []string{"x", "999999999 ", "99999 ", " 5 hello", "-1 x", "3 H\t\n4 H\t\t\t"} {
		conn, err := net.Dial("unix", r.socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.Close()
	}
	send(request("-", "404", "0", "-", "in-http", "<NOSRV>"))
	testkit.Eventually(t, "a line is counted", func() bool { return testkit.Metrics(t, registry)["requests_total 4xx "] == 1 })
}

// TestLeft: what the client broke off, or was too slow for, is not what the endpoint did.
func TestLeft(t *testing.T) {
	for end, want := range map[string]bool{"--": false, "CD": true, "cD": true, "CH": true, "SD": false, "sH": false, "PR": false, "LR": false} {
		e, err := parseLine("key"+strings.Replace(request("k", "200", "1", "-", "s", "v"), "--", end, 1), "key", time.Unix(0, 0))
		if err != nil || e.Left != want || e.ByClient() != want {
			t.Errorf("%s: %+v, %v", end, e.Request, err)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add(request("k", "200", "+1", "-", "s", "v"))
	f.Add("T\t\t\t\t\t\t\t\t\t\t")
	f.Fuzz(func(t *testing.T, line string) {
		e, err := parseLine("key"+line, "key", time.Unix(0, 0))
		if err != nil {
			return
		}
		if e.Status < 0 || e.retries < 0 || e.Bytes < 0 || e.received < 0 || e.took < 0 || e.weight < 1 {
			t.Errorf("%q: %+v", line, e)
		}
		_ = e.outcome()
	})
}

// TestForeignLines: what somebody else writes to HAProxy's relay, which has no owner,
// is not taken for traffic; what looks like a key and is none lets nobody in.
func TestForeignLines(t *testing.T) {
	own := request("k", "200", "0", "-", "s", "v")
	if _, err := parseLine("0123456789abcdef"+own, "0123456789abcdef", time.Unix(0, 0)); err != nil {
		t.Errorf("a line with the key: %v", err)
	}
	for _, line := range []string{own, "0123456789abcdee" + own, "x0123456789abcdef" + own, ""} {
		if _, err := parseLine(line, "0123456789abcdef", time.Unix(0, 0)); err == nil {
			t.Errorf("%q is read", line)
		}
	}
	d, err := newDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first, err := d.key("log.key")
	if err != nil || len(first) != 16 {
		t.Fatalf("key %q, %v", first, err)
	}
	if again, err := d.key("log.key"); again != first || err != nil {
		t.Errorf("the key has changed from %q to %q, %v", first, again, err)
	}
	for _, broken := range []string{"", "0123", "0123456789abcde\t"} {
		if err := d.write(filepath.Join(d.dir, "log.key"), []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if next, err := d.key("log.key"); next == first || len(next) != 16 || err != nil {
			t.Errorf("after %q the key is %q, %v", broken, next, err)
		}
	}
}

// TestAskedForLittle: HAProxy is asked for servers alone where endpoints are wanted, for the rest by
// metrics, and for nothing by totals while no endpoint had a request.
func TestAskedForLittle(t *testing.T) {
	var asked []socket.Kind
	r, err := newReadings(readingOptions{
		Socket: filepath.Join(t.TempDir(), "log.sock"), Logger: slog.New(slog.DiscardHandler), Metrics: &metrics.Set{},
		Ask: func(_ context.Context, of socket.Kind, _ ...string) (socket.Stats, error) {
			asked = append(asked, of)
			return socket.ParseStats(statsHeader)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.close() }()
	r.use(configOf(), tableOf(t, "shop", "blog"))
	r.totals()
	if len(asked) > 0 {
		t.Errorf("asked for %v without a request", asked)
	}
	r.take(request("-", "200", "0", "-", "s1", "v1"))
	r.totals()
	r.endpoints()
	r.gauges()
	r.gauges()
	asked = slices.Compact(asked) // all of them took more than the time that an answer counts, perhaps
	if want := []socket.Kind{socket.Servers, socket.Frontends | socket.Backends}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}
