package dockerapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// authority signs certificates for a test and writes them to files.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes <name>.pem and <name>-key.pem.
func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	check(t, os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	check(t, os.WriteFile(a.file(name+"-key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// TestTLS reaches an engine that demands a client certificate, and refuses or is
// refused where it must.
func TestTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	here := []net.IP{net.ParseIP("127.0.0.1")}
	a.issue(t, "engine", &x509.Certificate{IPAddresses: here, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.issue(t, "elsewhere", &x509.Certificate{DNSNames: []string{"elsewhere.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	for _, x := range []*authority{a, stranger} {
		x.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	serve := func(cert string, most uint16) string {
		pair, err := tls.LoadX509KeyPair(a.file(cert), a.file(cert+"-key"))
		check(t, err)
		roots := x509.NewCertPool()
		roots.AddCert(a.cert)
		s := httptest.NewUnstartedServer(recorded())
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS10, MaxVersion: most}
		s.StartTLS()
		t.Cleanup(s.Close)
		return "tcp://" + s.Listener.Addr().String()
	}
	good, wrongName, tooOld := serve("engine", tls.VersionTLS13), serve("elsewhere", tls.VersionTLS13), serve("engine", tls.VersionTLS11)
	options := func(url string, ca, client *authority) Options {
		return Options{URL: url, CAFile: ca.file("ca"), CertFile: client.file("client"), KeyFile: client.file("client-key"), Timeout: 5 * time.Second}
	}
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"good", options(good, a, a), ""},
		{"wrong host name", options(wrongName, a, a), "certificate"},
		{"unknown authority", options(good, stranger, a), "unknown authority"},
		{"client of another authority", options(good, a, stranger), "tls"},
		{"TLS 1.1", options(tooOld, a, a), "protocol version"},
		{"no TLS", Options{URL: good, Insecure: true, Timeout: 5 * time.Second}, "HTTPS server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, tt.o)
			_, err := c.ContainerList(t.Context(), true)
			if pingErr := c.Ping(t.Context()); (pingErr == nil) != (err == nil) {
				t.Errorf("ping says %v, list %v", pingErr, err)
			}
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) && !strings.Contains(err.Error(), "TLS")):
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"no certificate", func(o *Options) { o.CertFile = "" }, "the file for certificate is missing"},
		{"no CA", func(o *Options) { o.CAFile = "" }, "the file for CA is missing"},
		{"contradiction", func(o *Options) { o.Insecure = true }, "contradicts"},
		{"CA file missing", func(o *Options) { o.CAFile = "/nowhere" }, "read CA"},
		{"CA file empty", func(o *Options) { o.CAFile = o.KeyFile }, "no certificate in"},
		{"key of another", func(o *Options) { o.KeyFile = a.file("engine-key") }, "read client certificate"},
	} {
		o := options(good, a, a)
		tt.change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// sshServer is an SSH server that forwards to unix sockets and nothing else.
type sshServer struct {
	addr string
	mu   sync.Mutex
	open []net.Conn
	seen int // connections so far
}

func newSSHServer(t *testing.T, host ssh.Signer, user ssh.PublicKey) *sshServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := &sshServer{addr: l.Addr().String()}
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "deploy" || string(key.Marshal()) != string(user.Marshal()) {
			return nil, errors.New("not you")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open = append(s.open, conn)
			s.seen++
			s.mu.Unlock()
			running.Go(func() { serveSSH(conn, config) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.cut()
		running.Wait()
	})
	return s
}

// count returns how many connections there have been.
func (s *sshServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func (s *sshServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		c.Close()
	}
	s.open = nil
}

func serveSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	var running sync.WaitGroup
	defer running.Wait()
	for offer := range channels {
		var to struct {
			Path     string
			Reserved string
			Port     uint32
		}
		if offer.ChannelType() != "direct-streamlocal@openssh.com" || ssh.Unmarshal(offer.ExtraData(), &to) != nil {
			_ = offer.Reject(ssh.UnknownChannelType, "no")
			continue
		}
		engine, err := net.Dial("unix", to.Path)
		if err != nil {
			_ = offer.Reject(ssh.ConnectionFailed, "no such socket")
			continue
		}
		channel, requests, err := offer.Accept()
		if err != nil {
			engine.Close()
			continue
		}
		go ssh.DiscardRequests(requests)
		running.Go(func() {
			defer channel.Close()
			_, _ = io.Copy(channel, engine)
		})
		running.Go(func() {
			defer engine.Close()
			_, _ = io.Copy(engine, channel)
		})
	}
}

// TestSSH reaches an engine's socket through SSH: with a key file and with an
// agent, again after the connection broke, and never an unknown host.
func TestSSH(t *testing.T) {
	dir := t.TempDir()
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	host, err := ssh.NewSignerFromKey(hostKey)
	check(t, err)
	userKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	user, err := ssh.NewSignerFromKey(userKey)
	check(t, err)
	socket := strings.TrimPrefix(recorded().Listen(t), "unix://")
	server := newSSHServer(t, host, user.PublicKey())

	file := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		check(t, os.WriteFile(p, data, 0o600))
		return p
	}
	block, err := ssh.MarshalPrivateKey(userKey, "")
	check(t, err)
	identity := file("id", pem.EncodeToMemory(block))
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(userKey, "", []byte("x"))
	check(t, err)
	known := file("known_hosts", []byte(knownhosts.Line([]string{server.addr}, host.PublicKey())+"\n"))
	otherHost, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, 32)))
	check(t, err)
	wrong := file("wrong_hosts", []byte(knownhosts.Line([]string{server.addr}, otherHost)+"\n"))
	agentSocket := serveAgent(t, filepath.Join(dir, "agent.sock"), userKey)
	otherAgent := serveAgent(t, filepath.Join(dir, "other.sock"), &hostKey)
	url := "ssh://deploy@" + server.addr + socket

	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"key file", Options{URL: url, KnownHosts: []string{known}, IdentityFile: identity}, ""},
		{"agent", Options{URL: url, KnownHosts: []string{known}, AgentSocket: agentSocket}, ""},
		{"unknown host", Options{URL: url, KnownHosts: []string{file("none", nil)}, IdentityFile: identity}, "key is unknown"},
		{"impostor", Options{URL: url, KnownHosts: []string{wrong}, IdentityFile: identity}, "key mismatch"},
		{"wrong user", Options{URL: strings.Replace(url, "deploy", "root", 1), KnownHosts: []string{known}, IdentityFile: identity}, "unable to authenticate"},
		{"no such socket", Options{URL: url + "x", KnownHosts: []string{known}, IdentityFile: identity}, "no such socket"},
		{"agent gone, key file", Options{URL: url, KnownHosts: []string{known}, IdentityFile: identity, AgentSocket: "/nowhere"}, ""},
		{"agent with other keys, key file", Options{URL: url, KnownHosts: []string{known}, IdentityFile: identity, AgentSocket: otherAgent}, ""},
		{"no agent there", Options{URL: url, KnownHosts: []string{known}, AgentSocket: "/nowhere"}, "reach ssh agent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Timeout = 5 * time.Second
			c := newClient(t, tt.o)
			_, err := c.ContainerList(t.Context(), true)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if want := (Host{Name: "127.0.0.1"}); c.Host() != want {
				t.Errorf("host %+v", c.Host())
			}
		})
	}
	t.Run("again", func(t *testing.T) {
		c := newClient(t, Options{URL: url, KnownHosts: []string{known}, IdentityFile: identity})
		seen := server.count()
		for range 3 {
			check(t, c.Ping(t.Context()))
			_, err := c.Info(t.Context())
			check(t, err)
		}
		if n := server.count() - seen; n != 1 {
			t.Errorf("%d connections for one client", n)
		}
		server.cut()
		// The first call may still meet the broken connection.
		if c.Ping(t.Context()) != nil {
			c.Reset()
			check(t, c.Ping(t.Context()))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Ping(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled ping: %v", err)
		}
	})
	for name, o := range map[string]Options{
		"passphrase":        {URL: url, KnownHosts: []string{known}, IdentityFile: file("locked", pem.EncodeToMemory(locked))},
		"identity":          {URL: url, KnownHosts: []string{known}, IdentityFile: known},
		"or an agent":       {URL: url, KnownHosts: []string{known}},
		"read known hosts":  {URL: url, KnownHosts: []string{"/nowhere"}, IdentityFile: identity},
		"read identity":     {URL: url, KnownHosts: []string{known}, IdentityFile: "/nowhere"},
		"known-hosts file:": {URL: url, IdentityFile: identity},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// serveAgent serves an SSH agent with one key on socket, and returns it.
func serveAgent(t *testing.T, socket string, key any) string {
	t.Helper()
	ring := agent.NewKeyring()
	check(t, ring.Add(agent.AddedKey{PrivateKey: key}))
	l, err := net.Listen("unix", socket)
	check(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				_ = agent.ServeAgent(ring, conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return socket
}
