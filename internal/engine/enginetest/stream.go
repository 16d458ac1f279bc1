package enginetest

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// streamCases are bodies that move while they are read, both ways.
func streamCases() []goCase {
	return []goCase{
		{"server-sent events arrive one by one", func(w *world) { serverSentEvents(w, routeAny) }},
		{"server-sent events through compress", func(w *world) {
			serverSentEvents(w, `routes: [{id: any, filters: [{compress: {}}], to: [e1]}]`)
		}},
		{"lines of JSON through compress", func(w *world) { linesOfJSON(w, "application/x-ndjson") }},
		{"lines of JSON of other types through compress", func(w *world) { linesOfJSON(w, "application/jsonl", "application/json-seq") }},
		{"chunks arrive one by one", chunksArrive},
		{"uploads arrive piece by piece", uploadArrives},
		{"uploads that pause for too long", uploadPauses},
		{"a client that leaves is told to the endpoint", clientLeaves},
		{"large bodies both ways", largeBodies},
		{"websocket", webSocket},
		{"websocket bytes sent at once", webSocketEarlyBytes},
		{"websocket refused by the endpoint", webSocketRefused},
		{"websocket that is silent for too long", webSocketIdle},
		{"other protocols that the table names", upgradeSwitches},
		{"other protocols, asked for with a body", upgradeWithBody},
		{"100 continue", continueAccepted},
		{"100 continue refused", continueRefused},
		{"103 early hints", earlyHints},
		{"trailers of answers", answerTrailers},
		{"trailers of requests", requestTrailers},
		{"HTTP/1.0 client and a chunked answer", oldClient},
	}
}

// events is an endpoint that sends an event for each word it is given, of the
// content type.
func events(words <-chan string, contentType string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", contentType)
		rw.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(rw).Flush()
		for {
			select {
			case word, ok := <-words:
				if !ok {
					return
				}
				_, _ = fmt.Fprintf(rw, "data: %s\n\n", word)
				_ = http.NewResponseController(rw).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}
}

// emit gives an endpoint of events a word to send.
func (w *world) emit(words chan<- string, word string) {
	w.Helper()
	select {
	case words <- word:
	case <-time.After(patience):
		w.Fatalf("no endpoint is there to send %q any more", word)
	}
}

// plain is the body of an answer without its coding. It waits for the first bytes.
func plain(w *world, resp *http.Response) io.Reader {
	w.Helper()
	if resp.Header.Get("Content-Encoding") != "gzip" {
		return resp.Body
	}
	unpacked, err := gzip.NewReader(resp.Body)
	if err != nil {
		w.Fatalf("the stream: %v", err)
	}
	return unpacked
}

// openEvents begins to read events and returns a function that gives the next
// line that is not empty.
func openEvents(w *world, c *http.Client, url string, header ...string) func() string {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), w.limit())
	w.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		w.Fatalf("open the stream: %v", err)
	}
	w.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		w.Fatalf("open the stream: %s", resp.Status)
	}
	var lines *bufio.Reader
	return func() string {
		w.Helper()
		if lines == nil {
			lines = bufio.NewReader(plain(w, resp))
		}
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				w.Fatalf("the stream ended: %v", err)
			}
			if line = strings.TrimSpace(line); line != "" {
				return line
			}
		}
	}
}

// Each event must be there before the next one is made: nothing is held back.
func serverSentEvents(w *world, table string) {
	words := make(chan string)
	w.serve("e1", events(words, "text/event-stream"))
	w.apply(table)
	next := openEvents(w, w.client("http", false), "http://a.example/", "Accept: text/event-stream", "Accept-Encoding: gzip")
	for _, word := range []string{"one", "two", "three"} {
		w.emit(words, word)
		if got := next(); got != "data: "+word {
			w.Fatalf("got %q, want %s", got, word)
		}
	}
}

