// Package setup makes what gets certificates out of the keys below acme in the configuration.
package setup

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"

	"fairway/internal/acme"
	"fairway/internal/acme/authority"
	"fairway/internal/acme/ca"
	"fairway/internal/consul"
	"fairway/internal/consul/certstore"
	"fairway/internal/discovery"
	"fairway/internal/engine/certs"
	"fairway/internal/feed"
	"fairway/internal/files"
	"fairway/internal/metrics"
	"fairway/internal/route"
	"fairway/internal/serve"
)

// Config is the keys below acme, as in docs/https.md.
type Config struct {
	Agree      bool     `name:"agree" preset:"false" help:"Get certificates for the hosts of routes by ACME, and keep them renewed. By this you agree to the terms of service of the certificate authority."`
	Email      string   `name:"email" placeholder:"EMAIL" help:"Address at which the certificate authority may reach you; none is needed."`
	CA         string   `name:"ca" placeholder:"URL" preset:"https://acme-v02.api.letsencrypt.org/directory" help:"ACME directory of the certificate authority; Let's Encrypt unless another one is named."`
	CARoot     string   `name:"ca-root" placeholder:"PATH" file:"" help:"CA certificates in PEM that the server of a private certificate authority is trusted by. Such a one is also asked for names that no public one issues for, as app.internal."`
	Internal   string   `name:"internal" placeholder:"true" oneof:"true,false" derived:"the value of acme.agree" help:"Issue certificates by an authority of Fairway's own for hosts that no public one issues for, as app.localhost, and for the label tls=internal. fairway trust makes this machine trust it."`
	Redirect   bool     `name:"redirect" preset:"true" help:"Redirect HTTP to HTTPS for hosts once they have a certificate that was obtained; the label redirect-https decides for its route."`
	Challenges []string `name:"challenges" placeholder:"NAME" sep:"," derived:"dns-01 with acme.dns.provider; else http-01 where listen is on, and with the embedded engine tls-alpn-01" help:"How it is proved that a host is yours: http-01 (port 80 leads to listen), tls-alpn-01 (port 443 leads to listen-tls; not with HAProxy) or dns-01 (acme.dns.provider). Tried in turn; hosts with a wildcard have dns-01 in any case. Repeatable."`
	DNS        DNS      `embed:"" prefix:"dns."`
	OnDemand   OnDemand `embed:"" prefix:"on-demand."`
	EABKeyID   string   `name:"eab-key-id" placeholder:"ID" needs:"acme.eab-key-file" help:"Key ID of an external account, where the certificate authority wants one."`
	Storage    string   `name:"storage" placeholder:"NAME" preset:"files" oneof:"files,consul" help:"Where accounts, certificates with their keys and locks are kept: files, in state-dir, or consul, which replicas share."`
	Consul     Consul   `embed:"" prefix:"consul."`
	EABKeyFile string   `name:"eab-key-file" placeholder:"PATH" file:"" needs:"acme.eab-key-id" help:"File with the HMAC key of that account, in base64url."`
}

// Consul is the keys below acme.consul, as in docs/consul.md.
type Consul struct {
	Addresses []string `name:"addresses" placeholder:"URL" sep:"," derived:"127.0.0.1:8500" help:"Agents or servers of Consul, as https://HOST:PORT or unix:///PATH; the next is asked where one cannot be reached. Repeatable."`
	Prefix    string   `name:"prefix" placeholder:"PATH" preset:"fairway/acme" help:"Path in the keys of Consul below which everything is."`
	TokenFile string   `name:"token-file" placeholder:"PATH" file:"" help:"File with the ACL token for Consul; read for each call."`
	CA        string   `name:"ca" placeholder:"PATH" file:"" help:"CA certificates in PEM for https:// addresses of Consul, in the place of those of the machine."`
	Cert      string   `name:"cert" placeholder:"PATH" file:"" needs:"acme.consul.key" help:"PEM file with the client certificate for Consul."`
	Key       string   `name:"key" placeholder:"PATH" file:"" needs:"acme.consul.cert" help:"PEM file with its key."`
	Insecure  bool     `name:"insecure" preset:"false" help:"Allow plain HTTP to a Consul beyond this machine. Private keys can then be read on the way."`
}

// settings are those of the client.
func (c *Consul) settings() consul.Config {
	return consul.Config{Addresses: c.Addresses, Insecure: c.Insecure, TokenFile: c.TokenFile, CA: c.CA, Cert: c.Cert, Key: c.Key}
}

