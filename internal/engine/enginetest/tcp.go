package enginetest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// tcpCases are connections that are passed through.
func tcpCases() []goCase {
	return []goCase{
		{"an endpoint may speak first", tcpServerFirst},
		{"the end of one direction leaves the other open", tcpHalfClose},
		{"many bytes in both directions", tcpMuch},
		{"routes by server name", tcpServerName},
		{"a client without a name is not kept waiting for ever", tcpSilent},
		{"the PROXY protocol is spoken to endpoints", tcpSendProxy},
		{"the PROXY protocol comes before TLS", proxyBeforeTLS},
		{"connections outlive tables", tcpSwap},
		{"a draining endpoint gets nothing new", tcpDrain},
		{"a connection waits for an endpoint", tcpHold},
		{"silence ends a connection", tcpIdle},
	}
}

// peer starts an endpoint that talks by itself.
func (w *world) peer(name string, talk func(c *net.TCPConn)) {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	var talks sync.WaitGroup
	talks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			talks.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(2 * patience))
				talk(c.(*net.TCPConn))
			})
		}
	})
	w.Cleanup(func() {
		_ = l.Close()
		talks.Wait()
	})
	w.endpoints[name] = &endpoint{name: name, address: l.Addr().String(), log: w.log}
}

// echo sends its name and then what it gets.
func (w *world) echo(name string) {
	w.Helper()
	w.peer(name, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, name+"\n")
		_, _ = io.Copy(c, c)
	})
}

// tcp is a table with the listener tcp and a route for each text, which is the end
// of a route in YAML.
func tcp(routes ...string) string {
	var b strings.Builder
	b.WriteString("listeners: [{name: tcp, tcp: true}]\nroutes:\n")
	for i, r := range routes {
		fmt.Fprintf(&b, "  - {id: r%d, scheme: tcp, when: [{kind: listener, values: [tcp]}], %s}\n", i, r)
	}
	return b.String()
}

// line reads one line of a connection.
func (w *world) line(c net.Conn) string {
	w.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(c, b); err != nil {
			w.Fatalf("after %q: %v", line, err)
		}
		if b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}

// wantLine fails the case unless this line comes next.
func (w *world) wantLine(c net.Conn, want string) {
	w.Helper()
	if got := w.line(c); got != want {
		w.Fatalf("got %q, want %q", got, want)
	}
}

// wantEnd fails the case unless the connection ends here.
func (w *world) wantEnd(c net.Conn) {
	w.Helper()
	if rest, err := io.ReadAll(c); len(rest) > 0 || isTimeout(err) {
		w.Fatalf("got %q (%v), want the end", rest, err)
	}
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func tcpServerFirst(w *world) {
	w.echo("e1")
	w.apply(tcp("to: [e1]"))
	start := time.Now()
	w.wantLine(w.dial("tcp"), "e1")
	if d := time.Since(start); d > patience/2 {
		w.Errorf("it took %v", d)
	}
}

func tcpHalfClose(w *world) {
	w.peer("e1", func(c *net.TCPConn) {
		said, _ := io.ReadAll(c)
		fmt.Fprintf(c, "%s!\n", said)
	})
	w.peer("e2", func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "done\n")
		_ = c.CloseWrite()
		said, _ := io.ReadAll(c)
		w.log.add(seen{Endpoint: "e2", Body: string(said)})
	})
	w.apply(tcp("to: [e1]"))
	c := w.dial("tcp")
	_, _ = io.WriteString(c, "ping")
	_ = c.(*net.TCPConn).CloseWrite()
	w.wantLine(c, "ping!")
	w.wantEnd(c)

	w.apply(tcp("to: [e2]"))
	c = w.dial("tcp")
	w.wantLine(c, "done")
	w.wantEnd(c)
	_, _ = io.WriteString(c, "more")
	_ = c.Close()
	w.eventually("the endpoint gets the rest", func() bool {
		saw := w.log.since(0)
		return len(saw) == 1 && saw[0].Body == "more"
	})
}