// Of a stream of lines each arrives with its end, also where it is compressed.
func linesOfJSON(w *world, types ...string) {
	w.apply(`routes: [{id: any, filters: [{compress: {}}], to: [e1]}]`)
	for _, contentType := range types {
		lines := make(chan string)
		w.serve("e1", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", contentType)
			rw.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(rw).Flush()
			for {
				select {
				case line := <-lines:
					_, _ = io.WriteString(rw, line+"\n")
					_ = http.NewResponseController(rw).Flush()
				case <-r.Context().Done():
					return
				}
			}
		})
		next := openEvents(w, w.client("http", false), "http://a.example/", "Accept-Encoding: gzip")
		for i := range 3 {
			line := fmt.Sprintf(`{"n":%d}`, i)
			w.emit(lines, line)
			if got := next(); got != line {
				w.Fatalf("%s: got %q, want %q", contentType, got, line)
			}
		}
	}
}

// The same for any content type: a long answer that is made slowly.
func chunksArrive(w *world) {
	words := make(chan string)
	w.serve("e1", events(words, "application/x-ndjson"))
	w.apply(routeAny)
	next := openEvents(w, w.client("http", false), "http://a.example/")
	for _, word := range []string{"one", "two", "three"} {
		w.emit(words, word)
		if got := next(); got != "data: "+word {
			w.Fatalf("got %q, want %s", got, word)
		}
	}
}

// What a client sends reaches the endpoint while the client goes on.
func uploadArrives(w *world) {
	got := make(chan string)
	w.serve("e1", func(_ http.ResponseWriter, r *http.Request) {
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			select {
			case got <- lines.Text():
			case <-r.Context().Done():
				return
			}
		}
	})
	w.apply(routeAny)
	body, pipe := io.Pipe()
	upload := w.begin(w.client("http", false), http.MethodPost, "http://a.example/", body)
	for _, line := range []string{"one", "two", "three"} {
		_, _ = fmt.Fprintln(pipe, line)
		if have := receive(w, "line "+line, got); have != line {
			w.Fatalf("the endpoint got %q, want %s", have, line)
		}
	}
	_ = pipe.Close()
	w.want(upload.end(), 200, "e1")
}

// An endpoint need not go on for a client that is no longer there.
// uploadPauses: how long a client may pause in a body is the route's affair.
func uploadPauses(w *world) {
	w.apply(`
routes:
  - {id: short, host: short.example, bodyTimeout: 200ms, to: [e1]}
  - {id: usual, host: usual.example, to: [e1]}
`)
	begin := func(host string) *raw {
		r := w.raw()
		r.send("POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 100000\r\n\r\nbegun")
		return r
	}
	usual, short := begin("usual.example"), begin("short.example")
	if a := readAnswer(short.response("POST")); a.StatusCode != http.StatusRequestTimeout || a.Header.Get("X-Fairway-Error") != "slow-body" {
		w.Errorf("answered %d %q", a.StatusCode, a.body)
	}
	usual.send(strings.Repeat("x", 100_000-len("begun"))) // after the pause that was too long for the other
	if a := readAnswer(usual.response("POST")); a.StatusCode != http.StatusOK {
		w.Errorf("after a pause that is short enough: answered %d %q", a.StatusCode, a.body)
	}
}

func clientLeaves(w *world) {
	arrived, left := make(chan struct{}), make(chan struct{})
	w.serve("e1", func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(left)
	})
	w.apply(routeAny)
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	receive(w, "request", arrived)
	_ = r.Close()
	receive(w, "the endpoint hears that the client left", left)
}

func largeBodies(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(rw, r.Body)
	})
	w.apply(`
tls: [a.example]
routes: [{id: any, to: [e1]}]
`)
	body := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	for _, c := range []struct {
		name, url string
		client    *http.Client
	}{
		{"HTTP/1.1", "http://a.example/", w.client("http", false)},
		{"HTTP/1.1 with TLS", "https://a.example/", w.client("https", false)},
		{"HTTP/2", "https://a.example/", w.client("https", true)},
	} {
		for range 3 {
			a := w.do(c.client, http.MethodPost, c.url, strings.NewReader(body))
			w.want(a, 200, "e1")
			if a.body != body {
				w.Errorf("%s: sent %d bytes, got %d others back", c.name, len(body), len(a.body))
			}
		}
	}
}

