// Package ca speaks ACME (RFC 8555) with one certificate authority: it keeps the account,
// places an order, answers the challenges and keeps what was obtained in a storage that
// replicas may share. When to do so is decided elsewhere. What replicas must not do twice
// happens under locks of the storage.
package ca

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// LetsEncrypt is the directory of the authority that is used where none is named.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// The challenges that can be answered.
const (
	HTTP01    = acme.ChallengeTypeHTTP01
	TLSALPN01 = acme.ChallengeTypeTLSALPN01
	DNS01     = acme.ChallengeTypeDNS01
)

// Bundle is a certificate with its chain, and its key, in PEM.
type Bundle struct {
	CertPEM, KeyPEM []byte
	// Ordered is false when it was in the storage already: another replica has obtained it.
	Ordered bool
}

// PEM is the certificate, its chain and the key in one file.
func (b *Bundle) PEM() []byte {
	return slices.Concat(bytes.TrimSpace(b.CertPEM), []byte("\n"), b.KeyPEM)
}

// Leaf reads the certificate, and checks that the key fits.
func (b *Bundle) Leaf() (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(b.CertPEM, b.KeyPEM)
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

// Kind is what a failure means for the next attempt.
type Kind string

// The kinds of failures.
const (
	Refused     Kind = "refused"     // the authority does not issue for this name now
	Limited     Kind = "limited"     // it was asked too often
	Unavailable Kind = "unavailable" // it cannot be reached, or makes no sense; other names fare no better
	Local       Kind = "local"       // it has issued, and what came cannot be written on this machine
	Denied      Kind = "denied"      // the operator's service gives no yes, so that it was not asked
	Unproved    Kind = "unproved"    // it works, and the challenge could not be answered
)

// Failure is why there is no certificate. It holds no secret.
type Failure struct {
	Kind Kind
	// Text is in the authority's own words where it has said something.
	Text string
	// RetryAfter is when the authority wants to be asked again; zero where it did not say.
	RetryAfter time.Time
}

// Error is the text.
func (f *Failure) Error() string { return f.Text }

// Prover answers challenges over DNS. Its methods may be called from any goroutine.
type Prover interface {
	acmez.Solver
	acmez.Waiter
}

// Options are what New needs. Directory, Storage and one challenge are required.
type Options struct {
	// Directory is the URL of the authority; Email the address of the account, empty for none.
	Directory, Email string
	// Roots are trusted when the authority is spoken to; nil for those of the system.
	Roots *x509.CertPool
	// Storage keeps accounts, certificates with their keys, challenges and locks.
	Storage certmagic.Storage
	// Challenges are answered in turn, one for each order, but for DNS01, which is also
	// used for wildcards when it is not among them.
	Challenges []string
	// DNS answers DNS01; nil for none.
	DNS Prover
	// KeyID and MACKey (base64url) are those of an external account; empty for none.
	KeyID, MACKey string
	// Version is sent to the authority.
	Version string
	Logger  *slog.Logger
}

// Client orders certificates. Its methods may be called from any goroutine.
type Client struct {
	o         Options
	issuer    string // its name in keys of the storage
	transport *http.Transport
	room      chan struct{} // for lookups of challenges

	mu     sync.Mutex
	solves map[string]acme.Challenge // those that this process answers now, by solveKey
}

// New returns a client; it connects to nothing yet.
func New(o Options) (*Client, error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	u, err := url.Parse(o.Directory)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("acme.ca: %q is no URL", o.Directory)
	}
	if o.Storage == nil || len(o.Challenges) == 0 {
		return nil, errors.New("ca: storage and challenges are required")
	}
	issuer := u.Host
	if p := strings.Trim(strings.ReplaceAll(u.Path, "/", "-"), "-"); p != "" {
		issuer += "-" + p
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSHandshakeTimeout:   requestTime,
		ResponseHeaderTimeout: requestTime,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   4,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
	}
	return &Client{o: o, issuer: issuer, transport: t, room: make(chan struct{}, maxLookups), solves: map[string]acme.Challenge{}}, nil
}

