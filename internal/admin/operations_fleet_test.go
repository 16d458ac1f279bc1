package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"fairway/internal/api"
)

// fakeFleet has one document, and remembers what it was asked for.
type fakeFleet struct{ asked []string }

func (f *fakeFleet) fleet() *Fleet { return &Fleet{Documents: f, Rollouts: f, Hosts: f, Repairs: f} }

// ask remembers a question, and refuses documents but web.
func (f *fakeFleet) ask(document string, v ...any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f.asked = append(f.asked, document+" "+string(text))
	if document != "web" {
		return status(http.StatusNotFound, "no such document")
	}
	return nil
}

func (f *fakeFleet) Documents() ([]api.FleetDocument, error) {
	return []api.FleetDocument{{Name: "web", Newest: 2, Released: 1, Hosts: []string{"edge1"}}}, nil
}

func (f *fakeFleet) Revisions(document string, limit int) ([]api.FleetRevision, error) {
	return []api.FleetRevision{{Document: document, Number: 2, Author: "ann"}}, f.ask(document, "revisions", limit)
}

func (f *fakeFleet) Revision(document string, number uint64) (api.FleetRevision, error) {
	return api.FleetRevision{Document: document, Number: number, Content: []byte("global\n")}, f.ask(document, "revision", number)
}

func (f *fakeFleet) Put(document string, n api.NewFleetRevision, who string) (api.FleetRevision, error) {
	return api.FleetRevision{Document: document, Number: n.Expect + 1}, f.ask(document, "put", n.Expect, string(n.Content[:min(len(n.Content), 9)]), who)
}

func (f *fakeFleet) Start(_ context.Context, document string, n api.NewFleetRollout, who string) (api.FleetRollout, error) {
	return api.FleetRollout{Number: 1, Document: document}, f.ask(document, "start", n, who)
}

func (f *fakeFleet) Rollout(document string) (api.FleetRollout, error) {
	return api.FleetRollout{Number: 1, Document: document, States: map[string]int{}}, f.ask(document, "rollout")
}

func (f *fakeFleet) Rollouts(document string) ([]api.FleetRollout, error) {
	return nil, f.ask(document, "rollouts")
}

func (f *fakeFleet) Stop(document, who string) error { return f.ask(document, "stop", who) }

func (f *fakeFleet) Hosts(document string) ([]api.FleetHost, error) {
	return []api.FleetHost{{Host: "edge1", Document: "web"}}, nil
}

func (f *fakeFleet) Check(_ context.Context, document string, n api.NewFleetCheck) ([]api.FleetCheck, error) {
	return []api.FleetCheck{{Host: "edge1", OK: true, Asked: true}}, f.ask(document, "check", n)
}

func (f *fakeFleet) Plan(_ context.Context, document string, revision uint64, hosts []string) (api.FleetPlan, error) {
	return api.FleetPlan{Revision: 2}, f.ask(document, "plan", revision, hosts)
}

func (f *fakeFleet) Diff(document string, from, to uint64) (api.FleetDiff, error) {
	return api.FleetDiff{From: from, To: to}, f.ask(document, "diff", from, to)
}

func (f *fakeFleet) Drift(_ context.Context, document string, hosts []string) (api.FleetPlan, error) {
	return api.FleetPlan{Revision: 1}, f.ask(document, "drift", hosts)
}

func (f *fakeFleet) Repair(_ context.Context, document string, n api.NewFleetRepair, who string) (api.FleetRepair, error) {
	return api.FleetRepair{Host: n.Host}, f.ask(document, "repair", n, who)
}

// TestFleet asks for every operation on the fleet, as the client does and as it
// does not.
func TestFleet(t *testing.T) {
	f := &fakeFleet{}
	o := options(newWorld(t))
	o.Fleet, o.Token = f.fleet(), goodToken
	s := newServer(t, o)
	long := `{"expect":1,"content":"` + strings.Repeat("YWFh", 1<<20) + `"}`
	const web = "/v1/fleet/documents/web"
	for _, tt := range []struct {
		ask, body string
		status    int
		asked     string
	}{
		{"GET /v1/fleet/documents", "", 200, ""},
		{"GET /v1/fleet/hosts?document=web", "", 200, ""},
		{"GET " + web + "/revisions", "", 200, `web ["revisions",50]`},
		{"GET " + web + "/revisions?limit=3", "", 200, `web ["revisions",3]`},
		{"GET " + web + "/revisions?limit=0", "", 400, ""},
		{"GET " + web + "/revisions/newest", "", 200, `web ["revision",0]`},
		{"GET " + web + "/revisions/7", "", 200, `web ["revision",7]`},
		{"GET " + web + "/revisions/0", "", 404, ""},
		{"GET " + web + "/revisions/x", "", 404, ""},
		{"GET /v1/fleet/documents/other/revisions/1", "", 404, `other ["revision",1]`},
		{"POST " + web + "/revisions", `{"expect":1,"content":"Z2xvYmFsCg=="}`, 200, `web ["put",1,"global\n","token-file"]`},
		{"POST " + web + "/revisions", long, 200, `web ["put",1,"aaaaaaaaa","token-file"]`},
		{"POST " + web + "/revisions", `{"expect":1,"text":"x"}`, 400, ""},
		{"GET " + web + "/diff?from=1&to=2", "", 200, `web ["diff",1,2]`},
		{"GET " + web + "/diff?from=x", "", 400, ""},
		{"POST " + web + "/check", `{"revision":2,"hosts":["edge1"]}`, 200, `web ["check",{"revision":2,"hosts":["edge1"]}]`},
		{"GET " + web + "/plan?revision=2&hosts=a,b", "", 200, `web ["plan",2,["a","b"]]`},
		{"GET " + web + "/drift", "", 200, `web ["drift",[]]`},
		{"POST " + web + "/drift", `{"host":"a","action":"adopt"}`, 200, `web ["repair",{"host":"a","action":"adopt"},"token-file"]`},
		{"GET " + web + "/rollout", "", 200, `web ["rollout"]`},
		{"POST " + web + "/rollout", `{"settings":{"canary":2}}`, 200, `web ["start",{"settings":{"canary":2}},"token-file"]`},
		{"DELETE " + web + "/rollout", "", 200, `web ["stop","token-file"]`},
		{"GET " + web + "/rollouts", "", 200, `web ["rollouts"]`},
	} {
		f.asked = nil
		method, path, _ := strings.Cut(tt.ask, " ")
		rec := sendJSON(t, s, method, path, tt.body, bearer(goodToken))
		if rec.Code != tt.status || strings.Join(f.asked, ";") != tt.asked {
			t.Errorf("%s = %d, asked %s, want %d, %s: %.300s", tt.ask, rec.Code, f.asked, tt.status, tt.asked, rec.Body)
		}
	}
}

// TestNoFleet asks where there is none.
func TestNoFleet(t *testing.T) {
	o := options(newWorld(t))
	o.Fleet, o.Token = nil, goodToken
	s := newServer(t, o)
	rec := sendJSON(t, s, "GET", "/v1/fleet/documents", "", bearer(goodToken))
	if rec.Code != 503 || !strings.Contains(rec.Body.String(), "fleet.file") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
