package enginetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const routeTLS = `
tls: [a.example]
routes: [{id: any, to: [e1]}]
`

// http2Cases are HTTP/2 in and out, and gRPC, which needs both.
func http2Cases() []goCase {
	return []goCase{
		{"chosen by ALPN", alpn},
		{"many requests on one connection", manyStreams},
		{"cookies are one header", cookieCrumbs},
		{"canceled requests reach the endpoint", cancelStream},
		{"h2c endpoint", h2cEndpoint},
		{"https endpoint", httpsEndpoint},
		{"https endpoint that cannot be verified", httpsUnverified},
		{"gRPC", grpcStream},
		{"gRPC without a body", grpcTrailersOnly},
		{"gRPC to a backend without endpoints", grpcUnavailable},
	}
}

func alpn(w *world) {
	w.apply(routeTLS)
	for _, tt := range []struct {
		offer []string
		want  string
	}{
		{[]string{"h2", "http/1.1"}, "h2"},
		{[]string{"http/1.1", "h2"}, "h2"},
		{[]string{"http/1.1"}, "http/1.1"},
		{nil, ""},
	} {
		conn := w.dialTLS("a.example", tt.offer...)
		if got := conn.ConnectionState().NegotiatedProtocol; got != tt.want {
			w.Errorf("offered %v, got %q, want %q", tt.offer, got, tt.want)
		}
	}
	a := w.do(w.client("https", true), http.MethodGet, "https://a.example/x?y=1", nil)
	w.want(a, 200, "e1")
	s := w.log.since(0)[0]
	if a.ProtoMajor != 2 || s.Proto != "HTTP/1.1" || s.Line != "GET /x?y=1" || s.Host != "a.example" {
		w.Errorf("HTTP/%d became %s %s for host %s", a.ProtoMajor, s.Line, s.Proto, s.Host)
	}
	// HTTP/2 knows no connection headers.
	for _, name := range []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade"} {
		if a.Header.Get(name) != "" {
			w.Errorf("the answer has %s", name)
		}
	}
}

func manyStreams(w *world) {
	w.apply(routeTLS)
	c := w.client("https", true)
	w.want(w.do(c, http.MethodGet, "https://a.example/", nil), 200, "e1")
	var all []pending
	for i := range 80 {
		all = append(all, w.begin(c, http.MethodPost, fmt.Sprint("https://a.example/", i), strings.NewReader(fmt.Sprint("body ", i)), "X-Do: delay=20ms"))
	}
	for _, p := range all {
		w.want(p.end(), 200, "e1")
	}
	for _, s := range w.log.since(1) {
		if want := strings.Replace(s.Body, "body ", "POST /", 1); s.Line != want {
			w.Errorf("%s came with the body %q", s.Line, s.Body)
		}
	}
}

// HTTP/2 may send a cookie in pieces; HTTP/1.1 has one header (RFC 9113, 8.2.3).
func cookieCrumbs(w *world) {
	w.apply(routeTLS)
	w.want(w.do(w.client("https", true), http.MethodGet, "https://a.example/", nil, "Cookie: a=1", "Cookie: b=2"), 200, "e1")
	if got := w.log.since(0)[0].Header["Cookie"]; len(got) != 1 || got[0] != "a=1; b=2" {
		w.Errorf("the endpoint saw %q, want one header a=1; b=2", got)
	}
}

func cancelStream(w *world) {
	arrived, left := make(chan struct{}), make(chan struct{})
	w.serve("e1", func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/wait" {
			return
		}
		close(arrived)
		<-r.Context().Done()
		close(left)
	})
	w.apply(routeTLS)
	c := w.client("https", true)
	ctx, cancel := context.WithCancel(w.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://a.example/wait", nil)
	if err != nil {
		w.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if resp, err := c.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	})
	receive(w, "request", arrived)
	cancel()
	wg.Wait()
	receive(w, "the endpoint hears that the client left", left)
	w.want(w.do(c, http.MethodGet, "https://a.example/", nil), 200, "") // the connection lives on
}

func h2cEndpoint(w *world) {
	w.apply(`routes: [{id: any, scheme: h2c, to: [e1]}]`)
	c := w.client("http", false)
	for i := range 5 {
		a := w.do(c, http.MethodPost, "http://a.example/x?y=1", strings.NewReader("hello"))
		w.want(a, 200, "e1")
		if s := w.log.since(i)[0]; s.Proto != "HTTP/2.0" || s.Line != "POST /x?y=1" || s.Body != "hello" || s.Host != "a.example" {
			w.Errorf("the endpoint saw %s %s for %s with %q", s.Proto, s.Line, s.Host, s.Body)
		}
	}
}

