package setup

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/acme/dns01"
	"fairway/internal/acme/dns01/edit"
)

// DNS is the keys below acme.dns, as in docs/https.md.
type DNS struct {
	Provider  string        `name:"provider" placeholder:"NAME" oneof:"cloudflare,digitalocean,hetzner,rfc2136,route53,exec,webhook" help:"Who adds the TXT records of dns-01: cloudflare, digitalocean, hetzner or route53 (services that keep zones), rfc2136 (dynamic updates to a name server), exec (a program of yours) or webhook (a service of yours). With it hosts with a wildcard get certificates, and dns-01 is used for all hosts unless acme.challenges says otherwise."`
	Server    string        `name:"server" placeholder:"HOST:PORT" help:"Of rfc2136: the server that takes updates; without a port, 53."`
	KeyID     string        `name:"key-id" placeholder:"ID" help:"Of rfc2136: the name of the TSIG key; of route53: the ID of the access key."`
	KeyFile   string        `name:"key-file" placeholder:"PATH" file:"" help:"Of rfc2136: file with the TSIG key, as tsig-keygen writes it, or its secret in base64 (HMAC-SHA256); of route53: file with the secret of the access key. Read for each change."`
	TokenFile string        `name:"token-file" placeholder:"PATH" file:"" help:"Of cloudflare, digitalocean and hetzner: file with the token of the API; of webhook: file with one that is sent as Authorization: Bearer. Read for each change."`
	Program   string        `name:"program" placeholder:"PATH" file:"" help:"Of exec: the program. It is run as PROGRAM present|cleanup NAME TEXT."`
	URL       string        `name:"url" placeholder:"URL" help:"Of webhook: where POST goes to, with /present or /cleanup behind it."`
	Zone      string        `name:"zone" placeholder:"DOMAIN" help:"The zone that the records are in; looked for unless it is named."`
	Resolvers []string      `name:"resolvers" placeholder:"HOST:PORT" sep:"," derived:"those of /etc/resolv.conf" help:"Resolvers that are asked where a CNAME at _acme-challenge leads, and for zones and their servers. Repeatable."`
	Servers   []string      `name:"servers" placeholder:"HOST:PORT" sep:"," derived:"those of the zone" help:"Name servers that have to have the record before the certificate authority looks for it; off asks none. Repeatable."`
	Timeout   time.Duration `name:"timeout" placeholder:"DURATION" preset:"2m" least:"1s" most:"4m" help:"How long they are waited for."`
}

// The names of Provider.
const (
	dnsCloudflare   = "cloudflare"
	dnsDigitalOcean = "digitalocean"
	dnsHetzner      = "hetzner"
	dnsRFC2136      = "rfc2136"
	dnsRoute53      = "route53"
	dnsExec         = "exec"
	dnsWebhook      = "webhook"
)

// dnsKeys are the keys that some of the values of provider have: which of them need the key,
// and which may have it.
var dnsKeys = []struct {
	key         string
	value       func(*DNS) string
	needs, have []string
	line        string // as an example
}{
	{"server", func(d *DNS) string { return d.Server }, []string{dnsRFC2136}, nil, "acme.dns.server: ns1.example.com"},
	{"key-id", func(d *DNS) string { return d.KeyID }, []string{dnsRoute53}, []string{dnsRFC2136}, "acme.dns.key-id: AKIA…"},
	{"key-file", func(d *DNS) string { return d.KeyFile }, []string{dnsRoute53}, []string{dnsRFC2136}, "acme.dns.key-file: /run/secrets/dns"},
	{"token-file", func(d *DNS) string { return d.TokenFile }, []string{dnsCloudflare, dnsDigitalOcean, dnsHetzner}, []string{dnsWebhook}, "acme.dns.token-file: /run/secrets/dns"},
	{"program", func(d *DNS) string { return d.Program }, []string{dnsExec}, nil, "acme.dns.program: /usr/local/bin/dns-record"},
	{"url", func(d *DNS) string { return d.URL }, []string{dnsWebhook}, nil, "acme.dns.url: https://dns.example.com/acme"},
}

