package ui

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
	"fairway/internal/api/names"
	"fairway/internal/api/rights"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func now() time.Time { return time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC) }

// answers are what operations answer, by path; a path that ends with "/" stands
// for all below it.
type answers map[string]any

// RoundTrip makes it an http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	v, ok := a[r.URL.Path]
	for path, below := range a {
		if !ok && strings.HasSuffix(path, "/") && strings.HasPrefix(r.URL.Path, path) {
			v = below
		}
	}
	if e, bad := v.(*api.Error); bad || v == nil {
		if v == nil {
			e = &api.Error{Title: "Not Found", Status: 404, Detail: "no " + r.URL.Path}
		}
		rec.Header().Set("Content-Type", api.ProblemContentType)
		rec.WriteHeader(e.Status)
		v = e
	} else {
		rec.Header().Set("Content-Type", "application/json")
	}
	if err := json.NewEncoder(rec).Encode(v); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// everything is an answer of each operation that pages ask for, every string in it
// filled by text, which gets the name of the field.
func everything(text func(field string) string) answers {
	a := answers{
		"/v1/info": &api.Info{}, "/v1/status": &api.Status{}, "/v1/services": &api.List[api.Service]{}, "/v1/routes": &api.List[api.Route]{},
		"/v1/problems": &api.List[api.Problem]{}, "/v1/search": &api.List[api.Found]{}, "/v1/labels": &api.List[api.Label]{}, "/v1/owners": &api.List[rights.OwnerRecord]{}, "/v1/sources": &api.List[api.Source]{}, "/v1/nodes": &api.List[api.Node]{},
		"/v1/dns": &names.Names{}, "/v1/dns/names": &api.List[names.Name]{}, "/v1/dns/explain": &names.NameExplanation{},
		"/v1/certificates": &api.Certificates{}, "/v1/traffic": &api.Traffic{}, "/v1/doctor/": &api.List[api.Diagnosis]{}, "/v1/explain": &api.Explanation{},
		"/v1/commands": &api.List[api.Command]{}, "/v1/history": &api.List[api.Entry]{}, "/v1/history/": &api.EntryDetail{},
		"/v1/diff": &api.Diff{}, "/v1/tokens": &api.List[api.Token]{}, "/v1/audit": &api.List[api.AuditEntry]{},
		"/v1/errors": &api.List[api.Request]{}, "/v1/series/": &api.Series{}, "/v1/events": &api.List[api.Event]{}, "/v1/notify/channels": &api.List[api.Channel]{},
		"/v1/rules": &api.List[api.RuleState]{}, "/v1/plan": &api.Plan{}, "/v1/preview": &api.CommandPreview{},
		"/v1/fleet/documents": &api.List[api.FleetDocument]{}, "/v1/fleet/hosts": &api.List[api.FleetHost]{},
	}
	for _, v := range a {
		fill(reflect.ValueOf(v).Elem(), "", text)
	}
	document := a["/v1/fleet/documents"].(*api.List[api.FleetDocument]).Items[0].Name
	base := "/v1/fleet/documents/" + document
	for path, v := range map[string]any{
		"/revisions": &api.List[api.FleetRevision]{}, "/revisions/newest": &api.FleetRevision{}, "/diff": &api.FleetDiff{},
		"/plan": &api.FleetPlan{}, "/drift": &api.FleetPlan{}, "/rollout": &api.FleetRollout{}, "/rollouts": &api.List[api.FleetRollout]{},
	} {
		fill(reflect.ValueOf(v).Elem(), "", text)
		a[base+path] = v
	}
	// A command in force is told of where there is one.
	a["/v1/series/"].(*api.Series).Step = "1m"
	return a
}

// fill sets everything that can be set, one item in each list.
func fill(v reflect.Value, field string, text func(string) string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text(field))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(2)
	case reflect.Uint64, reflect.Uint16:
		v.SetUint(3)
	case reflect.Uint8:
		v.SetUint('x')
	case reflect.Float64:
		v.SetFloat(12.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), field, text)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(text(field)))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), field, text)
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, field, text)
		fill(value, field, text)
		m.SetMapIndex(key, value)
		v.Set(m)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(now().Add(-time.Hour)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name, text)
		}
	}
}

