// Package servername has every engine meet clients that ask for one name in the handshake of
// TLS and for another, or the same in another spelling, in the request.
//
// Which certificate is shown follows from the server name alone, and which route answers from
// the host alone; only where the two names demand different things of a handshake is the
// request sent away. In which pieces the hello comes is of no account.
package servername

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/engine/enginetest/overquic"
	"fairway/internal/route"
	"fairway/internal/route/tlsoption"
	"fairway/internal/testkit"
)

// Engine is what is needed of an engine.
type Engine interface {
	// Apply makes a table live, as in control.Engine.
	Apply(ctx context.Context, t *route.Table) error
	// Addr returns the address that the listener of this name is bound to.
	Addr(listener string) net.Addr
}

// overQUIC is an engine that serves HTTP/3 as well.
type overQUIC interface {
	AddrQUIC(listener string) net.Addr
}

// patience is how long a request may take.
const patience = 10 * time.Second

// shown is the certificate for each server name; the first one of the listener is for all
// that have none. That of x.c.example is bound to this name, and is one for *.c.example.
var shown = map[string]string{
	"a.example": "a.example", "A.Example": "a.example",
	"x.b.example": "*.b.example", "X.B.EXAMPLE": "*.b.example", "b.example": "first.example", "y.x.b.example": "first.example",
	"x.c.example": "*.c.example", "y.c.example": "first.example",
	"bank.example": "bank.example", "Bank.example": "bank.example", "x.bank.example": "first.example",
	"unknown.example": "first.example", "": "first.example",
}

// answers is the route for each host as a request spells it; empty for none.
var answers = map[string]string{
	"a.example": "a", "A.EXAMPLE": "a", "a.example:443": "a", "a.example.": "a",
	"x.b.example": "b", "X.b.Example:8443": "b", "b.example": "", "y.x.b.example": "",
	"x.c.example":  "c",
	"bank.example": "bank", "BANK.example": "bank", "bank.example:443": "bank", "bank.example.": "bank", "bank.example.:8443": "bank",
	"x.bank.example": "branch", "X.bank.example.": "branch", "y.x.bank.example": "",
	"unknown.example": "",
}

// demanding says whether a name, in any spelling, is of those that demand a certificate of
// the client.
func demanding(name string) bool {
	name, _, _ = strings.Cut(strings.ToLower(name), ":")
	name = strings.TrimSuffix(name, ".")
	front, is := strings.CutSuffix(name, "bank.example")
	return is && strings.Count(front, ".") <= 1
}

// lab is an engine with the table of the tests.
type lab struct {
	*testing.T
	engine Engine
	pair   tls.Certificate // of a client whom the bank lets in
}

// Run has an engine meet all of them.
func Run(t *testing.T, e Engine) {
	t.Helper()
	l := &lab{T: t, engine: e}
	l.apply()
	for name, send := range hellos() {
		for _, protocol := range []string{"h1", "h2"} {
			t.Run(name+" over "+protocol, func(t *testing.T) {
				in := &lab{t, e, l.pair}
				for server, certificate := range shown {
					in.meet(server, certificate, in.overTCP(server, protocol == "h2", send))
				}
			})
		}
	}
	if q, ok := e.(overQUIC); ok {
		t.Run("over h3", func(t *testing.T) {
			in := &lab{t, e, l.pair}
			for server, certificate := range shown {
				in.meet(server, certificate, overquic.Transport(t, func() net.Addr { return q.AddrQUIC("https") }, in.config(server)))
			}
		})
	}
	t.Run("a target that names another host", func(t *testing.T) { (&lab{t, e, l.pair}).targets() })
}

