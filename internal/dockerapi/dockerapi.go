// Package dockerapi is the one way Fairway reaches a Docker Engine: over a unix
// socket, over TCP with TLS client certificates, or over SSH straight to the
// engine's socket on the other machine.
//
// It offers named calls only. There is no way to send a request of one's own
// through a Client, so that what Fairway can do to an engine is the list of
// methods below and nothing else; the tests hold that list to the wire. Reading
// what runs needs only GET and HEAD (Ping, Version, Info, Events,
// ContainerList, ContainerInspect, NetworkList). The calls that change something
// (ImageImport, ImageLoad, ImageRemove, Container{Create,Start,Stop,Remove}) serve the
// demo and the tests; discovery never makes them. What a Swarm needs on top is
// in swarm.go (GET only) and service.go, what the fleet does to a container in
// exec.go (ContainerExec, ContainerSignal, ContainerLog). There is no call that
// writes files into a container from outside.
//
// What discovery does not need is dropped where it is decoded: the types of
// this package have no place for a container's environment, mounts or command.
//
// Nothing is read from the environment here: no DOCKER_HOST, no proxy
// variables, no SSH_AUTH_SOCK. The caller passes everything in.
package dockerapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
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

	// CAFile, CertFile and KeyFile are PEM files for tcp: the authority that
	// signed the engine's certificate, and the client's certificate and key.
	// Certificate and key are read again for each connection, so that they can
	// be renewed in place. The engine's host name is always checked.
	CAFile, CertFile, KeyFile string
	// Insecure allows tcp without TLS. Anybody who can reach such an engine, or
	// stand in between, owns its machine.
	Insecure bool

	// KnownHosts are the files with the host keys that are trusted for ssh, in
	// OpenSSH's format. At least one is required for ssh; a host that is in none
	// of them is refused.
	KnownHosts []string
	// IdentityFile is the unencrypted private key for ssh; empty for none.
	IdentityFile string
	// AgentSocket is the path of an SSH agent's socket; empty for none. The
	// agent is asked before IdentityFile is tried.
	AgentSocket string

	// Timeout is the deadline of one call and of connecting; zero means
	// DefaultTimeout. Calls that move images, or wait for a container to stop,
	// take a multiple of it, as their comments say. It does not end an event
	// stream.
	Timeout time.Duration

	// Dial, when set, makes each connection in place of the scheme's own way;
	// tcp still runs TLS over it. It lets tests put a network of their own
	// under the client.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Host says where the engine is, seen from Fairway.
type Host struct {
	// Local is true for an engine behind a unix socket: Fairway shares its
	// machine, though perhaps not its network namespace.
	Local bool
	// Name is the host name or IP address at which the engine's published
	// ports are dialled: "127.0.0.1" when Local, else the host of the URL.
	Name string
}

// Client reaches one engine. All methods may be called from any goroutine. The
// API version is agreed upon with the engine at the first call that reaches it
// (1.40 to 1.56).
type Client struct {
	url     string
	host    Host
	timeout time.Duration
	way     *way

	api   *client.Client // calls and event streams, connections are kept
	probe *client.Client // pings, a new connection each time
	plain plain          // lists whose answers are compared before they are decoded
	reset []func()       // what Reset and Close drop
}

// New returns a client for o. It reads the named files and refuses what cannot
// work, but does not connect: an engine that is down is no reason not to start.
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
	c := &Client{url: u.Redacted(), host: w.host, timeout: o.Timeout, way: w}
	if c.api, err = c.newAPI(w, false); err != nil {
		return nil, err
	}
	if c.probe, err = c.newAPI(w, true); err != nil {
		return nil, err
	}
	if w.reset != nil {
		c.reset = append(c.reset, w.reset)
	}
	return c, nil
}

// newAPI puts the maintained client on top of w. A probe shares no connection
// with anything else, not even with the probe before it.
func (c *Client) newAPI(w *way, probe bool) (*client.Client, error) {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx) },
		TLSClientConfig:     w.tls,
		TLSHandshakeTimeout: c.timeout,
		DisableCompression:  true,
		DisableKeepAlives:   probe,
		MaxIdleConns:        6,
		IdleConnTimeout:     30 * time.Second,
	}
	// The address is set first and the transport second, since the other way
	// round the address would replace the transport's dialling by its own,
	// which honours the proxy variables of the environment.
	hc := &http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}
	api, err := client.New(
		client.WithHost(w.address),
		client.WithHTTPClient(hc), // which it copies
		client.WithUserAgent("fairway"),
	)
	if err != nil {
		return nil, fmt.Errorf("docker %s: %w", c.url, err)
	}
	c.reset = append(c.reset, func() { _ = api.Close() })
	if !probe {
		c.plain.http, c.plain.turn = hc, make(chan struct{}, 1)
		c.reset = append(c.reset, hc.CloseIdleConnections)
	}
	return api, nil
}

// URL returns the engine's URL without secrets.
func (c *Client) URL() string { return c.url }

// Host returns where the engine is.
func (c *Client) Host() Host { return c.host }

// Reset drops connections that are idle, and for ssh the session that carries
// them all, so that the next call connects anew. Call it after a failed Ping: a
// connection that went silent would otherwise be used again.
func (c *Client) Reset() {
	for _, drop := range c.reset {
		drop()
	}
}

// Close drops all connections that are not in use. Calls and streams under way
// end with their contexts.
func (c *Client) Close() { c.Reset() }

// call derives the deadline of a call that may take factor times Timeout.
func (c *Client) call(ctx context.Context, factor int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Duration(factor)*c.timeout)
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
	tls     tlsConfig
	reset   func() // drops what several connections share; may be nil
}

// newWay decides from the scheme.
func newWay(u *url.URL, o Options) (*way, error) {
	var w *way
	var err error
	switch u.Scheme {
	case "unix":
		w, err = unixWay(u, o)
	case "tcp":
		w, err = tcpWay(u, o)
	case "ssh":
		w, err = sshWay(u, o)
	case "":
		return nil, errors.New("no scheme; want unix:///path, tcp://host:port or ssh://user@host")
	default:
		return nil, fmt.Errorf("scheme %q is not one of unix, tcp, ssh", u.Scheme)
	}
	if err != nil {
		return nil, err
	}
	if o.Dial != nil {
		w.dial = o.Dial
	}
	return w, nil
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
