package enginetest

import (
	"io"
	"net/http"
	"strings"
	"time"

	"fairway/internal/engine/enginetest/script"
)

// hostileAnswer is what an endpoint sends instead of an answer that is right.
type hostileAnswer struct {
	name   string
	method string // GET when empty
	text   string // the bytes the endpoint sends
	hangUp bool   // and then closes the connection
	want   string // statuses, as in data cases
	body   string // what the client may get of it when the status is below 400
	broken bool   // the client must notice that the body is not whole, or get none
}

func hostileAnswers() []hostileAnswer {
	const ok = "HTTP/1.1 200 OK\r\n"
	second := ok + "Content-Length: 4\r\nX-Evil: 1\r\n\r\nevil"
	return []hostileAnswer{
		{name: "a second answer behind the first", text: ok + "Content-Length: 5\r\n\r\nhello" + second, want: "200", body: "hello"},
		{name: "a body behind 204", text: "HTTP/1.1 204 No Content\r\n\r\n" + second, want: "204"},
		{name: "a length on 204", text: "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", want: "204|502"},
		{name: "a body behind 304", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n" + second, want: "304"},
		{name: "a body for HEAD", method: "HEAD", text: ok + "Content-Length: 4\r\n\r\nevil" + second, want: "200"},
		{name: "two lengths", text: ok + "Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello" + second, want: "502"},
		{name: "a length that is none", text: ok + "Content-Length: +5\r\n\r\nhello", want: "502"},
		{name: "a length below zero", text: ok + "Content-Length: -5\r\n\r\nhello", want: "502"},
		{name: "length and chunks", text: ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + second, want: "200|502", body: "hi"},
		{name: "a coding that nobody asked for", text: ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", want: "502"},
		{name: "a chunk that is none", text: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", want: "200|502", body: "hello", broken: true},
		{name: "chunks without an end", text: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", hangUp: true, want: "200", body: "hello", broken: true},
		{name: "less than the length", text: ok + "Content-Length: 50\r\n\r\nhello", hangUp: true, want: "200", body: "hello", broken: true},
		{name: "a body that ends with the connection", text: ok + "\r\nhello", hangUp: true, want: "200", body: "hello"},
		{name: "no reason", text: "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", want: "200", body: "hello"},
		{name: "HTTP/1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", hangUp: true, want: "200", body: "hello"},
		{name: "a status that is none", text: "HTTP/1.1 2OO OK\r\nContent-Length: 5\r\n\r\nhello", want: "502"},
		{name: "a status of two digits", text: "HTTP/1.1 99 Low\r\nContent-Length: 5\r\n\r\nhello", want: "502"},
		{name: "a status of four digits", text: "HTTP/1.1 1000 High\r\nContent-Length: 5\r\n\r\nhello", want: "502"},
		{name: "a status of nothing", text: "HTTP/1.1 000 Nothing\r\nContent-Length: 5\r\n\r\nhello", want: "502"},
		{name: "a blank behind the name of the length", text: ok + "Content-Length : 5\r\n\r\nhello", want: "502"},
		{name: "a blank behind a name", text: ok + "X-A : b\r\nContent-Length: 5\r\n\r\nhello", want: "200|502", body: "hello"},
		{name: "another protocol", text: "SSH-2.0-OpenSSH_9.2\r\n", want: "502"},
		{name: "100 and nothing behind it", text: "HTTP/1.1 100 Continue\r\n\r\n", hangUp: true, want: "502", broken: true},
		{name: "half a head", text: ok + "X-A: b\r\nX-", hangUp: true, want: "502"},
		{name: "a name that is none", text: ok + "X Evil: 1\r\nContent-Length: 5\r\n\r\nhello", want: "200|502", body: "hello"},
		{name: "NUL in a value", text: ok + "X-A: evil\x00\r\nContent-Length: 5\r\n\r\nhello", want: "200|502", body: "hello"},
		{name: "CR in a value", text: ok + "X-A: b\rX-Evil: 1\r\nContent-Length: 5\r\n\r\nhello", want: "200|502", body: "hello"},
		{name: "101 that was not asked for", text: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n" + second, want: "502"},
	}
}

// answerCases are answers of endpoints that are wrong, hostile or early.
func answerCases() []goCase {
	cases := []goCase{
		{"an answer before the request is over", earlyAnswer},
		{"a client's faults are not the endpoint's", blameless},
	}
	for _, h := range hostileAnswers() {
		cases = append(cases, goCase{h.name, func(w *world) { h.run(w) }})
	}
	return cases
}

// run lets one client have the answer. The next one, whose request may go over
// the same connection, must get its own. Where bytes stand behind the answer, the
// engine gets a moment to notice them: an endpoint can answer anything to a
// request that comes at the same instant, and HTTP/1.1 cannot distinguish the two.
func (h hostileAnswer) run(w *world) {
	ended := make(chan struct{}, 8) // a request may be tried again
	w.serve("e1", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hostile" {
			_, _ = io.WriteString(rw, "for "+r.URL.Path)
			return
		}
		conn, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, h.text)
		if !h.hangUp {
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			_, _ = buffered.ReadByte() // until the engine hangs up, or sends another request
		}
		select {
		case ended <- struct{}{}:
		default:
		}
	})
	w.apply(routeAny)
	method := h.method
	if method == "" {
		method = http.MethodGet
	}
	p := w.begin(w.client("http", false), method, "http://a.example/hostile", nil)
	if strings.Contains(h.text, "evil") {
		select {
		case <-ended:
		case <-time.After(time.Second):
		}
	}
	for _, path := range []string{"/1", "/2", "/3"} {
		a := w.get("http://a.example" + path)
		if a.StatusCode != 200 || a.body != "for "+path {
			w.Errorf("another client got %d with %q for %s", a.StatusCode, a.body, path)
		}
		if path == "/1" {
			h.judge(w, <-p.done)
		}
	}
}

func (h hostileAnswer) judge(w *world, a pendingEnd) {
	w.Helper()
	if a.err != nil { // hung up: the client cannot take that for an answer
		if !h.broken {
			w.Errorf("no answer: %v", a.err)
		}
		return
	}
	if status := a.Status[:3]; !script.StatusMatches(h.want, status) {
		w.Errorf("answered %s, want %s; body: %q", status, h.want, a.body)
	}
	if a.StatusCode < 400 && (a.body != h.body || (a.broken != nil) != h.broken) {
		w.Errorf("the body is %q (%v), want %q, broken: %v", a.body, a.broken, h.body, h.broken)
	}
	for name, values := range a.Header {
		if strings.Contains(strings.ToLower(name), evil) || strings.ContainsAny(strings.Join(values, ""), "\x00\r\n") {
			w.Errorf("the client got %s: %q", name, values)
		}
	}
}

// An endpoint that has made up its mind need not read the body, and the client
// need not send it all.
func earlyAnswer(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex() // else the server reads first
		rw.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(rw, "too much")
	})
	w.apply(routeAny)
	body, pipe := io.Pipe()
	defer pipe.Close()
	p := w.begin(w.client("http", false), http.MethodPost, "http://a.example/", body)
	_, _ = io.WriteString(pipe, "the beginning")
	a := p.end()
	if a.StatusCode != http.StatusRequestEntityTooLarge || a.body != "too much" {
		w.Errorf("answered %d with %q, want the endpoint's 413", a.StatusCode, a.body)
	}
}

