// Package hostile holds peers that misbehave, for the tests of every engine: endpoints
// that answer nonsense, break off, flood, or answer unasked.
//
// Run has an engine meet each of them. No matter what an endpoint does, its client gets an
// answer that says so, or sees that the answer is not whole; the connection serves no one
// else; and nothing is kept open for it.
package hostile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairway/internal/engine/traffic"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// Engine is what is needed of an engine.
type Engine interface {
	// Apply makes a table live, as in control.Engine.
	Apply(ctx context.Context, t *route.Table) error
	// Addr returns the address that the listener of this name is bound to.
	Addr(listener string) net.Addr
	// Requests has the last errors of each route.
	Requests() *traffic.Log
}

// answerTime is how long an endpoint may take that gives no answer.
const answerTime = 200 * time.Millisecond

// most is how many answers with 1xx a client reads before it calls the row endless.
const most = 20_000

// Run has the engine meet all endpoints. otherwise names, for some of them, what clients
// get of this engine instead, or "late" for those that keep it waiting for minutes, which
// are left out; its reasons are only asked for where it is nil.
func Run(t *testing.T, e Engine, otherwise map[string]string) {
	t.Helper()
	all := Endpoints()
	servers := make([]*server, len(all))
	var routes []*route.Route
	var backends []*route.Backend
	for i, one := range all {
		servers[i] = serve(t, one)
		id := "r" + strconv.Itoa(i)
		routes = append(routes, newRoute(id, id, "/", 0))
		if strings.Contains(one.Want, "504") {
			routes = append(routes, newRoute(id+"/bad", id, "/bad", answerTime))
		}
		backends = append(backends, newBackend(id, servers[i].Addr().String()))
	}
	table, err := route.New(1, []route.Listener{{Name: "http", Address: "127.0.0.1:0"}}, routes, backends, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Apply(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	for i, one := range all {
		t.Run(one.Name, func(t *testing.T) {
			m := meeting{T: t, engine: e, server: servers[i], host: "r" + strconv.Itoa(i), want: one.Want, strict: otherwise == nil}
			if other, ok := otherwise[one.Name]; ok {
				m.want = other
			}
			if m.want == "late" {
				t.Skip("the engine waits for it as long as for any answer")
			}
			m.run()
		})
	}
	for name := range otherwise {
		if !slices.ContainsFunc(all, func(e Endpoint) bool { return e.Name == name }) {
			t.Errorf("there is no endpoint %q", name)
		}
	}
}

func newRoute(id, host, path string, timeout time.Duration) *route.Route {
	return &route.Route{
		ID: id, Service: host, Backend: host, Timeout: timeout,
		Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: host}, Path: route.Path{Kind: route.PathPrefix, Value: path}}},
	}
}

func newBackend(id, address string) *route.Backend {
	return &route.Backend{
		ID: id, Service: id, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin},
		Endpoints: []route.Endpoint{{ID: "e", Instance: "e", Address: address, Weight: 1, State: route.EndpointReady}},
	}
}

// meeting is an engine with one endpoint.
type meeting struct {
	*testing.T
	engine     Engine
	server     *server
	host, want string
	strict     bool
}

// run asks for something good, then for what is answered badly, then for something good.
func (m *meeting) run() {
	if got, body := m.ask(http.MethodGet, "/good"); got != "200" || body != good {
		m.Fatalf("a good request got %s, %q", got, body)
	}
	method, path := http.MethodPost, "/bad"
	if m.server.is.Method != "" {
		method = m.server.is.Method
	}
	if m.server.is.Early {
		path = "/next"
		<-m.server.misbehaved
	}
	got, body := m.ask(method, path)
	if !slices.Contains(strings.Split(m.want, "|"), got) {
		m.Errorf("the client got %s, %.80q, want %s", got, body, m.want)
	}
	if m.server.is.Early && body != good {
		m.Errorf("the client got %q", body)
	}
	if got, body := m.ask(http.MethodGet, "/after"); got != "200" || body != good {
		m.Errorf("the next request got %s, %.80q", got, body)
	}
	testkit.Eventually(m.T, "connections on which it misbehaved are closed", func() string {
		if bad, gone := m.server.bad.Load(), m.server.gone.Load(); bad == 0 || gone != bad {
			return fmt.Sprintf("%d of %d", gone, bad)
		}
		return ""
	})
	if n := m.server.reused.Load(); n != 0 {
		m.Errorf("%d of them had another request", n)
	}
	m.reasons(got)
}

// reasons looks at the last errors of the route.
func (m *meeting) reasons(got string) {
	id := m.host
	if strings.Contains(m.server.is.Want, "504") {
		id += "/bad"
	}
	failed := strings.HasPrefix(got, "5") || strings.HasSuffix(got, "cut") || got == "closed"
	if !failed {
		if kept := m.engine.Requests().Errors(id); m.strict && len(kept) > 0 {
			m.Errorf("an error of what went well: %q", kept[0].Error)
		}
		return
	}
	var kept []traffic.Error
	testkit.Eventually(m.T, "the error is kept", func() bool {
		kept = m.engine.Requests().Errors(id)
		return len(kept) > 0
	})
	if one := kept[0]; len(kept) > 1 || one.Error == "" || m.strict && !strings.Contains(one.Error, m.server.is.Reason) {
		m.Errorf("%d errors are kept, %q, want one with %q", len(kept), one.Error, m.server.is.Reason)
	}
}

// ask sends a request on a connection of its own. It returns what the client got, as in
// Endpoint.Want, and the body.
func (m *meeting) ask(method, path string) (got, body string) {
	m.Helper()
	c, err := net.Dial("tcp", m.engine.Addr("http").String())
	if err != nil {
		m.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(testkit.Patience))
	content := ""
	if method == http.MethodPost {
		content = "hello"
	}
	_, err = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, m.host, len(content), content)
	if err != nil {
		m.Fatal(err)
	}
	r := bufio.NewReader(c)
	for range most {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			m.Fatalf("%s %s: nothing came", method, path)
		case err != nil:
			return "closed", err.Error()
		case res.StatusCode >= 200:
			text, err := io.ReadAll(res.Body)
			got = strconv.Itoa(res.StatusCode)
			if err != nil {
				got += " cut"
			}
			return got, string(text)
		}
	}
	return "endless", ""
}
