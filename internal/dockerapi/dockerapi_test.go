package dockerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"fairway/internal/dockerapi/dockertest"
	"fairway/internal/testkit"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newClient returns a client that is closed with the test.
func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// recorded is an engine that answers every call with what an engine once answered.
func recorded() *dockertest.Engine {
	e := dockertest.New(nil)
	file := func(pattern string, name func(*http.Request) string) {
		e.Answer(pattern, func(r *http.Request) any {
			data, err := os.ReadFile(filepath.Join("testdata", name(r)))
			if err != nil {
				return dockertest.Refuse(http.StatusNotFound, "no such thing")
			}
			return data
		})
	}
	file("GET /containers/{id}/json", func(r *http.Request) string { return "inspect-" + r.PathValue("id") + ".json" })
	for call, name := range map[string]string{
		"containers/json": "list.json", "networks": "networks.json", "info": "info.json", "events": "events.jsonl",
	} {
		file("GET /"+call, func(*http.Request) string { return name })
	}
	e.Answer("POST /images/{how}", func(r *http.Request) any {
		_, _ = io.Copy(io.Discard, r.Body)
		return `{"status":"done"}`
	})
	e.Say("DELETE /images/{name}", `[]`)
	for call, answer := range map[string]dockertest.Status{
		"POST /containers/create":      {Code: http.StatusCreated, Body: `{"Id":"new"}`},
		"POST /containers/{id}/{what}": {Code: http.StatusNoContent}, "DELETE /containers/{id}": {Code: http.StatusNoContent},
	} {
		e.Answer(call, func(*http.Request) any { return answer })
	}
	return e
}

