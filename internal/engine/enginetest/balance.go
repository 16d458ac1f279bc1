package enginetest

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"fairway/internal/route"
)

// balanceCases are balancing where a client comes again, and where endpoints
// fail.
func balanceCases() []goCase {
	return []goCase{
		{"sticky clients stay", stickyStays},
		{"sticky loses to draining", stickyDrains},
		{"sticky reaches weight 0", stickyWeightZero},
		{"sticky survives a restart", stickyRestart},
		{"hash keeps a key where it is", hashKeeps},
		{"hash on every part of a request", hashParts},
		{"hash without the key takes the client", hashFallsBack},
		{"least-conn avoids the busy", leastConnBusy},
		{"failures take an endpoint out for a while", ejection},
		{"when all fail all are used", ejectionOfAll},
		{"a new endpoint starts slowly", slowStart},
		{"random2 uses everyone", random2UsesAll},
		{"checks let endpoints in and take them out", activeChecks},
		{"checks ask as the table says", checksAsk},
	}
}

// cookieOf returns the cookie of an answer as a request sends it, and checks
// that it is fit to be one.
func cookieOf(w *world, a answer) string {
	w.Helper()
	for _, c := range a.Cookies() {
		if c.Name != "stay" {
			continue
		}
		if c.Path != "/" || !c.HttpOnly {
			w.Errorf("the cookie is not for every path, or for scripts: %s", c.Raw)
		}
		for _, e := range w.endpoints {
			if host, _, _ := net.SplitHostPort(e.address); strings.Contains(c.Value, host) || c.Value == e.name {
				w.Errorf("the cookie shows the endpoint: %s", c.Raw)
			}
		}
		return c.Name + "=" + c.Value
	}
	w.Fatalf("there is no cookie: %v", a.Header)
	return ""
}

func stickyStays(w *world) {
	w.apply(`routes: [{id: any, sticky: stay, to: [e1, e2, e3]}]`)
	first := w.get("http://a.example/")
	w.want(first, 200, "")
	who, cookie := first.Header.Get(headerEndpoint), cookieOf(w, first)
	for range 6 {
		a := w.get("http://a.example/", "Cookie: other=1; "+cookie)
		w.want(a, 200, who)
	}
	others := map[string]int{}
	for _, nonsense := range []string{"stay=", "stay=nonsense", "stay=" + strings.Repeat("x", 2000), "stay=\"", "nothing", ""} {
		a := w.get("http://a.example/", "Cookie: "+nonsense)
		w.want(a, 200, "")
		cookieOf(w, a) // a new one
		others[a.Header.Get(headerEndpoint)]++
	}
	if len(others) != 3 {
		w.Errorf("clients without a valid cookie went to %v", others)
	}
}

func stickyDrains(w *world) {
	w.apply(`routes: [{id: any, sticky: stay, to: [e1]}]`)
	cookie := cookieOf(w, w.get("http://a.example/"))
	for _, e1 := range []string{"e1!draining", "e1!waiting", "e3"} {
		w.apply(fmt.Sprintf(`routes: [{id: any, sticky: stay, to: [%q, e2, e0*0]}]`, e1))
		a := w.get("http://a.example/", "Cookie: "+cookie)
		if who := a.Header.Get(headerEndpoint); who == "e1" || who == "e0" || a.StatusCode != 200 {
			w.Errorf("with %s: answered %d by %s", e1, a.StatusCode, who)
		}
		moved := cookieOf(w, a)
		w.want(w.get("http://a.example/", "Cookie: "+moved), 200, a.Header.Get(headerEndpoint))
	}
}

// Weight 0 is how an operator empties an endpoint without hurting who is there.
func stickyWeightZero(w *world) {
	w.apply(`routes: [{id: any, sticky: stay, to: [e1]}]`)
	cookie := cookieOf(w, w.get("http://a.example/"))
	w.apply(`routes: [{id: any, sticky: stay, to: [e1*0, e2]}]`)
	for range 4 {
		w.want(w.get("http://a.example/", "Cookie: "+cookie), 200, "e1")
		w.want(w.get("http://a.example/"), 200, "e2")
	}
}

