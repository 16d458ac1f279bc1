package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/catalog"
)

// Read gives two lines of shop-1, and with follow one more until ctx ends.
func (w *world) Read(ctx context.Context, in *catalog.Instance, tail int, follow bool, got func(at time.Time, text string, stderr bool) error) error {
	if in.ID != "c1" {
		return errors.New("the log of " + in.Name + " cannot be read: no such driver")
	}
	texts := []string{"started", hostile, "one more"}[:min(tail, 2)]
	if follow {
		texts = append(texts, "one more")
	}
	for i, text := range texts {
		if err := got(day(3).Add(time.Duration(i)*time.Second), text, i == 1); err != nil {
			return err
		}
	}
	if follow && tail > 1 {
		<-ctx.Done()
	}
	return ctx.Err()
}

// TestLogsByRole: logs are for operators, and the audit log says who has read whose.
func TestLogsByRole(t *testing.T) {
	o := options(t, newWorld(t))
	o.Anonymous = api.RoleNone
	s := newServer(t, o)
	for _, role := range api.Roles() {
		made, err := s.access.Tokens.Create(api.NewToken{Name: role, Role: role, Days: 1}, "")
		if err != nil {
			t.Fatal(err)
		}
		want := http.StatusOK
		if role == api.RoleViewer {
			want = http.StatusForbidden
		}
		if rec := ask(t, s, "GET", "/v1/instances/shop-1/logs?tail=1", bearer(made.Secret)); rec.Code != want || strings.Contains(rec.Body.String(), "started") != (want == 200) {
			t.Errorf("%s: %d %s", role, rec.Code, rec.Body)
		}
	}
	audited := s.access.Audit.Newest(10)
	if len(audited) != 2 || audited[1].Who != api.RoleOperator || audited[1].Text != "reads the log of shop-1 at docker" || !strings.Contains(audited[1].Operation, "/logs?tail=1") {
		t.Errorf("the audit log has %+v", audited)
	}
}

// TestFollowLog: lines come as they are written, until the instance ends; what cannot be read
// says so at the end.
func TestFollowLog(t *testing.T) {
	o := options(t, newWorld(t))
	o.Anonymous = api.RoleOperator
	s := newServer(t, o)
	run(t, s)
	e := openStream(t, s, "/v1/instances/c1/logs?follow=true")
	for _, want := range []string{"started", hostile, "one more"} {
		var got api.LogLine
		if !e.next("line", &got) || got.Text != want || got.Stderr != (want == hostile) {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
	for path, want := range map[string]string{
		"/v1/instances/c1/logs?follow=true&tail=1":                   "",
		"/v1/instances/shop-2/logs?follow=true&source=docker&tail=1": "the log of shop-2 cannot be read: no such driver",
	} {
		e := openStream(t, s, path)
		var got api.LogEnd
		if !e.next("end", &got) || got.Error != want {
			t.Errorf("%s: ended with %+v", path, got)
		}
	}
	for path, want := range map[string]int{
		"/v1/instances/shop-1/logs?source=other": 404, "/v1/instances/shop-1/logs?tail=2001": 400, "/v1/instances/shop-1/logs?tail=0": 400,
	} {
		if code := ask(t, s, "GET", path, nil).Code; code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// TestLogOfSeveral: a name that several instances have needs a source or an ID.
func TestLogOfSeveral(t *testing.T) {
	w := newWorld(t)
	twin := *w.snapshot.Services[0].Instances[0]
	twin.ID, twin.Source = "c9", "other"
	w.snapshot.Services[1].Instances = append(w.snapshot.Services[1].Instances, &twin)
	o := options(t, w)
	o.Anonymous = api.RoleOperator
	s := newServer(t, o)
	for path, want := range map[string]int{
		"/v1/instances/shop-1/logs": 400, "/v1/instances/shop-1/logs?source=docker": 200, "/v1/instances/c1/logs": 200, "/v1/instances/c9/logs": 502,
	} {
		if code := ask(t, s, "GET", path, nil).Code; code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}
