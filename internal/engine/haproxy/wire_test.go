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
	"strconv"
	"strings"
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

// play sends a case and the probe behind it, and reads until the engine hangs up.
func (b *wireBench) play(t *testing.T, c wireCase) outcome {
	t.Helper()
	n := len(b.endpoint.since(0))
	conn, err := net.Dial("tcp", b.engine.Addr("http").String())
	if err != nil {
		t.Fatal(err)
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
		if strings.HasPrefix(resp.Header.Get("X-Saw"), `"GET /probe `) {
			said = "probe"
		}
		if broken != nil {
			said += " cut"
		}
		o.answers = append(o.answers, said)
	}
	for _, saw := range b.endpoint.since(n) {
		if !strings.HasPrefix(saw, "GET /probe ") {
			o.saw = append(o.saw, saw)
		}
	}
	return o
}

// TestWire sends the same requests to both engines: random ones, most of them with a
// fault in them. Where the engines differ a rule below says so, and the behaviour
// suite has a case for the rule. FAIRWAY_LONG makes many more, with a seed of their own.
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
	if os.Getenv("FAIRWAY_LONG") != "" {
		cases = 20000
	}
	e, err := embedded.New(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = e.Stop(ctx)
	})
	own, other := newWireBench(t, e), newWireBench(t, startEngine(t))
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test
	used, differ := map[string]int{}, 0
	for range cases {
		c := newWireCase(r)
		oe, oh := own.play(t, c), other.play(t, c)
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
