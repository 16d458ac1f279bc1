package nginxproxy

import (
	"slices"
	"strings"

	"fairway/internal/catalog"
)

// Key is a variable or label of nginx-proxy.
type Key struct {
	// Name is that of the variable, or the label.
	Name string
	// Meaning is what it says there, Here what becomes of it, as Markdown.
	Meaning, Here string
	// ignored is why it has no effect here; empty where it has one.
	ignored string
}

// Keys returns the keys of the dialect.
func Keys() []Key { return slices.Clone(keys) }

// Names that the reader asks for.
const (
	host       = "VIRTUAL_HOST"
	multiports = "VIRTUAL_HOST_MULTIPORTS"
	port       = "VIRTUAL_PORT"
	pathName   = "VIRTUAL_PATH"
	dest       = "VIRTUAL_DEST"
	proto      = "VIRTUAL_PROTO"
	method     = "HTTPS_METHOD"
	onMissing  = "ENABLE_HTTP_ON_MISSING_CERT"
	hsts       = "HSTS"
	access     = "NETWORK_ACCESS"
	encrypted  = "LETSENCRYPT_HOST"
	httpPort   = "EXTERNAL_HTTP_PORT"
	httpsPort  = "EXTERNAL_HTTPS_PORT"
	balance    = catalog.NginxPrefix + "loadbalance"
	verify     = catalog.NginxPrefix + "ssl_verify_client"
)

// keys are the one table that variables are read by and docs/nginx-proxy.md is printed from.
var keys = []Key{
	{Name: host, Meaning: "Hosts, separated by commas. `*.x` is any name below x, `x.*` any ending, `~re` an expression. Without it the container is left alone.", Here: "a route for each; an expression that RE2 does not know is a problem, and takes nothing"},
	{Name: multiports, Meaning: "YAML or JSON in the place of `VIRTUAL_HOST`, `VIRTUAL_PORT` and `VIRTUAL_PATH`: hosts, below them paths, below these `port`, `dest` and `proto`.", Here: "a route for each host and path"},
	{Name: port, Meaning: "The port; else the only one that is exposed; else 80.", Here: "the same; a notice where 80 is a guess"},
	{Name: pathName, Meaning: "Paths that begin with it, by bytes; `= /p` exactly, `~ re` and `~* re` an expression, `^~ /p` before expressions. `/p` is sent to `/p/` where that is the path.", Here: "the same. Expressions go before plain beginnings where the host is one name"},
	{Name: dest, Meaning: "Stands in the place of the part of the path that was matched.", Here: "the same, but that what comes out is made canonical: `/x` where nginx sends `//x`"},
	{Name: proto, Meaning: "`http`, `https`, `grpc`, `grpcs`, `uwsgi`, `fastcgi`.", Here: "http, https without a look at the certificate, h2c, https; the last two are refused"},
	{Name: method, Meaning: "`redirect` (the default), `noredirect`, `nohttp`, `nohttps`.", Here: "redirects once a certificate covers the host; with `nohttp` requests without TLS get 503"},
	{Name: onMissing, Meaning: "`false`: no plain HTTP where there is no certificate.", Here: "`false` always redirects to https"},
	{Name: hsts, Meaning: "The value of Strict-Transport-Security over TLS, `max-age=31536000`; `off` for none. Not with `noredirect`.", Here: "the same"},
	{Name: access, Meaning: "`internal` lets in clients with private addresses alone.", Here: "the same; other words than `internal` and `external` are refused"},
	{Name: encrypted, Meaning: "Hosts that acme-companion gets certificates for.", Here: "a certificate is obtained, where `acme` is set up; not for hosts that it does not name"},
	{Name: httpPort, Meaning: "Another port of the proxy for plain HTTP.", Here: "a problem: the host is served on the usual listeners alone"},
	{Name: httpsPort, Meaning: "Another port of the proxy for HTTPS.", Here: "a problem: the host is served on the usual listeners alone"},
	{Name: balance, Meaning: "A line of nginx: `least_conn;`, `ip_hash;`, `random;`.", Here: "balance; other lines have no effect"},
	{Name: verify, Meaning: "`on` demands certificates of clients.", Here: "403 without one, and always where the listener has no authorities; other words are refused"},

	{Name: "LETSENCRYPT_EMAIL", Meaning: "The address for the authority.", Here: "no effect", ignored: "the account is the operator's: acme.email"},
	{Name: "LETSENCRYPT_TEST", Meaning: "Certificates for tests.", Here: "no effect", ignored: "the authority is the operator's: acme.directory"},
	{Name: "LETSENCRYPT_SINGLE_DOMAIN_CERTS", Meaning: "A certificate for each host.", Here: "as it is in any case"},
	{Name: "CERT_NAME", Meaning: "The file of the certificate.", Here: "no effect: certificates are found by their names", ignored: "certificates are found by their names"},
	{Name: "SSL_POLICY", Meaning: "Versions and ciphers of TLS.", Here: "no effect", ignored: "what handshakes must have is the operator's to say: tls"},
	{Name: "SERVER_TOKENS", Meaning: "The banner of nginx.", Here: "there is none"},
	{Name: "ACME_HTTP_CHALLENGE_LOCATION", Meaning: "Whether the paths of ACME are served.", Here: "no effect", ignored: "Fairway answers challenges by itself"},
	{Name: "VIRTUAL_ROOT", Meaning: "The directory of files, for fastcgi.", Here: "no effect", ignored: "Fairway serves no files"},
	{Name: catalog.NginxPrefix + "keepalive", Meaning: "Connections that are kept.", Here: "no effect", ignored: "connections are kept by themselves"},
	{Name: catalog.NginxPrefix + "http2.enable", Meaning: "HTTP/2.", Here: "no effect", ignored: "HTTP/2 is the operator's to say"},
	{Name: catalog.NginxPrefix + "http3.enable", Meaning: "HTTP/3.", Here: "no effect", ignored: "HTTP/3 is the operator's to say"},
	{Name: catalog.NginxPrefix + "debug-endpoint", Meaning: "A page for debugging.", Here: "no effect", ignored: "fairway explain says it"},
	{Name: catalog.NginxPrefix + "trust-default-cert", Meaning: "Whether the default certificate is good for the host.", Here: "no effect", ignored: "certificates are found by their names"},
	{Name: catalog.NginxPrefix + "nginx-proxy", Meaning: "Marks the proxy itself.", Here: "no effect"},
	{Name: catalog.NginxPrefix + "docker-gen", Meaning: "Marks the generator.", Here: "no effect"},
}

// keyOf returns the key of a name; nil for none.
func keyOf(name string) *Key {
	name = strings.TrimSpace(name)
	for i := range keys {
		if strings.EqualFold(keys[i].Name, name) {
			return &keys[i]
		}
	}
	return nil
}
