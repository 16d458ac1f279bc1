package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/net/netutil"
)

// ServerOptions say where documents are served. Listen is required.
type ServerOptions struct {
	// Listen is host:port. Port 0 takes a free one.
	Listen string
	// CertFile and KeyFile are PEM files, for TLS; empty for none. They are read
	// again for each connection, so that they can be renewed in place.
	// ClientCAFile has the authorities that vouch for client certificates.
	CertFile, KeyFile, ClientCAFile string
	// Logger gets what goes wrong; nil logs nothing.
	Logger *slog.Logger
}

// Limits of the listener. HAProxies that wait for news hold a connection each.
const (
	maxServed     = 4096
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = maxWait + 30*time.Second
	idleTimeout   = 60 * time.Second
	stopTimeout   = 5 * time.Second
)

// Server serves documents on its listener.
type Server struct {
	log      *slog.Logger
	listener net.Listener
	http     *http.Server
}

// NewServer binds the listener. Requests are answered once Run is called. Whoever
// does not call Run calls Close.
func NewServer(f *Fleet, o ServerOptions) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	conf, err := serverTLS(o)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	s := &Server{log: o.Logger, listener: ln, http: &http.Server{
		Handler:           f.Handler(),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}}
	bound := netutil.LimitListener(ln, maxServed)
	if conf != nil {
		bound = tls.NewListener(bound, conf)
	} else if a, ok := ln.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		o.Logger.Warn("documents and tokens cross the network without TLS: set fleet.tls-cert and fleet.tls-key", "listen", ln.Addr().String())
	}
	s.listener = bound
	return s, nil
}

// serverTLS is nil without a certificate.
func serverTLS(o ServerOptions) (*tls.Config, error) {
	if o.CertFile == "" && o.KeyFile == "" && o.ClientCAFile == "" {
		return nil, nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		return &pair, err
	}
	if _, err := load(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	conf := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() },
	}
	if o.ClientCAFile != "" {
		text, err := os.ReadFile(o.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("client authorities: %w", err)
		}
		conf.ClientCAs = x509.NewCertPool()
		if !conf.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("client authorities: no certificate in %s", o.ClientCAFile)
		}
		conf.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return conf, nil
}

// Addr is the address that was bound.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close gives the address up without a grace period.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("fleet: %w", err)
	}
	return nil
}

// Run answers requests until ctx ends, and returns nil then. Those who wait for
// news are sent away. It returns an error when the listener fails before that.
func (s *Server) Run(ctx context.Context) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("fleet: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.http.Shutdown(stopping); err != nil {
		_ = s.http.Close() // the time is up
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("fleet: %w", err)
	}
	return nil
}
