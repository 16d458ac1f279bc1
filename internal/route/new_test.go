package route

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairway/internal/route/userhash"
)

// full is a table in which every field is set somewhere.
func full() *Table {
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	return &Table{
		Revision: 7,
		Listeners: []Listener{
			{Name: "https", Address: ":8443", TLS: true, Certificates: []Certificate{{CertFile: "/etc/a.pem", KeyFile: "/etc/a key.pem"}, {"/run/secrets/b.pem", "/run/secrets/b.pem", "*.b.example"}}, TrustedProxies: prefixes, ClientCAFile: "/etc/ca.pem"},
			{Name: "http", Address: ":8000", ProxyProtocol: true},
			{Name: "tcp-5432", Address: ":5432", TCP: true},
		},
		Routes: []*Route{
			{
				ID: "shop@docker/api", Service: "shop@docker", Priority: 5, Claim: 3, Backend: "shop@docker", Hold: 5 * time.Second, Timeout: time.Minute, BodyTimeout: 5 * time.Minute, Idle: time.Hour,
				Matches: []Match{
					{Host: Host{HostExact, "shop.example.com"}, Path: Path{PathPrefix, "/api"}, Conditions: []Condition{
						{Kind: ConditionMethod, Values: []string{"GET", "POST"}},
						{Kind: ConditionHeader, Name: "X-Env", Values: []string{"", "a, b"}},
						{Kind: ConditionHeader, Name: "X-Any"},
						{Kind: ConditionQueryRegexp, Name: "q", Values: []string{"^a|b$"}},
						{Kind: ConditionClientIP, Values: []string{"10.0.0.0/8"}, Not: true},
						{Kind: ConditionListener, Values: []string{"http", "https"}},
						{Kind: ConditionPathStart, Values: []string{"/api/pri"}, Not: true},
					}},
					{Host: Host{HostWildcard, "example.com"}, Path: Path{PathExact, "/api/"}},
					{Host: Host{HostDeep, "example.com"}, Path: Path{PathRegexp, `/v[0-9]+/.*`}},
					{Host: Host{HostRegexp, `a\.example`}, Path: Path{PathPrefix, "/"}},
					{Host: Host{Kind: HostAny}, Path: Path{PathPrefix, "/any"}},
					{Host: Host{Kind: HostAny}, Path: Path{PathStart, "/an"}},
				},
				Filters: []Filter{
					{IPAllow: &IPAllow{prefixes}},
					{Methods: &Methods{Allow: []string{"GET", "HEAD"}, Deny: []string{"PUT"}}},
					{RequireTLS: &RequireTLS{}},
					{RequireClientCert: &RequireClientCert{}},
					{RateLimit: &RateLimit{100, time.Second, 50}},
					{MaxBody: &MaxBody{1 << 20}},
					{RedirectHTTPS: &RedirectHTTPS{}},
					{RedirectHTTPS: &RedirectHTTPS{Port: 8443, Status: 302, Forwarded: ForwardedWhenHTTP}},
					{Redirect: &Redirect{308, "https", "b.example", "/new path"}},
					{BasicAuth: &BasicAuth{File: "/etc/users", Realm: "shop"}},
					{BasicAuth: &BasicAuth{Realm: "shop", Users: []User{{"alice", "$2y$05$abc"}, {"bob b", userhash.Of("s", "x")}}, Strip: true}},
					{StripPrefix: &StripPrefix{"/api"}},
					{AddPrefix: &AddPrefix{"/v1"}},
					{RewritePath: &RewritePath{`^/a/(.*)`, `/b \1`}},
					{RequestHeaders: &HeaderOperation{Remove: []string{"X-Old"}, Set: []HeaderValue{{"X-A", "1\r\nX-Evil: 2"}}, Add: []HeaderValue{{"X-B", ""}}}},
					{ResponseHeaders: &HeaderOperation{Set: []HeaderValue{{"Server", "ü \u202e"}}}},
					{Compress: &Compress{}},
				},
				Origin: Origin{"docker", "shop-1", map[string]string{"fairway.host": "shop.example.com"}, map[string]string{"fairway.max-body": "1MB"}, true},
			},
			{
				ID: "bad@docker", Service: "bad@docker", Refused: "the file of basic-auth is not there",
				Matches: []Match{{Host: Host{HostExact, "bad.example"}, Path: Path{PathPrefix, "/"}}},
				Origin:  Origin{Source: "docker"},
			},
			{
				ID: "db@docker", Service: "db@docker", Backend: "db@docker",
				Matches: []Match{{
					Host: Host{HostExact, "db.example.com"}, Path: Path{PathPrefix, "/"},
					Conditions: []Condition{{Kind: ConditionListener, Values: []string{"tcp-5432"}}},
				}},
				Filters: []Filter{{IPAllow: &IPAllow{prefixes}}},
				Origin:  Origin{Source: "docker"},
			},
		},
		Backends: []*Backend{
			{
				ID: "shop@docker", Service: "shop@docker", Scheme: SchemeHTTPS, TLS: &TLS{"inner.example", true},
				Balance: Balance{BalanceHash, HashHeader, "X-User"}, Sticky: "fw", SlowStart: 30 * time.Second, MaxFails: 3,
				StickyDomain: "example.com", StickySameSite: SameSiteNone, Upgrade: []string{"spdy/3.1", "tcp"},
				Health: &Health{"/up", "shop.example.com", 8081, []HeaderValue{{"X-A", "1\r\nX-Evil: 2"}}, 10 * time.Second, 2 * time.Second, 204},
				Endpoints: []Endpoint{
					{"a1", "10.0.0.5:8080", 1, EndpointReady, "shop-1", "docker", "node 1", "on the network proxy", ""},
					{"b2", "[fd00::5]:8080", 0, EndpointDraining, "shop-2", "", "", "", "drain by ann: new kernel"},
				},
			},
			{ID: "plain@docker", Service: "plain@docker", Scheme: SchemeHTTP, Balance: Balance{Policy: BalanceRoundRobin}, TLS: &TLS{}},
			{ID: "db@docker", Service: "db@docker", Scheme: SchemeTCP, SendProxy: 2, Balance: Balance{Policy: BalanceLeastConn}},
		},
		Problems: []Problem{
			{CodeUnknownLabel, "docker", "shop@docker", "shop-1", "shop@docker/api", "fairway.hots", "there is no such label", "did you mean fairway.host?"},
			{Code: CodeNoPort, Source: "docker", Service: "bad@docker", Text: "line\nproblem forged: \x1b[31m"},
		},
	}
}