// TestRecorded reads what Docker 20.10 answered and compares with the golden
// file; a list and an inspection must agree on what both tell.
func TestRecorded(t *testing.T) {
	c := newClient(t, Options{URL: recorded().Listen(t)})
	ctx := t.Context()
	info, err := c.Info(ctx)
	check(t, err)
	networks, err := c.NetworkList(ctx)
	check(t, err)
	list, err := c.ContainerList(ctx, true)
	check(t, err)
	var inspected []Container
	for _, l := range list {
		i, err := c.ContainerInspect(ctx, l.Name)
		check(t, err)
		inspected = append(inspected, i)
		common := i
		common.Inspected, common.Started, common.StopSignal, common.Exposed, common.Detail, common.Restarts = false, time.Time{}, "", nil, "", 0
		if diff := cmp.Diff(l, common, cmp.Comparer(func(a, b map[string]string) bool { return maps.Equal(a, b) }), compareAddr); diff != "" {
			t.Errorf("%s: list and inspection differ (-list +inspection):\n%s", l.Name, diff)
		}
	}
	stream, err := c.Events(ctx, time.Time{}, nil)
	check(t, err)
	var happened []string
	for e := range stream.C {
		happened = append(happened, strings.TrimSpace(e.Type+" "+e.Action+" "+e.Attributes["name"]+" "+e.Attributes["signal"]))
	}
	if !errors.Is(stream.Err(), io.ErrUnexpectedEOF) {
		t.Errorf("the stream ended with %v", stream.Err())
	}
	got, err := json.MarshalIndent(map[string]any{
		"info": info, "networks": networks, "inspected": inspected, "events": happened,
	}, "", "  ")
	check(t, err)
	if bytes.Contains(got, []byte("canary")) {
		t.Error("the container's environment was kept")
	}
	golden := filepath.Join("testdata", "recorded.golden.json")
	if *update {
		check(t, os.WriteFile(golden, append(got, '\n'), 0o644))
	}
	want, err := os.ReadFile(golden)
	check(t, err)
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

var compareAddr = cmp.Comparer(func(a, b interface{ IsValid() bool }) bool { return a == b })

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOnlyNamedCalls holds the list of calls to the wire: each method makes its
// call and no other, and what discovery uses only reads.
func TestOnlyNamedCalls(t *testing.T) {
	reads := map[string]func(*Client, context.Context) error{
		"HEAD /_ping":   (*Client).Ping,
		"GET /info":     func(c *Client, ctx context.Context) error { _, err := c.Info(ctx); return err },
		"GET /networks": func(c *Client, ctx context.Context) error { _, err := c.NetworkList(ctx); return err },
		"GET /containers/json": func(c *Client, ctx context.Context) error {
			_, err := c.ContainerList(ctx, true)
			return err
		},
		"GET /containers/web/json": func(c *Client, ctx context.Context) error {
			_, err := c.ContainerInspect(ctx, "web")
			return err
		},
		"GET /events": func(c *Client, ctx context.Context) error {
			s, err := c.Events(ctx, time.Unix(1, 5), map[string][]string{"type": {"container"}})
			if err == nil {
				for range s.C {
				}
			}
			return err
		},
	}
	changes := map[string]func(*Client, context.Context) error{
		"POST /images/create": func(c *Client, ctx context.Context) error {
			return c.ImageImport(ctx, "app:1", strings.NewReader("tar"), []string{`ENTRYPOINT ["/app"]`})
		},
		"DELETE /images/app:1": func(c *Client, ctx context.Context) error {
			return c.ImageRemove(ctx, "app:1", false)
		},
		"POST /containers/create": func(c *Client, ctx context.Context) error {
			_, err := c.ContainerCreate(ctx, client.ContainerCreateOptions{Image: "app:1"})
			return err
		},
		"POST /containers/a/start": func(c *Client, ctx context.Context) error { return c.ContainerStart(ctx, "a") },
		"POST /containers/a/stop":  func(c *Client, ctx context.Context) error { return c.ContainerStop(ctx, "a", time.Second) },
		"DELETE /containers/a":     func(c *Client, ctx context.Context) error { return c.ContainerRemove(ctx, "a", true) },
	}
	for _, calls := range []map[string]func(*Client, context.Context) error{reads, changes} {
		for want, call := range calls {
			e := recorded()
			c := newClient(t, Options{URL: e.Listen(t)})
			if err := call(c, t.Context()); err != nil {
				t.Errorf("%s: %v", want, err)
			}
			// The first call of all agrees on the API version.
			got := slices.DeleteFunc(e.Calls(), func(call string) bool { return call == "HEAD /_ping" && want != call })
			if diff := cmp.Diff([]string{want}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", want, diff)
			}
		}
	}

	allowed := []string{
		"URL", "Host", "Reset", "Close", // no calls
		"Ping", "Info", "Events", "ContainerList", "ContainerInspect", "NetworkList",
		"ServiceList", "TaskList", "NodeList", "SwarmNetworkList",
		"ContainerStats", "ServiceInspect", "ServiceTasks",
		"ServiceCreate", "ServiceUpdate", "ServiceRollback", "ServiceRemove",
		"ImageImport", "ImageRemove", "ContainerCreate", "ContainerStart", "ContainerStop", "ContainerRemove", "ContainerDrop",
		// change_test.go holds these to the wire: a deploy replaces containers.
		"ContainerManaged", "ContainersLabelled", "ContainerRename", "ContainerPolicy", "ContainerFiles",
		"ImageInspect", "ImageDigest", "ImagePull", "NetworkDriver", "NetworkCreate", "NetworkConnect", "VolumeExists", "VolumeCreate",
		"ContainerExec", "ContainerSignal", "ContainerLog", "ContainerLogs", "TaskLogs", // exec_test.go and logs_test.go hold them to the wire
	}
	for m := range reflect.TypeFor[*Client]().Methods() {
		if !slices.Contains(allowed, m.Name) {
			t.Errorf("method %s: a new call needs a line here, and a look at what it lets Fairway do", m.Name)
		}
	}
}

// TestNotFound tells a container that is gone from other trouble.
func TestNotFound(t *testing.T) {
	c := newClient(t, Options{URL: recorded().Listen(t)})
	if _, err := c.ContainerInspect(t.Context(), "nobody"); !IsNotFound(err) {
		t.Errorf("error %v", err)
	}
	down := newClient(t, Options{URL: "unix:///nowhere/docker.sock"})
	if _, err := down.ContainerInspect(t.Context(), "nobody"); err == nil || IsNotFound(err) {
		t.Errorf("error %v", err)
	}
}

// TestDeadlines runs every call against an engine that accepts and says nothing,
// in virtual time: each ends at its deadline.
func TestDeadlines(t *testing.T) {
	ignore := func(_ any, err error) error { return err }
	for name, tt := range map[string]struct {
		call  func(*Client, context.Context) error
		after time.Duration
	}{
		"ping":    {(*Client).Ping, 10 * time.Second},
		"info":    {func(c *Client, ctx context.Context) error { return ignore(c.Info(ctx)) }, 10 * time.Second},
		"list":    {func(c *Client, ctx context.Context) error { return ignore(c.ContainerList(ctx, true)) }, 10 * time.Second},
		"inspect": {func(c *Client, ctx context.Context) error { return ignore(c.ContainerInspect(ctx, "a")) }, 10 * time.Second},
		"nets":    {func(c *Client, ctx context.Context) error { return ignore(c.NetworkList(ctx)) }, 10 * time.Second},
		"events":  {func(c *Client, ctx context.Context) error { return ignore(c.Events(ctx, time.Time{}, nil)) }, 10 * time.Second},
		"stop":    {func(c *Client, ctx context.Context) error { return c.ContainerStop(ctx, "a", 30*time.Second) }, 40 * time.Second},
		"import": {func(c *Client, ctx context.Context) error {
			return c.ImageImport(ctx, "a:1", strings.NewReader("x"), nil)
		}, 120 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var far []net.Conn
				var mu sync.Mutex
				c, err := New(Options{URL: "unix://", Dial: func(context.Context) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() { _, _ = io.Copy(io.Discard, theirs) }()
					mu.Lock()
					defer mu.Unlock()
					far = append(far, theirs)
					return ours, nil
				}})
				check(t, err)
				began := time.Now()
				if err := tt.call(c, context.Background()); err == nil {
					t.Error("no error")
				}
				if took := time.Since(began); took != tt.after {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				c.Close()
				mu.Lock()
				defer mu.Unlock()
				for _, f := range far {
					f.Close()
				}
			})
		})
	}
}

