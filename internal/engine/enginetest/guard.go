package enginetest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const routeAny = `routes: [{id: any, to: [e1]}]`

// guardCases are the guards that need more than one message to show.
func guardCases() []goCase {
	return []goCase{
		{"too many headers", guardHeaderCount},
		{"too large headers", guardHeaderSize},
		{"two framings make one request", guardFramings},
		{"a refused body is not the next request", guardRefusedBody},
		{"requests of one connection are told apart", guardPipelining},
		{"expectations that nobody knows", guardExpectation},
		{"endpoint with endless headers", guardEndlessHeaders},
		{"endpoint with an endless row of 1xx", guardInformationalStorm},
		{"endpoint that breaks off", guardCutAnswer},
		{"endpoint that breaks off between chunks, over HTTP/2", guardCutChunks},
	}
}

// Headers are counted, because many empty ones cost more than their bytes. Which
// words an engine has for that is its own affair.
func guardHeaderCount(w *world) {
	w.apply(routeAny)
	for _, tt := range []struct {
		name  string
		lines string
	}{
		{"300 different", strings.Join(numbered(300, "X-%d: y\r\n"), "")},
		{"300 of one name", strings.Repeat("X-A: y\r\n", 300)},
		{"10,000 empty", strings.Repeat("a:\r\n", 10000)},
	} {
		r := w.raw()
		r.send("GET / HTTP/1.1\r\nHost: a.example\r\n" + tt.lines + "\r\n")
		if resp := r.response("GET"); resp.StatusCode/100 != 4 {
			w.Errorf("%s: answered %d, want 431 or another 4xx", tt.name, resp.StatusCode)
		}
	}
	if n := w.log.len(); n != 0 {
		w.Errorf("an endpoint saw %d of them", n)
	}
	// What browsers and applications send in practice passes.
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\n" + strings.Join(numbered(90, "X-%d: y\r\n"), "") + "\r\n")
	if resp := r.response("GET"); resp.StatusCode != http.StatusOK {
		w.Errorf("90 headers: answered %d, want 200", resp.StatusCode)
	}
}

func numbered(n int, format string) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

func guardHeaderSize(w *world) {
	w.apply(routeAny)
	for name, text := range map[string]string{
		"one header of 128 KiB": "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: " + strings.Repeat("y", 128<<10) + "\r\n\r\n",
		"a target of 128 KiB":   "GET /" + strings.Repeat("y", 128<<10) + " HTTP/1.1\r\nHost: a.example\r\n\r\n",
	} {
		r := w.raw()
		r.send(text)
		if resp := r.response("GET"); resp.StatusCode/100 != 4 {
			w.Errorf("%s: answered %d, want 431, 414 or another 4xx", name, resp.StatusCode)
		}
	}
	if n := w.log.len(); n != 0 {
		w.Errorf("an endpoint saw %d of them", n)
	}
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\nCookie: " + strings.Repeat("y", 8<<10) + "\r\n\r\n")
	if resp := r.response("GET"); resp.StatusCode != http.StatusOK {
		w.Errorf("a cookie of 8 KiB: answered %d, want 200", resp.StatusCode)
	}
}

// Content-Length with Transfer-Encoding: refused, or read as chunked with the
// length thrown away (RFC 9112, 6.1). Whatever it is, what follows the message
// must not become a request of its own at the endpoint.
func guardFramings(w *world) {
	w.apply(routeAny)
	for _, te := range []string{"chunked", "Chunked", " chunked "} {
		before := w.log.len()
		r := w.raw()
		r.send("POST /first HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\nTransfer-Encoding:" + te + "\r\n\r\n" +
			"5\r\nhello\r\n0\r\n\r\n")
		resp := r.response("POST")
		if resp.StatusCode != 200 && resp.StatusCode != 400 {
			w.Errorf("answered %d, want 200 or 400", resp.StatusCode)
		}
		for _, s := range w.log.since(before) {
			if s.Line != "POST /first" || s.Body != "hello" || s.BodyErr != "" {
				w.Errorf("the endpoint saw %q with the body %q (%s)", s.Line, s.Body, s.BodyErr)
			}
			if s.Header.Get("Content-Length") == "4" {
				w.Error("the endpoint got the length that does not count")
			}
		}
	}
}

