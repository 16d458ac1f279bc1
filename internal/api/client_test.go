package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t *testing.T, o ClientOptions) *Client {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve runs a handler and returns a client for it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	return newClient(t, ClientOptions{URL: ts.URL, Token: "sesame-sesame-sesame"})
}

func reply(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestNewClientURL(t *testing.T) {
	tests := []struct {
		url string
		ok  bool
	}{
		{"http://127.0.0.1:8080", true},
		{"http://127.0.0.1:8080/", true},
		{"https://fairway.example.com", true},
		{"http://[::1]:8080", true},
		{"unix:///run/fairway.sock", true},
		{"", false},
		{"127.0.0.1:8080", false},
		{"localhost:8080", false},
		{"tcp://127.0.0.1:8080", false},
		{"http://", false},
		{"http://127.0.0.1:8080/v1", false},
		{"http://127.0.0.1:8080?a=b", false},
		{"http://user:hunter2@127.0.0.1:8080", false},
		{"http://user:hunter2@127.0.0.1:bad", false},
		{"unix://run/fairway.sock", false},
		{"unix://", false},
	}
	for _, tt := range tests {
		_, err := NewClient(ClientOptions{URL: tt.url})
		if (err == nil) != tt.ok {
			t.Errorf("NewClient(%q) = %v, want ok %v", tt.url, err, tt.ok)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("NewClient(%q) repeats the password: %v", tt.url, err)
		}
	}
}

// Each method asks for one path, with what it was given.
func TestClientAsks(t *testing.T) {
	var asked string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.RequestURI
		if got := r.Header.Get("Authorization"); got != "Bearer sesame-sesame-sesame" {
			t.Errorf("Authorization = %q", got)
		}
		reply(200, "application/json; charset=utf-8", `{}`)(w, r)
	})
	all := Query{Service: "shop web", Source: "docker", Host: "a.example", Live: true}
	explain := ExplainRequest{Method: "PUT", URL: "https://a.example/x?y=%20", Headers: []string{"A: 1", "B: 2"}, Client: "::1", Listener: "in"}
	tests := map[string]func(context.Context) error{
		"GET /v1/routes": func(ctx context.Context) error { _, err := c.Routes(ctx, Query{}); return err },
		"GET /v1/routes?host=a.example&live=true&service=shop+web&source=docker": func(ctx context.Context) error { _, err := c.Routes(ctx, all); return err },
		"GET /v1/services?source=file":                                           func(ctx context.Context) error { _, err := c.Services(ctx, Query{Source: "file"}); return err },
		"GET /v1/services/a@docker:%2Fvar%2Frun%2Fd.sock": func(ctx context.Context) error {
			_, err := c.Service(ctx, "a@docker:/var/run/d.sock")
			return err
		},
		"GET /v1/problems?service=a": func(ctx context.Context) error { _, err := c.Problems(ctx, Query{Service: "a"}); return err },
		"GET /v1/sources":            func(ctx context.Context) error { _, err := c.Sources(ctx); return err },
		"GET /v1/nodes":              func(ctx context.Context) error { _, err := c.Nodes(ctx, Query{}); return err },
		"GET /v1/explain?client=%3A%3A1&header=A%3A+1&header=B%3A+2&listener=in&method=PUT&url=https%3A%2F%2Fa.example%2Fx%3Fy%3D%2520": func(ctx context.Context) error {
			_, err := c.Explain(ctx, explain)
			return err
		},
		"GET /v1/doctor/a%2Fb": func(ctx context.Context) error { _, err := c.Doctor(ctx, "a/b"); return err },
		"GET /v1/info":         func(ctx context.Context) error { _, err := c.Info(ctx); return err },
		"GET /ready":           func(ctx context.Context) error { _, err := c.Ready(ctx); return err },
	}
	for want, call := range tests {
		if err := call(t.Context()); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if asked != want {
			t.Errorf("asked %q, want %q", asked, want)
		}
	}
}

