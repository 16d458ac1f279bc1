// Package dockerapi is the one way Fairway reaches a Docker Engine: over a unix socket, over TCP
// with TLS client certificates, or over SSH to the engine's socket on the other machine.
//
// It offers named calls only: what Fairway can do to an engine is the list of the methods
// of Client, which tests hold to the wire. Discovery only reads, with GET and HEAD. Its types
// have no place for a container's environment, mounts or command.
//
// Nothing is read from the environment: no DOCKER_HOST, no proxy variables, no
// SSH_AUTH_SOCK.
package dockerapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/moby/moby/client"
)

// DefaultTimeout is the deadline of a call when Options.Timeout is zero.
const DefaultTimeout = 10 * time.Second

// DefaultSocket is where a Docker Engine listens by default.
const DefaultSocket = "/var/run/docker.sock"

// Options say where an engine is and how to be let in. Only URL is required.
type Options struct {
	// URL is one of
	//
	//	unix:///path/of/socket            (unix:// alone means DefaultSocket)
	//	tcp://host:port                   (with CAFile, CertFile and KeyFile, or Insecure)
	//	ssh://user@host[:port][/path/of/socket]
	URL string

	// CAFile, CertFile and KeyFile are PEM files for tcp: the authority that signed the
	// engine's certificate, and the client's certificate and key, which are read again for
	// each connection. The engine's host name is always checked.
	CAFile, CertFile, KeyFile string
	// Insecure allows tcp without TLS. Who can reach such an engine, or stands in between,
	// owns its machine.
	Insecure bool

	// KnownHosts are the files, at least one, with the host keys trusted for ssh (OpenSSH's).
	KnownHosts []string
	// IdentityFile is the unencrypted private key for ssh, AgentSocket an SSH agent's socket,
	// which is asked first; empty for none.
	IdentityFile, AgentSocket string

	// Timeout is the deadline of one call and of connecting; zero means DefaultTimeout. Some
	// calls take longer, as their comments say.
	Timeout time.Duration

	// Dial, for tests, makes the connections in place of the scheme's own way, below TLS.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Host says where the engine is, seen from Fairway.
type Host struct {
	// Local is true for an engine behind a unix socket: Fairway shares its machine, though
	// perhaps not its network namespace.
	Local bool
	// Name is where published ports are dialled: "127.0.0.1" when Local, or the URL's host.
	Name string
}

// Client reaches one engine. All methods may be called from any goroutine. The first call
// that reaches the engine agrees on an API version (1.40 to 1.56).
type Client struct {
	url     string
	timeout time.Duration
	way     *way

	api   *client.Client // calls and event streams, connections are kept
	probe *client.Client // pings, a new connection each time
	http  *http.Client   // lists, on connections of its own; see get

	agreed atomic.Bool   // on the API version
	turn   chan struct{} // held by the call that is agreeing; room for one
}

// New returns a client that has read the named files, and is not connected yet.
func New(o Options) (*Client, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("docker: timeout %v is negative", o.Timeout)
	}
	u, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	w, err := newWay(u, o)
	if err != nil {
		return nil, fmt.Errorf("docker %s: %w", u.Redacted(), err)
	}
	c := &Client{url: u.Redacted(), timeout: o.Timeout, way: w, turn: make(chan struct{}, 1)}
	return c, c.build()
}

// NewAll returns a client for each URL, all with the same deadline.
func NewAll(engines []Options, timeout time.Duration) ([]*Client, error) {
	var clients []*Client
	seen := map[string]bool{}
	for _, o := range engines {
		if seen[o.URL] {
			continue
		}
		seen[o.URL] = true
		o.Timeout = timeout
		c, err := New(o)
		if err != nil {
			return nil, err // nothing is connected yet that would have to be closed
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// build puts the maintained client on top of c.way. A probe shares no connection
// with anything else, not even with the probe before it.
func (c *Client) build() (err error) {
	build := func(probe bool) (*http.Client, *client.Client, error) {
		// The address before the transport: otherwise it would replace the transport's
		// dialling by its own, which honours the proxy variables of the environment.
		hc := &http.Client{CheckRedirect: client.CheckRedirect, Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return c.way.dial(ctx) },
			TLSClientConfig:     c.way.tls,
			TLSHandshakeTimeout: c.timeout,
			DisableCompression:  true,
			DisableKeepAlives:   probe,
			MaxIdleConns:        6,
			IdleConnTimeout:     30 * time.Second,
		}}
		api, err := client.New(client.WithHost(c.way.address), client.WithHTTPClient(hc), client.WithUserAgent(userAgent))
		if err != nil {
			return nil, nil, fmt.Errorf("docker %s: %w", c.url, err)
		}
		return hc, api, nil
	}
	if c.http, c.api, err = build(false); err == nil {
		_, c.probe, err = build(true)
	}
	return err
}

const userAgent = "fairway"

// URL returns the engine's URL without secrets.
func (c *Client) URL() string { return c.url }

// Host returns where the engine is.
func (c *Client) Host() Host { return c.way.host }

// Reset drops connections that are idle, and for ssh the session that carries them all. Call
// it after a failed Ping: a connection that went silent would be used again.
func (c *Client) Reset() {
	c.http.CloseIdleConnections()
	_ = c.api.Close() // closes what is idle, and says nothing; probe keeps no connection
	if c.way.reset != nil {
		c.way.reset()
	}
}

// Close drops all connections that are not in use.
func (c *Client) Close() { c.Reset() }

// begin begins a call that may take as long as timeout. end has to be deferred: it puts
// before an error what was called.
func (c *Client) begin(ctx context.Context, what string, timeout time.Duration, err *error) (_ context.Context, end func()) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, func() {
		cancel()
		if *err != nil {
			*err = fmt.Errorf("docker %s: %w", what, *err)
		}
	}
}