// sealed makes a table of the fields of table.
func sealed(t testing.TB, table *Table) *Table {
	t.Helper()
	made, err := New(table.Revision, table.Listeners, table.Routes, table.Backends, table.Problems)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestNewSortsCopies(t *testing.T) {
	in := full()
	table := sealed(t, in)
	if in.Routes[0].ID != "shop@docker/api" || in.Listeners[0].Name != "https" {
		t.Error("the arguments were sorted")
	}
	if table.Routes[0].ID != "bad@docker" || table.Routes[0] != in.Routes[1] || table.Listeners[0].Name != "http" ||
		table.Backends[0].ID != "db@docker" || table.Problems[0].Service != "bad@docker" {
		t.Errorf("the table is not sorted:\n%s", table.Text())
	}
	if table.Route("bad@docker") != in.Routes[1] || table.Route("x") != nil || table.Backend("shop@docker") != in.Backends[0] || table.Backend("") != nil {
		t.Error("lookup by ID is wrong")
	}
	shuffled := full()
	slices.Reverse(shuffled.Routes)
	slices.Reverse(shuffled.Backends)
	slices.Reverse(shuffled.Listeners)
	slices.Reverse(shuffled.Problems)
	if again := sealed(t, shuffled); again.Hash != table.Hash || again.Text() != table.Text() {
		t.Error("the order of the arguments shows")
	}
}

func TestNewRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*Table){
		`listener "http": the name is empty or used`:  func(t *Table) { t.Listeners[0].Name = "http" },
		`route "bad@docker": the ID is empty or used`: func(t *Table) { t.Routes[0].ID = "bad@docker" },
		`route "": the ID is empty`:                   func(t *Table) { t.Routes[0].ID = "" },
		`route list holds a nil`:                      func(t *Table) { t.Routes[0] = nil },
		`there is no backend "x"`:                     func(t *Table) { t.Routes[0].Backend = "x" },
		`there are no matches`:                        func(t *Table) { t.Routes[0].Matches = nil },
		`match 2: path "/x/" is not in canonical`:     func(t *Table) { t.Routes[0].Matches[1].Path = Path{PathPrefix, "/x/"} },
		`filter 1 has 0 fields`:                       func(t *Table) { t.Routes[0].Filters[0] = Filter{} },
		`filter 3 has 2 fields`:                       func(t *Table) { t.Routes[0].Filters[2].Compress = &Compress{} },
		`status 200 is no redirect`:                   func(t *Table) { t.Routes[0].Filters[7].RedirectHTTPS.Status = 200 },
		`forwarded "never": no such way`:              func(t *Table) { t.Routes[0].Filters[7].RedirectHTTPS.Forwarded = "never" },
		`replacement "\\2": a backslash is`:           func(t *Table) { t.Routes[0].Filters[13].RewritePath.Replace = `\2` },
		`"tcp-5432": it passes connections through`:   func(t *Table) { t.Listeners[2].TLS = true },
		`"https": it wants client certificates`:       func(t *Table) { t.Listeners[0].TLS = false },
		`version 2 is not for scheme "https"`:         func(t *Table) { t.Backends[0].SendProxy = 2 },
		`version 3 is not for scheme "tcp"`:           func(t *Table) { t.Backends[2].SendProxy = 3 },
		`for TCP listeners and for others`:            func(t *Table) { t.Routes[2].Matches[0].Conditions[0].Values = []string{"http", "tcp-5432"} },
		`does not ask for a TCP listener`:             func(t *Table) { t.Listeners[2].TCP = false },
		`backend is not for connections`:              func(t *Table) { t.Backends[2].Scheme, t.Backends[2].SendProxy = SchemeHTTP, 0 },
		`match 1 asks for a path`:                     func(t *Table) { t.Routes[2].Matches[0].Path.Value = "/a" },
		`filter 1 is not for connections`:             func(t *Table) { t.Routes[2].Filters[0] = Filter{RequireTLS: &RequireTLS{}} },
		`backend "plain@docker": the ID is empty or`:  func(t *Table) { t.Backends[0].ID = "plain@docker" },
		`endpoint "a1": the IDs are not sorted`:       func(t *Table) { t.Backends[0].Endpoints[1].ID = "a1" },
		`a value in it is not UTF-8`:                  func(t *Table) { t.Routes[0].Filters[9].BasicAuth.Realm = "\\\xff" },
	} {
		table := full()
		spoil(table)
		_, err := New(1, table.Listeners, table.Routes, table.Backends, table.Problems)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not speak of %q", err, want)
		}
	}
}

