package route

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"fairway/internal/route/canonical"
)

// Key identifies the match: those of equal keys ask for the same, if in another order.
func (m Match) Key() string {
	conditions := make([]string, len(m.Conditions))
	for i, c := range m.Conditions {
		c.Values = slices.Compact(slices.Sorted(slices.Values(c.Values)))
		conditions[i] = c.Text()
	}
	slices.Sort(conditions)
	key := Match{Host: m.Host, Path: m.Path}.Text()
	for _, c := range slices.Compact(conditions) {
		key += ", " + c
	}
	return key
}

// Request is what matches see; Host and Path are canonical (canonical.Host, canonical.ReadPath).
type Request struct {
	Method string
	Host   string
	Path   string
	// Other is another way in which a backend could read the path; empty when
	// there is none. Only match.Matcher.TakesBoth looks at it.
	Other string
	// Query is the raw query, without the question mark.
	Query string
	// Header may be nil, which means no headers.
	Header Header
	// Client is behind trusted proxies; IPv4-mapped addresses are unmapped.
	Client netip.Addr
	// TLS is true when the client came by TLS.
	TLS bool
	// Listener is the name of the listener it came in by.
	Listener string
}

// Header gives the values of a header by its canonical name. http.Header is one.
type Header interface {
	Values(name string) []string
}

// Compiled is a Match that is ready to be put to requests. It is immutable.
type Compiled struct {
	Match      *Match
	Host, Path func(string) bool // of the canonical form
	// Order is what counts in precedence, the weightiest first; lower goes before: the
	// kind of the host, its length, the length of the path, its kind, the conditions.
	Order      [5]int
	Conditions []CompiledCondition
}

// The kinds by precedence.
var (
	hostKinds = []HostKind{HostExact, HostWildcard, HostDeep, HostRegexp, HostAny}
	pathKinds = []PathKind{PathExact, PathRegexp, PathPrefix, PathStart}
)

func compileMatch(m *Match) (*Compiled, error) {
	c, literal := &Compiled{Match: m}, 0
	var err error
	if c.Host, err = m.Host.Compile(); err != nil {
		return nil, err
	}
	if c.Path, literal, err = m.Path.compile(); err != nil {
		return nil, err
	}
	if len(m.Conditions) > 0 {
		c.Conditions = make([]CompiledCondition, len(m.Conditions))
	}
	for i, cond := range m.Conditions {
		if c.Conditions[i], err = compileCondition(cond); err != nil {
			return nil, err
		}
	}
	c.Order = [...]int{
		slices.Index(hostKinds, m.Host.Kind), -len(m.Host.Value),
		-literal, slices.Index(pathKinds, m.Path.Kind), -len(m.Conditions),
	}
	return c, nil
}

// Compile checks that a host is canonical, and returns what tests a canonical name.
func (h Host) Compile() (func(name string) bool, error) {
	switch h.Kind {
	case HostExact, HostWildcard, HostDeep:
		value, err := canonical.Host(h.Value)
		if err != nil {
			return nil, err
		}
		if value != h.Value {
			return nil, fmt.Errorf("host %s is not in canonical form, which is %s", excerpt(h.Value), excerpt(value))
		}
	case HostRegexp:
		re, _, err := compileWhole(h.Value)
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	case HostAny:
		if h.Value != "" {
			return nil, fmt.Errorf("host of kind any has a value: %s", excerpt(h.Value))
		}
	default:
		return nil, fmt.Errorf("host kind %s: no such kind", excerpt(string(h.Kind)))
	}
	return h.holds, nil
}

// compile checks that a path is canonical, and returns what tests a canonical path and
// how many bytes of it are fixed.
func (p Path) compile() (takes func(path string) bool, literal int, err error) {
	switch p.Kind {
	case PathPrefix, PathExact, PathStart:
		return p.holds, len(p.Value), checkPath(p)
	case PathRegexp:
		re, literal, err := compileWhole(p.Value)
		if err != nil {
			return nil, 0, err
		}
		return re.MatchString, literal, nil
	}
	return nil, 0, fmt.Errorf("path kind %s: no such kind", excerpt(string(p.Kind)))
}

// checkPath checks that a path that is no expression is canonical.
func checkPath(p Path) error {
	want, err := canonicalOf(p)
	if err != nil {
		return fmt.Errorf("%w: %s", err, excerpt(p.Value))
	}
	if want != p.Value {
		return fmt.Errorf("path %s is not in canonical form, which is %s", excerpt(p.Value), excerpt(want))
	}
	return nil
}