// apply makes the table live.
func (l *lab) apply() {
	dir := l.TempDir()
	write := func(name string) route.Certificate {
		file := filepath.Join(dir, strings.ReplaceAll(name, "*", "_")+".pem")
		cert, key := testkit.KeyPair(l, name)
		if err := os.WriteFile(file, append(cert, key...), 0o600); err != nil {
			l.Fatal(err)
		}
		return route.Certificate{CertFile: file, KeyFile: file}
	}
	https := route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true}
	if _, ok := l.engine.(overQUIC); ok {
		https.QUIC.Address = "127.0.0.1:0"
	}
	for _, name := range []string{"first.example", "a.example", "*.b.example", "*.c.example", "bank.example"} {
		c := write(name)
		if name == "*.c.example" {
			c.Host = "x.c.example"
		}
		https.Certificates = append(https.Certificates, c)
	}
	authority := write("client").CertFile
	var err error
	if l.pair, err = tls.LoadX509KeyPair(authority, authority); err != nil {
		l.Fatal(err)
	}
	for _, host := range []string{"bank.example", "*.bank.example"} {
		https.Hosts = append(https.Hosts, tlsoption.Host{Host: host, ClientCAFile: authority, Require: true})
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "fine") }))
	l.Cleanup(server.Close)
	var routes []*route.Route
	for id, h := range map[string]route.Host{
		"a": {Kind: route.HostExact, Value: "a.example"}, "b": {Kind: route.HostWildcard, Value: "b.example"}, "c": {Kind: route.HostExact, Value: "x.c.example"},
		"bank": {Kind: route.HostExact, Value: "bank.example"}, "branch": {Kind: route.HostWildcard, Value: "bank.example"},
	} {
		routes = append(routes, &route.Route{
			ID: id, Service: id, Backend: "e", Matches: []route.Match{{Host: h, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
			Filters: []route.Filter{{ResponseHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "X-Route", Value: id}}}}},
		})
	}
	backend := &route.Backend{
		ID: "e", Service: "e", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin},
		Endpoints: []route.Endpoint{{ID: "e", Instance: "e", Address: server.Listener.Addr().String(), Weight: 1, State: route.EndpointReady}},
	}
	table, err := route.New(1, []route.Listener{https}, routes, []*route.Backend{backend}, nil)
	if err == nil {
		err = l.engine.Apply(l.Context(), table)
	}
	if err != nil {
		l.Fatal(err)
	}
}

// config is for a handshake that asks for a server name, with a certificate where the name
// demands one.
func (l *lab) config(server string, protocols ...string) *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, ServerName: server, NextProtos: protocols} //nolint:gosec // the test looks at the certificate
	if demanding(server) {
		c.Certificates = []tls.Certificate{l.pair}
	}
	return c
}

// dial connects to the engine; send sends the first bytes.
func (l *lab) dial(send func(net.Conn, []byte) error) net.Conn {
	conn, err := net.DialTimeout("tcp", l.engine.Addr("https").String(), patience)
	if err != nil {
		l.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	l.Cleanup(func() { _ = conn.Close() })
	return &first{Conn: conn, send: send}
}

// overTCP makes one connection for a server name.
func (l *lab) overTCP(server string, h2 bool, send func(net.Conn, []byte) error) http.RoundTripper {
	protocol := "http/1.1"
	if h2 {
		protocol = "h2"
	}
	transport := &http.Transport{Protocols: new(http.Protocols), MaxConnsPerHost: 1, DisableCompression: true}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetHTTP2(h2)
	transport.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn := tls.Client(l.dial(send), l.config(server, protocol))
		return conn, conn.HandshakeContext(ctx)
	}
	l.Cleanup(transport.CloseIdleConnections)
	return transport
}