// paths are the pages, with what leads to everything that they can show. The names
// are those of the golden files.
func paths(a answers) map[string]string {
	service := a["/v1/services"].(*api.List[api.Service]).Items[0].ID
	node := a["/v1/nodes"].(*api.List[api.Node]).Items[0].ID
	document := a["/v1/fleet/documents"].(*api.List[api.FleetDocument]).Items[0].Name
	return map[string]string{
		"overview": "/", "services": "/services", "service": link("services", service), "routes": "/routes", "route": link("routes", a["/v1/routes"].(*api.List[api.Route]).Items[0].ID),
		"explain": "/routes?url=http://a.example/&client=192.0.2.1&headers=X:+1", "problems": "/problems", "certificates": "/certificates", "nodes": "/nodes", "node": link("nodes", node),
		"history": "/history", "entry": "/history/3", "compared": "/history/3?against=live", "access": "/access",
		"events": "/events", "plan": "/plan", "fleet": "/fleet", "document": link("fleet", document),
		"document-plan": link("fleet", document) + "?tab=plan", "document-drift": link("fleet", document) + "?tab=drift",
		"document-diff": link("fleet", document) + "?tab=diff&to=3", "sign-in": "/sign-in?to=/x", "search": "/search?q=name", "sources": "/sources", "names": "/names?name=web.docker&client=172.18.0.7", "owners": "/owners", "labels": "/labels?for=fairway.none", "instance": instanceLink(a["/v1/services"].(*api.List[api.Service]).Items[0].Instances[0]), "nothing": "/nothing",
	}
}

func newPages(t *testing.T) *Pages {
	t.Helper()
	p, err := New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	p.now = now
	return p
}

// look asks for a page.
func look(t *testing.T, p *Pages, a http.RoundTripper, who api.Identity, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	ask, err := api.NewClient(api.ClientOptions{URL: "http://localhost", Transport: a})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	p.Serve(rec, r, ask, who)
	return rec
}

func admin() api.Identity { return api.Identity{Name: "root", Role: api.RoleAdmin, By: api.BySession} }

func get(t *testing.T, p *Pages, a http.RoundTripper, path string) *httptest.ResponseRecorder {
	t.Helper()
	rec := look(t, p, a, admin(), httptest.NewRequest("GET", path, nil))
	if strings.Contains(rec.Body.String(), "cannot be shown") {
		t.Fatalf("%s: %s", path, rec.Body)
	}
	return rec
}

// plainText is an answer that means no harm.
func plainText(field string) string { return strings.ToLower(field) }

func TestGolden(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	for name, path := range paths(a) {
		t.Run(name, func(t *testing.T) {
			rec := get(t, p, a, path)
			if want := map[bool]int{true: 404, false: 200}[name == "nothing"]; rec.Code != want {
				t.Errorf("status %d, want %d", rec.Code, want)
			}
			golden(t, name+".html", steady(p, rec.Body.String()))
		})
	}
}

// steady takes out of a page what changes with every change of a file of style.
func steady(p *Pages, page string) string {
	return strings.ReplaceAll(page, p.assets.Prefix, "/assets/DIGEST/")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; rewrite with -update):\n%s", path, diff)
	}
}

// What changes something is there for those who may, and for nobody else.
func TestPagesOfARole(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	acts := regexp.MustCompile(`data-call="(?:POST|DELETE) /v1/[a-z]+|data-document=|data-rollout=`)
	for name, path := range paths(a) {
		for _, role := range api.Roles() {
			who := api.Identity{Name: "x", Role: role, By: api.ByToken}
			body := look(t, p, a, who, httptest.NewRequest("GET", path, nil)).Body.String()
			found := acts.FindAllString(body, -1)
			if name == "access" && role != api.RoleAdmin && !strings.Contains(body, "needs the role admin") {
				t.Errorf("%s sees who may do what", role)
			}
			if role == api.RoleViewer && len(found) > 0 {
				t.Errorf("%s offers %q to a viewer", name, found)
			}
			if role == api.RoleOperator && strings.Contains(body, "/v1/tokens") && name != "access" {
				t.Errorf("%s offers tokens to an operator", name)
			}
		}
	}
}

// Nobody sees a page without a role, and comes back to it after signing in.
func TestSignInFirst(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	for name, path := range paths(a) {
		rec := look(t, p, answers{}, api.Identity{}, httptest.NewRequest("GET", path, nil))
		if name == "sign-in" {
			if rec.Code != 200 || !strings.Contains(rec.Body.String(), `data-sign-in="/x"`) {
				t.Errorf("sign-in: %d %s", rec.Code, rec.Body)
			}
			continue
		}
		if rec.Code != 303 || !strings.HasPrefix(rec.Header().Get("Location"), "/sign-in?to=%2F") {
			t.Errorf("%s: %d to %q", name, rec.Code, rec.Header().Get("Location"))
		}
	}
	for _, to := range []string{"//evil.example", `/\evil.example`, "https://evil.example", "javascript:alert(1)", "", "/a\tb", "/\n/evil.example"} {
		r := httptest.NewRequest("GET", "/sign-in", nil)
		q := r.URL.Query()
		q.Set("to", to)
		r.URL.RawQuery = q.Encode()
		if body := look(t, p, answers{}, api.Identity{}, r).Body.String(); !strings.Contains(body, `data-sign-in="/"`) {
			t.Errorf("after signing in one is sent to %q", to)
		}
	}
}