// canonicalOf returns the canonical form of a path that is no expression. A start is made
// canonical as a path that goes on, so that "/a/." stays what "/a/.well-known" begins with.
func canonicalOf(p Path) (string, error) {
	const more = "x"
	value := p.Value
	if p.Kind == PathStart && value != "" {
		value += more
	}
	path, err := canonical.Path(value)
	switch {
	case err != nil:
		return "", err
	case p.Kind == PathStart:
		return strings.TrimSuffix(path, more), nil
	case p.Kind == PathPrefix && path != "/":
		return strings.TrimSuffix(path, "/"), nil
	}
	return path, nil
}

// pathConditions are the conditions on the path, each with how it compares it.
var pathConditions = map[ConditionKind]PathKind{
	ConditionPath: PathExact, ConditionPathPrefix: PathPrefix, ConditionPathRegexp: PathRegexp, ConditionPathStart: PathStart,
}

// CompiledCondition is a Condition that is ready to be put to requests.
type CompiledCondition struct {
	Condition
	tests    []func(value string) bool // one for each of Values, but of ConditionClientIP
	prefixes []netip.Prefix            // of ConditionClientIP
}

func compileCondition(c Condition) (CompiledCondition, error) {
	done := CompiledCondition{Condition: c}
	named, bare := false, false
	switch c.Kind {
	case ConditionHeader, ConditionQuery:
		named, bare = true, true
	case ConditionHeaderRegexp, ConditionQueryRegexp:
		named = true
	case ConditionMethod, ConditionListener, ConditionClientIP, ConditionHost, ConditionHostRegexp,
		ConditionPath, ConditionPathPrefix, ConditionPathRegexp, ConditionPathStart:
	default:
		return done, fmt.Errorf("condition kind %s: no such kind", excerpt(string(c.Kind)))
	}
	switch {
	case named && c.Name == "":
		return done, fmt.Errorf("condition %s has no name", c.Kind)
	case !named && c.Name != "":
		return done, fmt.Errorf("condition %s has a name: %s", c.Kind, excerpt(c.Name))
	case !bare && len(c.Values) == 0:
		return done, fmt.Errorf("condition %s has no values", c.Kind)
	}
	for _, v := range c.Values {
		if err := done.add(v); err != nil {
			return done, fmt.Errorf("condition %s: %w", c.Kind, err)
		}
	}
	return done, nil
}

func (c *CompiledCondition) add(value string) error {
	test := func(s string) bool { return s == value }
	var err error
	switch c.Kind {
	case ConditionHeaderRegexp, ConditionQueryRegexp:
		var re *regexp.Regexp
		re, err = compileRegexp(value)
		test = re.MatchString
	case ConditionClientIP:
		var p netip.Prefix
		p, err = parsePrefix(value)
		c.prefixes = append(c.prefixes, p)
		return err
	case ConditionHost:
		var h Host
		h, err = ParseHost(value)
		test = h.holds
	case ConditionHostRegexp:
		test, err = Host{HostRegexp, value}.Compile()
	case ConditionPath, ConditionPathPrefix, ConditionPathRegexp, ConditionPathStart:
		test, _, err = Path{pathConditions[c.Kind], value}.compile()
	}
	c.tests = append(c.tests, test)
	return err
}

// parsePrefix reads a prefix or a single address, IPv4-mapped ones as IPv4.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		addr, addrErr := netip.ParseAddr(s)
		if addrErr != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%s is not an address or a prefix", excerpt(s))
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	return UnmappedPrefix(p), nil
}

// CertificateName is the name that a certificate for the host has, "*." in front of one for a
// level (RFC 6125, 6.4.3); empty where there is no such.
func (h Host) CertificateName() string {
	switch h.Kind {
	case HostExact:
		return h.Value
	case HostWildcard:
		return "*." + h.Value
	}
	return ""
}

// Matches says whether h takes the canonical name; a host that is not sound takes none.
// It is for single questions: Compile is for many.
func (h Host) Matches(name string) bool {
	takes, err := h.Compile()
	return err == nil && takes(name)
}

// holds says whether h takes the canonical name. Expressions are not its affair.
func (h Host) holds(name string) bool {
	switch h.Kind {
	case HostExact:
		return name == h.Value
	case HostWildcard:
		front, ok := cutSuffixLabel(name, h.Value)
		return ok && strings.IndexByte(front, '.') < 0
	case HostDeep:
		_, ok := cutSuffixLabel(name, h.Value)
		return ok
	case HostAny:
		return true
	}
	return false
}