// meet asks for all hosts on the connection that was made for a server name.
func (l *lab) meet(server, certificate string, transport http.RoundTripper) {
	for host, id := range answers {
		want := id
		switch {
		case demanding(server) != demanding(host):
			want = "421"
		case id == "":
			want = "404"
		}
		req, err := http.NewRequestWithContext(l.Context(), http.MethodGet, "https://192.0.2.1/", nil)
		if err != nil {
			l.Fatal(err)
		}
		req.Host = host
		resp, err := transport.RoundTrip(req)
		if err != nil {
			l.Errorf("server name %q, host %q: %v", server, host, err)
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		got := resp.Header.Get("X-Route")
		if resp.StatusCode != http.StatusOK {
			got = fmt.Sprint(resp.StatusCode)
		}
		if got != want {
			l.Errorf("server name %q, host %q: %s, want %s", server, host, got, want)
		}
		if leaf := resp.TLS.PeerCertificates[0]; leaf.Subject.CommonName != certificate {
			l.Errorf("server name %q: the certificate of %s is shown, want %s", server, leaf.Subject.CommonName, certificate)
		}
	}
}

// targets sends requests of HTTP/1.1 whose target and Host name different hosts, on a
// connection for one of them: the bank's routes answer none of them.
func (l *lab) targets() {
	for _, head := range []string{
		"GET https://bank.example/ HTTP/1.1\r\nHost: a.example\r\n", "GET https://a.example/ HTTP/1.1\r\nHost: bank.example\r\n",
		"GET http://bank.example/ HTTP/1.1\r\nHost: a.example\r\n", "GET https://bank.example:443/ HTTP/1.1\r\nHost: bank.example\r\n",
		"GET / HTTP/1.1\r\nHost: a.example\r\nHost: bank.example\r\n", "GET / HTTP/1.1\r\nHost: a.example, bank.example\r\n",
		"GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Host: bank.example\r\nForwarded: host=bank.example\r\n",
		"GET / HTTP/1.1\r\nHost: bank.example%20\r\n", "GET / HTTP/1.1\r\nHost: a.example@bank.example\r\n",
		"GET / HTTP/1.1\r\nHost: bank.example..\r\n", "GET / HTTP/1.1\r\nHost:bank.example\t\r\n",
	} {
		for _, server := range []string{"a.example", "", "unknown.example"} {
			conn := tls.Client(l.dial(whole), l.config(server, "http/1.1"))
			if _, err := io.WriteString(conn, head+"Connection: close\r\n\r\n"); err != nil {
				l.Errorf("server name %q, %q: %v", server, head, err)
				continue
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				continue // closed without an answer
			}
			_ = resp.Body.Close()
			if got := resp.Header.Get("X-Route"); got != "" && got != "a" {
				l.Errorf("server name %q, %q: the route %s answers with %d", server, head, got, resp.StatusCode)
			}
		}
	}
}

// first is a connection whose first bytes, a hello, are sent in a way of their own.
type first struct {
	net.Conn
	send func(net.Conn, []byte) error
	sent bool
}

// Write is net.Conn's.
func (c *first) Write(b []byte) (int, error) {
	if c.sent {
		return c.Conn.Write(b)
	}
	c.sent = true
	return len(b), c.send(c.Conn, b)
}

// hellos are the ways to send a hello.
func hellos() map[string]func(net.Conn, []byte) error {
	return map[string]func(net.Conn, []byte) error{"a whole hello": whole, "a hello in segments": segments, "a hello in records": records}
}

func whole(c net.Conn, hello []byte) error {
	_, err := c.Write(hello)
	return err
}

// segments sends every few bytes by themselves.
func segments(c net.Conn, hello []byte) error {
	for len(hello) > 0 {
		n := min(len(hello), 97)
		if _, err := c.Write(hello[:n]); err != nil {
			return err
		}
		hello = hello[n:]
	}
	return nil
}

// records sends the message in many records (RFC 8446, 5.1), each by itself.
func records(c net.Conn, hello []byte) error {
	const header = 5 // type, version and length
	for body := hello[header:]; len(body) > 0; {
		n := min(len(body), 61)
		record := append([]byte{hello[0], hello[1], hello[2], 0, byte(n)}, body[:n]...)
		if _, err := c.Write(record); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}
