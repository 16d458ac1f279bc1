package route

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fairway/internal/human"
	"fairway/internal/route/canonical"
)

// text builds the canonical text of an element, or of a part of it in one line.
type text struct {
	strings.Builder
	masked bool // Masked stands in the place of secrets
}

// line in front of a word begins a line of an element with it.
const line = "\n  "

// textOf returns what write writes.
func textOf(masked bool, write func(*text)) string {
	t := text{masked: masked}
	write(&t)
	return t.String()
}

// Text returns the canonical text of the table: listeners, routes, backends and
// problems, in this order, one thing per line. It leaves out Revision and Hash,
// so that equal contents have equal text. See the package comment.
func (t *Table) Text() string { return t.text((*Route).Text, (*Backend).Text) }

func (t *Table) text(route func(*Route) string, backend func(*Backend) string) string {
	var b strings.Builder
	for _, l := range t.Listeners {
		b.WriteString(l.Text())
	}
	for _, r := range t.Routes {
		b.WriteString(route(r))
	}
	for _, be := range t.Backends {
		b.WriteString(backend(be))
	}
	for _, p := range t.Problems {
		b.WriteString("problem " + p.String() + "\n")
	}
	return b.String()
}

// Text returns the canonical text of the listener, several lines.
func (l Listener) Text() string {
	return textOf(false, func(t *text) {
		t.add("listener", token(l.Name), line+"address", token(l.Address))
		t.flag(line+"tls", l.TLS)
		t.flag(line+"tcp", l.TCP)
		t.flag(line+"optional", l.Optional)
		t.flag(line+"proxy-protocol", l.ProxyProtocol)
		for _, c := range l.Certificates {
			t.add(line+"certificate", token(c.CertFile), "key", token(c.KeyFile))
			t.optional("host", c.Host)
		}
		t.optional(line+"client-ca", l.ClientCAFile)
		t.optional(line+"tls-min-version", l.TLSOptions.MinVersion)
		t.optional(line+"curves", strings.Join(l.TLSOptions.Curves, ","))
		t.optional(line+"alpn", strings.Join(l.TLSOptions.ALPN, ","))
		t.optional(line+"quic", l.QUIC.Address)
		t.number("port", l.QUIC.Port)
		for _, h := range l.Hosts {
			t.add(line+"tls-host", token(h.Host))
			t.optional("min-version", h.MinVersion)
			t.optional("client-ca", h.ClientCAFile)
			t.flag("required", h.Require)
		}
		for _, p := range l.TrustedProxies {
			t.add(line+"trusted-proxy", p.String())
		}
		t.WriteString("\n")
	})
}

// Text returns the canonical text of the route, several lines. Everything that
// matters for serving is in it; the labels of its origin are not.
func (r *Route) Text() string { return textOf(false, r.write) }

// Digest is the SHA-256 of the text. It costs nothing for a route of a table.
func (r *Route) Digest() [sha256.Size]byte {
	if r.seal.of(r) {
		return r.seal.digest
	}
	return sha256.Sum256([]byte(r.Text()))
}

func (r *Route) write(t *text) {
	t.add("route", token(r.ID), line+"service", token(r.Service))
	for _, m := range r.Matches {
		t.add(line + "match")
		m.write(t)
	}
	t.number(line+"priority", r.Priority)
	t.add(line+"claim", strconv.FormatUint(r.Claim, 10))
	for _, f := range r.Filters {
		t.add(line + "filter")
		f.write(t)
	}
	t.optional(line+"backend", r.Backend)
	t.duration(line+"hold", r.Hold)
	t.duration(line+"timeout", r.Timeout)
	t.duration(line+"body-timeout", r.BodyTimeout)
	t.duration(line+"idle", r.Idle)
	t.optional(line+"error-pages", r.ErrorPages)
	t.optional(line+"tls", r.TLS)
	t.optional(line+"certified", strings.Join(r.Certified, " "))
	t.optional(line+"refused", r.Refused)
	t.add(line+"from", token(r.Origin.Source))
	if r.Origin.Instance != "" {
		t.add(token(r.Origin.Instance))
	}
	if r.Origin.Stale {
		t.WriteString(", stale")
	}
	t.WriteString("\n")
}

// Text returns the canonical text of the backend, several lines.
func (b *Backend) Text() string { return textOf(false, b.write) }

// Digest is the SHA-256 of the text. It costs nothing for a backend of a table.
func (b *Backend) Digest() [sha256.Size]byte {
	if b.seal.of(b) {
		return b.seal.digest
	}
	return sha256.Sum256([]byte(b.Text()))
}

