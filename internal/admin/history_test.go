package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/control"
	"fairway/internal/history"
	"fairway/internal/route"
)

// Entries and Entry make world a History of two entries: before the tenant came
// and after.
func (w *world) Entries(before uint64, limit int) ([]history.Entry, error) {
	var list []history.Entry
	for n := uint64(len(w.past)); n > 0; n-- {
		if (before == 0 || n < before) && len(list) < limit {
			list = append(list, w.past[n-1].Entry)
		}
	}
	return list, nil
}

func (w *world) Entry(number uint64) (history.Recorded, error) {
	if number == 0 || number > uint64(len(w.past)) {
		return history.Recorded{}, fmt.Errorf("history: entry %d: %w", number, history.ErrNotFound)
	}
	return w.past[number-1], nil
}

// historyOf keeps the methods of world apart that have one name.
type historyOf struct{ *world }

func (historyOf) Status() api.HistoryInfo {
	return api.HistoryInfo{Entries: 2, Newest: 2, Bytes: 65536, Alarm: "the disk is full", Since: day(3)}
}

// newPast is what was before: the shop alone, on another host and with another
// password, and then the table of today.
func newPast(t *testing.T, w *world) []history.Recorded {
	t.Helper()
	shop := *w.table.Routes[0]
	shop.Matches = []route.Match{{
		Host: route.Host{Kind: route.HostExact, Value: "old.example.com"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"},
	}}
	secure := *w.table.Routes[1]
	secure.Filters = []route.Filter{
		{BasicAuth: &route.BasicAuth{Realm: "x", Users: []route.User{{Name: "ann", Hash: "$2y$" + canary}}}},
		{RequestHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "X-Key", Value: "old-" + canary}}}},
	}
	gone := route.Problem{
		Code: route.CodeBadValue, Source: "docker", Service: "gone@docker", Label: "fairway.basic-auth", Text: "users do not belong into labels",
	}
	before, err := route.New(6, w.table.Listeners, []*route.Route{&shop, &secure}, w.table.Backends[:1], []route.Problem{gone})
	if err != nil {
		t.Fatal(err)
	}
	return []history.Recorded{
		{Table: before, Entry: history.Entry{
			Number: 1, Time: day(1), Revision: 6, Hash: before.Hash, Cause: history.Cause{Text: "the first table"},
			Routes: history.Counts{Added: 2}, Backends: history.Counts{Added: 1},
		}},
		{Table: w.table, Entry: history.Entry{
			Number: 2, Time: day(3), Revision: 7, Hash: w.table.Hash,
			Cause: history.Cause{
				Operator: "ann", Command: "service shop@docker drained", Message: hostile, Text: "service shop@docker drained by ann: " + hostile,
				Changes: []history.Change{
					{Kind: history.CommandChanged, To: "service shop@docker drained"},
					{Kind: history.LabelChanged, Source: "docker", Service: "shop@docker", Instance: "shop-1", Label: "fairway.host", From: "old.example.com", To: "shop.example.com"},
				},
				Omitted: 1,
			},
			Routes: history.Counts{Added: 2, Changed: 2}, Backends: history.Counts{Added: 1},
		}},
	}
}

func TestHistoryGolden(t *testing.T) {
	s := newServer(t, options(t, newWorld(t)))
	for name, path := range map[string]string{
		"history":         "/v1/history",
		"history-service": "/v1/history?service=shop&limit=1",
		"history-before":  "/v1/history?before=2",
		"history-entry":   "/v1/history/2",
		"history-first":   "/v1/history/1",
		"diff-live":       "/v1/diff?from=2",
		"diff-back":       "/v1/diff?from=live&to=1",
	} {
		t.Run(name, func(t *testing.T) {
			rec := ask(t, s, "GET", path, nil)
			if rec.Code != http.StatusOK {
				t.Fatalf("%s = %d: %s", path, rec.Code, rec.Body)
			}
			if strings.Contains(rec.Body.String(), canary) {
				t.Errorf("%s tells a secret: %s", path, rec.Body)
			}
			golden(t, name, indented(t, rec))
		})
	}
}

// Entries are kept by who did what, by what changed and by words.
func TestHistoryFilters(t *testing.T) {
	s := newServer(t, options(t, newWorld(t)))
	for query, want := range map[string]string{
		"": "2 1", "operator=*": "2", "operator=ann": "2", "operator=bob": "", "routes=true": "2 1", "q=FIRST+table": "1", "q=old.example.com": "2", "q=2": "2",
		"q=none": "", "operator=*&q=first+table": "", "limit=1&q=first+table": "1",
	} {
		var got []string
		rec := ask(t, s, "GET", "/v1/history?"+query, nil)
		var found api.List[api.Entry]
		if err := json.Unmarshal(rec.Body.Bytes(), &found); err != nil {
			t.Fatal(err)
		}
		for _, e := range found.Items {
			got = append(got, fmt.Sprint(e.Number))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("?%s gives %q, want %s", query, got, want)
		}
	}
}