// check says what is wrong with the keys.
func (d *DNS) check(add func(key, value, reason string)) {
	for _, k := range dnsKeys {
		value, name := k.value(d), "acme.dns."+k.key
		takes := slices.Concat(k.needs, k.have)
		switch {
		case value == "" && slices.Contains(k.needs, d.Provider):
			add(name, "", "acme.dns.provider "+d.Provider+" needs it: write "+k.line)
		case value != "" && d.Provider == "":
			add(name, value, "needs acme.dns.provider: write acme.dns.provider: "+takes[0])
		case value != "" && !slices.Contains(takes, d.Provider):
			add(name, value, "acme.dns.provider "+d.Provider+" has no such key; it is for "+strings.Join(takes, ", "))
		}
	}
	if d.Provider == "" {
		return
	}
	if _, err := address(d.Server); d.Server != "" && err != nil {
		add("acme.dns.server", d.Server, err.Error())
	}
	for _, list := range []struct {
		key    string
		values []string
	}{{"acme.dns.resolvers", d.Resolvers}, {"acme.dns.servers", d.Servers}} {
		for _, v := range list.values {
			if _, err := address(v); err != nil && (list.key != "acme.dns.servers" || !d.blind()) {
				add(list.key, v, err.Error())
			}
		}
	}
	if u, err := url.Parse(d.URL); d.URL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && near(u.Hostname())) || u.User != nil || u.RawQuery != "") {
		add("acme.dns.url", "", "write https://…, or http:// on this machine, without credentials, as https://dns.example.com/acme")
	}
	if d.KeyFile != "" && d.Provider == dnsRFC2136 {
		if err := (edit.RFC2136{KeyID: d.KeyID, KeyFile: d.KeyFile}).Check(); err != nil && !notFound(err) {
			key, reason, _ := strings.Cut(err.Error(), ": ")
			add(key, "", reason)
		}
	} else if d.KeyID != "" && d.Provider == dnsRFC2136 {
		add("acme.dns.key-file", "", "acme.dns.key-id needs it: write the path of the file with the key")
	}
	if d.Provider == dnsExec && d.Program != "" {
		if err := (edit.Exec{Program: d.Program}).Check(); err != nil && !notFound(err) {
			add("acme.dns.program", d.Program, "it cannot be run: "+err.Error())
		}
	}
}

// blind says that no server is asked for the record.
func (d *DNS) blind() bool { return slices.Equal(d.Servers, []string{"off"}) }

// notFound says whether an error is about a file that is not there: the tag of its key says that.
func notFound(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound)
}

// near says whether a host is this machine.
func near(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// address adds the port of DNS to an address without one.
func address(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), "53"
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", errors.New("write HOST or HOST:PORT, as 192.0.2.1:53")
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" || strings.ContainsAny(host, "/ ") {
		return "", errors.New("write HOST or HOST:PORT, as 192.0.2.1:53")
	}
	return net.JoinHostPort(host, port), nil
}

// addresses are the addresses of servers, which have been checked.
func addresses(list []string) (all []string) {
	for _, text := range list {
		if a, err := address(text); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// solver answers dns-01; the keys have been checked.
func (d *DNS) solver(log *slog.Logger) *dns01.Solver {
	o := dns01.Options{Zone: d.Zone, Resolvers: addresses(d.Resolvers), Blind: d.blind(), Timeout: d.Timeout, Logger: log}
	if !o.Blind {
		o.Servers = addresses(d.Servers)
	}
	switch d.Provider {
	case dnsCloudflare:
		o.Editor = edit.NewCloudflare(d.TokenFile)
	case dnsDigitalOcean:
		o.Editor = edit.NewDigitalOcean(d.TokenFile)
	case dnsHetzner:
		o.Editor = edit.NewHetzner(d.TokenFile)
	case dnsRoute53:
		o.Editor = edit.NewRoute53(d.KeyID, d.KeyFile)
	case dnsRFC2136:
		server, _ := address(d.Server) // checked
		o.Editor = edit.RFC2136{Server: server, KeyID: d.KeyID, KeyFile: d.KeyFile}
	case dnsExec:
		o.Editor = edit.Exec{Program: d.Program}
	case dnsWebhook:
		o.Editor = edit.NewWebhook(d.URL, d.TokenFile)
	}
	return dns01.New(o)
}
