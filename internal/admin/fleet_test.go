package admin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/api"
	"fairway/internal/dockerapi"
	"fairway/internal/fleet"
	"fairway/internal/fleet/driver"
	"fairway/internal/history"
)

// newFleet is a fleet of one host that cannot be reached, with the documents web,
// of which there are two revisions, and other.
func newFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "fleet.yml")
	hosts := "hosts: [{name: edge1, docker: 'unix:///nowhere/docker.sock', containers: [{document: web, name: haproxy}]}]\n"
	if err := os.WriteFile(file, []byte(hosts), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := history.Open(history.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	f, err := fleet.New(fleet.Options{
		Path: file, Documents: store, Records: store,
		NewEngine: func(url string) (driver.Engine, error) { return dockerapi.New(dockerapi.Options{URL: url}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	for i, content := range []string{"global\n", "global\n  daemon\n"} {
		if _, err := f.Put(history.Draft{Document: "web", Expect: uint64(i), Author: "ann", Content: []byte(content)}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestFleet calls every operation on the fleet, as the client does and as it
// does not.
func TestFleet(t *testing.T) {
	o := options(t, newWorld(t))
	o.Token = goodToken
	s := newServer(t, o)
	long := `{"expect":3,"content":"` + strings.Repeat("YWFh", 1<<20) + `"}`
	const web = "/v1/fleet/documents/web"
	for _, tt := range []struct {
		ask, body string
		status    int
		want      string // and, behind "without ", what must not be there
	}{
		{"GET /v1/fleet/documents", "", 200, `"name":"web","newest":2,"released":1,"author":"ann"`},
		{"GET /v1/fleet/hosts?document=web", "", 200, `"host":"edge1","document":"web"`},
		{"GET " + web + "/revisions", "", 200, `"document":"web","number":2`},
		{"GET " + web + "/revisions?limit=1", "", 200, `"number":2`},
		{"GET " + web + "/revisions?limit=1", "", 200, `without "number":1`},
		{"GET " + web + "/revisions?limit=0", "", 400, "limit"},
		{"GET " + web + "/revisions/newest", "", 200, `"number":2,`},
		{"GET " + web + "/revisions/1", "", 200, `"released":true,"content":"Z2xvYmFsCg=="`},
		{"GET " + web + "/revisions/0", "", 404, "no such revision"},
		{"GET " + web + "/revisions/x", "", 404, "no such revision"},
		{"GET /v1/fleet/documents/none/revisions/1", "", 404, ""},
		{"POST " + web + "/revisions", `{"expect":1,"content":"Z2xvYmFsCg=="}`, 409, "the newest is 2"},
		{"POST " + web + "/revisions", `{"expect":2,"content":"Z2xvYmFsCg=="}`, 200, `"number":3,`},
		{"GET " + web + "/revisions/3", "", 200, `"author":"token-file"`},
		{"POST " + web + "/revisions", long, 200, `"number":4,`},
		{"POST " + web + "/revisions", `{"expect":1,"text":"x"}`, 400, "text"},
		{"GET " + web + "/diff?from=1&to=2", "", 200, `"from":1,"to":2,"diff":`},
		{"GET " + web + "/diff?from=x", "", 400, "from"},
		{"POST " + web + "/check", `{"revision":2,"hosts":["edge1"]}`, 200, `"host":"edge1","ok":false,"asked":false`},
		{"POST " + web + "/check", `{"hosts":["none"]}`, 404, "none"},
		{"GET " + web + "/plan?revision=2&hosts=edge1", "", 200, `"revision":2,"hosts":[{"host":"edge1","condition":"unreachable"`},
		{"GET " + web + "/plan?hosts=edge1,nowhere", "", 404, "nowhere"},
		{"GET " + web + "/plan?hosts=edge1,nowhere", "", 404, "without edge1"},
		{"GET " + web + "/drift", "", 200, `"revision":1,"hosts":[{"host":"edge1"`},
		{"POST " + web + "/drift", `{"host":"edge1","action":"mend"}`, 400, "adopt"},
		{"POST " + web + "/drift", `{"host":"edge1","action":"adopt"}`, 502, ""},
		{"GET " + web + "/rollout", "", 404, ""},
		{"POST " + web + "/rollout", `{"settings":{"pause":"soon"}}`, 400, "pause"},
		{"POST " + web + "/rollout", `{"settings":{"wave":"x"}}`, 400, "wave"},
		{"DELETE " + web + "/rollout", "", 404, ""},
		{"GET " + web + "/rollouts", "", 200, `"items":[]`},
	} {
		method, path, _ := strings.Cut(tt.ask, " ")
		rec := sendJSON(t, s, method, path, tt.body, bearer(goodToken))
		want, without := strings.CutPrefix(tt.want, "without ")
		if rec.Code != tt.status || strings.Contains(rec.Body.String(), want) == without {
			t.Errorf("%s = %d, want %d and %s: %.300s", tt.ask, rec.Code, tt.status, tt.want, rec.Body)
		}
	}
	if entries := s.access.Audit.Newest(20); entries[len(entries)-1].Who != "token-file" {
		t.Errorf("audit %+v", entries)
	}
}

// TestNoFleet asks where there is none.
func TestNoFleet(t *testing.T) {
	o := options(t, newWorld(t))
	o.Fleet, o.Token = nil, goodToken
	s := newServer(t, o)
	rec := sendJSON(t, s, "GET", "/v1/fleet/documents", "", bearer(goodToken))
	if rec.Code != 503 || !strings.Contains(rec.Body.String(), "fleet.file") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// What the fleet says no with has a status code of its own, and what is not the
// caller's affair has none.
func TestFleetErrors(t *testing.T) {
	for want, err := range map[int]error{
		404: fmt.Errorf("%w: x", fleet.ErrUnknown), 400: fmt.Errorf("%w: x", fleet.ErrInvalid),
		422: &driver.RefusedError{Err: errors.New("x")}, 502: &driver.AbsentError{Err: errors.New("x")},
		507: fmt.Errorf("x: %w", history.ErrFull), 503: fmt.Errorf("x: %w", history.ErrUnavailable), 500: errors.New("x"),
	} {
		if got := asError(err).Status; got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	for _, err := range []error{fleet.ErrBusy, fleet.ErrDrift, fleet.ErrMoved, &history.ConflictError{Document: "web"}} {
		if got := asError(fmt.Errorf("x: %w", err)).Status; got != 409 {
			t.Errorf("%v: %d, want 409", err, got)
		}
	}
}

// The texts of settings mean what they say.
func TestFleetSettings(t *testing.T) {
	got, err := fleetSettings(api.FleetSettings{
		Canary: -1, Wave: "10%", Pause: "1m", AllowDrift: true, AllowDown: true,
	})
	want := fleet.Settings{
		Canary: -1, Wave: fleet.Share{Percent: 10}, Pause: time.Minute, AllowDrift: true, AllowDown: true,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, s := range []api.FleetSettings{{Wave: "many"}, {Pause: "soon"}, {Pause: "-1s"}, {Pause: "0"}} {
		if _, err := fleetSettings(s); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
}