func indented(t *testing.T, rec *httptest.ResponseRecorder) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// A change of a secret alone is told, but not what it was.
func TestDiffOfASecretSaysThatThereIsOne(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, options(t, w))
	changed := *w.table.Routes[0]
	changed.Filters = slices.Clone(changed.Filters)
	changed.Filters[2] = route.Filter{RequestHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "Authorization", Value: "Bearer other-" + canary}}}}
	table, err := route.New(8, w.table.Listeners, append([]*route.Route{&changed}, w.table.Routes[1:]...), w.table.Backends, w.table.Problems)
	if err != nil {
		t.Fatal(err)
	}
	w.table = table
	var d api.Diff
	rec := ask(t, s, "GET", "/v1/diff?from=2&to=live", nil)
	if err := json.Unmarshal(rec.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Same || len(d.Routes) != 1 || !slices.Equal(d.Routes[0].Lines, []string{"~ a value that is not shown"}) {
		t.Errorf("%s", rec.Body)
	}
}

func TestHistorySaysNo(t *testing.T) {
	s := newServer(t, options(t, newWorld(t)))
	o := options(t, newWorld(t))
	o.History = nil
	bare := newServer(t, o)
	for path, want := range map[string]int{
		"/v1/history?limit=0": 400, "/v1/history?limit=1001": 400, "/v1/history?before=x": 400,
		"/v1/history/0": 404, "/v1/history/x": 404, "/v1/history/3": 404,
		"/v1/diff?from=3": 404, "/v1/diff?to=-1": 400,
	} {
		if rec := ask(t, s, "GET", path, nil); rec.Code != want {
			t.Errorf("%s = %d, want %d: %s", path, rec.Code, want, rec.Body)
		}
	}
	if rec := ask(t, bare, "GET", "/v1/history/1", nil); rec.Code != 503 {
		t.Errorf("without a history: %d", rec.Code)
	}
}

// fakeCommands answers every command with err, or takes it.
type fakeCommands struct {
	err      error
	operator string
	given    control.Command
	preview  control.Preview
}

func (f *fakeCommands) Commands() []control.Command { return nil }

func (f *fakeCommands) Resolve(_ control.CommandKind, text string) (catalog.Subject, error) {
	return catalog.Subject{Service: text}, nil
}

// Preview says that nothing but the drained endpoints would be left.
func (f *fakeCommands) Preview(o control.Command) (control.Preview, error) {
	f.given, f.operator = o, o.Operator
	return f.preview, f.err
}

func (f *fakeCommands) Give(_ context.Context, o control.Command) (control.Result, error) {
	f.given, f.operator = o, o.Operator
	return control.Result{Command: control.Command{ID: "x", Kind: control.CommandDrain, Subject: catalog.Subject{Service: "a"}}, Recorded: true}, f.err
}

func (f *fakeCommands) TakeBack(context.Context, string, string, string) (control.Result, error) {
	return control.Result{Command: control.Command{ID: "x", Kind: control.CommandDrain, Subject: catalog.Subject{Service: "a"}}, Recorded: true}, f.err
}

// The audit log shows the end of a command as another command.
func TestAuditOfTakingBack(t *testing.T) {
	o := options(t, newWorld(t))
	o.Commands, o.Token = &fakeCommands{}, goodToken
	s := newServer(t, o)
	r := httptest.NewRequest("DELETE", "/v1/commands/x", nil)
	r.Host = s.Addr().String()
	r.Header.Set("Authorization", "Bearer "+goodToken)
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	if entries := s.access.Audit.Newest(1); rec.Code != 200 || len(entries) != 1 || entries[0].Text != "service a no longer drained" {
		t.Errorf("%d, audit %+v", rec.Code, entries)
	}
}

func TestCommandsNeedAnOperator(t *testing.T) {
	f := &fakeCommands{}
	o := options(t, newWorld(t))
	o.Commands, o.Token = f, goodToken
	s := newServer(t, o)
	give := func(token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/v1/commands", strings.NewReader(`{"kind":"drain","subject":"a"}`))
		r.Host = s.Addr().String()
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		rec := httptest.NewRecorder()
		s.handler.ServeHTTP(rec, r)
		return rec
	}
	if rec := give(""); rec.Code != 401 || f.operator != "" {
		t.Errorf("without a token: %d, given by %q", rec.Code, f.operator)
	}
	if rec := give(goodToken); rec.Code != 200 || f.operator != "token-file" || f.given.Subject.Service != "a" {
		t.Errorf("with a token: %d, given by %q: %s", rec.Code, f.operator, rec.Body)
	}
	if entries := s.access.Audit.Newest(1); len(entries) != 1 || entries[0].Text != "service a drained" {
		t.Errorf("audit %+v", entries)
	}
	for err, want := range map[error]int{
		history.ErrFull: 507, history.ErrNotFound: 404, history.ErrUnavailable: 503,
		api.Errorf(http.StatusConflict, "no"): 409, errors.New("other"): 500,
	} {
		if f.err = err; give(goodToken).Code != want {
			t.Errorf("%v = %d, want %d", err, give(goodToken).Code, want)
		}
	}
}