func TestClientReadsWhatTheWireSays(t *testing.T) {
	c := serve(t, reply(200, "application/json", `{"revision":3,"hash":"ab","items":[{"name":"docker","state":"stale","error":"gone","lastSuccess":"2026-01-02T03:04:05Z","age":"1m0s","services":2,"held":["x"],"newer":"unknown fields are for newer clients"}]}`))
	got, err := c.Sources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := List[Source]{Revision: 3, Hash: "ab", Items: []Source{{
		Name: "docker", State: SourceStale, Error: "gone",
		LastSuccess: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Age: "1m0s", Services: 2, Held: []string{"x"},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestClientErrors(t *testing.T) {
	tests := []struct {
		name   string
		h      http.HandlerFunc
		status int // of the *Error; zero: not an *Error
		text   string
	}{
		{
			"problem details", reply(404, ProblemContentType, `{"type":"about:blank","title":"Not Found","status":404,"detail":"no service \"x\""}`),
			404, `no service "x" (404)`,
		},
		{"the status line counts", reply(403, ProblemContentType, `{"title":"Forbidden","status":200}`), 403, "Forbidden (403)"},
		{"something in between", reply(502, "text/html", `<h1>bad gateway</h1>`), 502, "Bad Gateway (502)"},
		{"broken details", reply(500, ProblemContentType, `{`), 500, "Internal Server Error (500)"},
		{
			"a terminal's commands", reply(400, ProblemContentType, `{"title":"x","detail":"\u001b]0;owned\u0007\nnext"}`),
			400, `\x1b]0;owned\a\nnext (400)`,
		},
		{"not Fairway", reply(200, "text/html", `<h1>hello</h1>`), 0, "is not Fairway's admin API"},
		{"no content type", reply(200, "", `{}`), 0, "is not Fairway's admin API"},
		{"broken JSON", reply(200, "application/json", `{"items":`), 0, "unexpected end of JSON"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1/problems", http.StatusTemporaryRedirect)
		}, 307, "Temporary Redirect (307)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := serve(t, tt.h).Routes(t.Context(), Query{})
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("error %v, want one with %q", err, tt.text)
			}
			var e *Error
			if errors.As(err, &e) != (tt.status != 0) {
				t.Fatalf("error is %T", err)
			}
			if e != nil && e.Status != tt.status {
				t.Errorf("status %d, want %d", e.Status, tt.status)
			}
			if errors.Is(err, ErrNoAnswer) {
				t.Error("an answer was taken for none")
			}
		})
	}
}

func TestClientReady(t *testing.T) {
	tests := []struct {
		name  string
		h     http.HandlerFunc
		state string
		ready bool
		fails bool
	}{
		{"synced", reply(200, "application/json", `{"state":"synced"}`), StateSynced, true, false},
		{"restored", reply(200, "application/json", `{"state":"restored"}`), StateRestored, true, false},
		{"starting", reply(503, "application/json", `{"state":"starting"}`), StateStarting, false, false},
		{"somebody else's 503", reply(503, "text/html", `busy`), "", false, true},
		{"forbidden", reply(403, ProblemContentType, `{"title":"Forbidden"}`), "", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := serve(t, tt.h).Ready(t.Context())
			if (err != nil) != tt.fails || got.State != tt.state || got.Ready() != tt.ready {
				t.Errorf("Ready = %+v, %v", got, err)
			}
		})
	}
}

func TestClientNobodyAnswers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // now nobody listens there
	for _, url := range []string{"http://" + ln.Addr().String(), "unix://" + filepath.Join(t.TempDir(), "no.sock")} {
		c := newClient(t, ClientOptions{URL: url, Token: "sesame-sesame-sesame"})
		_, err := c.Explain(t.Context(), ExplainRequest{URL: "http://a/?token=hunter2"})
		if !errors.Is(err, ErrNoAnswer) {
			t.Fatalf("error %v, want ErrNoAnswer", err)
		}
		want := fmt.Sprintf("no Fairway answers at %s: is `fairway run` started? (--admin)", url)
		if !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %q, want it to begin with %q", err, want)
		}
		for _, secret := range []string{"hunter2", "sesame"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error holds %q: %v", secret, err)
			}
		}
	}
}

func TestClientDeadlineAndCancel(t *testing.T) {
	release := make(chan struct{})
	ts := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer ts.Close()
	defer close(release)
	if _, err := newClient(t, ClientOptions{URL: ts.URL, Timeout: 20 * time.Millisecond}).Info(t.Context()); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("after the timeout: %v, want ErrNoAnswer", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t, ClientOptions{URL: ts.URL}).Info(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v, want context.Canceled", err)
	}
}

func TestClientUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewUnstartedServer(reply(200, "application/json", `{"version":"1.2.3"}`))
	ts.Listener.Close()
	ts.Listener = ln
	ts.Start()
	defer ts.Close()
	c := newClient(t, ClientOptions{URL: "unix://" + path})
	if info, err := c.Info(t.Context()); err != nil || info.Version != "1.2.3" {
		t.Errorf("Info = %+v, %v", info, err)
	}
}
