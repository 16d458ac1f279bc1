package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fairway/internal/api"
	"fairway/internal/engine/traffic"
	"fairway/internal/route"
)

func explain(t interface{ Fatal(...any) }, s *Server, q url.Values) api.Explanation {
	r := httptest.NewRequest("GET", "/v1/explain?"+q.Encode(), nil)
	r.Host = s.Addr().String()
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	var x api.Explanation
	if err := json.Unmarshal(rec.Body.Bytes(), &x); err != nil {
		t.Fatal(err, rec.Body.String())
	}
	return x
}

// What is explained is what the matcher finds, for any request.
func TestExplainAgreesWithFind(t *testing.T) {
	w := newWorld(t)
	s := newServer(t, options(w))
	matcher, err := route.NewMatcher(w.table.Routes)
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"shop.example.com", "SHOP.example.com.:80", "secure.example.com", "a.example.com", "locked.example.org", "nobody.example", "b.a.example.com"}
	paths := []string{"", "/", "/demo", "/demo/", "/demo/x", "/demonstration", "/a/../demo", "/%64emo", "//demo", "/demo?lang=en", "/?x&lang=en", "/demo#lang=en"}
	rapid.Check(t, func(t *rapid.T) {
		q := url.Values{
			"url":    {rapid.SampledFrom([]string{"http://", "https://"}).Draw(t, "scheme") + rapid.SampledFrom(hosts).Draw(t, "host") + rapid.SampledFrom(paths).Draw(t, "path")},
			"method": {rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method")},
		}
		if rapid.Bool().Draw(t, "key") {
			q["header"] = []string{"x-api-key: " + canary}
		}
		sent, err := http.NewRequest(q.Get("method"), q.Get("url"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range q["header"] {
			name, value, _ := strings.Cut(line, ": ")
			sent.Header.Add(name, value)
		}
		host, err := route.CanonicalHost(sent.Host)
		if err != nil {
			t.Fatal(err)
		}
		path := sent.URL.EscapedPath()
		if path == "" {
			path = "/" // as the client writes it
		}
		if path, err = route.CanonicalPath(path); err != nil {
			t.Fatal(err)
		}
		found := matcher.Find(&route.Request{Method: sent.Method, Host: host, Path: path, Query: sent.URL.RawQuery, Header: sent.Header, TLS: sent.URL.Scheme == "https"})
		x := explain(t, s, q)
		var want, got string
		if found != nil {
			want = found.ID
		}
		if x.Winner != nil {
			got = x.Winner.Route.ID
		}
		if got != want {
			t.Fatalf("%v: explained %q, found %q", q, got, want)
		}
		if losers := len(w.table.Routes) - len(x.Losers); losers != 0 && found == nil || losers != 1 && found != nil {
			t.Fatalf("%v: %d losers", q, len(x.Losers))
		}
	})
}

func TestReadExplain(t *testing.T) {
	tests := []struct {
		query string
		want  string // scheme host path query of what is read, or the error
	}{
		{"url=http://a.example", "http a.example / "},
		{"url=HTTPS://a.example:8443/x%2520y", "https a.example:8443 /x%20y "},
		{"url=http://a.example%3Fq%3D1", "http a.example / q=1"},
		{"url=http://a.example/%3Fq%3D/%23frag", "http a.example / q=/"},
		{"url=http://a/&header=Host:+b", "http b / "},
		{"url=http://[::1]:80/", "http [::1]:80 / "},
		{"", "400 url: want"},
		{"url=a.example/", "400 url: want"},
		{"url=ftp://a.example/", "400 url: want"},
		{"url=http:///x", "400 url: want a host"},
		{"url=http://u:p@a/", "400 url: want a host"},
		{"url=http://a/&method=GET+/", "400 method"},
		{"url=http://a/&header=nocolon", "400 header"},
		{"url=http://a/&header=a+b:+c", "400 header"},
		{"url=http://a/&header=a:+b%0d%0ac:d", "400 header"},
		{"url=http://a/&client=localhost", "400 client"},
		{"url=http://a/" + strings.Repeat("&header=a:b", maxExplainHeaders+1), "400 more than"},
	}
	for _, tt := range tests {
		q, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		a, err := readExplain(q)
		got := strings.Join([]string{a.scheme, a.host, a.path, a.query}, " ")
		wanted := got == tt.want
		if e, failed := errors.AsType[*api.Error](err); failed {
			got = "400 " + e.Detail
			wanted = tt.want != "" && strings.HasPrefix(got, tt.want)
		}
		if !wanted {
			t.Errorf("%s: %q, want %q", tt.query, got, tt.want)
		}
	}
}

func TestFiltered(t *testing.T) {
	inside, outside := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1")
	allow := route.Filter{IPAllow: &route.IPAllow{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	tests := []struct {
		name   string
		filter route.Filter
		r      route.Request
		want   int
	}{
		{"allowed", allow, route.Request{Client: inside}, 0},
		{"allowed, mapped", allow, route.Request{Client: netip.AddrFrom16(inside.As16())}, 0},
		{"not allowed", allow, route.Request{Client: outside}, 403},
		{"unknown client", allow, route.Request{}, 403},
		{"https", route.Filter{RedirectHTTPS: &route.RedirectHTTPS{}}, route.Request{TLS: true, Method: "GET"}, 0},
		{"http GET", route.Filter{RedirectHTTPS: &route.RedirectHTTPS{}}, route.Request{Method: "GET"}, 301},
		{"http POST", route.Filter{RedirectHTTPS: &route.RedirectHTTPS{}}, route.Request{Method: "POST"}, 308},
		{"redirect", route.Filter{Redirect: &route.Redirect{Status: 302, Host: "b"}}, route.Request{}, 302},
		{"http with a status", route.Filter{RedirectHTTPS: &route.RedirectHTTPS{Status: 302}}, route.Request{Method: "GET"}, 302},
		{"allowed method", route.Filter{Methods: &route.Methods{Allow: []string{"GET"}, Deny: []string{"PUT"}}}, route.Request{Method: "GET"}, 0},
		{"other method", route.Filter{Methods: &route.Methods{Allow: []string{"GET"}}}, route.Request{Method: "POST"}, 403},
		{"denied method", route.Filter{Methods: &route.Methods{Deny: []string{"PUT"}}}, route.Request{Method: "PUT"}, 403},
		{"TLS wanted", route.Filter{RequireTLS: &route.RequireTLS{}}, route.Request{}, 403},
		{"TLS", route.Filter{RequireTLS: &route.RequireTLS{}}, route.Request{TLS: true}, 0},
		{"certificate wanted", route.Filter{RequireClientCert: &route.RequireClientCert{}}, route.Request{TLS: true}, 403},
		{"nobody", route.Filter{BasicAuth: &route.BasicAuth{}}, route.Request{Header: http.Header{"Authorization": {"Basic x"}}}, 401},
		{"no password", route.Filter{BasicAuth: &route.BasicAuth{File: "f"}}, route.Request{Header: http.Header{}}, 401},
		{"some password", route.Filter{BasicAuth: &route.BasicAuth{File: "f"}}, route.Request{Header: http.Header{"Authorization": {"Basic x"}}}, 0},
		{"depends on more", route.Filter{RateLimit: &route.RateLimit{Requests: 1}}, route.Request{}, 0},
	}
	for _, tt := range tests {
		if got, why := filtered(tt.filter, &tt.r); got != tt.want || (why == "") != (tt.want == 0) {
			t.Errorf("%s: %d %q, want %d", tt.name, got, why, tt.want)
		}
	}
}

func TestEligible(t *testing.T) {
	b := &route.Backend{ID: "b", Endpoints: []route.Endpoint{
		{ID: "draining", Weight: 1, State: route.EndpointDraining},
		{ID: "one", Weight: 1, State: route.EndpointReady},
		{ID: "three", Weight: 1, State: route.EndpointReady},
		{ID: "two", Weight: 1, State: route.EndpointReady},
		{ID: "waiting", Weight: 1, State: route.EndpointWaiting},
		{ID: "weightless", Weight: 0, State: route.EndpointReady},
	}}
	out := EndpointStatus{OutOfRotation: true}
	ejected := EndpointStatus{Ejected: true}
	tests := []struct {
		name string
		live map[string]EndpointStatus
		want []string
	}{
		{"nothing known", nil, []string{"one", "three", "two"}},
		{"one fails its checks", map[string]EndpointStatus{"one": out}, []string{"three", "two"}},
		{"all fail their checks", map[string]EndpointStatus{"one": out, "two": out, "three": out}, nil},
		{"one is ejected", map[string]EndpointStatus{"two": ejected}, []string{"one", "three"}},
		{"most are ejected: all are tried", map[string]EndpointStatus{"one": ejected, "two": ejected}, []string{"one", "three", "two"}},
		{"one out, one ejected", map[string]EndpointStatus{"one": out, "two": ejected}, []string{"three"}},
	}
	for _, tt := range tests {
		v := &view{}
		v.readLive(engineOf(tt.live))
		if diff := cmp.Diff(tt.want, v.eligible(b)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// engineOf is an engine with one backend, b.
type engineOf map[string]EndpointStatus

func (engineOf) Name() string              { return "fixed" }
func (engineOf) Traffic() []traffic.Totals { return nil }

func (e engineOf) Endpoints() []EndpointStatus {
	var all []EndpointStatus
	for id, st := range e {
		st.Backend, st.Endpoint = "b", id
		all = append(all, st)
	}
	return all
}

// The matcher sees the headers that an engine would show it.
func TestArriveHeaders(t *testing.T) {
	a := asked{
		method: "GET", scheme: "https", host: "A.example:8443", path: "/", client: netip.MustParseAddr("192.0.2.1"),
		header: http.Header{
			"X-Kept": {"1", "2"}, "X-Forwarded-For": {"10.0.0.1"}, "X_forwarded_proto": {"http"}, "X-Original-Url": {"/admin"},
			"Connection": {"close, x-listed"}, "X-Listed": {"1"}, "Upgrade": {"h2c"},
		},
	}
	r, refused := a.arrive()
	if refused != nil {
		t.Fatal(refused)
	}
	want := http.Header{
		"X-Kept": {"1", "2"}, "X-Forwarded-For": {"192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"},
		"X-Forwarded-Host": {"a.example:8443"}, "X-Forwarded-Port": {"8443"}, "X-Request-Id": {"00000000000000000000000000000000"},
	}
	if diff := cmp.Diff(want, r.Header); diff != "" {
		t.Error(diff)
	}
	for _, method := range []string{"CONNECT", "TRACE"} {
		a.method = method
		if _, refused := a.arrive(); refused == nil || refused.Status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %v", method, refused)
		}
	}
}

// Of the routes of other hosts only so many are told, and how many are not.
func TestExplainLeavesOutOtherHosts(t *testing.T) {
	var routes []*route.Route
	for i := range 2 * maxOtherHosts {
		id := "r" + strings.Repeat("x", i)
		routes = append(routes, &route.Route{ID: id, Service: id, Matches: []route.Match{{
			Host: route.Host{Kind: route.HostExact, Value: "h" + string(rune('a'+i%26)) + ".example"},
			Path: route.Path{Kind: route.PathPrefix, Value: "/" + strings.Repeat("x", i)},
		}}})
	}
	w := newWorld(t)
	var err error
	if w.table, err = route.New(1, nil, routes, nil, nil); err != nil {
		t.Fatal(err)
	}
	x := explain(t, newServer(t, options(w)), url.Values{"url": {"http://ha.example/none"}})
	same := 0
	for _, l := range x.Losers {
		if l.Part != "host" {
			same++
		}
	}
	// Eight of 200 routes are for the host; the first of them takes every path.
	if same != 7 || len(x.Losers) != 7+maxOtherHosts || x.Omitted != 2*maxOtherHosts-8-maxOtherHosts {
		t.Errorf("%d losers of the host, %d in all, %d left out", same, len(x.Losers), x.Omitted)
	}
	for i, l := range x.Losers[:same] {
		if l.Part == "host" {
			t.Errorf("loser %d is of another host, before those of the host", i)
		}
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("http://shop.example.com/demo", "GET", "X-Api-Key: a", "10.0.0.1")
	f.Add("https://[::1]:1/%2e%2e/?q#f", "", "Host: \x00", "::1%eth0")
	f.Fuzz(func(t *testing.T, u, method, header, client string) {
		a, err := readExplain(url.Values{"url": {u}, "method": {method}, "header": {header}, "client": {client}})
		if err != nil {
			return
		}
		r, refused := a.arrive()
		if refused != nil {
			return
		}
		if host, err := route.CanonicalHost(r.Host); err != nil || host != r.Host {
			t.Errorf("host %q is not canonical", r.Host)
		}
		if path, err := route.CanonicalPath(r.Path); err != nil || path != r.Path {
			t.Errorf("path %q is not canonical", r.Path)
		}
	})
}

// The listener is the one that is named, else the one that the scheme suggests.
func TestArriveListener(t *testing.T) {
	for _, tt := range []struct{ url, listener, want string }{
		{"http://a.example/", "", "http"},
		{"https://a.example/", "", "https"},
		{"http://a.example/", "internal", "internal"},
	} {
		a, err := readExplain(url.Values{"url": {tt.url}, "listener": {tt.listener}})
		if err != nil {
			t.Fatal(err)
		}
		r, refused := a.arrive()
		if refused != nil || r.Listener != tt.want {
			t.Errorf("%s by %q: %+v, %v; want %s", tt.url, tt.listener, r, refused, tt.want)
		}
	}
}
