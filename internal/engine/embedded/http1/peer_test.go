package http1

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/engine/embedded/wire"
	"fairway/internal/route/field"
)

// answering makes a pool of connections to an endpoint that answers each request with 204,
// once it has read its body.
func answering(t *testing.T) *Pool {
	p := NewPool(PoolLimits{Head: 1 << 10, Idle: time.Hour, Most: 2}, func(context.Context, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			for r := bufio.NewReader(far); ; {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(far, "HTTP/1.1 204 No Content\r\n\r\n")
			}
		}()
		return near, nil
	})
	t.Cleanup(func() { p.CloseIdle(true) })
	return p
}

// ask has a connection of the pool answer a request without a body, within the limit.
func ask(t *testing.T, p *Pool, limit time.Duration) *Peer {
	peer, err := p.Get(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	_ = peer.Send([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), time.Now(), limit)
	if err := peer.Receive("GET", func(*wire.Response) {}); err != nil {
		t.Fatal(err)
	}
	return peer
}

// TestUploadOutlivesTheExchangeBefore: the limit for an answer on a connection is none for
// the body of the next request on it.
func TestUploadOutlivesTheExchangeBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := answering(t)
		ask(t, p, 10*time.Second).Done(true, time.Now())
		peer, err := p.Get(t.Context(), "")
		if err != nil || !peer.Reused() {
			t.Fatalf("the connection was not kept: %v", err)
		}
		_ = peer.Send([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n"), time.Now(), 0)
		body, client := io.Pipe()
		go func() {
			for range 30 {
				time.Sleep(time.Second)
				_, _ = client.Write([]byte("x"))
			}
			_ = client.Close()
		}()
		peer.Upload(body, 30, false, 10*time.Second)
		if err := peer.Receive("POST", func(*wire.Response) {}); err != nil {
			t.Errorf("the answer to an upload of 30 s: %v", err)
		}
		peer.Done(false, time.Now())
		_ = body.Close()
	})
}

// TestInterruptStays: nothing that bounds an exchange afterwards has it wait again.
func TestInterruptStays(t *testing.T) {
	for name, next := range map[string]func(*Peer){
		"the limit of the head": func(p *Peer) { p.ReadWithin(time.Minute) },
		"the body of an answer": func(p *Peer) { p.body = wire.NewBody(&p.in, 5, false); p.freely() },
		"the body of a request": func(p *Peer) { p.unbound() },
	} {
		synctest.Test(t, func(t *testing.T) {
			p := answering(t)
			ask(t, p, time.Second).Done(true, time.Now())
			peer, err := p.Get(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			interrupt, stop := NewInterrupt(ctx)
			defer stop()
			interrupt.Watch(peer)
			cancel()
			synctest.Wait()
			next(peer)
			began := time.Now()
			time.AfterFunc(time.Hour, func() { _ = peer.Close() })
			if err := peer.Receive("GET", func(*wire.Response) {}); err == nil || time.Since(began) > 0 {
				t.Errorf("%s: it ended after %v: %v", name, time.Since(began), err)
			}
			_ = peer.Close()
		})
	}
}

// TestUnusedConnectionHoldsNothing: neither a kept connection nor a spare exchange holds
// what was said on it.
func TestUnusedConnectionHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := answering(t)
		peer := ask(t, p, time.Second)
		peer.Response.Fields = append(peer.Response.Fields, field.Line{Name: "Set-Cookie", Value: "secret"})
		peer.body.Trailers = field.List{{Name: "T", Value: "secret"}}
		peer.Done(true, time.Now())
		var x Exchange
		x.Request.Fields = field.List{{Name: "A", Value: "b"}, {Name: "Cookie", Value: "secret"}}[:1]
		x.clear()
		for name, list := range map[string]field.List{
			"answer": peer.Response.Fields[:1], "trailers": peer.body.Trailers, "request": x.Request.Fields[:2],
		} {
			for _, f := range list {
				if f.Value != "" {
					t.Errorf("%s: %v is still there", name, f)
				}
			}
		}
	})
}

// gathered is a connection that sends nothing while it is held.
type gathered struct {
	net.Conn
	held bool
	out  bytes.Buffer
}

// Write keeps the bytes while it is held.
func (g *gathered) Write(p []byte) (int, error) {
	if g.held {
		return g.out.Write(p)
	}
	return g.Conn.Write(p)
}

// selfSigned is a configuration of a server with a certificate of its own.
func selfSigned(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// TestSecondAnswerOverTLS: an answer that comes unasked in one piece with another is
// for no client, also where TLS holds it back; a connection without one is kept.
func TestSecondAnswerOverTLS(t *testing.T) {
	config := selfSigned(t)
	for _, evil := range []bool{false, true} {
		p := NewPool(PoolLimits{Head: 1 << 10, Idle: time.Hour, Most: 2}, func(ctx context.Context, _ string) (net.Conn, error) {
			near, far := net.Pipe()
			g := &gathered{Conn: far}
			go func() {
				server := tls.Server(g, config)
				for r := bufio.NewReader(server); ; {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					g.held = true
					_, _ = io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					if evil {
						_, _ = io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
					}
					g.held = false
					_, _ = g.out.WriteTo(far)
				}
			}()
			c := tls.Client(near, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the other end is above
			return c, c.HandshakeContext(ctx)
		})
		for i := range 3 {
			peer := ask(t, p, 10*time.Second)
			if body, err := io.ReadAll(peer); err != nil || string(body) != "ok" {
				t.Errorf("two answers %v: request %d is answered %q, %v", evil, i, body, err)
			}
			if peer.Reused() != (i > 0 && !evil) {
				t.Errorf("two answers %v: request %d has a connection that was used: %v", evil, i, peer.Reused())
			}
			peer.Done(true, time.Now())
		}
		p.CloseIdle(true)
	}
}
