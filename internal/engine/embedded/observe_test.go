package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/engine/traffic"
	"fairway/internal/metrics"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

func TestMetrics(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	r := &metrics.Set{}
	s := newSite(t, Options{Metrics: r})
	s.serve("a.example", deadAddress(t), a.addr())
	s.serve("b.example", a.addr())
	s.apply()
	for _, path := range []string{"/", "/", "/bad"} {
		s.get("a.example", path)
	}
	s.get("b.example", "/")
	s.get("unknown.example", "/")
	s.raw("TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	testkit.Eventually(t, "all is counted", func() bool {
		m := testkit.Metrics(t, r)
		return m["requests_total 4xx "] == 2 && m["open_connections http"] == 0
	})

	got := testkit.Metrics(t, r)
	if got["retries_total a.example"] < 1 {
		t.Errorf("no retries counted: %v", got)
	}
	delete(got, "retries_total a.example")
	want := map[string]float64{
		"requests_total 2xx a.example": 2, "requests_total 4xx a.example": 1, "request_duration_seconds a.example": 3,
		"requests_total 2xx b.example": 1, "request_duration_seconds b.example": 1,
		"requests_total 4xx ": 2, "request_duration_seconds ": 2,
		"access_log_lost_total": 0, "guard_refusals_total method": 1, "held_requests": 0, "open_connections http": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	answered := map[string]uint64{} // by those whose latency was counted
	for _, e := range s.engine.EndpointTotals() {
		for _, n := range e.Took {
			answered[e.Backend] += n
		}
	}
	if diff := cmp.Diff(map[string]uint64{"a.example": 3, "b.example": 1}, answered); diff != "" {
		t.Errorf("latencies of endpoints (-want +got):\n%s", diff)
	}
	delete(s.routes, "b.example")
	s.apply()
	for name := range testkit.Metrics(t, r) {
		if strings.Contains(name, "b.example") {
			t.Errorf("series %q of a route that is gone", name)
		}
	}
}

func TestAccessLog(t *testing.T) {
	a := newApp(t, nil)
	var log lockedBuffer
	s := newSite(t, Options{AccessLog: &log})
	s.listeners[0].TrustedProxies = prefixesOf("127.0.0.1/32")
	s.serve("a.example", a.addr())
	s.apply()
	s.raw("GET /x%20y?token=secret HTTP/1.1\r\nHost: A.example\r\nX-Forwarded-For: 9.9.9.9\r\nX-Request-Id: id-1\r\n\r\n")
	s.get("unknown.example", "/")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.engine.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "secret") {
		t.Error("the log holds the query")
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	var got traffic.Request
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse(time.RFC3339Nano, got.Time); err != nil || got.Seconds <= 0 {
		t.Errorf("time %q, seconds %v", got.Time, got.Seconds)
	}
	got.Time, got.Seconds = "", 0
	want := traffic.Request{
		ID: "id-1", Client: "9.9.9.9", Method: "GET", Host: "a.example", Path: "/x%20y", Proto: "HTTP/1.1", Status: 200, Bytes: 2,
		Route: "a.example", Endpoint: "e0", Attempts: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

// TestPanicIsContained: a fault of the engine costs one request.
func TestPanicIsContained(t *testing.T) {
	s := newSite(t, Options{})
	s.serve("a.example", "127.0.0.1:1")
	s.routes["a.example"].Filters = []route.Filter{{RateLimit: &route.RateLimit{Requests: 1, Per: time.Second, Burst: 1}}}
	s.apply()
	s.engine.live.Load().lookup(s.routes["a.example"]).filters[0] = func(context.Context, *request) *answer { panic("oops") }
	if res := s.get("a.example", "/"); res.StatusCode != 500 || strings.Contains(res.body, "oops") {
		t.Errorf("%d %q", res.StatusCode, res.body)
	}
	if res := s.get("b.example", "/"); res.StatusCode != 404 {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
}

// TestDurationEndsWithTheAnswer: the time in which the rest of a request body is read
// for nothing is not the route's.
func TestDurationEndsWithTheAnswer(t *testing.T) {
	app := rawApp(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")
			_, _ = io.Copy(io.Discard, c)
		}
	})
	var log lockedBuffer
	s := newSite(t, Options{AccessLog: &log})
	s.serve("a.example", app)
	s.apply()
	c := s.dial("http")
	began := time.Now()
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n")
	if res := c.answer("POST"); res.StatusCode != http.StatusTeapot {
		t.Fatalf("status %d", res.StatusCode)
	}
	answered := time.Since(began).Seconds()
	time.Sleep(200 * time.Millisecond)
	c.send(strings.Repeat("x", 100000))
	var line traffic.Request
	testkit.Eventually(t, "the line is written", func() bool {
		_ = s.engine.access.Flush()
		return json.Unmarshal([]byte(log.String()), &line) == nil
	})
	if line.Seconds > answered {
		t.Errorf("the log says %v s, and the client had the answer after %v s", line.Seconds, answered)
	}
}
