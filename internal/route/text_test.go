package route

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares texts with the files of an archive in testdata.
func golden(t *testing.T, name string, files ...txtar.File) {
	t.Helper()
	path := "testdata/" + name + ".txtar"
	if *update {
		if err := os.WriteFile(path, txtar.Format(&txtar.Archive{Files: files}), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(archive.Files) != len(files) {
		t.Errorf("%s has %d files, want %d", path, len(archive.Files), len(files))
	}
	for _, f := range files {
		i := slices.IndexFunc(archive.Files, func(g txtar.File) bool { return g.Name == f.Name })
		if i < 0 {
			t.Errorf("%s has no file %s", path, f.Name)
		} else if got, want := string(f.Data), string(archive.Files[i].Data); got != want {
			t.Errorf("%s: %s: got\n%s\nwant\n%s", path, f.Name, got, want)
		}
	}
}

func TestText(t *testing.T) {
	golden(t, "text", txtar.File{Name: "table", Data: []byte(sealed(t, full()).Text())})
}

func ExampleTable_Text() {
	routes := []*Route{{
		ID: "shop@docker", Service: "shop@docker", Claim: 3, Backend: "shop@docker",
		Matches: []Match{{
			Host:       Host{HostExact, "shop.example.com"},
			Path:       Path{PathPrefix, "/demo"},
			Conditions: []Condition{{Kind: ConditionMethod, Values: []string{"GET", "POST"}}},
		}},
		Filters: []Filter{{StripPrefix: &StripPrefix{"/demo"}}},
		Origin:  Origin{Source: "docker", Instance: "shop-1"},
	}}
	backends := []*Backend{{
		ID: "shop@docker", Service: "shop@docker", Scheme: SchemeHTTP, Balance: Balance{Policy: BalanceRoundRobin},
		Health:    &Health{Path: "/up", Interval: 10 * time.Second, Timeout: time.Second},
		Endpoints: []Endpoint{{ID: "c1", Address: "10.0.0.5:8080", Weight: 1, State: EndpointReady, Instance: "shop-1"}},
	}}
	table, err := New(1, nil, routes, backends, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(table.Text())
	// Output:
	// route shop@docker
	//   service shop@docker
	//   match host shop.example.com, path /demo, method GET | POST
	//   claim 3
	//   filter strip-prefix /demo
	//   backend shop@docker
	//   from docker shop-1
	// backend shop@docker
	//   service shop@docker
	//   scheme http
	//   balance round-robin
	//   health /up every 10s timeout 1s
	//   endpoint 10.0.0.5:8080 ready weight 1 id c1 instance shop-1
}

// TestTextWithstandsHostileValues puts the same hostile text into every place of a
// route and a backend that takes text. The shape of the text stays that of the
// benign one, and no control character comes through.
func TestTextWithstandsHostileValues(t *testing.T) {
	write := func(s string) string {
		r := &Route{
			ID: s, Service: s, Backend: s, Refused: s, Origin: Origin{Source: s, Instance: s},
			Matches: []Match{{
				Host: Host{HostRegexp, s}, Path: Path{PathRegexp, s},
				Conditions: []Condition{{Kind: ConditionHeader, Name: s, Values: []string{s}}, {Kind: ConditionQueryRegexp, Name: s, Values: []string{s}}},
			}},
			Filters: []Filter{
				{Redirect: &Redirect{Scheme: s, Host: s, Path: s}},
				{BasicAuth: &BasicAuth{File: s, Realm: s, Users: []User{{s, s}}}},
				{Methods: &Methods{[]string{s}, []string{s}}},
				{RedirectHTTPS: &RedirectHTTPS{Forwarded: ForwardedProto(s)}},
				{RewritePath: &RewritePath{s, s}},
				{StripPrefix: &StripPrefix{s}},
				{RequestHeaders: &HeaderOperation{Remove: []string{s}, Set: []HeaderValue{{s, s}}, Add: []HeaderValue{{s, s}}}},
			},
		}
		b := &Backend{
			ID: s, Service: s, Scheme: Scheme(s), TLS: &TLS{ServerName: s}, Balance: Balance{BalancePolicy(s), HashOn(s), s}, Sticky: s,
			StickyDomain: s, StickySameSite: SameSite(s), Upgrade: []string{s},
			Health: &Health{Path: s, Host: s, Headers: []HeaderValue{{s, s}}}, Endpoints: []Endpoint{{s, s, 1, EndpointState(s), s, s, s, s, s}},
		}
		l := Listener{Name: s, Address: s, Certificates: []Certificate{{s, s, s}}, ClientCAFile: s}
		p := Problem{Code(s), s, s, s, s, s, s, s}
		return l.Text() + r.Text() + b.Text() + "problem " + p.String() + "\n"
	}
	benign := write("x")
	piece := rapid.SampledFrom([]string{"a", " ", "\n", "\r", "\x00", "\x1b[2J", `"`, "'", "`", `\`, ",", "|", "not", "\u202e", "\u2028", "ü", "\xff", "\n  claim 1", "🙂"})
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(piece, 1, 6).Draw(t, "value"), "")
		hostile := write(s)
		if strings.Count(hostile, "\n") != strings.Count(benign, "\n") {
			t.Fatalf("the lines are others:\n%s", hostile)
		}
		if strings.ContainsAny(hostile, "\r\x00\x1b\u202e\u2028") {
			t.Fatalf("a control character came through:\n%q", hostile)
		}
		if s != "x" && hostile == benign {
			t.Fatal("the value is not in the text")
		}
	})
}

// TestTokenIsUnambiguous: different values never have the same text.
func TestTokenIsUnambiguous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune{'a', '"', '\\', ' ', '|', ',', '\n', 'ü'}))
		list := rapid.SliceOfN(text, 0, 3)
		a, b := list.Draw(t, "a"), list.Draw(t, "b")
		if tokens(a) == tokens(b) && !slices.Equal(a, b) {
			t.Fatalf("%q and %q are both %s", a, b, tokens(a))
		}
	})
}

func TestKey(t *testing.T) {
	match := func(c ...Condition) Match {
		return Match{Host{HostExact, "a.example"}, Path{PathPrefix, "/"}, c}
	}
	get := Condition{Kind: ConditionMethod, Values: []string{"GET", "PUT"}}
	put := Condition{Kind: ConditionMethod, Values: []string{"PUT", "GET", "GET"}}
	header := Condition{Kind: ConditionHeader, Name: "A"}
	notHeader := Condition{Kind: ConditionHeader, Name: "A", Not: true}
	for _, tt := range []struct {
		a, b Match
		same bool
	}{
		{match(), match(), true},
		{match(get, header), match(header, put), true},
		{match(get, get), match(put), true},
		{match(get), match(), false},
		{match(header), match(notHeader), false},
		{match(), Match{Host{HostDeep, "a.example"}, Path{PathPrefix, "/"}, nil}, false},
		{match(), Match{Host{HostExact, "a.example"}, Path{PathExact, "/"}, nil}, false},
		{match(header), match(Condition{Kind: ConditionHeader, Name: "A", Values: []string{"present"}}), false},
		{match(header), match(Condition{Kind: ConditionHeader, Name: "A", Values: []string{""}}), false},
	} {
		if same := tt.a.Key() == tt.b.Key(); same != tt.same {
			t.Errorf("%q and %q: the same is %v", tt.a.Key(), tt.b.Key(), same)
		}
	}
}
