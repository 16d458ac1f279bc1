package probe

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairway/internal/route"
)

// TestConnection: of a backend for connections, an endpoint passes that can be
// connected to, whatever it speaks.
func TestConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &route.Backend{Scheme: route.SchemeTCP, Health: &route.Health{}}
	if err := Endpoint(context.Background(), b, l.Addr().String()); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Endpoint(context.Background(), b, l.Addr().String()); err == nil {
		t.Error("an endpoint that nobody listens at passes")
	}
}

// The real probe, over loopback.
func TestRequest(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	var last atomic.Pointer[http.Request]
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(r)
		switch r.URL.Path {
		case "/up":
		case "/redirect":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
					return
				}
			}
		case "/slow":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	plain := httptest.NewServer(handler)
	defer plain.Close()
	h2c := httptest.NewUnstartedServer(handler)
	h2c.Config.Protocols = new(http.Protocols)
	h2c.Config.Protocols.SetUnencryptedHTTP2(true)
	h2c.Start()
	defer h2c.Close()
	secure := httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()

	for _, tt := range []struct {
		name    string
		scheme  route.Scheme
		path    string
		status  int
		tls     *route.TLS
		server  *httptest.Server
		wantErr string
	}{
		{name: "200", path: "/up"},
		{name: "query", path: "/up?deep=1"},
		{name: "404", path: "/nope", wantErr: "status 404"},
		{name: "redirect passes and is not followed", path: "/redirect"},
		{name: "the status asked for", path: "/teapot", status: 418},
		{name: "not the status asked for", path: "/up", status: 204, wantErr: "status 200"},
		{name: "endless body", path: "/endless"},
		{name: "no answer", path: "/slow", wantErr: "deadline"},
		{name: "host in the path", path: "//" + other.Listener.Addr().String() + "/up", wantErr: "status 404"},
		{name: "URL for a path", path: other.URL + "/up"},
		{name: "not a path", path: "up", wantErr: "check path"},
		{name: "h2c", scheme: route.SchemeH2C, path: "/up", server: h2c},
		{name: "https, no name to verify", scheme: route.SchemeHTTPS, path: "/up", server: secure},
		{name: "https, not verifiable", scheme: route.SchemeHTTPS, path: "/up", server: secure, tls: &route.TLS{ServerName: "a.example"}, wantErr: "certificate"},
		{name: "https, any", scheme: route.SchemeHTTPS, path: "/up", server: secure, tls: &route.TLS{ServerName: "a.example", SkipVerify: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := tt.server
			if server == nil {
				server = plain
			}
			address := server.Listener.Addr().String()
			def := &route.Backend{Scheme: tt.scheme, TLS: tt.tls, Health: &route.Health{Path: tt.path, Status: tt.status}}
			limit := 10 * time.Second
			if tt.name == "no answer" {
				limit = 300 * time.Millisecond // all of it is waited for
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			last.Store(nil)
			err := Endpoint(ctx, def, address)
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("got %v, want %q", err, tt.wantErr)
			}
			if seen := last.Load(); seen != nil && (seen.Host != address || seen.Method != http.MethodGet) {
				t.Errorf("asked %s of host %s", seen.Method, seen.Host)
			}
			if elsewhere.Load() > 0 {
				t.Error("the probe went to another address")
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.Listener.Addr().String()
	server.Close()
	if err := Endpoint(t.Context(), &route.Backend{Health: &route.Health{Path: "/"}}, address); err == nil {
		t.Error("nobody listens, and the probe passed")
	}
}

// TestAsksAsTheCheckSays: host, port and headers of the check are sent, the host as
// the server name of TLS, too.
func TestAsksAsTheCheckSays(t *testing.T) {
	var last atomic.Pointer[http.Request]
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(r)
		if r.Host != "app.example" {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	}))
	defer server.Close()
	address := server.Listener.Addr().(*net.TCPAddr)
	b := &route.Backend{Scheme: route.SchemeHTTPS, Health: &route.Health{
		Path: "/up", Host: "app.example", Port: uint16(address.Port),
		Headers: []route.HeaderValue{{Name: "User-Agent", Value: "me"}, {Name: "X-Forwarded-Proto", Value: "https"}},
	}}
	if err := Endpoint(t.Context(), b, net.JoinHostPort(address.IP.String(), "1")); err != nil {
		t.Fatal(err)
	}
	r := last.Load()
	if r.TLS.ServerName != "app.example" || r.Header.Get("X-Forwarded-Proto") != "https" || r.Header.Get("User-Agent") != "me" {
		t.Errorf("server name %q, header %v", r.TLS.ServerName, r.Header)
	}
	b.Health.Host, b.Health.Port = "2001:db8::1", 0
	_ = Endpoint(t.Context(), b, address.String())
	if r = last.Load(); r.Host != "[2001:db8::1]" {
		t.Errorf("asked for %s", r.Host)
	}
}
