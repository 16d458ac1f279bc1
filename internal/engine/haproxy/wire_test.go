package haproxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/engine/embedded"
	"fairway/internal/engine/enginetest"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// wireSeed and wireCases are the sample that every run takes.
const (
	wireSeed  = 20251129
	wireCases = 800
)

// probe follows every case on its connection, and ends it: what is left of a case, or
// of its connection, shows in what becomes of the probe.
const probe = "GET /probe HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"

// outcome is what became of a case on an engine.
type outcome struct {
	answers []string // statuses; "probe" for the probe's 200
	saw     []string // what the endpoint read of it, without the probe
}

func (o outcome) String() string {
	return fmt.Sprintf("%s; saw %q", strings.Join(o.answers, " "), o.saw)
}

// wireBench is an engine with an endpoint of its own.
type wireBench struct {
	engine   enginetest.Engine
	endpoint *wireEndpoint
}

func newWireBench(t *testing.T, engine enginetest.Engine) *wireBench {
	t.Helper()
	b := &wireBench{engine, newWireEndpoint(t)}
	r := &route.Route{ID: "any", Service: "any", Backend: "any", Matches: []route.Match{{Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}}}
	backend := &route.Backend{
		ID: "any", Service: "any", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin},
		Endpoints: []route.Endpoint{{ID: "e1", Instance: "e1", Address: b.endpoint.Addr().String(), Weight: 1, State: route.EndpointReady}},
	}
	table, err := route.New(1, []route.Listener{{Name: "http", Address: "127.0.0.1:0"}}, []*route.Route{r}, []*route.Backend{backend}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Apply(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	return b
}

// startEmbedded starts an engine of the other kind, which ends with the test.
func startEmbedded(t *testing.T) enginetest.Engine {
	t.Helper()
	e, err := embedded.New(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = e.Stop(ctx)
	})
	return e
}

// play sends a case and the probe behind it, and reads until the engine hangs up.
func (b *wireBench) play(t *testing.T, c wireCase) outcome {
	t.Helper()
	n := len(b.endpoint.since(0))
	conn, err := net.Dial("tcp", b.engine.Addr("http").String())
	if err != nil {
		t.Error(err)
		return outcome{}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
	go func() { _, _ = io.WriteString(conn, c.text+probe) }()
	var o outcome
	r := bufio.NewReader(conn)
	method, _, _ := strings.Cut(strings.TrimLeft(c.text, "\r\n "), " ")
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			break
		}
		_, broken := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusContinue {
			continue // the embedded engine says it itself, HAProxy leaves it to the endpoint
		}
		method = http.MethodGet
		said := strconv.Itoa(resp.StatusCode)
		if method, _, is := strings.Cut(resp.Header.Get("X-Saw"), " /probe "); is {
			said = "probe" + strings.TrimPrefix(method, `"GET`) // behind what is left of the case
		}
		if broken != nil {
			said += " cut"
		}
		o.answers = append(o.answers, said)
	}
	for _, saw := range b.endpoint.since(n) {
		if line, _, _ := strings.Cut(saw, "\n"); !strings.Contains(line, "GET /probe ") {
			o.saw = append(o.saw, saw)
		}
	}
	return o
}

// TestWire sends the same requests to both engines: random ones, most of them with a
// fault in them. Where the engines differ a rule below says so, and the behaviour
// suite has a case for the rule. make soak sends many more; FAIRWAY_SEED
// chooses them.
func TestWire(t *testing.T) {
	need(t)
	seed, cases := uint64(wireSeed), wireCases
	if s := os.Getenv("FAIRWAY_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	if testkit.Soaking() {
		cases = 20000
	}
	own, other := newWireBench(t, startEmbedded(t)), newWireBench(t, startEngine(t))
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test
	used, differ := map[string]int{}, 0
	for range cases {
		c := newWireCase(r)
		var oe, oh outcome
		var both sync.WaitGroup
		both.Go(func() { oe = own.play(t, c) })
		both.Go(func() { oh = other.play(t, c) })
		both.Wait()
		if oe.String() == oh.String() {
			continue
		}
		differ++
		if len(oh.saw) > max(1, len(oe.saw)) {
			t.Errorf("%v %q: HAProxy makes more than one request of it: %s; embedded %s", c.tags, c.short(), oh, oe)
		}
		rules, ok := explained(c, oe, oh)
		if !ok {
			t.Errorf("seed %d: no rule of docs/haproxy-engine.md says why this differs: %v %q\n   embedded %s\n   HAProxy  %s", seed, c.tags, c.short(), oe, oh)
		}
		for _, rule := range rules {
			if differences[rule] == "" {
				t.Errorf("docs/haproxy-engine.md has no rule %q", rule)
			}
			used[rule]++
		}
	}
	t.Logf("%d of %d cases differ, by rule: %v", differ, cases, used)
	if seed != wireSeed {
		return
	}
	for _, rule := range wireRules() {
		if used[rule.suite] == 0 {
			t.Errorf("no case of the sample differs by the rule %q: is it still true?", rule.suite)
		}
	}
}

