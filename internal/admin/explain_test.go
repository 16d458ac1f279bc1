package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fairway/internal/api"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
	"fairway/internal/route/match"
)

func explained(t interface{ Fatal(...any) }, s *Server, q url.Values) api.Explanation {
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
	s := newServer(t, options(t, w))
	matcher, err := match.New(w.table.Routes)
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
		host, err := canonical.Host(sent.Host)
		if err != nil {
			t.Fatal(err)
		}
		path := sent.URL.EscapedPath()
		if path == "" {
			path = "/" // as the client writes it
		}
		if path, err = canonical.Path(path); err != nil {
			t.Fatal(err)
		}
		found := matcher.Find(&route.Request{Method: sent.Method, Host: host, Path: path, Query: sent.URL.RawQuery, Header: sent.Header, TLS: sent.URL.Scheme == "https"})
		x := explained(t, s, q)
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

// Of the routes of other hosts only so many are told, and how many are not.
func TestExplainLeavesOutOtherHosts(t *testing.T) {
	const otherHosts = 100 // how many are listed
	var routes []*route.Route
	for i := range 2 * otherHosts {
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
	x := explained(t, newServer(t, options(t, w)), url.Values{"url": {"http://ha.example/none"}})
	same := 0
	for _, l := range x.Losers {
		if l.Part != "host" {
			same++
		}
	}
	// Eight of 200 routes are for the host; the first of them takes every path.
	if same != 7 || len(x.Losers) != 7+otherHosts || x.Omitted != 2*otherHosts-8-otherHosts {
		t.Errorf("%d losers of the host, %d in all, %d left out", same, len(x.Losers), x.Omitted)
	}
	for i, l := range x.Losers[:same] {
		if l.Part == "host" {
			t.Errorf("loser %d is of another host, before those of the host", i)
		}
	}
}