func (b *Backend) write(t *text) {
	t.add("backend", token(b.ID), line+"service", token(b.Service), line+"scheme", token(string(b.Scheme)))
	if b.TLS != nil {
		t.add(line + "tls")
		t.optional("server-name", b.TLS.ServerName)
		t.flag("skip-verify", b.TLS.SkipVerify)
	}
	t.add(line+"balance", token(string(b.Balance.Policy)))
	t.optional("on", string(b.Balance.On))
	t.optional("name", b.Balance.Name)
	if b.Sticky != "" {
		t.add(line+"sticky", token(b.Sticky))
		t.optional("domain", b.StickyDomain)
		t.optional("same-site", string(b.StickySameSite))
	}
	if len(b.Upgrade) > 0 {
		t.add(line+"upgrade", tokens(b.Upgrade))
	}
	if b.Health != nil {
		t.WriteString("\n ")
		b.Health.write(t)
	}
	t.duration(line+"slow-start", b.SlowStart)
	t.number(line+"max-fails", b.MaxFails)
	t.number(line+"send-proxy", b.SendProxy)
	for _, e := range b.Endpoints {
		t.add(line+"endpoint", e.String())
	}
	t.WriteString("\n")
}

// Equal says whether two checks, of which either may be nil, ask the same.
func (h *Health) Equal(other *Health) bool {
	if h == nil || other == nil {
		return h == other
	}
	return textOf(false, h.write) == textOf(false, other.write)
}

func (h *Health) write(t *text) {
	path := h.Path
	if t.masked {
		path = MaskQuery(path)
	}
	t.add("health", token(path), "every", h.Interval.String(), "timeout", h.Timeout.String())
	t.number("status", h.Status)
	t.optional("host", h.Host)
	t.number("port", int(h.Port))
	t.headers("header", h.Headers, all)
}

// String returns the endpoint in one line, beginning with its address.
func (e Endpoint) String() string {
	return textOf(false, func(t *text) {
		t.add(token(e.Address), token(string(e.State)), "weight", strconv.Itoa(e.Weight), "id", token(e.ID))
		t.optional("instance", e.Instance)
		t.optional("source", e.Source)
		t.optional("node", e.Node)
		t.optional("reason", e.Reason)
		t.optional("by", e.By)
	})
}

// Text returns the match in one line: its demands, separated by commas.
func (m Match) Text() string { return textOf(false, m.write) }

func (m Match) write(t *text) {
	t.add("host", m.Host.String()+",", "path", m.Path.String())
	for _, c := range m.Conditions {
		t.WriteString(",")
		c.write(t)
	}
}

// String returns the host as it is written in labels; an expression is quoted
// behind the word regexp.
func (h Host) String() string {
	switch h.Kind {
	case HostExact:
		return token(h.Value)
	case HostWildcard:
		return "*." + token(h.Value)
	case HostDeep:
		return "**." + token(h.Value)
	case HostAny:
		return "*"
	}
	return token(string(h.Kind)) + " " + strconv.Quote(h.Value)
}

// String returns the path: a prefix as it is, the other kinds behind their name.
func (p Path) String() string {
	switch p.Kind {
	case PathPrefix:
		return token(p.Value)
	case PathExact, PathStart:
		return string(p.Kind) + " " + token(p.Value)
	}
	return token(string(p.Kind)) + " " + strconv.Quote(p.Value)
}

// Text returns the condition in a few words: "not method GET | POST".
func (c Condition) Text() string { return textOf(false, c.write) }

func (c Condition) write(t *text) {
	values := c.Values
	if t.masked && len(values) > 0 && c.Secret() {
		values = []string{Masked}
	}
	t.flag("not", c.Not)
	t.add(token(string(c.Kind)))
	if c.Name != "" {
		t.add(token(c.Name))
	}
	switch c.Kind {
	case ConditionHeader, ConditionQuery:
		if len(values) == 0 {
			t.add("present")
		} else {
			t.add("is", tokens(values))
		}
	case ConditionHeaderRegexp, ConditionQueryRegexp, ConditionHostRegexp, ConditionPathRegexp:
		t.add(alternatives(values, strconv.Quote))
	default:
		t.add(tokens(values))
	}
}