// echo is an endpoint that sends every WebSocket message back, with its own
// name in front.
func echo(name string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, append([]byte(name+":"), message...)); err != nil {
				return
			}
		}
	}
}

// openWebSocket opens a WebSocket and returns it with a function that says a
// word and returns what comes back.
func openWebSocket(w *world, c *http.Client, url string) (*websocket.Conn, func(word string) (string, error)) {
	w.Helper()
	client := *c
	client.Timeout = 0 // it would end the stream
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &client, Subprotocols: []string{"chat"}})
	if err != nil {
		w.Fatalf("open the WebSocket: %v", err)
	}
	w.Cleanup(func() { _ = conn.CloseNow() })
	return conn, func(word string) (string, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Context()), patience)
		defer cancel()
		if err := conn.Write(ctx, websocket.MessageText, []byte(word)); err != nil {
			return "", err
		}
		_, message, err := conn.Read(ctx)
		return string(message), err
	}
}

func webSocketIdle(w *world) {
	w.serve("e1", echo("e1"))
	w.apply(`routes: [{id: any, idle: 2s, to: [e1]}]`)
	conn, say := openWebSocket(w, w.client("http", false), "ws://a.example/")
	start := time.Now()
	for range 8 {
		time.Sleep(300 * time.Millisecond)
		if got, err := say("x"); err != nil || got != "e1:x" {
			w.Fatalf("after %v: %q (%v)", time.Since(start), got, err)
		}
	}
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	if _, _, err := conn.Read(ctx); err == nil || ctx.Err() != nil {
		w.Errorf("the connection is still open (%v)", err)
	}
}

func webSocket(w *world) {
	w.serve("e1", echo("e1"))
	w.apply(`
tls: [a.example]
routes: [{id: any, path: /chat, filters: [{stripPrefix: {prefix: /chat}}], to: [e1]}]
`)
	for _, url := range []string{"ws://a.example/chat", "wss://a.example/chat"} {
		listener := "http"
		if strings.HasPrefix(url, "wss") {
			listener = "https"
		}
		conn, say := openWebSocket(w, w.client(listener, false), url)
		if conn.Subprotocol() != "chat" {
			w.Errorf("%s: the subprotocol is %q", url, conn.Subprotocol())
		}
		for _, word := range []string{"hello", strings.Repeat("long ", 5000)} {
			if got, err := say(word); err != nil || got != "e1:"+word {
				w.Fatalf("%s: said %d bytes, got %d back (%v)", url, len(word), len(got), err)
			}
		}
		if err := conn.Close(websocket.StatusNormalClosure, "done"); err != nil {
			w.Errorf("%s: close: %v", url, err)
		}
	}
}

// A client has to wait for 101 before it sends more (RFC 6455, 4.1). What it
// sends earlier may be lost or cut off, but never goes on as a request that the
// engine has not read.
func webSocketEarlyBytes(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, r *http.Request) {
		e := w.endpoints["e1"]
		e.noteHead(r)
		if r.URL.Path != "/accept" {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	})
	w.apply(`routes: [{id: a, host: a.example, to: [e1]}, {id: b, host: b.example, to: [e2]}]`)
	for path, want := range map[string]int{"/accept": http.StatusSwitchingProtocols, "/refuse": http.StatusForbidden} {
		r := w.raw()
		r.send("GET " + path + " HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" +
			"GET /early HTTP/1.1\r\nHost: b.example\r\n\r\n")
		if resp := r.response("GET"); resp.StatusCode != want {
			w.Errorf("%s: answered %d, want %d", path, resp.StatusCode, want)
		}
	}
	time.Sleep(settle)
	// After a refusal the rest is a request of its own, for the host it names.
	for _, s := range w.log.since(0) {
		if strings.Contains(s.Line, "early") && (s.Endpoint != "e2" || s.Header.Get("X-Forwarded-For") == "") {
			w.Errorf("%s saw %q, unread by the engine", s.Endpoint, s.Line)
		}
	}
}