// TestStream ends a stream in the ways that streams end.
func TestStream(t *testing.T) {
	event := `{"Type":"container","Action":"start","Actor":{"ID":"a"},"time":1}` + "\n"
	for _, tt := range []struct {
		name, body string
		events     int
		want       string
	}{
		{"end", event, 1, "unexpected EOF"},
		{"truncated", event + `{"Type":"cont`, 1, "unexpected EOF"},
		{"not JSON", event + event + "<html>", 2, "invalid character"},
		{"nothing", "", 0, "unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := dockertest.New(nil)
			e.Say("GET /events", tt.body)
			c := newClient(t, Options{URL: e.Listen(t)})
			s, err := c.Events(t.Context(), time.Time{}, nil)
			check(t, err)
			n := 0
			for range s.C {
				n++
			}
			if n != tt.events || !strings.Contains(s.Err().Error(), tt.want) {
				t.Errorf("%d events, %v", n, s.Err())
			}
		})
	}
	t.Run("slow reader", func(t *testing.T) {
		e, given := dockertest.New(nil), make(chan struct{})
		e.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, strings.Repeat(event, queueLength+10))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(given)
		})
		c := newClient(t, Options{URL: e.Listen(t)})
		s, err := c.Events(t.Context(), time.Time{}, nil)
		check(t, err)
		<-given // up, as nothing was read so far
		for range s.C {
		}
		if !errors.Is(s.Err(), ErrSlowReader) {
			t.Errorf("ended with %v", s.Err())
		}
	})
}

// TestProgress demands that a failure told after "200 OK" is a failure.
func TestProgress(t *testing.T) {
	e := dockertest.New(nil)
	e.Answer("POST /images/create", func(r *http.Request) any {
		_, _ = io.Copy(io.Discard, r.Body)
		return `{"status":"half"}{"error":"no space left"}`
	})
	c := newClient(t, Options{URL: e.Listen(t)})
	err := c.ImageImport(t.Context(), "a:1", strings.NewReader("x"), nil)
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
}

// TestURLs refuses what cannot work, in words that help.
func TestURLs(t *testing.T) {
	for url, want := range map[string]string{
		"":                            "no scheme",
		"/var/run/docker.sock":        "no scheme",
		"http://a:1":                  `scheme "http" is not one of unix, tcp, ssh`,
		"unix://var/run/docker.sock":  "unix:///var/run/docker.sock",
		"tcp://a":                     "want tcp://host:port",
		"tcp://a:2376":                "the file for CA, certificate, key is missing",
		"tcp://a:2376/x":              "a path has no meaning",
		"tcp://u@a:2376":              "a user has no meaning",
		"tcp://a:2376?x=1":            "a query or fragment has no meaning",
		"ssh://a":                     "want ssh://user@host",
		"ssh://u@a":                   "known-hosts",
		"ssh://u:geheim@a":            "a password does not belong",
		"tcp://u:geheim@a:b:c":        "cannot be parsed",
		"unix:///x" + "\x7f" + "gehe": "cannot be parsed",
	} {
		_, err := New(Options{URL: url})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
	for url, want := range map[string]Host{
		"unix://":             {Local: true, Name: "127.0.0.1"},
		"unix:///run/d.sock":  {Local: true, Name: "127.0.0.1"},
		"tcp://10.0.0.1:2375": {Name: "10.0.0.1"},
		"tcp://[::1]:2375":    {Name: "::1"},
	} {
		c, err := New(Options{URL: url, Insecure: strings.HasPrefix(url, "tcp")})
		if err != nil || c.Host() != want {
			t.Errorf("%q: %v, %+v", url, err, c)
		}
	}
	if _, err := New(Options{URL: "unix://", Timeout: -1}); err == nil {
		t.Error("negative timeout: no error")
	}
}

// FuzzContainer decodes whatever an engine may send, in both forms.
func FuzzContainer(f *testing.F) {
	names, err := filepath.Glob("testdata/inspect-*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(names, "testdata/list.json") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []container.Summary
		if json.Unmarshal(data, &list) == nil {
			for _, s := range list {
				holds(t, fromSummary(s))
			}
		}
		var one container.InspectResponse
		if json.Unmarshal(data, &one) == nil {
			holds(t, fromInspect(one))
		}
	})
}

