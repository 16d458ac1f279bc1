package enginetest

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"fairway/internal/route"
)

// chainCases put one engine in front of another: both must read every message
// alike, and nothing may be lost between them.
func chainCases() []goCase {
	return []goCase{
		{"headers and bodies", chainPlain},
		{"streams", chainStreams},
		{"messages that are read in two ways", chainSmuggling},
	}
}

// behind starts a second engine that serves e1 and puts the first in front of
// it. It trusts the first.
func (w *world) behind() (back *world) {
	w.Helper()
	back = newWorld(w.TB, w.start)
	back.log, back.endpoints = w.log, w.endpoints
	back.apply(`
trusted: [127.0.0.0/8]
routes: [{id: back, to: [e1]}]
`)
	b := &route.Backend{
		ID: "front", Service: "front", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin},
		Endpoints: []route.Endpoint{{ID: "back", Instance: "back", Address: back.engine.Addr("http").String(), Weight: 1, State: route.EndpointReady}},
	}
	t := w.table(`routes: [{id: front}]`)
	r := *t.Routes[0]
	r.Backend = b.ID
	front, err := route.New(t.Revision, t.Listeners, []*route.Route{&r}, []*route.Backend{b}, nil)
	if err != nil {
		w.Fatal(err)
	}
	w.applyTable(front)
	return back
}

func chainPlain(w *world) {
	w.behind()
	c := w.client("http", false)
	for i := range 10 {
		body := strings.Repeat("x", i*10_000)
		w.want(w.do(c, http.MethodPost, fmt.Sprint("http://a.example/x?i=", i), strings.NewReader(body), "X-Forwarded-For: 10.0.0.1"), 200, "e1")
		s := w.log.since(i)[0]
		if s.Line != fmt.Sprint("POST /x?i=", i) || s.Host != "a.example" || s.Body != body {
			w.Errorf("the endpoint saw %s for %s with %d bytes", s.Line, s.Host, len(s.Body))
		}
		if got := s.Header.Get("X-Forwarded-For"); got != "127.0.0.1, 127.0.0.1" {
			w.Errorf("the endpoint got %q: the front trusts no peer, the back trusts the front", got)
		}
		if got := s.Header["X-Request-Id"]; len(got) != 1 {
			w.Errorf("the endpoint got the request IDs %q", got)
		}
	}
}

func chainStreams(w *world) {
	words := make(chan string)
	w.serve("e1", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echo("e1")(rw, r)
			return
		}
		events(words, "text/event-stream")(rw, r)
	})
	w.behind()
	_, say := openWebSocket(w, w.client("http", false), "ws://a.example/ws")
	next := openEvents(w, w.client("http", false), "http://a.example/events")
	for i := range 5 {
		word := fmt.Sprint("word ", i)
		if got, err := say(word); err != nil || got != "e1:"+word {
			w.Fatalf("said %s, got %q (%v)", word, got, err)
		}
		w.emit(words, word)
		if got := next(); got != "data: "+word {
			w.Fatalf("got %q, want %s", got, word)
		}
	}
}

// Each text holds a request that must stay a body, or nothing. What tells them
// apart is the front's reading; the endpoint must never see /smuggled.
func chainSmuggling(w *world) {
	w.behind()
	inside := "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
	n := len(inside)
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", n, inside)
	for _, head := range []string{
		"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\nContent-Length: 0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nContent-Length: %d\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0%d\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\ncontent-length: %d\r\nX-A: b\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length:\t%d\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		"OPTIONS / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n",
		"DELETE / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\nConnection: Content-Length\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\nConnection: Content-Length, Transfer-Encoding\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\nX-Do: no-read\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	} {
		w.smuggle(fmt.Sprintf(head, n) + inside)
	}
	for _, te := range []string{
		"Transfer-Encoding: chunked", "transfer-encoding: CHUNKED", "Transfer-Encoding:\tchunked", "Transfer-Encoding: chunked\r\nContent-Length: 5",
		"Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding",
		"Transfer_Encoding: chunked", "Transfer-Encoding : chunked", "X-A: b\r\n Transfer-Encoding: chunked", "Transfer-Encoding: \x0bchunked",
		"Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding:\r\n chunked",
	} {
		w.smuggle("POST / HTTP/1.1\r\nHost: a.example\r\n" + te + "\r\n\r\n" + chunk)
	}
	w.want(w.get("http://a.example/"), 200, "e1")
}

func (w *world) smuggle(text string) {
	w.Helper()
	before := w.log.len()
	r := w.raw()
	_ = r.SetDeadline(time.Now().Add(settle))
	r.send(text)
	// A second client follows on the connections between the two.
	w.want(w.get("http://a.example/after"), 200, "e1")
	_, _ = http.ReadResponse(r.r, nil)
	_ = r.Close()
	for _, s := range w.log.since(before) {
		// What the front reads as a request of its own is one: it is told by
		// the header that the front sets. Between the two it must not appear.
		if strings.Contains(s.Line, "smuggled") && !strings.HasPrefix(s.Header.Get("X-Forwarded-For"), "127.0.0.1, ") {
			w.Errorf("%q: the endpoint saw %s, unread by the front", text, s.Line)
		}
	}
}