// A table without the backend stands for a restart: nothing is remembered.
func stickyRestart(w *world) {
	table := `routes: [{id: any, sticky: stay, to: [e1, e2, e3]}]`
	w.apply(table)
	w.get("http://a.example/")
	a := w.get("http://a.example/")
	cookie, who := cookieOf(w, a), a.Header.Get(headerEndpoint)
	w.apply(`routes: [{id: other, to: [e4]}]`)
	w.apply(table)
	for range 4 {
		w.want(w.get("http://a.example/", "Cookie: "+cookie), 200, who)
	}
}

func hashKeeps(w *world) {
	table := `routes: [{id: any, balance: "hash:header:X-User", to: [%s]}]`
	where := func(to string) map[string]string {
		w.apply(fmt.Sprintf(table, to))
		out := map[string]string{}
		c := w.client("http", false)
		for i := range 60 {
			user := fmt.Sprint("user", i)
			a := w.do(c, http.MethodGet, "http://a.example/", nil, "X-User: "+user)
			w.want(a, 200, "")
			out[user] = a.Header.Get(headerEndpoint)
		}
		return out
	}
	three, again, two := where("e1, e2, e3"), where("e1, e2, e3"), where("e1, e3")
	count := map[string]int{}
	for user, who := range three {
		count[who]++
		if again[user] != who {
			w.Errorf("%s went to %s, then to %s", user, who, again[user])
		}
		if who != "e2" && two[user] != who {
			w.Errorf("%s moved from %s to %s when e2 left", user, who, two[user])
		}
	}
	for _, e := range []string{"e1", "e2", "e3"} {
		if count[e] < 5 {
			w.Errorf("%s has %d of 60 users", e, count[e])
		}
	}
}

func hashParts(w *world) {
	w.apply(`
routes:
  - {id: path, host: path.example, balance: "hash:path", to: [e1, e2, e3, e4]}
  - {id: cookie, host: cookie.example, balance: "hash:cookie:user", to: [e1, e2, e3, e4]}
  - {id: query, host: query.example, balance: "hash:query:user", to: [e1, e2, e3, e4]}
  - {id: header, host: header.example, balance: "hash:header:X-User", to: [e1, e2, e3, e4]}
`)
	c := w.client("http", false)
	for host, part := range map[string]func(i int) (target, header string){
		"path.example":   func(i int) (string, string) { return fmt.Sprint("/", i), "X-None: 1" },
		"cookie.example": func(i int) (string, string) { return "/", fmt.Sprint("Cookie: a=b; user=", i) },
		"query.example":  func(i int) (string, string) { return fmt.Sprint("/?a=b&user=", i), "X-None: 1" },
		"header.example": func(i int) (string, string) { return "/", fmt.Sprint("X-User: ", i) },
	} {
		who := map[string]bool{}
		for i := range 40 {
			target, header := part(i)
			a := w.do(c, http.MethodGet, "http://"+host+target, nil, header)
			w.want(a, 200, "")
			w.want(w.do(c, http.MethodGet, "http://"+host+target, nil, header), 200, a.Header.Get(headerEndpoint))
			who[a.Header.Get(headerEndpoint)] = true
		}
		if len(who) != 4 {
			w.Errorf("%s: 40 keys went to %d endpoints of 4", host, len(who))
		}
	}
}

func hashFallsBack(w *world) {
	w.apply(`
trusted: [127.0.0.0/8]
routes: [{id: any, balance: "hash:header:X-User", to: [e1, e2, e3]}]
`)
	who := map[string]bool{}
	for i := range 30 {
		client := fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", i)
		a := w.get("http://a.example/", client)
		w.want(a, 200, "")
		w.want(w.get("http://a.example/", client), 200, a.Header.Get(headerEndpoint))
		who[a.Header.Get(headerEndpoint)] = true
	}
	if len(who) != 3 {
		w.Errorf("30 clients went to %d endpoints of 3", len(who))
	}
}

