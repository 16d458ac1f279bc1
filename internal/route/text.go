package route

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fairway/internal/human"
)

// Text returns the canonical text of the table: listeners, routes, backends and
// problems, in this order, one thing per line. It leaves out Revision and Hash,
// so that equal contents have equal text. See the package comment.
func (t *Table) Text() string {
	var b strings.Builder
	for _, l := range t.Listeners {
		b.WriteString(l.Text())
	}
	for _, r := range t.Routes {
		b.WriteString(r.Text())
	}
	for _, be := range t.Backends {
		b.WriteString(be.Text())
	}
	for _, p := range t.Problems {
		b.WriteString("problem " + p.String() + "\n")
	}
	return b.String()
}

// Text returns the canonical text of the listener, several lines.
func (l Listener) Text() string {
	var t text
	t.line("listener", l.Name)
	t.field("address", l.Address)
	if l.TLS {
		t.item("tls")
	}
	if l.TCP {
		t.item("tcp")
	}
	if l.Optional {
		t.item("optional")
	}
	if l.ProxyProtocol {
		t.item("proxy-protocol")
	}
	for _, c := range l.Certificates {
		t.item("certificate", token(c.CertFile), "key", token(c.KeyFile))
	}
	t.optional("client-ca", l.ClientCAFile)
	for _, p := range l.TrustedProxies {
		t.item("trusted-proxy", p.String())
	}
	return t.String()
}

// Text returns the canonical text of the route, several lines. Everything that
// matters for serving is in it; the labels of its origin are not.
func (r *Route) Text() string {
	if r.seal.of(r) {
		return r.seal.text
	}
	var t text
	t.line("route", r.ID)
	t.field("service", r.Service)
	for _, m := range r.Matches {
		t.item("match", m.Text())
	}
	if r.Priority != 0 {
		t.item("priority", strconv.Itoa(r.Priority))
	}
	t.item("claim", strconv.FormatUint(r.Claim, 10))
	for _, f := range r.Filters {
		t.item("filter", f.Text())
	}
	t.optional("backend", r.Backend)
	t.duration("hold", r.Hold)
	t.duration("timeout", r.Timeout)
	t.duration("body-timeout", r.BodyTimeout)
	t.duration("idle", r.Idle)
	t.optional("refused", r.Refused)
	from := token(r.Origin.Source)
	if r.Origin.Instance != "" {
		from += " " + token(r.Origin.Instance)
	}
	if r.Origin.Stale {
		from += ", stale"
	}
	t.item("from", from)
	return t.String()
}

// Text returns the canonical text of the backend, several lines.
func (b *Backend) Text() string {
	if b.seal.of(b) {
		return b.seal.text
	}
	var t text
	t.line("backend", b.ID)
	t.field("service", b.Service)
	t.field("scheme", string(b.Scheme))
	if b.TLS != nil {
		tls := words{"tls"}
		tls.optional("server-name", b.TLS.ServerName)
		if b.TLS.SkipVerify {
			tls.add("skip-verify")
		}
		t.item(tls...)
	}
	balance := words{"balance", token(string(b.Balance.Policy))}
	if b.Balance.On != "" {
		balance.add("on", token(string(b.Balance.On)))
	}
	if b.Balance.Name != "" {
		balance.add("name", token(b.Balance.Name))
	}
	t.item(balance...)
	if b.Sticky != "" {
		sticky := words{"sticky", token(b.Sticky)}
		sticky.optional("domain", b.StickyDomain)
		sticky.optional("same-site", string(b.StickySameSite))
		t.item(sticky...)
	}
	if len(b.Upgrade) > 0 {
		t.item("upgrade", tokens(b.Upgrade))
	}
	if b.Health != nil {
		t.item(b.Health.words()...)
	}
	t.duration("slow-start", b.SlowStart)
	if b.MaxFails != 0 {
		t.item("max-fails", strconv.Itoa(b.MaxFails))
	}
	if b.SendProxy != 0 {
		t.item("send-proxy", strconv.Itoa(b.SendProxy))
	}
	for _, e := range b.Endpoints {
		t.item("endpoint", e.String())
	}
	return t.String()
}

// Equal says whether two checks, of which either may be nil, ask the same.
func (h *Health) Equal(other *Health) bool {
	if h == nil || other == nil {
		return h == other
	}
	return h.words().String() == other.words().String()
}

// words are those of the check's line.
func (h *Health) words() words {
	w := words{"health", token(h.Path), "every", h.Interval.String(), "timeout", h.Timeout.String()}
	if h.Status != 0 {
		w.add("status", strconv.Itoa(h.Status))
	}
	w.optional("host", h.Host)
	if h.Port != 0 {
		w.add("port", strconv.Itoa(int(h.Port)))
	}
	for _, v := range h.Headers {
		w.add("header", token(v.Name), token(v.Value))
	}
	return w
}