func tcpMuch(w *world) {
	w.peer("e1", func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	w.apply(tcp("to: [e1]"))
	c := w.dial("tcp")
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	go func() {
		_, _ = c.Write(sent)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
		w.Errorf("of %d bytes %d came back (%v)", len(sent), len(got), err)
	}
}

// tcpServerName has endpoints that terminate TLS themselves: whose certificate a
// client sees shows which one it reached.
func tcpServerName(w *world) {
	for _, name := range []string{"a", "wild", "rest"} {
		pair := w.keyPair(name + ".test")
		w.peer(name, func(c *net.TCPConn) {
			_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
			_, _ = io.Copy(io.Discard, c)
		})
	}
	w.apply(tcp(
		"host: a.example, to: [a]",
		"host: '*.wild.example', to: [wild]",
		"to: [rest]",
	) + "  - {id: web, host: a.example, to: [web]}\n")
	for name, want := range map[string]string{
		"a.example": "a.test", "A.EXAMPLE": "a.test", "x.wild.example": "wild.test", "other.example": "rest.test", "": "rest.test",
	} {
		c := tls.Client(w.dial("tcp"), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err := c.HandshakeContext(w.Context()); err != nil {
			w.Errorf("asked for %q: %v", name, err)
			continue
		}
		if got, _ := presented(c); got != want {
			w.Errorf("asked for %q, got %s, want %s", name, got, want)
		}
		_ = c.Close()
	}
	// Routes for requests and for connections have nothing to do with each other.
	w.want(w.get("http://a.example/"), 200, "web")
	w.want(w.get("http://x.wild.example/"), 404, "")
	w.apply(tcp("host: a.example, to: [a]"))
	c := w.dial("tcp")
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	w.wantEnd(c)
}

func tcpSilent(w *world) {
	w.echo("named")
	w.echo("rest")
	w.apply(tcp("host: a.example, to: [named]", "to: [rest]"))
	c := w.dial("tcp")
	_ = c.SetDeadline(time.Now().Add(3 * patience))
	w.wantLine(c, "rest")
}

func tcpSendProxy(w *world) {
	w.peer("e1", func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		h, err := proxyproto.Read(r)
		if err != nil {
			fmt.Fprintf(c, "%v\n", err)
			return
		}
		said, _ := r.ReadString('.')
		fmt.Fprintf(c, "v%d %s %s %s\n", h.Version, h.SourceAddr, h.DestinationAddr, said)
	})
	for _, version := range []int{1, 2} {
		w.apply(tcp(fmt.Sprintf("sendProxy: %d, to: [e1]", version)))
		c := w.dial("tcp")
		_, _ = io.WriteString(c, "ping.")
		w.wantLine(c, fmt.Sprintf("v%d %s %s ping.", version, c.LocalAddr(), c.RemoteAddr()))
	}
	// What came in by the protocol goes out by it.
	proxied := func(table string) string {
		return "trusted: [127.0.0.0/8]\n" + strings.Replace(table, "tcp: true", "tcp: true, proxyProtocol: true", 1)
	}
	w.apply(proxied(tcp("sendProxy: 2, to: [e1]")))
	c := w.dial("tcp")
	_, _ = io.WriteString(c, "PROXY TCP4 203.0.113.7 192.0.2.1 4000 5432\r\nping.")
	w.wantLine(c, "v2 203.0.113.7:4000 192.0.2.1:5432 ping.")
	// Without the header there is no connection, with a broken one neither.
	for _, said := range []string{"ping.", "PROXY TCP4 nobody 192.0.2.1 4000 5432\r\nping.", "PROXY "} {
		c := w.dial("tcp")
		_, _ = io.WriteString(c, said)
		_ = c.(*net.TCPConn).CloseWrite()
		w.wantEnd(c)
	}
	// Those of others do not count.
	w.apply(strings.Replace(proxied(tcp("sendProxy: 2, to: [e1]")), "127.0.0.0/8", "10.0.0.0/8", 1))
	c = w.dial("tcp")
	_, _ = io.WriteString(c, "PROXY TCP4 203.0.113.7 192.0.2.1 4000 5432\r\nping.")
	w.wantEnd(c)
}

func proxyBeforeTLS(w *world) {
	w.apply(`
trusted: [127.0.0.0/8]
tls: [a.example]
listeners: [{name: https, proxyProtocol: true}]
routes: [{id: any, host: a.example, to: [e1]}]
`)
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := w.dial("https")
		_, _ = io.WriteString(c, "PROXY TCP4 203.0.113.7 192.0.2.1 4000 443\r\n")
		secured := tls.Client(c, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, NextProtos: []string{protocol}})
		if err := secured.HandshakeContext(w.Context()); err != nil {
			w.Fatalf("%s: %v", protocol, err)
		}
		before := w.log.len()
		transport := onConn(secured)
		transport.Protocols.SetHTTP1(protocol != "h2")
		transport.Protocols.SetHTTP2(protocol == "h2")
		w.want(w.do(&http.Client{Transport: transport}, http.MethodGet, "https://a.example/", nil), 200, "e1")
		if got, _ := w.log.since(before)[0].get("X-Forwarded-For"); got != "203.0.113.7" {
			w.Errorf("%s: the client is %s", protocol, got)
		}
	}
}

func tcpSwap(w *world) {
	w.echo("e1")
	w.echo("e2")
	w.apply(tcp("to: [e1]"))
	addr := w.engine.Addr("tcp").String()
	c := w.dial("tcp")
	w.wantLine(c, "e1")
	for _, next := range []string{tcp("to: [e1, e2]"), tcp("hold: 1s, to: [e1]"), tcp("to: [e1]", "host: b.example, to: [e2]")} {
		w.apply(next)
		_, _ = io.WriteString(c, "still\n")
		w.wantLine(c, "still")
	}
	if got := w.engine.Addr("tcp").String(); got != addr {
		w.Errorf("the listener moved from %s to %s", addr, got)
	}
}

func tcpDrain(w *world) {
	w.echo("e1")
	w.echo("e2")
	w.apply(tcp("to: [e1]"))
	c := w.dial("tcp")
	w.wantLine(c, "e1")
	w.apply(tcp(`to: ["e1!draining", e2]`))
	for range 4 {
		w.wantLine(w.dial("tcp"), "e2")
	}
	_, _ = io.WriteString(c, "still\n")
	w.wantLine(c, "still")
}

func tcpHold(w *world) {
	w.echo("e1")
	w.apply(tcp("to: [dead1]"))
	w.wantEnd(w.dial("tcp"))
	w.apply(tcp("hold: 5s, to: []"))
	c := w.dial("tcp")
	time.Sleep(settle)
	w.apply(tcp("hold: 5s, to: [dead1, e1]"))
	w.wantLine(c, "e1")
	for range 4 {
		w.wantLine(w.dial("tcp"), "e1")
	}
}

func tcpIdle(w *world) {
	w.echo("e1")
	w.apply(tcp("idle: 2s, to: [e1]"))
	c := w.dial("tcp")
	w.wantLine(c, "e1")
	start := time.Now()
	for range 8 {
		time.Sleep(300 * time.Millisecond)
		_, _ = io.WriteString(c, "x\n")
		w.wantLine(c, "x")
	}
	w.wantEnd(c)
	if d := time.Since(start); d < 4*time.Second {
		w.Errorf("it ended after %v", d)
	}
}
