package enginetest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"fairway/internal/engine/enginetest/script"
)

// wireCase is what a client sends on one connection of HTTP/1, byte by byte, and
// what it reads there.
type wireCase struct {
	name string
	send string
	want []string // statuses in order, as in data cases; "closed" at the end
	saw  []string // request lines that endpoints see
}

const wireTable = `
tls: [a.example]
routes: [{id: any, to: [e1]}]
`

// wireMessages are messages that say in which cases a connection may be used
// again. Each is sent in clear and over TLS.
func wireMessages() []wireCase {
	const (
		next    = "GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n"
		chunks  = "5\r\nhello\r\n0\r\n\r\n"
		chunked = "POST /1 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
	)
	return []wireCase{
		// RFC 9112, 6.1: the framing is faulty, and the connection ends with it.
		{
			name: "HTTP/1.0 with a transfer coding",
			send: "POST /1 HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n" + next,
			want: []string{"400", "closed"},
		},
		{
			name: "HTTP/1.0 with a transfer coding and a length",
			send: "POST /1 HTTP/1.0\r\nHost: a.example\r\ntransfer-encoding: chunked\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n" + next,
			want: []string{"200|400", "closed"},
			saw:  []string{"POST /1"},
		},
		{
			name: "HTTP/1.0 that is kept alive",
			send: "GET /1 HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n",
			want: []string{"200"},
			saw:  []string{"GET /1"},
		},
		{
			name: "a length beside chunks",
			send: strings.Replace(chunked, "Host:", "Content-Length: 4\r\nHost:", 1) + next,
			want: []string{"200|400", "closed"},
			saw:  []string{"POST /1"},
		},
		{
			name: "a length beside chunks, behind another request",
			send: next + strings.Replace(chunked, "Host:", "content-length: 4\r\nHost:", 1) + next,
			want: []string{"200", "200|400", "closed"},
			saw:  []string{"GET /next", "POST /1"},
		},
		{
			name: "chunks and lengths in turn",
			send: "POST /0 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello" + chunked + next,
			want: []string{"200", "200", "200"},
			saw:  []string{"POST /0", "POST /1", "GET /next"},
		},
		// RFC 9931: what follows may have been meant for a tunnel.
		{
			name: "CONNECT that is refused",
			send: "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n" + next,
			want: []string{"400|405", "closed"},
		},
		{
			name: "CONNECT with a body",
			send: "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 43\r\n\r\n" + next,
			want: []string{"400|405", "closed"},
		},
		// RFC 9110, 15.2: HTTP/1.0 knows no 1xx.
		{
			name: "103 for HTTP/1.0",
			send: "GET /1 HTTP/1.0\r\nHost: a.example\r\nX-Do: hint=Link: </style.css>; rel=preload\r\n\r\n",
			want: []string{"200", "closed"},
			saw:  []string{"GET /1"},
		},
	}
}

// wireCases are about what stands on a connection, before and behind the answer.
func wireCases() []goCase {
	cases := []goCase{
		{"early hints with fields of the connection", hintsOfTheConnection},
		{"a client that closes its side", closedSide},
		{"a switch without Connection", switchWithoutConnection},
	}
	for _, c := range wireMessages() {
		cases = append(cases, goCase{c.name, func(w *world) { c.run(w) }})
	}
	return cases
}

func (c wireCase) run(w *world) {
	w.apply(wireTable)
	c.play(w, "in clear", w.dial("http"), false)
	c.play(w, "over TLS", w.dialTLS("a.example", "http/1.1"), false)
}

// RFC 9112, 9.6: a client may close its side and wait for the answers.
func closedSide(w *world) {
	w.apply(wireTable)
	const post = "POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello"
	const get = "GET /2 HTTP/1.1\r\nHost: a.example\r\n\r\n"
	for _, c := range []wireCase{
		{send: get, want: []string{"200", "closed"}, saw: []string{"GET /2"}},
		{send: post, want: []string{"200", "closed"}, saw: []string{"POST /1"}},
		{send: post + get, want: []string{"200", "200", "closed"}, saw: []string{"POST /1", "GET /2"}},
	} {
		c.play(w, "in clear", w.dial("http"), true)
		c.play(w, "over TLS", w.dialTLS("a.example", "http/1.1"), true)
	}
}

// play sends the message over the connection, with half closes the client's side
// then, and compares.
func (c wireCase) play(w *world, how string, conn net.Conn, half bool) {
	w.Helper()
	before := w.log.len()
	r := &raw{w, conn, newReader(conn)}
	r.send(c.send)
	if half {
		r.closeWrite()
	}
	var got []string
	for _, want := range c.want {
		method, _, _ := strings.Cut(c.send, " ")
		status := r.status(method)
		got = append(got, status)
		if !script.StatusMatches(want, status) {
			break
		}
	}
	if len(got) != len(c.want) || !script.StatusMatches(c.want[len(c.want)-1], got[len(got)-1]) {
		w.Errorf("%s: answered %v, want %v", how, got, c.want)
	}
	_ = conn.Close()
	var saw []string
	for _, s := range w.log.since(before) {
		saw = append(saw, s.Line)
	}
	if refused := slices.Contains(got, "400"); !slices.Equal(saw, c.saw) && (!refused || len(saw) > len(c.saw)) {
		w.Errorf("%s: endpoints saw %q, want %q", how, saw, c.saw)
	}
}

// status reads the next answer whole: its status, or "closed" when there is none.
func (r *raw) status(method string) string {
	r.w.Helper()
	resp, err := http.ReadResponse(r.r, &http.Request{Method: method})
	if err == nil {
		return readAnswer(resp).Status[:3]
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "still open"
	}
	return "closed"
}

// closeWrite ends what the client sends.
func (r *raw) closeWrite() {
	r.w.Helper()
	var err error
	switch conn := r.Conn.(type) {
	case *tls.Conn:
		err = conn.CloseWrite()
	case *net.TCPConn:
		err = conn.CloseWrite()
	}
	if err != nil {
		r.w.Fatal(err)
	}
}

// Fields that belong to the endpoint's connection are in no answer, 1xx included
// (RFC 9110, 7.6.1); in HTTP/2 they would make the answer malformed.
func hintsOfTheConnection(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nConnection: keep-alive, X-Hop\r\n"+
			"X-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\r\n"+
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
	})
	w.apply(wireTable)
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	hint := r.response("GET")
	if hint.StatusCode != http.StatusEarlyHints || hint.Header.Get("Link") == "" {
		w.Fatalf("answered %d with %v, want 103 with Link", hint.StatusCode, hint.Header)
	}
	for _, name := range []string{"Connection", "X-Hop", "Keep-Alive", "Proxy-Connection", "Upgrade"} {
		if v, ok := hint.Header[name]; ok {
			w.Errorf("the 103 has %s: %s", name, v)
		}
	}
	a := w.do(w.client("https", true), http.MethodGet, "https://a.example/", nil)
	if w.want(a, 200, ""); a.body != "hello" {
		w.Errorf("over HTTP/2 the body is %q", a.body)
	}
}

// A 101 that does not name Upgrade in Connection switches nothing (RFC 9110, 7.8).
func switchWithoutConnection(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	})
	w.apply(routeAny)
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if resp := r.response("GET"); resp.StatusCode != http.StatusBadGateway {
		w.Errorf("answered %d, want 502", resp.StatusCode)
	}
}
