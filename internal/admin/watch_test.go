package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairway/internal/admin/stream"
	"fairway/internal/api"
	"fairway/internal/catalog"
)

// events reads a stream.
type events struct {
	t     *testing.T
	res   *http.Response
	lines *bufio.Scanner
}

func watchServer(t *testing.T, s *Server, query string, edit ...func(*http.Request)) *events {
	t.Helper()
	return openStream(t, s, "/v1/watch"+query, edit...)
}

// openStream asks for a stream.
func openStream(t *testing.T, s *Server, path string, edit ...func(*http.Request)) *events {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edit {
		e(r)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d, %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	return &events{t, res, bufio.NewScanner(res.Body)}
}

// next decodes the next event of a kind into v, and returns false at the end.
func (e *events) next(kind string, v any) bool {
	e.t.Helper()
	at := ""
	for e.lines.Scan() {
		line := e.lines.Text()
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			at = name
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok && at == kind {
			if err := json.Unmarshal([]byte(data), v); err != nil {
				e.t.Fatal(err)
			}
			return true
		}
	}
	return false
}

// The stream outlives the deadlines of the listener, tells each change once, and
// ends when the server does.
func TestWatch(t *testing.T) {
	w := newWorld(t)
	feed := &catalog.Feed{}
	feed.Publish(w.snapshot)
	o := options(t, w)
	o.Catalogue = feed
	s := newServer(t, o)
	stop := run(t, s)
	e := watchServer(t, s, "?traffic=true")
	var c api.Change
	if !e.next("change", &c) || c.Revision != 7 || c.Hash != w.table.Hash || c.State != api.StatePartial || c.Problems != 1 || len(c.Stale) != 1 || c.Condition != string(w.Report().State) || c.Findings != len(w.Report().Findings) {
		t.Fatalf("at the beginning: %+v", c)
	}
	var tr api.Traffic
	if !e.next("traffic", &tr) || len(tr.Endpoints) != 2 {
		t.Fatalf("traffic %+v", tr)
	}
	next := *w.snapshot
	next.Revision++
	feed.Publish(&next)
	if !e.next("change", &c) || c.Revision != 8 || c.Hash != w.table.Hash {
		t.Fatalf("after a change: %+v", c)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for e.next("change", &c) {
		t.Errorf("nothing has changed, and is told: %+v", c)
	}
}

// Whoever may ask no more is told no more.
func TestWatchEndsWithTheToken(t *testing.T) {
	o := options(t, newWorld(t))
	o.Anonymous = api.RoleNone
	s := newServer(t, o)
	run(t, s)
	made, err := s.access.Tokens.Create(api.NewToken{Name: "v", Role: api.RoleViewer, Days: 1}, "")
	if err != nil {
		t.Fatal(err)
	}
	e := watchServer(t, s, "", bearer(made.Secret))
	var c api.Change
	if !e.next("change", &c) {
		t.Fatal("no event")
	}
	if err := s.access.Tokens.Revoke("v"); err != nil {
		t.Fatal(err)
	}
	if e.next("change", &c) {
		t.Errorf("told of %+v", c)
	}
	if err := e.lines.Err(); err != nil {
		t.Error("the stream does not end in order: ", err)
	}
}

// Streams of those who may do little leave room for those who may do more.
func TestWatchersAreBounded(t *testing.T) {
	o := options(t, newWorld(t))
	o.Token, o.Anonymous = goodToken, api.RoleViewer
	s := newServer(t, o)
	run(t, s)
	var c api.Change
	for range stream.Most {
		if !watchServer(t, s, "").next("change", &c) {
			t.Fatal("no event")
		}
	}
	if rec := ask(t, s, "GET", "/v1/watch", nil); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("one more: %d", rec.Code)
	}
	if !watchServer(t, s, "", bearer(goodToken)).next("change", &c) {
		t.Error("there is no room for the administrator")
	}
}