func leastConnBusy(w *world) {
	release := make(chan struct{})
	for _, name := range []string{"e1", "e2"} {
		w.serve(name, func(_ http.ResponseWriter, r *http.Request) {
			w.endpoints[name].noteHead(r)
			if r.URL.Path == "/busy" {
				<-release
			}
		})
	}
	w.apply(`routes: [{id: any, balance: least-conn, to: [e1, e2]}]`)
	p := w.begin(w.client("http", false), http.MethodGet, "http://a.example/busy", nil)
	w.eventually("an endpoint is busy", func() bool { return w.log.len() == 1 })
	idle := map[string]string{"e1": "e2", "e2": "e1"}[w.log.since(0)[0].Endpoint]
	for range 5 {
		if a := w.get("http://a.example/"); a.Header.Get(headerEndpoint) != idle {
			w.Errorf("answered by the busy %s", a.Header.Get(headerEndpoint))
		}
	}
	close(release)
	w.want(p.end(), 200, "")
}

// Three failures in a row, then e1 is left alone, though it could be reached.
func ejection(w *world) {
	w.apply(`routes: [{id: any, maxFails: 3, to: [e1, e2]}]`)
	failed := 0
	for range 20 {
		a := w.do(w.client("http", false), http.MethodPost, "http://a.example/", strings.NewReader("x"), "X-Do: e1:close")
		if a.StatusCode != 200 {
			failed++
		}
	}
	if failed != 3 {
		w.Errorf("%d of 20 requests failed, want 3: then e1 is out", failed)
	}
	if n := w.log.count("e1"); n != 3 {
		w.Errorf("e1 saw %d requests", n)
	}
}

// So many failures say more about the requests than about the endpoints, and
// an endpoint that may be bad is better than none.
func ejectionOfAll(w *world) {
	w.apply(`routes: [{id: any, maxFails: 1, to: [e1, e2, e3]}]`)
	for range 6 {
		w.want(w.do(w.client("http", false), http.MethodPost, "http://a.example/", strings.NewReader("x"), "X-Do: close"), http.StatusBadGateway, "")
	}
	for range 6 {
		w.want(w.do(w.client("http", false), http.MethodPost, "http://a.example/", strings.NewReader("x")), 200, "")
	}
	for _, name := range []string{"e1", "e2", "e3"} {
		if n := w.log.count(name); n < 2 {
			w.Errorf("%s saw %d of 12 requests", name, n)
		}
	}
}

// With a tenth of its weight e3 gets 1 of 21 requests at first, with a twentieth 1 of
// 41; but the very first endpoints have no others to leave the load to.
func slowStart(w *world) {
	w.apply(`routes: [{id: any, slowStart: 10m, to: [e1, e2]}]`)
	c := w.client("http", false)
	for i := range 8 {
		w.want(w.do(c, http.MethodGet, "http://a.example/", nil), 200, []string{"e1", "e2"}[i%2])
	}
	w.apply(`routes: [{id: any, slowStart: 10m, to: [e1, e2, e3]}]`)
	for range 84 {
		w.want(w.do(c, http.MethodGet, "http://a.example/", nil), 200, "")
	}
	if n := w.log.count("e3"); n < 1 || n > 8 {
		w.Errorf("e3 got %d of the first 84 requests, want 2 to 4", n)
	}
}

func random2UsesAll(w *world) {
	w.apply(`routes: [{id: any, balance: random2, to: [e1, e2, e3*3]}]`)
	c := w.client("http", false)
	for range 100 {
		w.want(w.do(c, http.MethodGet, "http://a.example/", nil), 200, "")
	}
	if a, b, heavy := w.log.count("e1"), w.log.count("e2"), w.log.count("e3"); a == 0 || b == 0 || heavy <= a || heavy <= b {
		w.Errorf("of 100 requests e1 got %d, e2 %d, e3, which weighs 3, %d", a, b, heavy)
	}
}