// requestTime bounds one call to the authority, maxAnswer what is read of its answer.
const (
	requestTime = 30 * time.Second
	maxAnswer   = 1 << 20
)

// Close drops connections that are idle.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// session is a client of the protocol for one order. It notes what the authority asks for.
func (c *Client) session(solvers map[string]acmez.Solver) (*acmez.Client, *listening) {
	l := &listening{next: c.transport}
	return &acmez.Client{
		Client: &acme.Client{
			Directory:    c.o.Directory,
			HTTPClient:   &http.Client{Transport: l, Timeout: requestTime},
			UserAgent:    "Fairway/" + cmp.Or(c.o.Version, "devel"),
			PollInterval: time.Second,
			PollTimeout:  2 * time.Minute,
		},
		ChallengeSolvers: solvers,
	}, l
}

// Obtain returns a certificate for a host, or for "*." and a host, that is none of those
// that end with or before replaces, which is nil for none. attempt counts from zero: it
// chooses the challenge, and every other one does not say what is replaced. An error is a *Failure unless ctx has ended.
func (c *Client) Obtain(ctx context.Context, name string, replaces *x509.Certificate, attempt int) (*Bundle, error) {
	if s, ok := c.o.Storage.(interface {
		Work(context.Context) (context.Context, context.CancelFunc)
	}); ok { // what is done under a lock ends when that is lost
		var done context.CancelFunc
		ctx, done = s.Work(ctx)
		defer done()
	}
	lock := "issue_cert_" + name // as certmagic calls it: a storage that fences knows by that what to guard
	if err := c.o.Storage.Lock(ctx, lock); err != nil {
		return nil, c.failure(ctx, fmt.Errorf("storage: %w", err), nil)
	}
	defer func() { _ = c.o.Storage.Unlock(context.WithoutCancel(ctx), lock) }() // it becomes stale
	if b := c.kept(ctx, name, replaces); b != nil {
		return b, nil
	}
	solvers, err := c.solvers(name, attempt)
	if err != nil {
		return nil, &Failure{Kind: Refused, Text: err.Error()}
	}
	client, heard := c.session(solvers)
	if attempt%2 == 1 {
		replaces = nil // authorities have failed with 500 over what they do not know
	}
	b, err := c.order(ctx, client, name, replaces)
	if problem := (acme.Problem{}); errors.As(err, &problem) && problem.Type == acme.ProblemTypeAccountDoesNotExist {
		if err = c.forgetAccount(ctx); err == nil { // the authority was installed anew
			b, err = c.order(ctx, client, name, nil) // what is replaced was the other account's
		}
	}
	if replaces != nil && refusedAtOnce(err) { // it may only not know the certificate
		b, err = c.order(ctx, client, name, nil)
	}
	if err != nil {
		return nil, c.failure(ctx, err, heard)
	}
	return b, nil
}

// refusedAtOnce says whether an order was refused before there was one, by what it asks for.
// Another one that asks for less is then still the first that limits count.
func refusedAtOnce(err error) bool {
	problem := acme.Problem{}
	return errors.As(err, &problem) && strings.HasPrefix(err.Error(), "creating new order: ") &&
		problem.Type != acme.ProblemTypeRateLimited && problem.Status < 500 && problem.Status != http.StatusTooManyRequests
}

// order asks the authority, and keeps what it gets.
func (c *Client) order(ctx context.Context, client *acmez.Client, name string, replaces *x509.Certificate) (*Bundle, error) {
	account, err := c.account(ctx, client)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := acmez.NewCSR(key, []string{name})
	if err != nil {
		return nil, err
	}
	params, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return nil, err
	}
	if dir, err := client.GetDirectory(ctx); err == nil && dir.RenewalInfo != "" && replaces != nil && len(replaces.AuthorityKeyId) > 0 {
		params.Replaces = replaces
	}
	chains, err := client.ObtainCertificate(ctx, params)
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errors.New("the answer has no certificate")
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	b := &Bundle{CertPEM: chains[0].ChainPEM, KeyPEM: keyPEM, Ordered: true}
	if err := Check(b, name, time.Now()); err != nil {
		return nil, err
	}
	return b, c.keep(ctx, name, b)
}