func httpsEndpoint(w *world) {
	w.apply(`routes: [{id: any, scheme: https, verify: {skipVerify: true}, to: [e1]}]`)
	w.want(w.get("http://a.example/x"), 200, "e1")
	s := w.log.since(0)[0]
	if s.Proto != "HTTP/2.0" && s.Proto != "HTTP/1.1" || s.Host != "a.example" || s.Header.Get("X-Forwarded-Proto") != "http" {
		w.Errorf("the endpoint saw %s for %s, forwarded %s", s.Proto, s.Host, s.Header.Get("X-Forwarded-Proto"))
	}
}

// A certificate that does not verify is no endpoint: nothing is sent there.
func httpsUnverified(w *world) {
	w.apply(`
routes:
  - {id: own, host: own.example, scheme: https, to: [e1]}
  - {id: named, host: named.example, scheme: https, verify: {serverName: endpoint.test}, to: [e2]}
`)
	w.want(w.get("http://own.example/"), http.StatusBadGateway, "")
	w.want(w.get("http://named.example/"), http.StatusBadGateway, "")
	if n := w.log.len(); n != 0 {
		w.Errorf("the endpoints saw %d requests", n)
	}
}

// grpcFrame puts a message into the frame of gRPC: not compressed, its length,
// itself.
func grpcFrame(message string) []byte {
	b := []byte{0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	return append(b, message...)
}

func readGRPCFrame(r io.Reader) (string, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	message := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(r, message)
	return string(message), err
}

// A stream both ways at once, and the trailers that carry its status.
func grpcStream(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, r *http.Request) {
		w.endpoints["e1"].noteHead(r)
		rw.Header().Set("Content-Type", "application/grpc")
		rw.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		_ = http.NewResponseController(rw).Flush()
		for {
			message, err := readGRPCFrame(r.Body)
			if err != nil {
				break
			}
			_, _ = rw.Write(grpcFrame("echo " + message))
			_ = http.NewResponseController(rw).Flush()
		}
		rw.Header().Set("Grpc-Status", "0")
		rw.Header().Set("Grpc-Message", "fine")
	})
	w.apply(`
tls: [a.example]
routes: [{id: any, path: /chat.Chat, scheme: h2c, to: [e1]}]
`)
	body, pipe := io.Pipe()
	ctx, cancel := context.WithTimeout(w.Context(), 2*patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://a.example/chat.Chat/Talk", body)
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	resp, err := w.client("https", true).Do(req)
	if err != nil {
		w.Fatalf("open the stream: %v", err)
	}
	defer resp.Body.Close()
	for _, word := range []string{"one", "two", "three"} {
		_, _ = pipe.Write(grpcFrame(word))
		got, err := readGRPCFrame(resp.Body)
		if err != nil || got != "echo "+word {
			w.Fatalf("said %s, got %q (%v)", word, got, err)
		}
	}
	_ = pipe.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		w.Errorf("after the last message came %q (%v)", rest, err)
	}
	if resp.Trailer.Get("Grpc-Status") != "0" || resp.Trailer.Get("Grpc-Message") != "fine" {
		w.Errorf("trailers: %v", resp.Trailer)
	}
	if got := w.log.since(0)[0].Header.Get("Te"); got != "trailers" {
		w.Errorf("the endpoint saw TE %q; gRPC asks for trailers", got)
	}
}

// An error right away: the status is in the trailers of an empty answer.
func grpcTrailersOnly(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/grpc")
		rw.Header().Set("Grpc-Status", "5")
		rw.WriteHeader(http.StatusOK)
	})
	w.apply(`
tls: [a.example]
routes: [{id: any, scheme: h2c, to: [e1]}]
`)
	a := w.do(w.client("https", true), http.MethodPost, "https://a.example/x", bytes.NewReader(grpcFrame("hello")),
		"Content-Type: application/grpc", "Te: trailers")
	w.want(a, 200, "")
	if a.Header.Get("Grpc-Status") != "5" && a.Trailer.Get("Grpc-Status") != "5" {
		w.Errorf("headers %v, trailers %v", a.Header, a.Trailer)
	}
}

// A gRPC client takes HTTP 503 for UNAVAILABLE, which it may try again.
func grpcUnavailable(w *world) {
	w.apply(`
tls: [a.example]
routes: [{id: any, scheme: h2c, to: []}]
`)
	start := time.Now()
	a := w.do(w.client("https", true), http.MethodPost, "https://a.example/x", bytes.NewReader(grpcFrame("hello")), "Content-Type: application/grpc")
	if a.StatusCode != http.StatusServiceUnavailable || time.Since(start) > patience {
		w.Errorf("answered %d after %v, want 503 at once", a.StatusCode, time.Since(start))
	}
}
