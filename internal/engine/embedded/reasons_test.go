package embedded

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairway/internal/engine/traffic"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// TestReasons: the access log says why a request failed, without its query, and the last
// errors of a route say the same, with and without an access log.
func TestReasons(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := ln.Addr().String()
	_ = ln.Close()
	silent := rawApp(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	closing := rawApp(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
	})
	breaking := rawApp(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
	})
	babbling := rawApp(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "password=hunter2\r\n\r\n")
	})
	failing := newApp(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	var log lockedBuffer
	for _, o := range []Options{{}, {AccessLog: &log}} {
		s := newSite(t, o)
		for host, address := range map[string]string{
			"refusing": refusing, "silent": silent, "closing": closing, "breaking": breaking, "babbling": babbling, "failing": failing.addr(),
		} {
			s.serve(host, address)
		}
		s.serve("empty")
		s.route("silent", "silent", func(r *route.Route) { r.Timeout = 50 * time.Millisecond })
		s.apply()
		for host, want := range map[string]struct {
			status int
			text   string
		}{
			"refusing": {502, "connection refused at " + refusing},
			"silent":   {504, "no answer in time at " + silent},
			"closing":  {502, "the connection was closed before there was an answer at " + closing},
			"breaking": {200, "the endpoint broke off its answer"},
			"babbling": {502, "the answer is malformed: the first line has not its three parts at " + babbling},
			"failing":  {500, ""}, // its own answer
			"empty":    {503, "service empty has no endpoint that is ready"},
			"nowhere":  {404, "no route for host nowhere"},
		} {
			c := s.dial("http")
			c.send("GET /of/" + host + "?token=hunter2 HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
			_, _ = io.ReadAll(c.r)
			id := host
			if host == "nowhere" {
				id = ""
			}
			var got []traffic.Error
			testkit.Eventually(t, "the error of "+host+" is kept", func() bool {
				got = s.engine.Requests().Errors(id)
				return len(got) == 1
			})
			if one := got[0]; one.Status != want.status || one.Error != want.text || one.Path != "/of/"+host || one.Method != "GET" || one.ID == "" {
				t.Errorf("%s: kept is %+v, want status %d and %q", host, one.Request, want.status, want.text)
			}
		}
		if err := s.engine.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if lines := log.String(); strings.Contains(lines, "hunter2") || strings.Count(lines, "\n") != 8 || strings.Count(lines, `"error":"`) != 7 {
		t.Errorf("the access log:\n%s", lines)
	}
	for line := range strings.Lines(log.String()) {
		var one traffic.Request
		if err := json.Unmarshal([]byte(line), &one); err != nil || one.Aborted != (one.Route == "breaking") {
			t.Errorf("%v: %s", err, line)
		}
	}
}

// TestClientLeft: an answer that the client breaks off is no failure of the endpoint.
func TestClientLeft(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	c := s.dial("http")
	c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if _, err := c.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	var got []traffic.Error
	testkit.Eventually(t, "it is kept", func() bool {
		got = s.engine.Requests().Errors("a.example")
		return len(got) == 1
	})
	if !got[0].Aborted || !got[0].Left || !got[0].ByClient() {
		t.Errorf("kept: %+v", got[0].Request)
	}
}

// TestNoReason: what went well is kept nowhere, and says no reason.
func TestNoReason(t *testing.T) {
	a := newApp(t, nil)
	var log lockedBuffer
	s := newSite(t, Options{AccessLog: &log})
	s.serve("a.example", a.addr())
	s.apply()
	if res := s.get("a.example", "/"); res.StatusCode != http.StatusOK {
		t.Fatalf("status %d", res.StatusCode)
	}
	if err := s.engine.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept := s.engine.Requests().Errors("a.example"); len(kept) > 0 || strings.Contains(log.String(), "error") {
		t.Errorf("an error of what went well: %v, %s", kept, log.String())
	}
}

// TestTunnelReasons: a connection that reaches no endpoint says why.
func TestTunnelReasons(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	s := newTCPSite(t, Options{}, nil)
	s.pass("db", "", nil, ln.Addr().String())
	s.apply()
	s.dial("tcp").rest()
	var got []traffic.Error
	testkit.Eventually(t, "the error is kept", func() bool {
		got = s.engine.Requests().Errors("db")
		return len(got) == 1
	})
	if want := "connection refused at " + ln.Addr().String(); got[0].Error != want || got[0].Method != "TCP" {
		t.Errorf("kept is %+v, want %q", got[0], want)
	}
}