// check tries the addresses and the files, each by itself, so that the key at fault is named.
func (c *Consul) check(add func(key, value, reason string)) {
	for _, part := range []struct {
		key string
		cfg consul.Config
	}{
		{"addresses", consul.Config{Addresses: c.Addresses, Insecure: c.Insecure}},
		{"ca", consul.Config{CA: c.CA}},
		{"cert", consul.Config{Cert: c.Cert, Key: c.Key}},
	} {
		if client, err := consul.New(part.cfg); err != nil {
			add("acme.consul."+part.key, "", err.Error())
		} else {
			client.Close()
		}
	}
}

// On says whether certificates are to be got from anywhere.
func (c *Config) On() bool { return c.Agree || c.internal() }

// internal says whether there is an authority of Fairway's own.
func (c *Config) internal() bool { return c.Internal == "true" || c.Agree && c.Internal == "" }

// Complete fills in the challenges of an engine and its listeners.
func (c *Config) Complete(haproxy, plain bool) {
	if len(c.Challenges) > 0 || !c.Agree {
		return
	}
	if c.DNS.Provider != "" {
		c.Challenges = []string{ca.DNS01}
		return
	}
	if plain {
		c.Challenges = append(c.Challenges, ca.HTTP01)
	}
	if !haproxy {
		c.Challenges = append(c.Challenges, ca.TLSALPN01)
	}
}

// Check calls add with what is wrong: the key, what it is, and what to write instead.
func (c *Config) Check(haproxy, plain, tls bool, add func(key, value, reason string)) {
	if c.On() && !tls {
		key := "acme.agree"
		if !c.Agree {
			key = "acme.internal"
		}
		add(key, "true", "needs listen-tls, which is off")
	}
	if !c.Agree {
		if c.Email != "" {
			add("acme.email", c.Email, "needs acme.agree: true, by which you agree to the terms of service of the certificate authority")
		}
		return
	}
	if c.Storage == storageConsul {
		c.Consul.check(add)
	}
	if a, err := mail.ParseAddress(c.Email); c.Email != "" && (err != nil || a.Address != c.Email) {
		add("acme.email", c.Email, "no address of mail; write it like ops@example.com")
	}
	if u, err := url.Parse(c.CA); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		add("acme.ca", "", "write the directory of the authority, https://…, without credentials")
	}
	c.DNS.check(add)
	c.OnDemand.check(haproxy, add)
	if len(c.Challenges) == 0 {
		add("acme.challenges", "", "no challenge can be answered: http-01 needs listen, tls-alpn-01 the embedded engine, and dns-01 acme.dns.provider")
	}
	for _, name := range c.Challenges {
		switch {
		case name == ca.HTTP01 && !plain:
			add("acme.challenges", name, "needs listen, for HTTP")
		case name == ca.TLSALPN01 && haproxy:
			add("acme.challenges", name, "HAProxy cannot answer it; use http-01 or dns-01")
		case name == ca.DNS01 && c.DNS.Provider == "":
			add("acme.challenges", name, "needs acme.dns.provider, which adds the records: write acme.dns.provider: rfc2136")
		case !slices.Contains([]string{ca.HTTP01, ca.TLSALPN01, ca.DNS01}, name):
			add("acme.challenges", name, "no such challenge; write http-01, tls-alpn-01 or dns-01")
		}
	}
}

// Parts are what Open needs besides the configuration.
type Parts struct {
	// StateDir is where everything is kept, below acme.
	StateDir string
	// Inventory is of the certificates of just this table's listeners: what it lacks is
	// ordered.
	Inventory func(*route.Table) *certs.Inventory
	// Recompile and Report are as in acme.Options.
	Recompile func()
	Report    func(acme.Event)
	// Name stands for this Fairway in the name of its own authority.
	Name, Version string
	Logger        *slog.Logger
	Metrics       *metrics.Set
}

// Certificates gets certificates, and answers challenges.
type Certificates struct {
	*acme.Keeper
	client *ca.Client     // nil without an authority outside
	consul *consul.Client // nil where that is not the storage
	solves net.Listener   // nil where HTTP-01 is not used
	server *http.Server
	alpn   bool
	demand bool
	own    *authority.Authority // nil for none
}

// Authority returns the root of Fairway's own authority; nil without one.
func (a *Certificates) Authority() func() (authority.Root, error) {
	if a == nil || a.own == nil {
		return nil
	}
	return a.own.Root
}