func activeChecks(w *world) {
	var sick atomic.Bool
	sick.Store(true)
	check := func(name string, sick func() bool) {
		w.serve(name, func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/up" {
				w.endpoints[name].note(r)
				return
			}
			if r.Host != w.endpoints[name].address {
				w.Errorf("the check asks for the host %s", r.Host)
			}
			if sick() {
				rw.WriteHeader(http.StatusServiceUnavailable)
			}
		})
	}
	check("e1", func() bool { return false })
	check("e2", sick.Load)
	w.apply(`routes: [{id: any, hold: 4s, health: {path: /up, interval: 50ms, timeout: 1s}, to: [e1, e2]}]`)
	c := w.client("http", false)
	for range 10 {
		w.want(w.do(c, http.MethodGet, "http://a.example/", nil), 200, "e1")
	}
	sick.Store(false)
	w.eventually("e2 comes in", func() bool {
		return w.do(c, http.MethodGet, "http://a.example/", nil).Header.Get(headerEndpoint) == "e2"
	})
	sick.Store(true)
	w.eventually("e2 goes out", func() bool {
		for range 4 {
			if w.do(c, http.MethodGet, "http://a.example/", nil).Header.Get(headerEndpoint) == "e2" {
				return false
			}
		}
		return true
	})
}

// checksAsk: an application that answers its own host alone is in use and stays so,
// also when it comes while the engine runs; headers and port are the table's.
func checksAsk(w *world) {
	var checks [6]atomic.Int64 // by endpoint; e5 stands for the port of e4
	right := func(r *http.Request, host string) bool {
		return r.Host == host && r.Header.Get("X-Forwarded-Proto") == "https" && r.Header.Get("X-Two") == `a, "b" if %c`
	}
	strict := func(n int, host string) {
		name := fmt.Sprint("e", n)
		w.serve(name, func(rw http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path != "/up":
				w.endpoints[name].note(r)
			case right(r, host):
				checks[n].Add(1)
			default:
				w.Errorf("%s was checked for the host %s with %v", name, r.Host, r.Header)
				rw.WriteHeader(http.StatusMisdirectedRequest)
			}
		})
	}
	table := "routes:"
	add := func(n int, host, check string) {
		table += fmt.Sprintf(`
  - {id: r%d, host: %s, hold: 20s, to: [e%d], health: {path: /up, %s, interval: 50ms, timeout: 1s,
      headers: [{name: X-Forwarded-Proto, value: https}, {name: X-Two, value: 'a, "b" if %%c'}]}}`, n, host, n, check)
	}
	strict(1, "first.example")
	add(1, "first.example", "host: first.example")
	strict(2, "[2001:db8::1]")
	add(2, "six.example", `host: "2001:db8::1"`)
	w.apply(table)
	w.want(w.get("http://first.example/"), 200, "e1")
	w.want(w.get("http://six.example/"), 200, "e2")

	strict(3, "second.example")
	add(3, "second.example", "host: second.example")
	w.serve("e4", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/up" {
			rw.WriteHeader(http.StatusTeapot) // it is to be asked at the port of e5
			return
		}
		w.endpoints["e4"].note(r)
	})
	other := w.endpoint("e5", route.SchemeHTTP)
	strict(5, other.address)
	_, port, _ := net.SplitHostPort(other.address)
	add(4, "port.example", "port: "+port)
	w.apply(table)
	w.want(w.get("http://second.example/"), 200, "e3")
	w.want(w.get("http://port.example/"), 200, "e4")
	for _, n := range []int{1, 2, 3, 5} {
		before := checks[n].Load()
		w.eventually(fmt.Sprintf("checks of e%d go on", n), func() bool { return checks[n].Load() >= before+5 })
	}
	for host, name := range map[string]string{"first": "e1", "six": "e2", "second": "e3", "port": "e4"} {
		w.want(w.get("http://"+host+".example/"), 200, name)
	}
}
