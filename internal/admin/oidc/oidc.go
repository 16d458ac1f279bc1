// Package oidc asks an issuer of OpenID Connect who a person is, with an authorization code
// and PKCE (OpenID Connect Core 1.0, 3.1; RFC 7636), and reads their role from the claims.
//
// Between the two halves of a sign-in nothing is kept here: what belongs to it is sealed
// and kept by the browser, so that strangers who begin sign-ins take no room.
package oidc

import (
	"cmp"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"fairway/internal/api"
	"fairway/internal/human"
)

const (
	// answerTime bounds all that one half of a sign-in asks of the issuer.
	answerTime = 10 * time.Second
	// maxAnswer bounds an answer of the issuer, in bytes.
	maxAnswer = 1 << 20
	// atOnce bounds how many sign-ins ask the issuer at once.
	atOnce = 8
	// again is how long an issuer that does not answer is not asked again.
	again = 3 * time.Second
	// Lasts is how long a session holds: then the issuer is asked anew, and what has
	// changed of their role counts.
	Lasts = 12 * time.Hour
)

// Options are what New needs. Issuer, ClientID and Roles are required.
type Options struct {
	// Issuer is the URL of the issuer, without /.well-known: https://, or http:// on loopback.
	Issuer string
	// ClientID is Fairway's name there.
	ClientID string
	// Secret returns the client's secret; nil for a public client, and asked at each
	// sign-in.
	Secret func() (string, error)
	// Scopes are asked for; nil is openid, profile and email.
	Scopes []string
	// NameClaim is the claim that names people in the audit log; empty is their address of
	// mail, where the issuer has verified it, else sub.
	NameClaim string
	// Roles say who may do what. Of several that hold the one that may the most counts.
	Roles []Role
	// Authorities vouch for the issuer's certificate; nil for those of the machine.
	Authorities *x509.CertPool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Role gives a role to those who have a claim with a value. It is a record of the
// configuration.
type Role struct {
	// Role is viewer, operator or admin.
	Role string `yaml:"role"`
	// Claim is the name of a claim: groups, email, or realm_access.roles for one within
	// another. An address of mail counts when the issuer says that it is verified.
	Claim string `yaml:"claim"`
	// Value is what it is, or, of a list, contains. A star at its beginning stands for
	// anything: *@example.com; alone for every value.
	Value string `yaml:"value"`
}

// Check says what is wrong with it; nil for nothing.
func (r Role) Check() error {
	switch {
	case !slices.Contains(api.Roles(), r.Role):
		return fmt.Errorf("role is %q: write viewer, operator or admin", r.Role)
	case r.Claim == "" || r.Value == "":
		return errors.New("claim and value are needed: {role: viewer, claim: groups, value: staff}")
	case strings.Contains(strings.TrimPrefix(r.Value, "*"), "*"):
		return fmt.Errorf("value is %q: a star stands at the beginning alone", r.Value)
	case r.Claim == emailClaim && len(r.Value) > 1 && r.Value[0] == '*' && r.Value[1] != '@':
		return fmt.Errorf("value is %q: write *@ and the domain, else other domains with this end fit, too", r.Value)
	}
	return nil
}

// CheckIssuer says what is wrong with the URL of an issuer; nil for nothing.
func CheckIssuer(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("write the issuer's URL: https://id.example.com/realms/main")
	case strings.Contains(u.Path, "/.well-known/"):
		return errors.New("leave out /.well-known and what follows")
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	case u.Scheme != "https":
		return errors.New("write https://; http:// is for loopback addresses alone")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Issuer is the issuer that is asked. Its methods may be called from any goroutine.
type Issuer struct {
	o      Options
	client *http.Client
	seal   seal
	asking chan struct{} // one in it for each that asks

	mu     sync.Mutex
	known  *oidc.Provider   // nil until it has said where its parts are
	style  oauth2.AuthStyle // where it last took the secret; zero: not known yet
	tried  time.Time        // when it last failed to
	failed error
}

// New makes an issuer and asks it nothing yet.
func New(o Options) (*Issuer, error) {
	if err := CheckIssuer(o.Issuer); err != nil {
		return nil, fmt.Errorf("oidc: issuer: %w", err)
	}
	if o.ClientID == "" || len(o.Roles) == 0 {
		return nil, errors.New("oidc: a client ID and roles are needed")
	}
	for _, r := range o.Roles {
		if err := r.Check(); err != nil {
			return nil, fmt.Errorf("oidc: roles: %w", err)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Scopes) == 0 {
		o.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	} else if !slices.Contains(o.Scopes, oidc.ScopeOpenID) {
		o.Scopes = append([]string{oidc.ScopeOpenID}, o.Scopes...)
	}
	sealer, err := newSeal()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: answerTime / 2}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: o.Authorities, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: answerTime / 2, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 1, ForceAttemptHTTP2: true,
		Proxy: http.ProxyFromEnvironment,
	}
	return &Issuer{o: o, seal: sealer, asking: make(chan struct{}, atOnce), client: &http.Client{
		Transport: bounded{transport}, Timeout: answerTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // it would carry the secret elsewhere
	}}, nil
}

// Close gives up idle connections.
func (i *Issuer) Close() { i.client.CloseIdleConnections() }

// Host is the name of the issuer's machine, for people.
func (i *Issuer) Host() string {
	u, err := url.Parse(i.o.Issuer)
	if err != nil {
		return i.o.Issuer
	}
	return u.Host
}

// bounded cuts answers that are too long.
type bounded struct{ http.RoundTripper }

// RoundTrip makes it an http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}

// failure is an error for people who sign in.
func failure(status int, title, format string, args ...any) error {
	return &api.Error{Status: status, Title: title, Detail: fmt.Sprintf(format, args...)}
}

// away is the failure of an issuer that does not answer.
func (i *Issuer) away(err error) error {
	return failure(http.StatusBadGateway, "The issuer does not answer", "%s: %s. Try again, or sign in with a token. An operator checks admin.oidc.issuer, and that Fairway reaches it.", i.Host(), inWords(err))
}

// inWords says why the issuer gave no answer, with nothing of what was sent to it.
func inWords(err error) string {
	var lookup *net.DNSError
	var foreign x509.UnknownAuthorityError
	var named x509.HostnameError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", answerTime)
	case errors.As(err, &lookup):
		return "the name is not known"
	case errors.As(err, &foreign), errors.As(err, &named):
		return "its certificate is not trusted; admin.oidc.ca names who vouches for it"
	case strings.Contains(err.Error(), "connection refused"):
		return "connection refused"
	}
	return human.Excerpt(err.Error(), 200)
}