// TestTextIsUTF8 has values that only look like bytes outside UTF-8 once quoted.
func TestTextIsUTF8(t *testing.T) {
	for _, s := range []string{`\xff`, `\\xff`, "\x00", "\x7f", "ü", "\ufffd", `\`} {
		r := full().Routes[1]
		r.Refused = s
		if err := r.sealOnce(); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestSealIsNotCopied changes a copy of a route that is in a table.
func TestSealIsNotCopied(t *testing.T) {
	table := sealed(t, full())
	r := *table.Route("shop@docker/api")
	r.Claim++
	r.Matches = slices.Clone(r.Matches)
	r.Matches[0].Host.Value = "other.example"
	b := *table.Backend("shop@docker")
	b.MaxFails++
	if r.Text() == table.Route(r.ID).Text() || b.Text() == table.Backend(b.ID).Text() {
		t.Error("the copy has the text of the original")
	}
	if c, err := r.Compiled(); err != nil || c[0].Host("shop.example.com") {
		t.Errorf("the copy has the matches of the original, error %v", err)
	}
	table2, err := New(8, table.Listeners, []*Route{&r}, []*Backend{&b}, nil)
	if err != nil || table2.Hash == table.Hash {
		t.Errorf("hash %s, error %v", table2.Hash, err)
	}
}

// TestHashCoversEverythingServed changes one leaf after the other of a full table,
// found in its JSON, and wants another hash for each but those that serve nothing.
func TestHashCoversEverythingServed(t *testing.T) {
	want := sealed(t, full())
	var b bytes.Buffer
	if err := Encode(&b, want); err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(b.Bytes(), &tree); err != nil {
		t.Fatal(err)
	}
	changed := 0
	walk(tree, "", func(path string, change func() (undo func())) {
		undo := change()
		defer undo()
		spoiled, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		table, err := Decode(bytes.NewReader(spoiled))
		silent := path == "/revision" || strings.HasPrefix(path, "/problems/") || path == "/notices" || strings.Contains(path, "/labels/") || strings.Contains(path, "/defaults/")
		switch {
		case silent && err != nil:
			t.Errorf("%s: %v", path, err)
		case !silent && err == nil:
			t.Errorf("%s: the hash does not change: %s", path, table.Hash)
		case !silent && strings.Contains(err.Error(), "but the contents have"):
			changed++ // the others do not make a table at all
		}
	})
	if changed < 80 {
		t.Errorf("only %d values were seen to change the hash", changed)
	}
}

// walk visits every string, number and boolean in a JSON tree.
func walk(node any, path string, visit func(path string, change func() (undo func()))) {
	leaf := func(path string, v any, set func(any)) {
		visit(path, func() func() {
			switch x := v.(type) {
			case string:
				set(x + "x")
			case float64:
				set(x + 1)
			case bool:
				set(!x)
			}
			return func() { set(v) }
		})
	}
	switch x := node.(type) {
	case map[string]any:
		for k, v := range x {
			switch v.(type) {
			case map[string]any, []any:
				walk(v, path+"/"+k, visit)
			default:
				leaf(path+"/"+k, v, func(v any) { x[k] = v })
			}
		}
	case []any:
		for i, v := range x {
			switch v.(type) {
			case map[string]any, []any:
				walk(v, fmt.Sprintf("%s/%d", path, i), visit)
			default:
				leaf(fmt.Sprintf("%s/%d", path, i), v, func(v any) { x[i] = v })
			}
		}
	}
}

func TestEncodeDecode(t *testing.T) {
	table := sealed(t, full())
	var b bytes.Buffer
	if err := Encode(&b, table); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	ignore := cmpopts.IgnoreUnexported(Route{}, Backend{})
	prefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(table, got, ignore, prefix); diff != "" {
		t.Error(diff)
	}
	if got.Text() != table.Text() {
		t.Error("the text is another")
	}
}

func TestDecodeRefuses(t *testing.T) {
	var b bytes.Buffer
	if err := Encode(&b, sealed(t, full())); err != nil {
		t.Fatal(err)
	}
	good := b.String()
	for _, tt := range []struct{ in, want string }{
		{"", "EOF"},
		{"null", "hash"},
		{"{}", "hash"},
		{"[]", "cannot unmarshal"},
		{good[:len(good)/2], "unexpected EOF"},
		{good + "{}", "something follows"},
		{strings.Replace(good, `"hash":"`, `"hash":"0`, 1), "contents have"},
		{strings.Replace(good, "shop.example.com", "shop.example.org", 1), "contents have"},
		{strings.Replace(good, `"backend":"shop@docker"`, `"backend":"nobody"`, 1), `no backend "nobody"`},
		{`{"routes":[null]}`, "holds a nil"},
		{`{"routes":[{"id":"a"}]}`, "no matches"},
		{`{"backends":[{"id":""}]}`, "empty"},
	} {
		table, err := Decode(strings.NewReader(tt.in))
		if err == nil || table != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: error %v does not speak of %q", tt.in, err, tt.want)
		}
	}
}

// BenchmarkNew makes a table of 5,000 routes and backends that were in a table
// before.
func BenchmarkNew(b *testing.B) {
	routes := make([]*Route, 5000)
	for i := range routes {
		routes[i] = &Route{ID: fmt.Sprintf("r%05d", i), Matches: []Match{{Host: Host{HostExact, fmt.Sprintf("h%d.example", i)}, Path: Path{PathPrefix, "/"}}}}
	}
	var backends []*Backend
	for _, r := range routes {
		r.Backend = r.ID
		backends = append(backends, &Backend{ID: r.ID, Endpoints: []Endpoint{{ID: "a", Address: "10.0.0.1:80"}}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(1, nil, routes, backends, nil); err != nil {
			b.Fatal(err)
		}
	}
}