// A request that is answered before its body was read: what is left of the body
// is never taken for a request.
func guardRefusedBody(w *world) {
	w.apply(routeAny)
	inside := "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
	r := w.raw()
	r.send(fmt.Sprintf("TRACE / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n%s", len(inside), inside))
	if resp := r.response("TRACE"); resp.StatusCode != http.StatusMethodNotAllowed && resp.StatusCode != 400 {
		w.Errorf("TRACE with a body: answered %d", resp.StatusCode)
	}
	r = w.raw()
	r.send(fmt.Sprintf("GET /x HTTP/1.1\r\nHost: a.example\r\nX-Do: no-read\r\nContent-Length: %d\r\n\r\n%s", len(inside), inside))
	r.response("GET")
	time.Sleep(settle)
	for _, s := range w.log.since(0) {
		if strings.Contains(s.Line, "smuggled") {
			w.Errorf("an endpoint saw %q, which was a body", s.Line)
		}
	}
}

// Two requests in one packet are answered in order, each by its own route.
func guardPipelining(w *world) {
	w.apply(`
routes:
  - {id: a, host: a.example, to: [e1]}
  - {id: b, host: b.example, to: [e2]}
`)
	r := w.raw()
	r.send("POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nX-Do: delay=50ms\r\n\r\nhello" +
		"GET /2 HTTP/1.1\r\nHost: b.example\r\n\r\n" +
		"GET /3 HTTP/1.1\r\nHost: a.example\r\n\r\n")
	for i, method := range []string{"POST", "GET", "GET"} {
		want := []string{"e1", "e2", "e1"}[i]
		a := readAnswer(r.response(method))
		w.want(a, 200, want)
	}
}

func guardExpectation(w *world) {
	w.apply(routeAny)
	r := w.raw()
	r.send("POST / HTTP/1.1\r\nHost: a.example\r\nExpect: a-miracle\r\nContent-Length: 5\r\n\r\nhello")
	if resp := r.response("POST"); resp.StatusCode != http.StatusExpectationFailed && resp.StatusCode != 200 {
		w.Errorf("answered %d, want 417, or 200 for one that is passed on", resp.StatusCode)
	}
}

// An endpoint may not make the engine remember without end.
func guardEndlessHeaders(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		line := "X-A: " + strings.Repeat("y", 1000) + "\r\n"
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
		for range 100_000 {
			if _, err := conn.Write([]byte(line)); err != nil {
				return
			}
		}
	})
	w.apply(routeAny)
	w.want(w.get("http://a.example/"), http.StatusBadGateway, "")
}

func guardInformationalStorm(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		for range 100_000 {
			if _, err := conn.Write([]byte("HTTP/1.1 103 Early Hints\r\nX-A: " + strings.Repeat("y", 1000) + "\r\n\r\n")); err != nil {
				return
			}
		}
	})
	w.apply(routeAny)
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	for n := 0; ; n++ {
		resp, err := http.ReadResponse(r.r, nil)
		if err != nil || resp.StatusCode >= 500 {
			break // hung up, or said that the endpoint is bad: both are right
		}
		if resp.StatusCode != http.StatusEarlyHints || n > 10_000 {
			w.Fatalf("after %d answers with 103 came %d", n, resp.StatusCode)
		}
	}
}

// A client can distinguish an answer that was cut off from a whole one.
func guardCutAnswer(w *world) {
	w.apply(routeAny)
	a := w.get("http://a.example/", "X-Do: size=100000; cut")
	if a.broken == nil {
		w.Errorf("the endpoint broke off, but the client got %d of %d bytes as a whole answer", len(a.body), a.ContentLength)
	}
	// The connection that broke is not used again, the endpoint is.
	w.want(w.get("http://a.example/"), 200, "e1")
}

// In HTTP/2 it is the end of the stream that says whether an answer without a length
// is whole (RFC 9113, 8.1).
func guardCutChunks(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "the beginning")
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	})
	w.apply(`
tls: [a.example]
routes: [{id: any, to: [e1]}]
`)
	for _, h2 := range []bool{false, true} {
		a := w.do(w.client("https", h2), http.MethodGet, "https://a.example/", nil)
		if a.StatusCode == http.StatusOK && a.broken == nil {
			w.Errorf("HTTP/2: %v: the endpoint broke off, but the client got %q as a whole answer", h2, a.body)
		}
	}
}