// Clients that break off, or send what is wrong, take no endpoint out.
func blameless(w *world) {
	w.apply(`
tls: [a.example]
routes: [{id: any, maxFails: 1, filters: [{maxBody: {bytes: 100}}], to: [e1, e2]}]
`)
	head := "POST / HTTP/1.1\r\nHost: a.example\r\n"
	for name, text := range map[string]string{
		"half a body":       head + "Content-Length: 50\r\n\r\nhello",
		"half a chunk":      head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"a bad chunk":       head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello",
		"too much":          head + "Transfer-Encoding: chunked\r\n\r\nff\r\n" + strings.Repeat("x", 255) + "\r\n0\r\n\r\n",
		"left while it ran": head + "X-Do: delay=1s\r\nContent-Length: 0\r\n\r\n",
	} {
		for range 4 {
			r := w.raw()
			r.send(text)
			time.Sleep(settle / 5)
			_ = r.Close()
		}
		w.balanced("HTTP/1.1, " + name)
	}
	for name, fields := range map[string][]field{
		"a method that is none": {{":method", "GET /evil"}, {":scheme", "https"}, {":authority", "a.example"}, {":path", "/"}},
		"half a body":           good(field{"content-length", "50"}),
	} {
		for range 4 {
			f := w.frames()
			f.request(fields, "hello")
			time.Sleep(settle / 5)
			_ = f.conn.Close()
		}
		w.balanced("HTTP/2, " + name)
	}
}

// balanced checks that requests still go to both of e1 and e2. They need not get the
// same number: a request of before may come between.
func (w *world) balanced(after string) {
	w.Helper()
	time.Sleep(settle / 2)
	c := w.client("http", false)
	who := map[string]int{}
	for range 4 {
		a := w.do(c, http.MethodGet, "http://a.example/", nil)
		w.want(a, 200, "")
		who[a.Header.Get(headerEndpoint)]++
	}
	if who["e1"] == 0 || who["e2"] == 0 {
		w.Errorf("%s: after it requests went to %v", after, who)
	}
}