func (f Filter) write(t *text) {
	switch {
	case f.Maintenance != nil:
		m := f.Maintenance
		t.add("maintenance", strconv.Quote(m.Message), "by", token(m.By))
		if !m.Until.IsZero() {
			t.add("until", m.Until.UTC().Format(time.RFC3339))
		}
		if len(m.Allow) > 0 {
			t.add("allow", alternatives(m.Allow, netip.Prefix.String))
		}
	case f.IPAllow != nil:
		t.add("ip-allow", alternatives(f.IPAllow.Prefixes, netip.Prefix.String))
	case f.Methods != nil:
		t.add("methods")
		if len(f.Methods.Allow) > 0 {
			t.add("allow", tokens(f.Methods.Allow))
		}
		if len(f.Methods.Deny) > 0 {
			t.add("deny", tokens(f.Methods.Deny))
		}
	case f.RequireTLS != nil:
		t.add("require-tls")
	case f.RequireClientCert != nil:
		t.add("require-client-cert")
	case f.RateLimit != nil:
		v := f.RateLimit
		t.add("rate-limit", strconv.Itoa(v.Requests), "per", v.Per.String(), "burst", strconv.Itoa(v.Burst))
	case f.MaxBody != nil:
		t.add("max-body", strconv.FormatInt(f.MaxBody.Bytes, 10))
	case f.RedirectHTTPS != nil:
		t.add("redirect-https")
		t.number("port", int(f.RedirectHTTPS.Port))
		t.number("status", f.RedirectHTTPS.Status)
		t.optional("forwarded", string(f.RedirectHTTPS.Forwarded))
		t.flag("obtained", f.RedirectHTTPS.Obtained)
	case f.Redirect != nil:
		t.add("redirect", strconv.Itoa(f.Redirect.Status))
		t.optional("scheme", f.Redirect.Scheme)
		t.optional("host", f.Redirect.Host)
		t.optional("path", f.Redirect.Path)
	case f.BasicAuth != nil:
		f.BasicAuth.write(t)
	case f.StripPrefix != nil:
		t.add("strip-prefix", token(f.StripPrefix.Prefix))
	case f.AddPrefix != nil:
		t.add("add-prefix", token(f.AddPrefix.Prefix))
	case f.RewritePath != nil:
		t.add("rewrite-path", strconv.Quote(f.RewritePath.Search), "to", token(f.RewritePath.Replace))
	case f.RequestHeaders != nil:
		t.add("request-headers")
		f.RequestHeaders.write(t, all)
	case f.ResponseHeaders != nil:
		t.add("response-headers")
		f.ResponseHeaders.write(t, Credential)
	case f.Compress != nil:
		t.add("compress")
	case f.Snippet != nil:
		f.Snippet.write(t)
	}
}

func (a *BasicAuth) write(t *text) {
	t.add("basic-auth")
	if a.File != "" {
		t.add(token(a.File))
	}
	t.flag("clear", a.Clear)
	t.add("realm", token(a.Realm))
	for _, u := range a.Users {
		digest := sha256.Sum256([]byte(u.Hash))
		shown := hex.EncodeToString(digest[:8])
		if t.masked {
			shown = Masked // even the digest would let passwords be guessed
		}
		t.add("user", token(u.Name), shown)
	}
	t.flag("strip", a.Strip)
}

// write adds the operation in the order in which it is done. secret says of a header
// by its name whether its value is masked.
func (h *HeaderOperation) write(t *text, secret func(name string) bool) {
	t.flag("over-tls", h.OverTLS)
	for _, name := range h.Remove {
		t.add("remove", token(name))
	}
	t.headers("set", h.Set, secret)
	t.headers("add", h.Add, secret)
}

func (s *Snippet) write(t *text) {
	lines := s.Lines
	if t.masked {
		lines = []string{Masked}
	}
	t.add("snippet")
	for _, l := range lines {
		t.add(strconv.Quote(l))
	}
}

// String returns the problem in one line: code and place, then, behind a colon,
// the reason and the hint.
func (p Problem) String() string {
	return textOf(false, func(t *text) {
		t.add(token(string(p.Code)))
		t.optional("service", p.Service)
		t.optional("source", p.Source)
		t.optional("instance", p.Instance)
		t.optional("route", p.Route)
		t.optional("label", p.Label)
		t.WriteString(": " + escape(p.Text))
		if p.Hint != "" {
			t.WriteString(" (" + escape(p.Hint) + ")")
		}
	})
}

// add adds words that are ready to be printed.
func (t *text) add(words ...string) {
	for _, w := range words {
		if t.Len() > 0 && !strings.HasPrefix(w, "\n") {
			t.WriteString(" ")
		}
		t.WriteString(w)
	}
}

func (t *text) flag(name string, set bool) {
	if set {
		t.add(name)
	}
}

func (t *text) optional(name, value string) {
	if value != "" {
		t.add(name, token(value))
	}
}

func (t *text) number(name string, n int) {
	if n != 0 {
		t.add(name, strconv.Itoa(n))
	}
}

func (t *text) duration(name string, d time.Duration) {
	if d != 0 {
		t.add(name, d.String())
	}
}

func (t *text) headers(word string, list []HeaderValue, secret func(name string) bool) {
	for _, v := range list {
		value := v.Value
		if t.masked && secret(v.Name) {
			value = Masked
		}
		t.add(word, token(v.Name), token(value))
	}
}

func alternatives[T any](values []T, show func(T) string) string {
	shown := make([]string, len(values))
	for i, v := range values {
		shown[i] = show(v)
	}
	return strings.Join(shown, " | ")
}

func tokens(values []string) string { return alternatives(values, token) }

// token returns s as one word: plainly when it consists of harmless characters,
// else in Go's quotes, so that no value can pass for anything but itself.
func token(s string) string {
	for i := range len(s) {
		if c := s[i]; !canonical.IsUnreserved(c) && strings.IndexByte("/:@*+=%$!&;[]", c) < 0 {
			return strconv.Quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

// Word is a name as the text of a table has it.
func Word(name string) string { return token(name) }

// escape returns prose for one line: s as it is, unless a character in it cannot
// be printed or is not UTF-8; then s in Go's quotes.
func escape(s string) string {
	for _, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// excerpt quotes s for an error message, cut to a length that fits a log line.
func excerpt(s string) string { return human.Quote(s, 100) }