// parseURL checks the parts of raw that all schemes share.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats the input, which may hold a password.
		return nil, errors.New("docker: the URL cannot be parsed; want unix:///path, tcp://host:port or ssh://user@host")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("docker %s: a query or fragment has no meaning here", u.Redacted())
	}
	if _, has := u.User.Password(); has {
		return nil, fmt.Errorf("docker %s: a password does not belong in a URL", u.Redacted())
	}
	return u, nil
}

// way is how connections to the engine are made.
type way struct {
	host    Host
	address string // in the form the maintained client wants
	dial    func(ctx context.Context) (net.Conn, error)
	tls     *tls.Config // nil for a connection without TLS
	reset   func()      // drops what several connections share; may be nil
}

// newWay decides from the scheme.
func newWay(u *url.URL, o Options) (*way, error) {
	ways := map[string]func(*url.URL, Options) (*way, error){"unix": unixWay, "tcp": tcpWay, "ssh": sshWay}
	if u.Scheme == "" {
		return nil, errors.New("no scheme; want unix:///path, tcp://host:port or ssh://user@host")
	}
	if ways[u.Scheme] == nil {
		return nil, fmt.Errorf("scheme %q is not one of unix, tcp, ssh", u.Scheme)
	}
	w, err := ways[u.Scheme](u, o)
	if err == nil && o.Dial != nil {
		w.dial = o.Dial
	}
	return w, err
}

// unixWay dials a local socket.
func unixWay(u *url.URL, o Options) (*way, error) {
	if u.Host != "" {
		return nil, fmt.Errorf("a unix socket needs three slashes: unix:///%s", strings.TrimPrefix(path.Join(u.Host, u.Path), "/"))
	}
	socket := u.Path
	if socket == "" || socket == "/" {
		socket = DefaultSocket
	}
	d := net.Dialer{Timeout: o.Timeout}
	return &way{
		host:    Host{Local: true, Name: "127.0.0.1"},
		address: "unix://" + socket,
		dial:    func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
	}, nil
}

// tcpWay dials host:port with mutual TLS, or without any when the operator says so.
func tcpWay(u *url.URL, o Options) (*way, error) {
	if u.Hostname() == "" || u.Port() == "" {
		return nil, errors.New("want tcp://host:port")
	}
	if strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("a path has no meaning with tcp")
	}
	if u.User != nil {
		return nil, errors.New("a user has no meaning with tcp")
	}
	conf, err := clientTLS(u.Hostname(), o)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: o.Timeout}
	return &way{
		host:    Host{Name: u.Hostname()},
		address: "tcp://" + u.Host,
		dial:    func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", u.Host) },
		tls:     conf,
	}, nil
}

// clientTLS returns nil for a connection without TLS, which needs Insecure.
func clientTLS(host string, o Options) (*tls.Config, error) {
	var missing []string
	for i, name := range []string{o.CAFile, o.CertFile, o.KeyFile} {
		if name == "" {
			missing = append(missing, []string{"CA", "certificate", "key"}[i])
		}
	}
	switch {
	case len(missing) == 3 && o.Insecure:
		return nil, nil
	case o.Insecure:
		return nil, errors.New("insecure contradicts the TLS files that are given")
	case len(missing) > 0:
		return nil, fmt.Errorf("tcp needs TLS: the file for %s is missing (or set insecure, which lets anybody on the network own the machine)",
			strings.Join(missing, ", "))
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA: no certificate in %s", o.CAFile)
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(nil); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS12,
		ServerName:           host,
		RootCAs:              roots,
		GetClientCertificate: load,
	}, nil
}