func webSocketRefused(w *world) {
	w.apply(routeAny)
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Do: status=401; body=not you\r\n\r\n")
	a := readAnswer(r.response("GET"))
	w.want(a, http.StatusUnauthorized, "e1")
	if a.body != "not you" {
		w.Errorf("the endpoint's body became %q", a.body)
	}
	if s := w.log.since(0)[0]; s.Header.Get("Upgrade") != "websocket" || s.Header.Get("Sec-Websocket-Key") == "" {
		w.Errorf("the endpoint saw no WebSocket request: %v", s.Header)
	}
}

// A client that waits for 100 gets it when the endpoint wants the body.
func continueAccepted(w *world) {
	w.apply(routeAny)
	r := w.raw()
	r.send("POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
	if resp := r.response("POST"); resp.StatusCode != http.StatusContinue {
		w.Fatalf("answered %d, want 100", resp.StatusCode)
	}
	r.send("hello")
	w.want(readAnswer(r.response("POST")), 200, "e1")
	if s := w.log.since(0)[0]; s.Body != "hello" {
		w.Errorf("the endpoint saw the body %q", s.Body)
	}
}

// An endpoint that refuses a body spares the client from sending it.
func continueRefused(w *world) {
	w.apply(routeAny)
	r := w.raw()
	r.send("POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n" +
		"X-Do: no-read; status=403; body=too much\r\n\r\n")
	resp := r.response("POST")
	if resp.StatusCode != http.StatusForbidden {
		w.Fatalf("answered %d first, want the endpoint's 403", resp.StatusCode)
	}
}

// Informational answers reach the client before the final one.
func earlyHints(w *world) {
	w.apply(routeAny)
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\nX-Do: hint=Link: </style.css>; rel=preload\r\n\r\n")
	resp := r.response("GET")
	if resp.StatusCode != http.StatusEarlyHints || !strings.Contains(resp.Header.Get("Link"), "/style.css") {
		w.Fatalf("answered %d with Link %q, want 103 with the endpoint's", resp.StatusCode, resp.Header.Get("Link"))
	}
	w.want(readAnswer(r.response("GET")), 200, "e1")
}

func answerTrailers(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(rw, "hello")
		_ = http.NewResponseController(rw).Flush()
		rw.Header().Set("X-Sum", "42")
	})
	w.apply(routeAny)
	a := w.get("http://a.example/")
	w.want(a, 200, "")
	if got := a.Trailer.Get("X-Sum"); a.body != "hello" || got != "42" {
		w.Errorf("body %q, trailer %q; want hello, 42", a.body, got)
	}
}

// Trailers of a request are passed on or dropped, but never become headers:
// they came after everything that was decided on.
func requestTrailers(w *world) {
	var trailer http.Header
	done := make(chan struct{})
	w.serve("e1", func(_ http.ResponseWriter, r *http.Request) {
		w.endpoints["e1"].note(r)
		trailer = r.Trailer.Clone()
		close(done)
	})
	w.apply(routeAny)
	r := w.raw()
	r.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
		"5\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Forwarded-For: 10.0.0.1\r\nAuthorization: evil\r\n\r\n")
	w.want(readAnswer(r.response("POST")), 200, "e1")
	receive(w, "request", done)
	s := w.log.since(0)[0]
	if s.Body != "hello" || s.Header.Get("X-Sum") != "" || s.Header.Get("Authorization") != "" {
		w.Errorf("the endpoint saw the body %q and the headers %v", s.Body, s.Header)
	}
	if trailer.Get("X-Forwarded-For") != "" || trailer.Get("Authorization") != "" {
		w.Errorf("the endpoint saw trailers that were not announced: %v", trailer)
	}
}

// A client of HTTP/1.0 knows no chunks: the answer ends with the connection.
func oldClient(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(rw, "hello ")
			_ = http.NewResponseController(rw).Flush()
		}
	})
	w.apply(routeAny)
	r := w.raw()
	r.send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
	resp := r.response("GET")
	a := readAnswer(resp)
	if len(resp.TransferEncoding) > 0 || a.body != "hello hello hello " {
		w.Errorf("transfer encoding %v, body %q", resp.TransferEncoding, a.body)
	}
}
