package embedded

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/route"
	"fairway/internal/route/userhash"
	"fairway/internal/testkit"
)

// heldSite is a site with a route for a.example that has a request which is held. ask
// is the request; the answer comes through the channel.
func heldSite(t *testing.T, ask string, change func(*route.Route)) (*site, <-chan *response) {
	t.Helper()
	s := newSite(t, Options{})
	s.serve("a.example")
	r := s.routes["a.example"]
	r.Hold = time.Hour
	if change != nil {
		change(r)
	}
	s.apply()
	c := s.dial("http")
	c.within(testkit.Patience)
	c.send(ask)
	answers := make(chan *response, 1)
	method, _, _ := strings.Cut(ask, " ")
	go func() { answers <- c.answer(method) }()
	testkit.Eventually(t, "the request is held", func() bool {
		return s.engine.live.Load().lookup(r).held.Load() == 1
	})
	return s, answers
}

// heldAre waits until so many requests or connections of a route are held.
func heldAre(t *testing.T, s *site, id string, n int64) {
	t.Helper()
	testkit.Eventually(t, "requests are held", func() bool {
		return s.engine.live.Load().lookup(s.routes[id]).held.Load() == n
	})
}

// TestHeldRequestIsNotBoundToItsTable: a request that is held when its route leaves
// goes to the route that takes its place, and as that route wants it: nothing of
// what the first one was to do to it is left.
func TestHeldRequestIsNotBoundToItsTable(t *testing.T) {
	a := newApp(t, nil)
	s, answers := heldSite(t, "POST /web/x HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic YW5uOnNlY3JldA==\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		func(r *route.Route) {
			r.Filters = []route.Filter{
				{BasicAuth: &route.BasicAuth{Users: []route.User{{Name: "ann", Hash: userhash.Of("salt", "secret")}}, Strip: true}},
				{StripPrefix: &route.StripPrefix{Prefix: "/web"}},
				{RequestHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "X-Secret", Value: "of the first"}, {Name: "Host", Value: "first.example"}}}},
			}
		})
	delete(s.routes, "a.example")
	s.apply()
	s.route("next", "a.example", func(r *route.Route) {
		r.Filters = []route.Filter{{RequestHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "X-Second", Value: "yes"}}}}}
	})
	s.backend("next", nil, a.addr())
	s.apply()
	if res := <-answers; res.StatusCode != 200 {
		t.Fatalf("status %d, %q", res.StatusCode, res.body)
	}
	got := a.last()
	if got.target != "/web/x" || got.host != "a.example" || got.body != "hi" {
		t.Errorf("the application saw %s for %s with %q", got.target, got.host, got.body)
	}
	for name, want := range map[string]string{
		"X-Secret": "", "X-Forwarded-Prefix": "", "X-Second": "yes", "Authorization": "Basic YW5uOnNlY3JldA==", "User-Agent": "", "X-Forwarded-Host": "a.example",
	} {
		if v := got.header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}

// TestHeldRequestIsCheckedAnew: the checks of the route that takes the place hold for
// what was held, too.
func TestHeldRequestIsCheckedAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		filter route.Filter
		status int
	}{
		"users":      {route.Filter{BasicAuth: &route.BasicAuth{Users: []route.User{{Name: "ann", Hash: userhash.Of("salt", "secret")}}}}, 401},
		"short body": {route.Filter{MaxBody: &route.MaxBody{Bytes: 1}}, 413},
	} {
		for _, body := range []string{"Content-Length: 2\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"} {
			a := newApp(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
			s, answers := heldSite(t, "POST / HTTP/1.1\r\nHost: a.example\r\n"+body, nil)
			delete(s.routes, "a.example")
			s.route("next", "a.example", func(r *route.Route) { r.Filters = []route.Filter{tt.filter} })
			s.backend("next", nil, a.addr())
			s.apply()
			if res := <-answers; res.StatusCode != tt.status {
				t.Errorf("%s: status %d, want %d", name, res.StatusCode, tt.status)
			}
		}
	}
}

// TestHeldRequestIsReadTwiceAnew: a path with two readings that is held must belong to
// one route by both in the table that serves it, too.
func TestHeldRequestIsReadTwiceAnew(t *testing.T) {
	for target, want := range map[string]struct {
		status int
		sent   string
	}{
		"/x/a%2fb//c":  {200, "/x/a%2fb//c"},
		"/admin%2fx":   {400, ""},
		"//admin//x":   {200, "/admin//x"},
		"//other/x//y": {200, "//other/x//y"},
	} {
		a := newApp(t, nil)
		s, answers := heldSite(t, "GET "+target+" HTTP/1.1\r\nHost: a.example\r\n\r\n", nil)
		s.serve("a.example", a.addr())
		s.route("admin", "a.example", func(r *route.Route) { r.Matches[0].Path.Value = "/admin" })
		s.backend("admin", nil, a.addr())
		s.apply()
		if res := <-answers; res.StatusCode != want.status {
			t.Errorf("%s: status %d, want %d", target, res.StatusCode, want.status)
		} else if res.StatusCode == 200 && a.last().target != want.sent {
			t.Errorf("%s: the application saw %s, want %s", target, a.last().target, want.sent)
		}
	}
}