// TestWireFaults are messages that endpoints may read in another way than the engine
// that sends them on. An endpoint of net/http would refuse some of them itself, and
// hide that they came.
func TestWireFaults(t *testing.T) {
	need(t)
	const inside = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
	engines := map[string]*wireBench{"embedded": newWireBench(t, startEmbedded(t)), "haproxy": newWireBench(t, startEngine(t))}
	for _, tt := range []struct {
		name, text string
		want       string // the statuses, as an expression
		saw        string // in what the endpoint saw; empty: it saw nothing
	}{
		{"coding with a comma", "POST /c HTTP/1.1\r\nHost: a.example\r\nContent-Length: 50\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n" + inside, "400|501", ""},
		{"coding with a comma alone", "POST /c HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked,\r\n\r\n" + wholeChunks, "400|501", ""},
		{"coding in capitals", "POST /c HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: Chunked\r\n\r\n" + wholeChunks, "200 probe", "transfer-encoding: chunked\n"},
		{"length with zeros", "POST /c HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0005\r\n\r\nhello", "200 probe", "content-length: 5\n"},
		{"CONNECT with a body", "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 45\r\n\r\n" + inside, "400|405", ""},
		{"Connection takes Host", "GET /c HTTP/1.1\r\nHost: a.example\r\nConnection: Host\r\n\r\n", "200 probe", "\nhost: a.example\n"},
		{"NUL in a header", "GET /c HTTP/1.1\r\nHost: a.example\r\nX-A: a\x00b\r\n\r\n", "400", ""},
		{"NUL before what looks like a header", "GET /c HTTP/1.1\r\nHost: a.example\r\nX: X\x00Transfer-Encoding: chunked\r\n\r\n", "400", ""},
		{"control characters in a header", "GET /c HTTP/1.1\r\nHost: a.example\r\nX-A: a\x01\x7fb\r\n\r\n", "400", ""},
		{"another scheme", "GET ftp://a.example/c HTTP/1.1\r\nHost: a.example\r\n\r\n", "400|200 probe", "GET /c HTTP/1.1\n"},
		{"a scheme in capitals", "GET HTTP://a.example/c?x HTTP/1.1\r\nHost: a.example\r\n\r\n", "200 probe", "GET /c?x HTTP/1.1\n"},
		{"no host in the target", "GET http:///c HTTP/1.1\r\nHost: a.example\r\n\r\n", "400( probe)?", ""},
		{"no path in the target", "GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", "200 probe", "GET / HTTP/1.1\n"},
		{"HTTP/1.0 with chunks", "POST /c HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n" + inside, "400", ""},
		{"an expectation that is not known", "GET /c HTTP/1.1\r\nHost: a.example\r\nExpect: a-miracle\r\n\r\n", "417", ""},
	} {
		for name, b := range engines {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				o := b.play(t, wireCase{text: tt.text})
				if said := strings.Join(o.answers, " "); !regexp.MustCompile("^(?:" + tt.want + ")$").MatchString(said) {
					t.Errorf("answered %s, want %s", said, tt.want)
				}
				if tt.saw == "" && len(o.saw) > 0 || tt.saw != "" && !o.refused() && (len(o.saw) != 1 || !strings.Contains(o.saw[0], tt.saw)) {
					t.Errorf("the endpoint saw %q, want %q", o.saw, tt.saw)
				}
			})
		}
	}
}