// ask waits for its turn to ask the issuer, with a context for that. done ends it.
func (i *Issuer) ask(ctx context.Context) (_ context.Context, done func(), err error) {
	select {
	case i.asking <- struct{}{}:
	default:
		return nil, nil, failure(http.StatusServiceUnavailable, "Too many sign in at once", "Try again in a moment.")
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, i.client), answerTime)
	return ctx, func() { cancel(); <-i.asking }, nil
}

// provider is where the issuer has its parts, which it is asked for once.
func (i *Issuer) provider(ctx context.Context) (*oidc.Provider, error) {
	i.mu.Lock()
	known, failed, fresh := i.known, i.failed, i.o.Now().Sub(i.tried) < again
	i.mu.Unlock()
	switch {
	case known != nil:
		return known, nil
	case failed != nil && fresh:
		return nil, i.away(failed)
	}
	found, err := oidc.NewProvider(ctx, i.o.Issuer)
	i.mu.Lock()
	defer i.mu.Unlock()
	if !errors.Is(err, context.Canceled) { // a browser that has gone says nothing of the issuer
		i.tried, i.failed = i.o.Now(), err
	}
	if err != nil {
		return nil, i.away(err)
	}
	i.known = found
	return found, nil
}

func (i *Issuer) config(p *oidc.Provider, callback string) *oauth2.Config {
	return &oauth2.Config{ClientID: i.o.ClientID, Endpoint: p.Endpoint(), RedirectURL: callback, Scopes: i.o.Scopes}
}

// Begin begins a sign-in that comes back to the URL callback, and goes on to the path to
// afterwards. It returns where to send the browser, and what that is to keep until then,
// which is not readable. Errors are *api.Error, for people.
func (i *Issuer) Begin(ctx context.Context, callback, to string) (location, kept string, err error) {
	ctx, done, err := i.ask(ctx)
	if err != nil {
		return "", "", err
	}
	defer done()
	provider, err := i.provider(ctx)
	if err != nil {
		return "", "", err
	}
	begun := sealed{State: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier(), Callback: callback, To: to, At: i.o.Now()}
	if kept, err = i.seal.close(begun); err != nil {
		return "", "", err
	}
	location = i.config(provider, callback).AuthCodeURL(begun.State, oidc.Nonce(begun.Nonce), oauth2.S256ChallengeOption(begun.Verifier))
	return location, kept, nil
}