// Open reads the files that c names, and opens the address for HTTP-01. Nothing is asked of
// anybody before Run.
func Open(ctx context.Context, c *Config, p Parts) (_ *Certificates, err error) {
	dir := filepath.Join(p.StateDir, "acme")
	log := cmp.Or(p.Logger, slog.New(slog.DiscardHandler))
	a, address := &Certificates{}, ""
	defer func() {
		if err != nil {
			_ = a.Close() // nothing of it runs
		}
	}()
	o := acme.Options{
		Dir: dir, Covered: func(t *route.Table) []string { return a.others(p.Inventory(t)) }, Private: c.CARoot != "",
		Recompile: p.Recompile, Report: p.Report, Logger: log, Metrics: p.Metrics,
	}
	if c.internal() {
		a.own = authority.New(authority.Options{Dir: filepath.Join(p.StateDir, "authority"), Name: p.Name, Logger: log})
		o.Authority = a.own
	}
	if c.Agree {
		if a.client, err = c.client(dir, p.Version, log, a); err != nil {
			return nil, err
		}
		if o.OnDemand, err = c.OnDemand.open(p.Version); err != nil {
			return nil, err
		}
		o.Directory, o.Wildcards = c.CA, c.DNS.Provider != ""
		a.demand = o.OnDemand != nil
		o.Issuer, a.alpn = a.client, slices.Contains(c.Challenges, ca.TLSALPN01)
		if slices.Contains(c.Challenges, ca.HTTP01) {
			if a.solves, err = acme.Listen(ctx, dir); err != nil {
				return nil, fmt.Errorf("acme: the address for challenges: %w", err)
			}
			address, a.server = a.solves.Addr().String(), acme.Server(a.client)
		}
	}
	o.Challenges = address
	if a.Keeper, err = acme.New(o); err != nil {
		return nil, err
	}
	return a, nil
}

const storageConsul = "consul"

// client is what speaks to the authority, with where it keeps what it gets.
func (c *Config) client(dir, version string, log *slog.Logger, a *Certificates) (_ *ca.Client, err error) {
	o := ca.Options{
		Directory: c.CA, Email: c.Email, Storage: &certmagic.FileStorage{Path: dir}, Challenges: c.Challenges,
		KeyID: c.EABKeyID, Version: version, Logger: log,
	}
	if c.DNS.Provider != "" {
		o.DNS = c.DNS.solver(log)
	}
	if c.Storage == storageConsul {
		if a.consul, err = consul.New(c.Consul.settings()); err != nil {
			return nil, fmt.Errorf("acme.consul: %w", err)
		}
		o.Storage = certstore.New(a.consul, certstore.Settings{Prefix: c.Consul.Prefix})
	}
	if c.CARoot != "" {
		roots, err := certs.New(log).Authorities(c.CARoot)
		if err != nil {
			return nil, fmt.Errorf("acme.ca-root: %w", err)
		}
		o.Roots = roots.Pool
	}
	if c.EABKeyFile != "" {
		if o.MACKey, err = files.Secret(c.EABKeyFile); err != nil {
			return nil, fmt.Errorf("acme.eab-key-file: %w", err)
		}
	}
	return ca.New(o)
}

// Run gets certificates for the hosts of live tables until ctx ends.
func (a *Certificates) Run(ctx context.Context, tables *feed.Feed[route.Table]) error {
	if a.solves == nil {
		return a.Keeper.Run(ctx, tables)
	}
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		served <- serve.HTTP(ctx, a.server, a.solves, time.Second)
	}()
	return errors.Join(a.Keeper.Run(ctx, tables), <-served)
}

// others are the names of certificates of listeners for services that were not obtained here.
func (a *Certificates) others(i *certs.Inventory) (names []string) {
	for _, u := range i.Certificates {
		ours := !slices.ContainsFunc(u.Listeners, func(l string) bool { return l != "admin" && l != "fleet" })
		if !ours && !a.Managed(u.File) {
			names = append(names, u.Names...)
		}
	}
	return names
}

// Sources are those of the catalogue that are here; nil has none.
func (a *Certificates) Sources() []discovery.Source {
	if a == nil {
		return nil
	}
	return []discovery.Source{a.Source()}
}

// Close ends what Open has begun and Run has not ended.
func (a *Certificates) Close() error {
	if a.client != nil {
		a.client.Close()
	}
	if a.consul != nil {
		a.consul.Close()
	}
	if a.solves != nil {
		_ = a.solves.Close() // closed already when it was served
	}
	return nil
}

// Challenge answers TLS-ALPN-01 for a host: it is for an engine that can.
func (a *Certificates) Challenge() func(context.Context, string) (*tls.Certificate, error) {
	if a == nil || !a.alpn {
		return nil
	}
	return a.client.Certificate
}

// OnDemand gets certificates for names that clients ask for: it is for an engine that can; nil
// without.
func (a *Certificates) OnDemand() func(context.Context, string) *tls.Certificate {
	if a == nil || !a.demand {
		return nil
	}
	return a.Demand
}
