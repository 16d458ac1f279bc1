// Package consul speaks to the HTTP API of Consul: keys and values, transactions,
// sessions, locks that are fenced, the catalogue, and the services of an agent.
//
// It is a client of its own over net/http, because a dozen calls are all that Fairway
// needs. Every call has a deadline; no answer is read beyond a bound; redirects are not
// followed, so that a token goes to the configured addresses alone.
package consul

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"fairway/internal/files"
)

// MaxValue is how many bytes Consul takes as one value, unless it is configured otherwise.
const MaxValue = 512 << 10

const (
	maxAnswer  = 32 << 20 // bytes of an answer that are read
	maxSecret  = 64 << 10 // bytes of a file with a token or a certificate
	maxAddress = 16       // addresses
)

// ErrNotFound is the error for a key that is not there; it is fs.ErrNotExist.
var ErrNotFound = fmt.Errorf("consul: %w", fs.ErrNotExist)

// ErrTooLarge is the error for a value above MaxValue, or a transaction above what Consul takes.
var ErrTooLarge = fmt.Errorf("consul: the value has more than the %d KiB that Consul takes", MaxValue>>10)

// Error is an answer of Consul that is no success.
type Error struct {
	// Status is that of HTTP.
	Status int
	// Text is the beginning of what Consul says.
	Text string
	// After is how long Consul asks to be left alone, up to a minute; zero for not said.
	After time.Duration
}

// Error says what Consul said.
func (e *Error) Error() string {
	switch {
	case e.Status == http.StatusForbidden:
		return "consul: the token may not do that (403): " + e.Text
	case e.Text == "":
		return "consul: " + strconv.Itoa(e.Status) + " " + http.StatusText(e.Status)
	}
	return "consul: " + strconv.Itoa(e.Status) + ": " + e.Text
}

// Config says where Consul is and who Fairway is to it.
type Config struct {
	// Addresses are agents or servers of one datacenter, as http://HOST:PORT, https://HOST:PORT
	// or unix:///PATH; HOST:PORT is http. The next one is asked where one cannot be
	// reached. None is 127.0.0.1:8500.
	Addresses []string
	// Insecure allows plain http beyond this machine: tokens and keys are readable on the way.
	Insecure bool
	// TokenFile has the ACL token; it is read for each call. Empty is Token.
	TokenFile string
	// Token is an ACL token that never changes; empty is none.
	Token string
	// CA, Cert and Key are PEM files for https: the authorities in place of the system's, read
	// once; the certificate of Fairway, read at each handshake. ServerName is expected in the
	// server's certificate in place of the host of the address.
	CA, Cert, Key, ServerName string
	// Timeout is how long a call to one address may take; zero is 5 s.
	Timeout time.Duration
}

// Client calls Consul. It may be used by any number of goroutines.
type Client struct {
	addresses []address
	http      *http.Client
	tokenFile string
	fixed     string // the token without a file
	timeout   time.Duration
	last      atomic.Uint32 // the address that answered last
}

type address struct{ text, base string }

// New makes a client and connects to nothing. An address that cannot be meant, or a file that
// cannot be read, is an error.
func New(cfg Config) (*Client, error) {
	c := &Client{tokenFile: cfg.TokenFile, fixed: cfg.Token, timeout: cmp.Or(cfg.Timeout, 5*time.Second)}
	if len(cfg.Addresses) > maxAddress {
		return nil, fmt.Errorf("consul: more than %d addresses", maxAddress)
	}
	sockets := map[string]string{} // host in the URL → path of the socket
	for i, text := range cfg.Addresses {
		a, socket, err := parseAddress(text, i, cfg.Insecure)
		if err != nil {
			return nil, err
		}
		if socket != "" {
			sockets[fmt.Sprintf("socket-%d:80", i)] = socket
		}
		c.addresses = append(c.addresses, a)
	}
	if len(c.addresses) == 0 {
		c.addresses = []address{{"127.0.0.1:8500", "http://127.0.0.1:8500"}}
	}
	tlsConfig, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: min(c.timeout, 3*time.Second)}
	c.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, host string) (net.Conn, error) {
				if path, ok := sockets[host]; ok {
					network, host = "unix", path
				}
				return dialer.DialContext(ctx, network, host)
			},
			TLSClientConfig:     tlsConfig,
			TLSHandshakeTimeout: c.timeout,
			ForceAttemptHTTP2:   true,
			MaxConnsPerHost:     128, // Consul takes 200 from one client
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     time.Minute,
		},
	}
	return c, nil
}

