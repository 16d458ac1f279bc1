package enginetest

import (
	"fmt"
	"net/http"
	"strings"

	"fairway/internal/engine/enginetest/script"
	"fairway/internal/route"
)

// matchCases are matches that are too many to be written down.
func matchCases() []goCase {
	return []goCase{
		{"one of 101 hosts", func(w *world) { manyHosts(w, 101) }},
		{"one of 10,001 hosts", func(w *world) { manyHosts(w, 10_001) }},
		{"more parameters than a parser may count", manyParameters},
		{"what is no name in letters of the world", noPunycode},
	}
}

// Where there are many hosts they are looked up, not compared; the canonical
// form must hold there, too (CVE-2026-27588 showed only above 100).
func manyHosts(w *world, n int) {
	few := w.table(`routes: [{id: none, host: none.example, to: [e1]}]`)
	routes := append([]*route.Route(nil), few.Routes...)
	for i := range n {
		routes = append(routes, &route.Route{
			ID: fmt.Sprint("r", i), Service: fmt.Sprint("r", i), Claim: uint64(i + 1), Backend: "none",
			Matches: []route.Match{{
				Host: route.Host{Kind: route.HostExact, Value: fmt.Sprintf("h%d.example", i)},
				Path: route.Path{Kind: route.PathPrefix, Value: "/demo"},
			}},
			Filters: []route.Filter{{RequestHeaders: &route.HeaderOperation{
				Set: []route.HeaderValue{{Name: "X-Route", Value: fmt.Sprint("r", i)}},
			}}},
		})
	}
	t, err := route.New(few.Revision, few.Listeners, routes, few.Backends, nil)
	if err != nil {
		w.Fatal(err)
	}
	w.applyTable(t)
	for _, i := range []int{0, 1, n / 2, n - 1} {
		for _, form := range []string{"h%d.example", "H%d.Example", "h%d.example.", "h%d.EXAMPLE:80", "H%d.example.:8080"} {
			host := fmt.Sprintf(form, i)
			a, err := w.send(script.Request{Method: "GET", Host: host, Target: "/demo/x", Listener: "http"})
			if err != nil || a.StatusCode != 200 {
				w.Fatalf("%s: %v, %v", host, a.Response, err)
			}
			if got := w.log.since(w.log.len() - 1)[0].Header.Get("X-Route"); got != fmt.Sprint("r", i) {
				w.Errorf("%s took the route %s", host, got)
			}
		}
	}
	a, err := w.send(script.Request{Method: "GET", Host: fmt.Sprintf("h%d.example", n), Target: "/demo", Listener: "http"})
	if err != nil || a.StatusCode != http.StatusNotFound {
		w.Errorf("a host that no route has: %v, %v", a.Response, err)
	}
}

// A label that begins with xn-- stands for other letters, or for nothing.
func noPunycode(w *world) {
	w.apply(`routes: [{id: any, to: [any]}]`)
	for host, status := range map[string]int{
		"xn--bcher-kva.example": 200, "XN--BCHER-KVA.example": 200,
		"xn--bcher-kva1.example": 400, "xn--.example": 400, "xn--a.example": 400,
	} {
		a, err := w.send(script.Request{Method: "GET", Host: host, Target: "/", Listener: "http"})
		if err != nil || a.StatusCode != status {
			w.Errorf("%s: %v, %v, want %d", host, a.Response, err, status)
		}
	}
}

// What a condition does not see does not reach the backend either: a parameter
// behind ten thousand others counts, or the request is refused.
func manyParameters(w *world) {
	w.apply(`
routes:
  - {id: open, to: [open]}
  - {id: admin, to: [admin], when: [{kind: query, name: admin, values: ["1"]}]}
`)
	for _, n := range []int{100, 9_999, 10_000, 10_001, 20_000} {
		before := w.log.len()
		a, err := w.send(script.Request{Method: "GET", Host: "a.example", Target: "/?" + strings.Repeat("a&", n) + "admin=1", Listener: "http"})
		if err != nil {
			w.Fatal(err)
		}
		saw := w.log.since(before)
		switch {
		case len(saw) == 1 && saw[0].Endpoint == "admin" && strings.HasSuffix(saw[0].Line, "&admin=1"):
		case len(saw) == 0 && a.StatusCode >= 400 && a.StatusCode < 500 && n > 100:
		default:
			w.Errorf("%d parameters before it: answered %d, seen by %d endpoints", n, a.StatusCode, len(saw))
		}
	}
}
