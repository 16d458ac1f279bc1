package oidc

import (
	"fmt"
	"log/slog"
	"net/url"

	"fairway/internal/admin/way"
	"fairway/internal/engine/certs"
	"fairway/internal/files"
)

// Config is the keys below admin.oidc, as in docs/sign-in.md.
type Config struct {
	Issuer           string   `name:"issuer" placeholder:"URL" needs:"admin.oidc.client-id" help:"OpenID Connect issuer at which people sign in to the pages, beside tokens: https://id.example.com/realms/main. docs/sign-in.md has examples."`
	ClientID         string   `name:"client-id" placeholder:"ID" needs:"admin.oidc.issuer" help:"Fairway's client ID there."`
	ClientSecretFile string   `name:"client-secret-file" placeholder:"PATH" file:"" needs:"admin.oidc.issuer" help:"File with the secret of that client; none for a public client. Read at each sign-in."`
	Scopes           []string `name:"scopes" placeholder:"SCOPE" sep:"," preset:"openid,profile,email" help:"Scopes to ask for, such as groups. Repeatable."`
	Roles            []Role   `name:"roles" placeholder:"{…}" sep:"\n" help:"Who gets which role: records {role: operator, claim: groups, value: ops}; of several the highest counts; who has none is not let in. In a flag or variable one a line, in braces. Repeatable."`
	NameClaim        string   `name:"name-claim" placeholder:"CLAIM" derived:"email where it is verified, else sub" help:"Claim that names people in the audit log and the history."`
	RedirectURL      string   `name:"redirect-url" placeholder:"URL" derived:"/sign-in/callback at the address in the browser" help:"URL that the issuer sends browsers back to, where a proxy in front has another name or ends TLS."`
	CA               string   `name:"ca" placeholder:"PATH" file:"" needs:"admin.oidc.issuer" help:"CA certificates in PEM for the issuer, in the place of those of the machine."`
}

// Open makes what asks the issuer; nil where none is configured. It reads the files.
func (c Config) Open(log *slog.Logger) (*Issuer, error) {
	if c.Issuer == "" {
		return nil, nil
	}
	o := Options{Issuer: c.Issuer, ClientID: c.ClientID, Scopes: c.Scopes, NameClaim: c.NameClaim, Roles: c.Roles}
	if c.ClientSecretFile != "" {
		o.Secret = func() (string, error) { return files.Secret(c.ClientSecretFile) }
		if _, err := o.Secret(); err != nil {
			return nil, fmt.Errorf("admin.oidc.client-secret-file: %w", err)
		}
	}
	if c.CA != "" {
		authorities, err := certs.New(log).Authorities(c.CA)
		if err != nil {
			return nil, fmt.Errorf("admin.oidc.ca: %w", err)
		}
		o.Authorities = authorities.Pool
	}
	return New(o)
}

// Check calls add with what is wrong: the key, what it is, and what to write instead.
func (c Config) Check(add func(key, value, reason string)) {
	if c.Issuer != "" {
		if err := CheckIssuer(c.Issuer); err != nil {
			add("admin.oidc.issuer", "", err.Error())
		}
		if len(c.Roles) == 0 {
			add("admin.oidc.roles", "", "without roles it lets in no one; write {role: viewer, claim: groups, value: staff}, or {role: admin, claim: email, value: ann@example.com}")
		}
	}
	for _, r := range c.Roles {
		if err := r.Check(); err != nil {
			add("admin.oidc.roles", "", err.Error())
		}
	}
	if u, err := url.Parse(c.RedirectURL); c.RedirectURL != "" && (err != nil || u.Host == "" || u.Path != way.Callback || u.RawQuery != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http") {
		add("admin.oidc.redirect-url", "", "write https://NAME"+way.Callback)
	}
}