// End ends a sign-in: it returns who it is, until when, and where to go on. kept is what
// Begin returned, and q the query that the issuer has sent the browser back with. Errors
// are *api.Error, for people, and hold no secret.
func (i *Issuer) End(ctx context.Context, kept string, q url.Values) (who api.Identity, to string, err error) {
	begun, err := i.seal.open(kept)
	switch {
	case err != nil, i.o.Now().Sub(begun.At) > maxAge, subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(begun.State)) != 1:
		return who, "", failure(http.StatusBadRequest, "Sign in again", "This sign-in is over, was begun in another browser or under another name of this address, or took longer than %v.", maxAge)
	case q.Get("iss") != "" && q.Get("iss") != i.o.Issuer: // RFC 9207
		return who, "", failure(http.StatusBadRequest, "Sign in again", "Another issuer has answered.")
	case q.Get("error") != "":
		text := strings.TrimSpace(q.Get("error") + " " + q.Get("error_description"))
		return who, "", failure(http.StatusForbidden, "The issuer says no", "%s: %s", i.Host(), human.Excerpt(text, 200))
	case q.Get("code") == "":
		return who, "", failure(http.StatusBadRequest, "Sign in again", "The issuer has sent no code.")
	}
	ctx, done, err := i.ask(ctx)
	if err != nil {
		return who, "", err
	}
	defer done()
	claims, err := i.exchange(ctx, begun, q.Get("code"))
	if err != nil {
		return who, "", err
	}
	who = api.Identity{Name: claims.name(i.o.NameClaim), Role: claims.role(i.o.Roles), By: api.ByOIDC, Expires: i.o.Now().Add(Lasts).UTC()}
	if who.Role == "" {
		return who, "", failure(http.StatusForbidden, "Not allowed", "%s has no role here. An operator gives one with admin.oidc.roles; the claims that %s sent are: %s.",
			human.Excerpt(who.Name, 100), i.Host(), human.Excerpt(claims.names(), 300))
	}
	return who, begun.To, nil
}

// exchange gives the code for the claims of an ID token that was verified.
func (i *Issuer) exchange(ctx context.Context, begun sealed, code string) (claims, error) {
	provider, err := i.provider(ctx)
	if err != nil {
		return nil, err
	}
	secret := ""
	if i.o.Secret != nil {
		if secret, err = i.o.Secret(); err != nil {
			return nil, failure(http.StatusInternalServerError, "Sign-in is not set up", "The file of admin.oidc.client-secret-file cannot be read.")
		}
	}
	token, err := i.redeem(ctx, provider, begun, code, secret)
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return nil, i.refused(refused)
	}
	if err != nil {
		return nil, i.away(err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, failure(http.StatusBadGateway, "The issuer sent no identity", "%s has to be an issuer of OpenID Connect: plain OAuth, as of GitHub, is none.", i.Host())
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: i.o.ClientID, Now: i.o.Now}).Verify(ctx, raw)
	if err == nil && subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(begun.Nonce)) != 1 {
		err = errors.New("its nonce is of another sign-in")
	}
	if err == nil && id.AccessTokenHash != "" {
		err = id.VerifyAccessToken(token.AccessToken)
	}
	var found claims
	if err == nil {
		err = id.Claims(&found)
	}
	if party := found.text("azp"); err == nil && party != "" && party != i.o.ClientID {
		err = errors.New("it is for another client")
	}
	if err != nil {
		return nil, failure(http.StatusBadGateway, "The issuer's answer does not hold", "The token of %s: %s", i.Host(), human.Excerpt(strings.TrimPrefix(err.Error(), "oidc: "), 200))
	}
	if found.role(i.o.Roles) == "" && provider.UserInfoEndpoint() != "" {
		// Some say there what others say in the token.
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			return nil, i.away(ofUserInfo(err))
		}
		if info.Subject == id.Subject {
			_ = info.Claims(&found) // what cannot be read gives no role
		}
	}
	return found, nil
}

// ofUserInfo is an error of the userinfo endpoint without the text of its answer, which may
// repeat the token that was sent to it.
func ofUserInfo(err error) error {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return err
	}
	reason, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "oidc: "), ":")
	return errors.New("its userinfo endpoint: " + reason)
}

// refused is the failure of a code that the issuer does not take.
func (i *Issuer) refused(err *oauth2.RetrieveError) error {
	switch err.ErrorCode {
	case "invalid_grant":
		return failure(http.StatusBadRequest, "Sign in again", "The issuer does not take the code: it was used, or is too old.")
	case "invalid_client", "unauthorized_client":
		return failure(http.StatusBadGateway, "Sign-in is not set up", "%s does not know this client (%s). An operator checks admin.oidc.client-id and admin.oidc.client-secret-file.", i.Host(), err.ErrorCode)
	}
	code := human.Excerpt(err.ErrorCode, 60)
	if err.Response != nil {
		code = cmp.Or(code, err.Response.Status)
	}
	return failure(http.StatusBadGateway, "The issuer says no", "%s: %s", i.Host(), cmp.Or(code, "without a reason"))
}