// TestHeldConnectionIsNotBoundToItsTable: the same for connections that are passed
// through.
func TestHeldConnectionIsNotBoundToItsTable(t *testing.T) {
	s := newTCPSite(t, Options{}, nil)
	s.pass("old", "", func(r *route.Route) { r.Hold = time.Hour })
	s.apply()
	c := s.dial("tcp")
	c.within(testkit.Patience)
	testkit.Eventually(t, "the connection is held", func() bool {
		return s.engine.live.Load().lookup(s.routes["old"]).held.Load() == 1
	})
	delete(s.routes, "old")
	delete(s.backends, "old")
	s.apply()
	s.pass("new", "", nil, newPeer(t, greeter))
	s.apply()
	if got := c.readLine(); got != "hello\n" {
		t.Errorf("got %q", got)
	}
	_ = c.Close() // the endpoint waits for that
}

// TestDialIsGivenUpWhenTheEndpointLeaves: a request that waits for a connection goes
// elsewhere as soon as the endpoint leaves, whatever the method.
func TestDialIsGivenUpWhenTheEndpointLeaves(t *testing.T) {
	a := newApp(t, nil)
	silent := silentAddress(t)
	for name, leave := range map[string]func(*route.Backend){
		"drains": func(b *route.Backend) { b.Endpoints[0].State = route.EndpointDraining },
		"gone":   func(b *route.Backend) { b.Endpoints = b.Endpoints[1:] },
	} {
		s := newSite(t, Options{DialTimeout: time.Hour})
		s.serve("a.example", silent)
		s.apply()
		c := s.dial("http")
		c.within(testkit.Patience)
		c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi")
		testkit.Eventually(t, "the request has an endpoint", func() bool {
			return s.engine.Endpoints()[0].InFlight == 1
		})
		s.backend("a.example", leave, silent, a.addr())
		s.apply()
		if res := c.answer("POST"); res.StatusCode != 200 {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
}

// TestDisconnectedEndpointIsLeftAtOnce: when the network of a running instance is
// disconnected nothing comes back from it. What may be repeated goes elsewhere, the
// rest fails, both at once; an endpoint that merely leaves finishes what it has.
func TestDisconnectedEndpointIsLeftAtOnce(t *testing.T) {
	for method, status := range map[string]int{"GET": 200, "PUT": 200, "POST": 502} {
		arrived, release := make(chan struct{}), make(chan struct{})
		hangs := newApp(t, func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-release
		})
		t.Cleanup(func() { close(release) })
		other := newApp(t, nil)
		s := newSite(t, Options{ResponseTimeout: time.Hour})
		s.serve("a.example", hangs.addr())
		s.apply()
		c := s.dial("http")
		c.within(testkit.Patience)
		c.send(method + " / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi")
		<-arrived
		lost := s.backends["a.example"].Endpoints[0]
		s.backend("a.example", func(b *route.Backend) { b.Endpoints = b.Endpoints[1:] }, lost.Address, other.addr())
		s.disconnected(lost)
		s.apply()
		if res := c.answer(method); res.StatusCode != status {
			t.Errorf("%s: status %d, want %d", method, res.StatusCode, status)
		}
	}
}

// TestDisconnectedEndpointEndsConnections: the same for connections that are passed
// through.
func TestDisconnectedEndpointEndsConnections(t *testing.T) {
	s := newTCPSite(t, Options{}, nil)
	s.pass("db", "", nil, newPeer(t, greeter))
	s.apply()
	c := s.dial("tcp")
	c.within(testkit.Patience)
	c.readLine()
	lost := s.backends["db"].Endpoints[0]
	s.pass("db", "", nil)
	s.disconnected(lost)
	s.apply()
	c.closed()
}

// TestEndpointThatLeavesIsWatched: the kernel finds out soon when the machine of an
// endpoint that leaves is gone.
func TestEndpointThatLeavesIsWatched(t *testing.T) {
	tr := newTransports(Options{}.withDefaults(), nil).make(transportKey{})
	alive := &keptAlive{}
	tr.open[&endpointConn{Conn: alive, transport: tr}] = struct{}{}
	tr.leave()
	c := alive.config
	if worst := c.Idle + time.Duration(c.Count)*c.Interval; !c.Enable || worst < time.Second || worst > 10*time.Second {
		t.Errorf("a dead endpoint is noticed after %v: %+v", worst, c)
	}
	if err := fmt.Errorf("read: %w", syscall.ETIMEDOUT); isTimeout(err) {
		t.Error("the end of a dead connection counts as a limit that was reached, after which nothing is repeated")
	}
}

// keptAlive is a connection that notes how it is kept alive.
type keptAlive struct {
	net.Conn
	config net.KeepAliveConfig
}

func (k *keptAlive) SetKeepAliveConfig(c net.KeepAliveConfig) error {
	k.config = c
	return nil
}

// TestTransportsDoNotPileUp: a form of connections that no route asks for any more is
// let go of, and so are those of an endpoint that leaves, also when a request that
// found it before is late.
func TestTransportsDoNotPileUp(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	count := func() (n int) {
		s.engine.transports.all.Range(func(any, any) bool { n++; return true })
		return n
	}
	for i := range 5 {
		s.route("a.example", "a.example", func(r *route.Route) { r.Timeout = time.Minute + time.Duration(i)*time.Second })
		s.apply()
		if res := s.get("a.example", "/"); res.StatusCode != 200 {
			t.Fatalf("status %d", res.StatusCode)
		}
		if n := count(); n != 1 {
			t.Fatalf("after %d changes of the timeout there are %d transports, want 1", i, n)
		}
	}
	def := s.backends["a.example"]
	late, err := s.engine.set.Backend("a.example").Pick(balance.Key{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.backend("a.example", nil)
	s.apply()
	tr := s.engine.transports.of(late, def, time.Minute, false)
	if n := count(); n != 0 || !tr.retired.Load() {
		t.Errorf("a late request has put %d transports back, retired %v", n, tr.retired.Load())
	}
	late.Done(balance.ResultCanceled)
}

// TestHeldUpgradeIsCheckedAnew: a request that is held may not switch to a protocol
// that its backend does not name any more.
func TestHeldUpgradeIsCheckedAnew(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example")
	s.routes["a.example"].Hold = time.Hour
	s.backends["a.example"].Upgrade = []string{"tcp"}
	s.apply()
	c := s.dial("http")
	c.within(testkit.Patience)
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n")
	testkit.Eventually(t, "the request is held", func() bool {
		return s.engine.live.Load().lookup(s.routes["a.example"]).held.Load() == 1
	})
	s.backend("a.example", nil, a.addr())
	s.apply()
	if res := c.answer("POST"); res.StatusCode != http.StatusServiceUnavailable || len(a.all()) > 0 {
		t.Errorf("status %d, and the application saw %+v", res.StatusCode, a.all())
	}
}

// TestHeldRequestIsChargedOnce: a rate limit counts a held request once, however many
// tables it waits through.
func TestHeldRequestIsChargedOnce(t *testing.T) {
	a := newApp(t, nil)
	s, answers := heldSite(t, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", func(r *route.Route) {
		r.Filters = []route.Filter{{RateLimit: &route.RateLimit{Requests: 1, Per: time.Hour, Burst: 2}}}
	})
	for n := range 3 {
		next := *s.routes["a.example"]
		next.Priority = n + 1
		s.routes["a.example"] = &next
		if n == 2 {
			s.backend("a.example", nil, a.addr())
		}
		s.apply()
	}
	if res := <-answers; res.StatusCode != 200 {
		t.Errorf("the held request: status %d", res.StatusCode)
	}
	for _, want := range []int{200, 429} {
		if res := s.get("a.example", "/"); res.StatusCode != want {
			t.Errorf("status %d, want %d", res.StatusCode, want)
		}
	}
}

// TestHeadersOfARouteGoToItsEndpointsOnly: what routes set, add and remove on the way
// of a request that finds three tables stays with their own endpoints, also where an
// attempt was made and failed.
func TestHeadersOfARouteGoToItsEndpointsOnly(t *testing.T) {
	secret := func(name string) func(*route.Route) {
		return func(r *route.Route) {
			r.Hold = time.Hour
			r.Filters = []route.Filter{{RequestHeaders: &route.HeaderOperation{
				Remove: []string{"X-Client"},
				Set:    []route.HeaderValue{{Name: "Authorization", Value: "of " + name}},
				Add:    []route.HeaderValue{{Name: "X-Route", Value: name}},
			}}}
		}
	}
	for first, change := range map[string]func(*route.Route){"plain": nil, "with headers": secret("first")} {
		a := newApp(t, nil)
		s, answers := heldSite(t, "GET / HTTP/1.1\r\nHost: a.example\r\nX-Client: yes\r\n\r\n", change)
		delete(s.routes, "a.example")
		s.route("second", "a.example", secret("second"))
		s.backend("second", nil, deadAddress(t))
		s.apply()
		testkit.Eventually(t, "the second route tries its endpoint", func() bool {
			for _, e := range s.engine.Endpoints() {
				if e.Backend == "second" && e.Failures > 0 {
					return true
				}
			}
			return false
		})
		delete(s.routes, "second")
		s.route("third", "a.example", nil)
		s.backend("third", nil, a.addr())
		s.apply()
		if res := <-answers; res.StatusCode != 200 {
			t.Fatalf("%s: status %d", first, res.StatusCode)
		}
		got := a.last().header
		if got.Get("Authorization") != "" || got.Get("X-Route") != "" || got.Get("X-Client") != "yes" {
			t.Errorf("%s: the third endpoint saw %v", first, got)
		}
	}
}