// A preview says in words what a command would do. Viewers may ask; nothing is audited.
func TestPreview(t *testing.T) {
	w := newWorld(t)
	f := &fakeCommands{preview: control.Preview{
		Command: control.Command{ID: "hold", Kind: control.CommandRollback, Hold: &control.Hold{Entry: 1}},
		Before:  w.table, After: w.past[0].Table, Unserved: []string{"tenant@file:services.yml"}, Remarks: []string{"one"},
	}}
	o := options(t, w)
	o.Commands = f
	s := newServer(t, o)
	ask := func() (p api.CommandPreview) {
		t.Helper()
		rec := sendJSON(t, s, "POST", "/v1/preview", `{"kind":"rollback","entry":1,"until":"released","endpoints":"recorded"}`, nil)
		if err := json.Unmarshal(rec.Body.Bytes(), &p); rec.Code != 200 || err != nil {
			t.Fatal(rec.Code, rec.Body, err)
		}
		return p
	}
	p := ask()
	if f.given.Hold.Entry != 1 || !f.given.Hold.RecordedEndpoints || len(s.access.Audit.Newest(1)) != 0 {
		t.Errorf("asked for %+v", f.given.Hold)
	}
	if p.Summary != "Would change now: routes: 2 removed, 2 changed." || !slices.Equal(p.Unserved, []string{"tenant@file:services.yml"}) ||
		len(p.Diff.Routes) != 4 || p.Command.Text != "rolled back to entry 1" || p.Command.Undo != "fairway unpin" || len(p.Remarks) != 1 {
		t.Errorf("%+v", p)
	}
	f.preview.After = w.table
	if p = ask(); p.Summary != "Nothing would change now." || !p.Diff.Same {
		t.Errorf("without a difference: %+v", p)
	}
	busy := *w.table.Backends[0]
	busy.Endpoints = slices.Clone(busy.Endpoints)
	busy.Endpoints[0].Weight, busy.Endpoints[0].ID = 77, "c0:8080"
	var err error
	if f.preview.After, err = route.New(8, w.table.Listeners, w.table.Routes, append([]*route.Backend{&busy}, w.table.Backends[1:]...), nil); err != nil {
		t.Fatal(err)
	}
	if p = ask(); p.Summary != "Would change now: endpoints: 1 added, 1 removed." {
		t.Errorf("with another endpoint: %s", p.Summary)
	}
	if lines := fmt.Sprint(p.Diff.Backends); strings.Contains(lines, " id ") || !strings.Contains(lines, "weight 77") {
		t.Errorf("the lines are %s", lines)
	}
}

// What only instances and sources did is left out on request, but for the newest entry.
func TestSignificantEntries(t *testing.T) {
	w := newWorld(t)
	state := history.Change{Kind: history.InstanceState, Service: "shop@docker", Instance: "shop-1", To: "ready"}
	add := func(routes int, operator string, changes ...history.Change) {
		n := uint64(len(w.past) + 1)
		w.past = append(w.past, history.Recorded{Table: w.table, Entry: history.Entry{
			Number: n, Hash: w.table.Hash, Cause: history.Cause{Text: "x", Operator: operator, Changes: changes}, Routes: history.Counts{Changed: routes},
		}})
	}
	add(0, "", state, history.Change{Kind: history.SourceState, Source: "docker"}, history.Change{Kind: history.InstanceAddress})
	add(1, "", state)
	add(0, "ann", state)
	add(0, "", state, history.Change{Kind: history.LabelChanged, Label: "fairway.host"})
	add(0, "", history.Change{Kind: history.InstanceAdded, Instance: "shop-2"})
	add(0, "") // other listeners
	add(0, "", state)
	add(0, "", state)
	s := newServer(t, options(t, w))
	for path, want := range map[string]string{
		"/v1/history?significant=true":          "[10 8 7 6 5 4 2 1]", // 10 is the newest
		"/v1/history?significant=true&before=9": "[8 7 6 5 4 2 1]",
		"/v1/history":                           "[10 9 8 7 6 5 4 3 2 1]",
	} {
		var found api.List[api.Entry]
		if err := json.Unmarshal(ask(t, s, "GET", path, nil).Body.Bytes(), &found); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(show.All(found.Items, func(e api.Entry) uint64 { return e.Number })); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
}