// cutSuffixLabel returns what is in front of ".suffix", if anything is.
func cutSuffixLabel(name, suffix string) (front string, ok bool) {
	rest, ok := strings.CutSuffix(name, suffix)
	if !ok || len(rest) < 2 || rest[len(rest)-1] != '.' {
		return "", false
	}
	return rest[:len(rest)-1], true
}

// holds says whether p takes the canonical path. Expressions are not its affair.
func (p Path) holds(path string) bool {
	switch p.Kind {
	case PathExact:
		return path == p.Value
	case PathStart:
		return strings.HasPrefix(path, p.Value)
	}
	rest, ok := strings.CutPrefix(path, p.Value)
	return p.Value == "/" || ok && (rest == "" || rest[0] == '/')
}

// Test puts the match to a request, whose Path begins with a slash: how many of its
// demands hold, in their order, and of the first that does not, what it looks at, what it
// wants and what is there; part is empty when all hold.
func (m *Compiled) Test(r *Request) (passed int, part, expected, actual string) {
	if !m.Host(r.Host) {
		return 0, "host", "host " + m.Match.Host.String(), escape(r.Host)
	}
	if !strings.HasPrefix(r.Path, "/") || !m.Path(r.Path) { // no route takes a path that is not canonical
		return 1, "path", "path " + m.Match.Path.String(), escape(r.Path)
	}
	for i := range m.Conditions {
		if c := &m.Conditions[i]; !c.Holds(r) {
			part, actual = c.look(r)
			return 2 + i, part, c.String(), actual
		}
	}
	return 2 + len(m.Conditions), "", "", ""
}

// Holds says whether the request is as the condition wants it.
func (c *CompiledCondition) Holds(r *Request) bool { return c.applies(r) != c.Not }

// applies says whether the condition holds for r, apart from Not.
func (c *CompiledCondition) applies(r *Request) bool {
	switch c.Kind {
	case ConditionHeader, ConditionHeaderRegexp:
		return r.Header != nil && slices.ContainsFunc(r.Header.Values(c.Name), c.takes)
	case ConditionQuery, ConditionQueryRegexp:
		return inQuery(r.Query, c.Name, c.takes)
	case ConditionClientIP:
		client := r.Client.Unmap().WithZone("")
		return slices.ContainsFunc(c.prefixes, func(p netip.Prefix) bool { return p.Contains(client) })
	}
	_, value := c.part(r)
	return c.takes(value)
}

// part returns what is looked at, but for headers, queries and clients, and its name.
func (c *CompiledCondition) part(r *Request) (name, value string) {
	switch c.Kind {
	case ConditionMethod:
		return "method", r.Method
	case ConditionListener:
		return "listener", r.Listener
	case ConditionHost, ConditionHostRegexp:
		return "host", r.Host
	}
	return "path", r.Path
}

// look names the part of a request that a condition looks at, and what is there.
func (c *CompiledCondition) look(r *Request) (part, actual string) {
	switch c.Kind {
	case ConditionHeader, ConditionHeaderRegexp:
		var values []string
		if r.Header != nil {
			values = r.Header.Values(c.Name)
		}
		return "header " + token(c.Name), tokens(values)
	case ConditionQuery, ConditionQueryRegexp:
		var values []string
		inQuery(r.Query, c.Name, func(value string) bool {
			values = append(values, value)
			return false
		})
		return "query " + token(c.Name), tokens(values)
	case ConditionClientIP:
		if !r.Client.IsValid() {
			return "client IP", ""
		}
		return "client IP", r.Client.Unmap().String()
	}
	part, value := c.part(r)
	return part, escape(value)
}

// takes says whether one value, of a header for instance, is among those wanted.
func (c *CompiledCondition) takes(value string) bool {
	for _, test := range c.tests {
		if test(value) {
			return true
		}
	}
	return len(c.tests) == 0
}

// inQuery says whether a raw query has the parameter with a value that takes takes.
// Every parameter is looked at, however many there are: what is forwarded has been seen.
// They are separated by "&" alone; what cannot be decoded is taken as it was written.
func inQuery(query, name string, takes func(value string) bool) bool {
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if pair != "" && unescapeQuery(key) == name && takes(unescapeQuery(value)) {
			return true
		}
	}
	return false
}

// unescapeQuery decodes a name or value of a query, if it can be decoded.
func unescapeQuery(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}
