package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// startWhoami runs Whoami on a free port. The returned function ends it and
// gives back what Whoami returned; it may be called again.
func startWhoami(t *testing.T, o WhoamiOptions) (addr string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listener = ln
	ctx, cancel := context.WithCancel(t.Context())
	var result error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		result = Whoami(ctx, o)
	}()
	stop = func() error {
		cancel()
		<-ended
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return ln.Addr().String(), stop
}

// newClient has connections of its own, closed when the test ends.
func newClient(t *testing.T, h2c bool) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2c)
	protocols.SetUnencryptedHTTP2(h2c)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func TestWhoamiAnswers(t *testing.T) {
	addr, _ := startWhoami(t, WhoamiOptions{Name: "blog"})
	for _, tt := range []struct {
		name         string
		method, path string
		accept       string
		body         string
		status       int
		want         string // part of the body
	}{
		{name: "text", path: "/a?b=c", status: 200, want: "GET /a?b=c HTTP/1.1\nHost: " + addr},
		{name: "signed", path: "/", status: 200, want: "Name: blog\n"},
		{name: "JSON by header", path: "/", accept: "application/json", status: 200, want: `"name": "blog"`},
		{name: "JSON by query", path: "/x?json", status: 200, want: `"url": "/x?json"`},
		{name: "echo", method: http.MethodPost, path: "/echo", body: "ahoy", status: 200, want: "ahoy"},
		{name: "no status", method: http.MethodPost, path: "/health?status=99", status: 400, want: "no status code"},
		{name: "health", path: "/health", status: 200},
		{name: "unhealthy", method: http.MethodPost, path: "/health?status=503", status: 503},
		{name: "still unhealthy", path: "/health", status: 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method := tt.method
			if method == "" {
				method = http.MethodGet
			}
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", tt.accept)
			res, err := newClient(t, false).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
				t.Errorf("got %d %q, want %d with %q", res.StatusCode, body, tt.status, tt.want)
			}
			if got := res.Header.Get("Whoami"); got != "blog" {
				t.Errorf("header Whoami is %q", got)
			}
		})
	}
}

func TestWhoamiSpeaksHTTP2WithoutTLS(t *testing.T) {
	addr, _ := startWhoami(t, WhoamiOptions{Name: "blog"})
	res, err := newClient(t, true).Get("http://" + addr + "/?json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got described
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Protocol != "HTTP/2.0" {
		t.Errorf("protocol %s", got.Protocol)
	}
}

// TestWhoamiLeaves pins what the promise of no failed request rests on: a
// connection that was open stays usable for the lame-duck time, and the answer
// on it asks for the connection to be closed.
func TestWhoamiLeaves(t *testing.T) {
	addr, stop := startWhoami(t, WhoamiOptions{LameDuck: 300 * time.Millisecond})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	ask := func() *http.Response {
		t.Helper()
		if _, err := io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, &http.Request{Method: http.MethodHead})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	if ask().Close {
		t.Error("the connection is closed before anybody asked to stop")
	}
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	time.Sleep(50 * time.Millisecond)
	if !ask().Close {
		t.Error("an answer in the lame-duck time does not ask to close the connection")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("it listens after the end")
	}
}

func TestCheckWhoami(t *testing.T) {
	addr, stop := startWhoami(t, WhoamiOptions{})
	if err := CheckWhoami(t.Context(), WhoamiOptions{Listen: addr}); err != nil {
		t.Error(err)
	}
	res, err := newClient(t, false).Post("http://"+addr+"/health?status=503", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := CheckWhoami(t.Context(), WhoamiOptions{Listen: addr}); err == nil {
		t.Error("503 passes for healthy")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := CheckWhoami(t.Context(), WhoamiOptions{Listen: addr}); err == nil {
		t.Error("nothing there passes for healthy")
	}
	if err := CheckWhoami(t.Context(), WhoamiOptions{Health: "up"}); err == nil {
		t.Error("a health path without a slash is taken")
	}
}