// TestDetail is the table of what an engine knows of containers that do not serve.
func TestDetail(t *testing.T) {
	check := func(results ...*container.HealthcheckResult) *container.Health {
		return &container.Health{Status: container.Unhealthy, Log: results}
	}
	for want, s := range map[string]container.State{
		"exit code 3":                  {Status: container.StateExited, ExitCode: 3},
		"exit code 137: out of memory": {Status: container.StateExited, ExitCode: 137, OOMKilled: true},
		"exit code 1":                  {Status: container.StateRestarting, ExitCode: 1},
		"exit code 128: driver failed: port is already allocated": {Status: container.StateCreated, ExitCode: 128, Error: "driver failed: port is already allocated"},
		"exit code 22: curl: (22) error: 500":                     {Status: container.StateRunning, Health: check(nil, &container.HealthcheckResult{ExitCode: 22, Output: "  0  0\r\ncurl: (22) error: 500\n"})},
		"exit code 2":                                             {Status: container.StateRunning, Health: check(&container.HealthcheckResult{ExitCode: 2})},
		"exit code 0: " + strings.Repeat("a", 200) + "…":          {Status: container.StateRunning, Health: check(&container.HealthcheckResult{Output: strings.Repeat("a", 300)})},
	} {
		if got := detail(&s); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
	for _, s := range []container.State{{Status: container.StateCreated}, {Status: container.StateRunning, ExitCode: 1}, {Status: container.StateRunning, Health: &container.Health{Status: container.Unhealthy}}} {
		if got := detail(&s); got != "" {
			t.Errorf("%+v: %q, want nothing", s, got)
		}
	}
}

func holds(t *testing.T, c Container) {
	t.Helper()
	if strings.HasPrefix(c.Name, "/") && !strings.HasPrefix(c.Name, "//") && c.Inspected == false {
		t.Errorf("name %q", c.Name)
	}
	for _, p := range append(c.Ports, c.Exposed...) {
		if p.Number == 0 || p.Protocol == "" {
			t.Errorf("port %+v", p)
		}
	}
}

// TestResetDropsIdleConnections holds Reset to all connections that are kept: those of
// lists and those of other calls.
func TestResetDropsIdleConnections(t *testing.T) {
	url, open := recorded().Listen(t), new(atomic.Int32)
	c := newClient(t, Options{URL: url, Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(url, "unix://"))
		if err != nil {
			return nil, err
		}
		open.Add(1)
		return &countedConn{Conn: conn, open: open}, nil
	}})
	_, err := c.Info(t.Context())
	check(t, err)
	_, err = c.ContainerList(t.Context(), true)
	check(t, err)
	if open.Load() == 0 {
		t.Fatal("no connection is kept")
	}
	c.Reset()
	testkit.Eventually(t, "no connection is open", func() bool { return open.Load() == 0 })
}

// countedConn is counted in open until it is closed.
type countedConn struct {
	net.Conn
	open   *atomic.Int32
	closed sync.Once
}

// Close closes the connection.
func (c *countedConn) Close() error {
	c.closed.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

func TestVariables(t *testing.T) {
	if got := variables([]string{"PATH=/bin", "SECRET_SERVICE_X=1", "SERVICE_NAME=web", "SERVICE_80_TAGS=a=b", "SERVICE_EMPTY"}); len(got) != 2 || got["SERVICE_NAME"] != "web" || got["SERVICE_80_TAGS"] != "a=b" {
		t.Errorf("kept of the environment: %v", got)
	}
}