// Close ends the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// parseAddress reads one address; the socket is a path for unix:// alone.
func parseAddress(text string, i int, insecure bool) (a address, socket string, err error) {
	full := text
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return a, "", fmt.Errorf("consul: %q is no address: http(s)://HOST:PORT or unix:///PATH", text)
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return address{text, fmt.Sprintf("http://socket-%d", i)}, u.Path, nil
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "":
		return a, "", fmt.Errorf("consul: %q is no address: http(s)://HOST:PORT or unix:///PATH", text)
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return a, "", fmt.Errorf("consul: %s is plain http beyond this machine, and tokens and keys would be readable on the way: use https, or allow that with insecure", text)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "8500", "https": "8501"}[u.Scheme])
	}
	return address{text, u.Scheme + "://" + u.Host}, "", nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// tls is what connections over https use.
func (cfg Config) tls() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName}
	if cfg.CA != "" {
		pem, err := files.Read(cfg.CA, maxSecret*16)
		if err != nil {
			return nil, fmt.Errorf("consul: authorities: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("consul: %s has no certificate", cfg.CA)
		}
	}
	if cfg.Cert == "" && cfg.Key == "" {
		return out, nil
	}
	read := func() (*tls.Certificate, error) {
		certPEM, err := files.Read(cfg.Cert, maxSecret)
		if err != nil {
			return nil, err
		}
		keyPEM, err := files.Read(cfg.Key, maxSecret)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		return &pair, err
	}
	if _, err := read(); err != nil {
		return nil, fmt.Errorf("consul: certificate of this side: %w", err)
	}
	out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	return out, nil
}

// call is one request of the API.
type call struct {
	method, path string
	query        url.Values
	body         any           // JSON, or the bytes themselves
	hold         time.Duration // how long Consul may hold the answer back
	again        bool          // it may be made twice, as reading may
}

// answer is what came for a call.
type answer struct {
	status int
	header http.Header
	index  uint64
	body   []byte
}

// do makes a call at the address that answered last, then at the others: after a failure
// that left no request behind, and after any for what may be made twice. The next call begins
// behind an address that failed. A status beyond 2xx is an *Error, except those in accept.
func (c *Client) do(ctx context.Context, in call, accept ...int) (answer, error) {
	var body []byte
	switch b := in.body.(type) {
	case nil:
	case []byte:
		body = b
	default:
		var err error
		if body, err = json.Marshal(b); err != nil {
			return answer{}, fmt.Errorf("consul: %w", err)
		}
	}
	token, err := c.token()
	if err != nil {
		return answer{}, err
	}
	first := c.last.Load()
	var errs []error
	for i := range c.addresses {
		n := (int(first) + i) % len(c.addresses)
		a := c.addresses[n]
		out, err := c.once(ctx, a, in, body, token)
		if err == nil && (out.status < 200 || out.status >= 300) && !slices.Contains(accept, out.status) {
			text, _, _ := strings.Cut(strings.TrimSpace(string(out.body[:min(len(out.body), 512)])), "\n")
			err = &Error{out.status, strings.ToValidUTF8(text, "?"), retryAfter(out.header)}
		}
		if err == nil {
			c.last.Store(uint32(n))
			return out, nil
		}
		errs = append(errs, err)
		if !isSaid(err) && !errors.Is(ctx.Err(), context.Canceled) {
			c.last.Store(uint32((n + 1) % len(c.addresses)))
		}
		if ctx.Err() != nil || !again(in, err) {
			break
		}
	}
	return answer{}, errors.Join(errs...)
}

// retryAfter is how long an answer asks to be left alone, in seconds.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 60)) * time.Second
}

// again reports whether another address may be asked after a failure.
func again(in call, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return !isSaid(err) && (in.again || in.method == http.MethodGet)
}

// isSaid reports whether an address works and says what the others would.
func isSaid(err error) bool {
	var said *Error
	return errors.As(err, &said) && said.Status < 500
}

// once makes a call at one address.
func (c *Client) once(ctx context.Context, a address, in call, body []byte, token string) (answer, error) {
	// Consul adds up to a sixteenth to the time that an answer is held.
	ctx, cancel := context.WithTimeout(ctx, c.timeout+in.hold+in.hold/16)
	defer cancel()
	target := a.base + in.path
	if len(in.query) > 0 {
		target += "?" + in.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, in.method, target, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("consul: %w", err)
	}
	if token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("consul at %s: %w", a.text, reason(err))
	}
	defer resp.Body.Close()
	out := answer{status: resp.StatusCode, header: resp.Header}
	out.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("consul at %s: %w", a.text, err)
	}
	if len(out.body) > maxAnswer {
		return answer{}, fmt.Errorf("consul at %s: an answer of more than %d MiB", a.text, maxAnswer>>20)
	}
	out.index, _ = strconv.ParseUint(resp.Header.Get("X-Consul-Index"), 10, 64)
	return out, nil
}

// reason is the error without the URL, which says nothing new.
func reason(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// token reads the token.
func (c *Client) token() (string, error) {
	if c.tokenFile == "" {
		return c.fixed, nil
	}
	text, err := files.Secret(c.tokenFile)
	if err != nil {
		return "", fmt.Errorf("consul: token: %w", err)
	}
	return text, nil
}