// A page that cannot be made says why, and is never half a page.
func TestErrors(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	for path, want := range map[string]int{"/services/none": 404, "/nodes/none": 404, "/fleet/none": 404, "/history/x": 404, "/history?before=x": 400, "/history/3?against=x": 400} {
		rec := get(t, p, a, path)
		if rec.Code != want || !strings.Contains(rec.Body.String(), "</html>") || rec.Header().Get("Content-Security-Policy") != contentPolicy {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
	a["/v1/services"] = &api.Error{Status: 503, Title: "Service Unavailable", Detail: "not <b>now</b>"}
	if rec := get(t, p, a, "/services"); rec.Code != 503 || !strings.Contains(rec.Body.String(), "not &lt;b&gt;now&lt;/b&gt;") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	dead := roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	if rec := get(t, p, dead, "/services"); rec.Code != 500 || strings.Contains(rec.Body.String(), "EOF") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip makes it an http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Only the page that asks takes forms.
func TestForms(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	post := func(path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return look(t, p, a, admin(), r)
	}
	if rec := post("/services", ""); rec.Code != 404 {
		t.Errorf("POST /services = %d", rec.Code)
	}
	for body, want := range map[string]string{
		"":                            "Paste a file",
		"text=a&variables=x":          "NAME=VALUE",
		"subject=a":                   "Which label?",
		"label=a":                     "Of which service",
		"subject=a&do=remove":         "It would change",
		"subject=a&do=remove&label=b": "It would change",
		"subject=a&label=b&value=c":   "It would change",
		"text=services:%0D%0A+a: {}":  "It would change",
		"text=x&variables=A%3D1%0AB=": "It would change",
	} {
		if rec := post("/plan", body); rec.Code != 200 || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("POST /plan %s = %d, want %q", body, rec.Code, want)
		}
	}
}

func TestAssets(t *testing.T) {
	p := newPages(t)
	for _, name := range []string{"app.js", "fairway.css", "icon.svg"} {
		rec := get(t, p, answers{}, p.assets.Prefix+name)
		if rec.Code != 200 || !strings.Contains(rec.Header().Get("Cache-Control"), "immutable") || rec.Body.Len() == 0 {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Header())
		}
	}
	if rec := get(t, p, answers{}, "/assets/old/app.js"); rec.Code != 200 || rec.Header().Get("Cache-Control") != "" {
		t.Errorf("by an old digest: %d %s", rec.Code, rec.Header())
	}
	for _, path := range []string{"/assets/", "/assets/x", p.assets.Prefix + "../ui.go", p.assets.Prefix + "none.js"} {
		if rec := get(t, p, answers{}, path); rec.Code != 404 {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
	for name, data := range p.assets.Files {
		for _, m := range regexp.MustCompile(`(?:from|import) '\./([a-z.]+)'`).FindAllSubmatch(data, -1) {
			if p.assets.Files[string(m[1])] == nil {
				t.Errorf("%s imports %s, which is not there", name, m[1])
			}
		}
		if bytes.Contains(data, []byte("://")) && !regexp.MustCompile(`(?m)^[^\n]*(w3\.org)[^\n]*$`).Match(data) {
			t.Errorf("%s names an address", name)
		}
		for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"} {
			if bytes.Contains(data, []byte(word)) {
				t.Errorf("%s uses %s", name, word)
			}
		}
	}
}

// A list of five hundred has pages, and each page costs the same.
func TestLongLists(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	one := a["/v1/services"].(*api.List[api.Service]).Items[0]
	all := &api.List[api.Service]{}
	routes := &api.List[api.Route]{}
	route := a["/v1/routes"].(*api.List[api.Route]).Items[0]
	for i := range 500 {
		s, r := one, route
		s.ID, s.Name = fmt.Sprintf("s%03d@docker", i), fmt.Sprintf("s%03d", i)
		r.ID, r.Service = s.ID, s.ID
		all.Items, routes.Items = append(all.Items, s), append(routes.Items, r)
	}
	a["/v1/services"], a["/v1/routes"] = all, routes
	rows := func(path string) int { return strings.Count(get(t, p, a, path).Body.String(), "<tr id=") }
	for path, want := range map[string]int{
		"/services": 100, "/services?page=5": 100, "/services?page=6": 100, "/services?page=x": 100, "/services?q=s49": 10, "/services?q=nothing": 0,
		"/services?only=unserved": 0, "/routes": 100, "/routes?page=2": 100, "/routes?q=s123": 1,
	} {
		if n := rows(path); n != want {
			t.Errorf("%s has %d rows, want %d", path, n, want)
		}
	}
	for path, want := range map[string]string{"/services?sort=-name": "s499@docker", "/services?sort=name&page=5": "s400@docker", "/routes?sort=-service": "s499@docker"} {
		body := get(t, p, a, path).Body.String()
		_, table, _ := strings.Cut(body, "<tbody>")
		if first, _, _ := strings.Cut(table, "</tr>"); !strings.Contains(first, link("services", want)) {
			t.Errorf("%s begins with %s", path, first)
		}
		if direction := map[bool]string{true: "descending", false: "ascending"}[strings.Contains(path, "=-")]; strings.Count(body, `aria-sort="`+direction+`"`) != 1 {
			t.Errorf("%s does not say that it is sorted", path)
		}
	}
	body := get(t, p, a, "/services?page=2&q=s&only=served").Body.String()
	for _, want := range []string{`href="/services?only=served&amp;q=s"`, `href="/services?only=served&amp;page=3&amp;q=s"`, "101–200 of 500"} {
		if !strings.Contains(body, want) {
			t.Errorf("the second page has no %s", want)
		}
	}
	overview := get(t, p, a, "/").Body.String()
	if n := strings.Count(overview, `<g class="box`); n > draw.MaxRows+2 {
		t.Errorf("%d boxes are drawn", n)
	}
	if n := strings.Count(overview, "data-heat="); n != 500 {
		t.Errorf("%d squares are drawn", n)
	}
}

// What a browser would not give back byte by byte cannot be saved, and what cannot
// be seen is told of.
func TestEditorWarns(t *testing.T) {
	p := newPages(t)
	for text, want := range map[string][2]bool{ // read-only, warned of
		"global\n\tdaemon\n": {false, false}, "a\r\nb": {true, true}, "a\x00": {true, true}, "\xff": {true, false},
		"user\u202egpj": {false, true}, "ü 漢": {false, false},
	} {
		a := everything(plainText)
		a["/v1/fleet/documents/name/revisions/newest"].(*api.FleetRevision).Content = []byte(text)
		body := get(t, p, a, "/fleet/name").Body.String()
		got := [2]bool{strings.Contains(body, "readonly") && !strings.Contains(body, "Save as"), strings.Contains(body, "cannot be seen")}
		if got != want {
			t.Errorf("%q: read-only and warned of: %v, want %v", text, got, want)
		}
	}
}

// What the cause of an entry says is not said again beside it.
func TestHistorySaysThingsOnce(t *testing.T) {
	seen := []api.Seen{{Kind: "command", Service: "a"}, {Kind: "label", Service: "a"}}
	for name, c := range map[string]struct {
		entry             api.Entry
		message, operator string
	}{
		"said by the cause": {api.Entry{Cause: "rollback 1 by first: not ready", Message: "not ready", Operator: "first", Seen: seen}, "", ""},
		"not said":          {api.Entry{Cause: "the service a came", Message: "not ready", Operator: "first", Seen: seen}, "not ready", "first"},
		"nobody":            {api.Entry{Cause: "the first table", Seen: seen}, "", ""},
	} {
		l := newLine(c.entry)
		if l.Message != c.message || l.Operator != c.operator || len(l.Seen) != 1 || l.Seen[0].Kind != "label" {
			t.Errorf("%s: %+v", name, l)
		}
		if len(c.entry.Seen) != 2 || c.entry.Seen[1].Kind != "label" {
			t.Errorf("%s: the entry itself was changed: %+v", name, c.entry.Seen)
		}
	}
}

// The name of an event's subject stands once.
func TestEventSaysThingsOnce(t *testing.T) {
	for text, want := range map[string]string{"web: there is no such label": ": there is no such label", "web is down": " is down", "website is down": "", "down": "", "web": ""} {
		if rest := textAfterName(api.Event{Name: "web", Text: text}); rest != want {
			t.Errorf("%q: %q, want %q", text, rest, want)
		}
	}
	if rest := textAfterName(api.Event{Text: ": x"}); rest != "" {
		t.Errorf("without a name: %q", rest)
	}
}

// Squares are together by source, and the source with the worst comes first.
func TestGroups(t *testing.T) {
	all := byTrouble([]*service{
		{Service: api.Service{ID: "a", Name: "a", Source: "docker"}, Health: signs.Fine},
		{Service: api.Service{ID: "b", Name: "b", Source: "file"}, Health: signs.Broken},
		{Service: api.Service{ID: "c", Name: "c", Source: "docker"}, Health: signs.Faulty},
		{Service: api.Service{ID: "d", Name: "d", Source: "file"}, Health: signs.Idle},
	})
	var got []string
	for _, g := range groups(all) {
		text := fmt.Sprint(g.Source, " ", g.Troubled())
		for _, s := range g.Services {
			text += " " + s.Name
		}
		got = append(got, text)
	}
	if want := []string{"file 1 b d", "docker 1 c a"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// docs/ui.md names every page with its keys, and no other.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/ui.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, e := range pages() {
		if e.key != "" {
			want[e.title] = e.key
		}
	}
	got := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| (\\w+) \\| `g` `(.)` \\|").FindAllSubmatch(text, -1) {
		got[string(m[1])] = string(m[2])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/ui.md (-pages +docs):\n%s", diff)
	}
}

// Services without a label of Fairway are no part of "served of", and are folded.
func TestUnlabelledServicesAreFolded(t *testing.T) {
	p, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.now = now
	a := everything(func(string) string { return "x" })
	services := a["/v1/services"].(*api.List[api.Service])
	shop := services.Items[0]
	db := shop
	shop.ID, shop.Name = "shop@docker", "shop"
	db.ID, db.Name, db.Labelled, db.Routes, db.Instances = "db@docker", "db", false, nil, nil
	services.Items = []api.Service{shop, db}
	if body := get(t, p, a, "/").Body.String(); !strings.Contains(body, `of 1</span>`) {
		t.Error("the overview counts what asks for nothing")
	}
	for path, want := range map[string]bool{"/services": false, "/services?only=others": true, "/services?q=db": true, "/services?only=unserved": false} {
		body := get(t, p, a, path).Body.String()
		if strings.Contains(body, link("services", "db@docker")) != want || !strings.Contains(body, "Without labels <b>1</b>") {
			t.Errorf("%s shows db: %v", path, !want)
		}
	}
}

// TestTemplates: every page has a template that can be parsed, and every template is that of a page.
func TestTemplates(t *testing.T) {
	p, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	unused := maps.Clone(p.templates)
	for _, page := range pages() {
		parse := p.templates[page.name]
		if parse == nil {
			t.Errorf("%s has no template %s", page.path, page.name)
		} else if _, err := parse(); err != nil {
			t.Error(err)
		}
		delete(unused, page.name)
	}
	for name := range unused {
		if _, err := p.templates[name](); err != nil {
			t.Error(err)
		}
	}
	if list := slices.Sorted(maps.Keys(unused)); !slices.Equal(list, []string{"error", "signedin", "unsigned"}) {
		t.Errorf("templates of no page: %v", list)
	}
}

// The page of names without a DNS server, and for a question that is none.
func TestNames(t *testing.T) {
	p, a := newPages(t), everything(plainText)
	a["/v1/dns/explain"] = &api.Error{Status: 400, Title: "Bad Request", Detail: `"x" is no IP address`}
	if rec := get(t, p, a, "/names?name=web.docker&client=x"); rec.Code != 200 || !strings.Contains(rec.Body.String(), "is no IP address") {
		t.Errorf("a bad question: %d", rec.Code)
	}
	if rec := get(t, p, a, "/names?q=nothing-like-it"); !strings.Contains(rec.Body.String(), "No name matches") {
		t.Error("a search without a find")
	}
	if rec := get(t, p, a, "/names?only=nothing-like-it"); strings.Contains(rec.Body.String(), "No name matches") {
		t.Error("a filter that the page does not have")
	}
	if rec := get(t, p, a, "/names?format=csv"); rec.Code != 200 || !strings.Contains(rec.Body.String(), "NAME,KIND,OF") {
		t.Errorf("as CSV: %d %s", rec.Code, rec.Body)
	}
	state := a["/v1/dns"].(*names.Names)
	state.Taken = append(state.Taken, names.TakenName{Name: "host.docker", Service: "b@docker", ByLabel: true})
	if rec := get(t, p, a, "/names"); !strings.Contains(rec.Body.String(), "in no zone, or reserved") {
		t.Error("a reserved name that no service has")
	}
	a["/v1/dns"] = &api.Error{Status: 503, Title: "Service Unavailable", Detail: "DNS is off: set dns.listen"}
	if rec := get(t, p, a, "/names"); rec.Code != 200 || !strings.Contains(rec.Body.String(), "--dns.listen bridges") {
		t.Errorf("off: %d", rec.Code)
	}
}
