package enginetest

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"fairway/internal/engine/enginetest/script"

	"go.uber.org/goleak"

	"fairway/internal/route"
	"fairway/internal/route/match"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stock is an engine as one would write it in an afternoon: the matcher, and
// httputil.ReverseProxy. It has none of the guards and no filters.
type stock struct {
	mu      sync.Mutex
	table   *route.Table
	matcher *match.Matcher
	l       net.Listener
}

func (s *stock) Apply(_ context.Context, t *route.Table) error {
	m, err := match.New(t.Routes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table, s.matcher = t, m
	return err
}

func (s *stock) Addr(listener string) net.Addr {
	if listener != "http" {
		return nil
	}
	return s.l.Addr()
}

func (s *stock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	table, matcher := s.table, s.matcher
	s.mu.Unlock()
	host, _, _ := strings.Cut(r.Host, ":")
	found := matcher.Find(&route.Request{Method: r.Method, Host: host, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header})
	if found == nil {
		http.NotFound(w, r)
		return
	}
	b := table.Backend(found.Backend)
	if b == nil || len(b.Endpoints) == 0 {
		http.Error(w, "nobody is there", http.StatusServiceUnavailable)
		return
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	(&httputil.ReverseProxy{
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: b.Endpoints[0].Address})
			p.Out.Host = p.In.Host
			p.SetXForwarded()
		},
	}).ServeHTTP(w, r)
}

// judge plays a case on the stock engine and returns what the suite says of it.
func judge(t *testing.T, c goCase) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stock{l: l}
	server := &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return strings.Join(c.judge(t, func() Engine { return s }).said, "\n")
}

// TestSuiteBites plays cases on the stock engine. A suite that such an engine
// passes says nothing; one that it fails everywhere says nothing either.
func TestSuiteBites(t *testing.T) {
	if err := flag.Set("rapid.nofailfile", "true"); err != nil { // failing is what is wanted
		t.Fatal(err)
	}
	want := map[string]string{
		// name of the case: a part of what the suite must find, or several, one of which it must
		"match-path":                                "",
		"match-precedence":                          "",
		"server-sent events arrive one by one":      "",
		"chunks arrive one by one":                  "",
		"websocket refused by the endpoint":         "",
		"103 early hints":                           "",
		"requests of one connection are told apart": "",

		"match-path-canonical":             "encoded ones, too",
		"match-path-readings":              "a parameter beside a prefix",
		"match-path-slashes":               "a prefix is stripped across them",
		"match-host":                       "trailing dot",
		"match-conditions":                 "the client's address, told by a trusted proxy",
		"guard-methods":                    "TRACE",
		"guard-upgrade":                    "h2c",
		"forwarded-untrusted":              "lies with underscores",
		"forwarded-trusted":                "what the client claims in front of its own address",
		"filter-basic-auth":                "nobody",
		"filter-ip-allow":                  "not from here",
		"filter-redirect":                  "to https, for good",
		"filter-prefix":                    "below",
		"filter-headers":                   "of the request",
		"filter-compress":                  "a client that takes it",
		"balance":                          "in turn",
		"no-route":                         "no endpoint at all",
		"endpoint-faults":                  "somebody does",
		"too many headers":                 "10,000 empty",
		"a dead endpoint costs no request": "502",
		"hold until an endpoint is ready":  "waiting endpoint saw",
		"a draining endpoint gets nothing new and finishes": "answered by \"e1\", want e2",
		"sticky clients stay":                               "no cookie",
		"hash keeps a key where it is":                      "e2 has 0",
		"what was matched is what is sent":                  "left to resolve|who reads it as", // as it is drawn
		"no spelling of a forwarded header gets through":    "came through",
		"hosts in any spelling":                             "answered",
		"one of 10,001 hosts":                               "H0.Example",
		"failures take an endpoint out for a while":         "want 3",
	}
	var known []string
	for _, g := range groups(t) {
		for _, c := range g.cases {
			known = append(known, c.name)
			find, ok := want[c.name]
			if !ok {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				said := judge(t, c)
				if find == "" && said != "" {
					t.Errorf("the stock engine is right here, but the suite says:\n%s", said)
				}
				if !slices.ContainsFunc(strings.Split(find, "|"), func(part string) bool { return strings.Contains(said, part) }) {
					t.Errorf("the stock engine is wrong here, but the suite finds no %q:\n%s", find, said)
				}
			})
		}
	}
	for name := range want {
		if !slices.Contains(known, name) {
			t.Errorf("there is no case %q", name)
		}
	}
}

func TestCaseNamesAreUnique(t *testing.T) {
	for _, g := range groups(t) {
		seen := map[string]bool{}
		for _, c := range g.cases {
			if seen[c.name] {
				t.Errorf("%s: two cases are named %q", g.name, c.name)
			}
			seen[c.name] = true
		}
	}
}

// A case with a slip of the pen must not pass for one that is all right.
func TestParseCaseRefuses(t *testing.T) {
	const head = "About something.\n-- table --\nroutes: []\n-- steps --\n"
	for name, text := range map[string]string{
		"nothing":               "",
		"no comment":            "-- table --\nroutes: []\n-- steps --\nGET a.example/\n-> 200\n",
		"no steps":              "About something.\n-- table --\nroutes: []\n",
		"no table":              "About something.\n-- steps --\nGET a.example/\n-> 200\n",
		"unknown section":       head + "GET a.example/\n-> 200\n-- stepz --\n",
		"unknown word":          head + "GET a.example/\n-> 200\nsees X: y\n",
		"expectation first":     head + "-> 200\n",
		"request without any":   head + "GET a.example/\n",
		"no target":             head + "GET a.example\n-> 200\n",
		"no status":             head + "GET a.example/\n->\n",
		"bad count":             head + "GET*x a.example/\n-> 200\n",
		"bad escape":            head + "RAW\n| \\q\n-> 200\n",
		"table that is missing": head + "apply other\n",
		"bad expression":        head + "GET a.example/\n-> 200\nsaw X: ~(\n",
	} {
		if _, err := script.Parse("case", []byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := script.Parse("case", []byte(head+"GET a.example/\n-> 200\n")); err != nil {
		t.Errorf("a case that is all right: %v", err)
	}
}

func TestStatusMatches(t *testing.T) {
	for _, tt := range []struct {
		want, have string
		ok         bool
	}{
		{"200", "200", true},
		{"200", "201", false},
		{"4xx", "404", true},
		{"4xx", "503", false},
		{"400|5xx|closed", "closed", true},
		{"400|5xx|closed", "502", true},
		{"400|5xx|closed", "401", false},
		{"4xx", "closed", false},
	} {
		if got := script.StatusMatches(tt.want, tt.have); got != tt.ok {
			t.Errorf("want %s, have %s: %v", tt.want, tt.have, got)
		}
	}
}