// Check says why a certificate cannot be used for a name.
func Check(b *Bundle, name string, now time.Time) error {
	leaf, err := b.Leaf()
	if err != nil {
		return fmt.Errorf("the certificate that came cannot be used: %w", err)
	}
	if err := leaf.VerifyHostname(strings.Replace(name, "*.", "x.", 1)); err != nil {
		return fmt.Errorf("the certificate that came cannot be used: %w", err)
	}
	if !leaf.NotAfter.After(now) {
		return errors.New("the certificate that came has expired")
	}
	return nil
}

// keep puts a certificate into the storage, the key first.
func (c *Client) keep(ctx context.Context, name string, b *Bundle) error {
	keys := certmagic.StorageKeys
	for _, part := range []struct {
		key   string
		value []byte
	}{
		{keys.SitePrivateKey(c.issuer, name), b.KeyPEM},
		{keys.SiteCert(c.issuer, name), b.CertPEM},
		{keys.SiteMeta(c.issuer, name), fmt.Appendf(nil, "{\"sans\":[%q],\"issuer_data\":{\"ca\":%q}}\n", name, c.o.Directory)},
	} {
		if err := c.o.Storage.Store(ctx, part.key, part.value); err != nil {
			return fmt.Errorf("storage: %w", err)
		}
	}
	return nil
}

// kept is what the storage has for a name, where it is newer than replaces; nil for nothing.
func (c *Client) kept(ctx context.Context, name string, replaces *x509.Certificate) *Bundle {
	keys := certmagic.StorageKeys
	b := &Bundle{}
	var err error
	if b.CertPEM, err = c.o.Storage.Load(ctx, keys.SiteCert(c.issuer, name)); err != nil {
		return nil
	}
	if b.KeyPEM, err = c.o.Storage.Load(ctx, keys.SitePrivateKey(c.issuer, name)); err != nil || Check(b, name, time.Now()) != nil {
		return nil
	}
	leaf, _ := b.Leaf() // checked
	if replaces != nil && !leaf.NotAfter.After(replaces.NotAfter) {
		return nil
	}
	if left := time.Until(leaf.NotAfter); left < leaf.NotAfter.Sub(leaf.NotBefore)/4 {
		return nil
	}
	return b
}

// Window is when the authority wants a certificate to be renewed (RFC 9773), and when to
// ask again. It is an error where it does not say.
func (c *Client) Window(ctx context.Context, leaf *x509.Certificate) (from, to, again time.Time, err error) {
	client, _ := c.session(nil)
	info, err := client.GetRenewalInfo(ctx, leaf)
	if err != nil {
		return from, to, again, err
	}
	if info.RetryAfter != nil {
		again = *info.RetryAfter
	}
	return info.SuggestedWindow.Start, info.SuggestedWindow.End, again, nil
}

// Reasons of revocations (RFC 5280, 5.3.1).
const (
	ReasonUnspecified   = acme.ReasonUnspecified
	ReasonKeyCompromise = acme.ReasonKeyCompromise
	ReasonSuperseded    = acme.ReasonSuperseded
)

// Revoke has the authority revoke a certificate, and takes it out of the storage.
func (c *Client) Revoke(ctx context.Context, name string, leaf *x509.Certificate, reason int) error {
	client, heard := c.session(nil)
	account, err := c.account(ctx, client)
	if err != nil {
		return c.failure(ctx, err, heard)
	}
	if err := client.RevokeCertificate(ctx, account, leaf, account.PrivateKey, reason); err != nil {
		problem := acme.Problem{}
		if !errors.As(err, &problem) || problem.Type != acme.ProblemTypeAlreadyRevoked {
			return c.failure(ctx, err, heard)
		}
	}
	return c.Forget(ctx, name)
}

// Forget takes the certificate of a name out of the storage, so that the next one is ordered.
func (c *Client) Forget(ctx context.Context, name string) error {
	err := c.o.Storage.Delete(ctx, certmagic.StorageKeys.CertsSitePrefix(c.issuer, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