// String returns the endpoint in one line, beginning with its address.
func (e Endpoint) String() string {
	w := words{token(e.Address), token(string(e.State)), "weight", strconv.Itoa(e.Weight), "id", token(e.ID)}
	w.optional("instance", e.Instance)
	w.optional("source", e.Source)
	w.optional("node", e.Node)
	w.optional("reason", e.Reason)
	w.optional("by", e.By)
	return w.String()
}

// Text returns the match in one line: its demands, separated by commas.
func (m Match) Text() string {
	var b strings.Builder
	b.WriteString("host " + m.Host.String() + ", path " + m.Path.String())
	for _, c := range m.Conditions {
		b.WriteString(", " + c.Text())
	}
	return b.String()
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
func (c Condition) Text() string {
	w := words{}
	if c.Not {
		w.add("not")
	}
	w.add(token(string(c.Kind)))
	if c.Name != "" {
		w.add(token(c.Name))
	}
	switch c.Kind {
	case ConditionHeader, ConditionQuery:
		if len(c.Values) == 0 {
			w.add("present")
			break
		}
		w.add("is", tokens(c.Values))
	case ConditionHeaderRegexp, ConditionQueryRegexp, ConditionHostRegexp, ConditionPathRegexp:
		quoted := make([]string, len(c.Values))
		for i, v := range c.Values {
			quoted[i] = strconv.Quote(v)
		}
		w.add(strings.Join(quoted, " | "))
	default:
		w.add(tokens(c.Values))
	}
	return w.String()
}

// String returns the problem in one line: code and place, then, behind a colon,
// the reason and the hint.
func (p Problem) String() string {
	w := words{token(string(p.Code))}
	w.optional("service", p.Service)
	w.optional("source", p.Source)
	w.optional("instance", p.Instance)
	w.optional("route", p.Route)
	w.optional("label", p.Label)
	s := w.String() + ": " + escape(p.Text)
	if p.Hint != "" {
		s += " (" + escape(p.Hint) + ")"
	}
	return s
}

// text builds the text of an element: a line with its name, then an indented line
// for each thing in it.
type text struct{ strings.Builder }

// line begins an element.
func (t *text) line(kind, id string) { t.WriteString(kind + " " + token(id) + "\n") }

// item adds a line of words that are ready to be printed.
func (t *text) item(words ...string) { t.WriteString("  " + strings.Join(words, " ") + "\n") }

// field adds a line for a value.
func (t *text) field(name, value string) { t.item(name, token(value)) }

// optional adds a line for a value that is not empty.
func (t *text) optional(name, value string) {
	if value != "" {
		t.field(name, value)
	}
}

// duration adds a line for a duration that is not zero.
func (t *text) duration(name string, d time.Duration) {
	if d != 0 {
		t.item(name, d.String())
	}
}

// words are the words of a line, ready to be printed.
type words []string

// String joins the words.
func (w words) String() string { return strings.Join(w, " ") }

// add adds words.
func (w *words) add(ready ...string) { *w = append(*w, ready...) }

// optional adds a name and its value, unless the value is empty.
func (w *words) optional(name, value string) {
	if value != "" {
		w.add(name, token(value))
	}
}

// headers adds a header operation, in the order in which it is done.
func (w *words) headers(h *HeaderOperation) {
	for _, name := range h.Remove {
		w.add("remove", token(name))
	}
	for _, v := range h.Set {
		w.add("set", token(v.Name), token(v.Value))
	}
	for _, v := range h.Add {
		w.add("add", token(v.Name), token(v.Value))
	}
}

// tokens joins alternatives.
func tokens(values []string) string {
	ready := make([]string, len(values))
	for i, v := range values {
		ready[i] = token(v)
	}
	return strings.Join(ready, " | ")
}

// prefixes joins address prefixes.
func prefixes(list []netip.Prefix) string {
	ready := make([]string, len(list))
	for i, p := range list {
		ready[i] = p.String()
	}
	return strings.Join(ready, " | ")
}

// token returns s as one word: plainly when it consists of harmless characters,
// else in Go's quotes, so that no value can pass for anything but itself.
func token(s string) string {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return strconv.Quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

// isTokenByte is true for the characters that need no quotes.
func isTokenByte(c byte) bool {
	switch c {
	case '/', ':', '@', '*', '+', '=', '%', '$', '!', '&', ';', '[', ']':
		return true
	}
	return isUnreserved(c)
}

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
func excerpt(s string) string {
	return human.Quote(s, 100)
}
