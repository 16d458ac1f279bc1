package route

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Key identifies the match: two matches of equal keys take the same requests,
// because they ask for the same things, if in another order.
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

// compiledMatch is a Match that is ready to be put to requests: expressions compiled,
// addresses parsed.
type compiledMatch struct {
	match      *Match
	host       *regexp.Regexp // for HostRegexp
	path       *regexp.Regexp // for PathRegexp
	literal    int            // bytes of the path that are fixed
	conditions []condition
}

// condition is a Condition that is ready to be put to requests. Of the fields
// below Condition only the one that its kind needs is set.
type condition struct {
	Condition
	exprs    []*regexp.Regexp
	prefixes []netip.Prefix
	hosts    []Host
}

// compileMatch checks a match and makes it ready.
func compileMatch(m *Match) (*compiledMatch, error) {
	c := &compiledMatch{match: m}
	var err error
	if c.host, err = compileHost(m.Host); err != nil {
		return nil, err
	}
	if c.path, c.literal, err = compilePath(m.Path); err != nil {
		return nil, err
	}
	if len(m.Conditions) == 0 {
		return c, nil
	}
	c.conditions = make([]condition, len(m.Conditions))
	for i, cond := range m.Conditions {
		if c.conditions[i], err = compileCondition(cond); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// compileHost checks that a host is canonical and compiles its expression.
func compileHost(h Host) (*regexp.Regexp, error) {
	switch h.Kind {
	case HostExact, HostWildcard, HostDeep:
		value, err := CanonicalHost(h.Value)
		if err != nil {
			return nil, err
		}
		if value != h.Value {
			return nil, fmt.Errorf("host %s is not in canonical form, which is %s", excerpt(h.Value), excerpt(value))
		}
		return nil, nil
	case HostRegexp:
		re, _, err := compileWhole(h.Value)
		return re, err
	case HostAny:
		if h.Value != "" {
			return nil, fmt.Errorf("host of kind any has a value: %s", excerpt(h.Value))
		}
		return nil, nil
	}
	return nil, fmt.Errorf("host kind %s: no such kind", excerpt(string(h.Kind)))
}

// compilePath checks that a path is canonical, compiles its expression and counts
// the bytes that are fixed.
func compilePath(p Path) (*regexp.Regexp, int, error) {
	switch p.Kind {
	case PathPrefix, PathExact, PathStart:
		if err := checkPath(p); err != nil {
			return nil, 0, err
		}
		return nil, len(p.Value), nil
	case PathRegexp:
		return compileWhole(p.Value)
	}
	return nil, 0, fmt.Errorf("path kind %s: no such kind", excerpt(string(p.Kind)))
}

// checkPath checks that a path that is no expression is canonical.
func checkPath(p Path) error {
	canonical, err := canonicalOf(p)
	if err != nil {
		return fmt.Errorf("%w: %s", err, excerpt(p.Value))
	}
	if canonical != p.Value {
		return fmt.Errorf("path %s is not in canonical form, which is %s", excerpt(p.Value), excerpt(canonical))
	}
	return nil
}

// canonicalOf returns the canonical form of a path that is no expression. What a
// path begins with is made canonical as a path that goes on, so that "/a/." stays
// what "/a/.well-known" begins with.
func canonicalOf(p Path) (string, error) {
	const more = "x"
	value := p.Value
	if p.Kind == PathStart && value != "" {
		value += more
	}
	canonical, err := CanonicalPath(value)
	switch {
	case err != nil:
		return "", err
	case p.Kind == PathStart:
		return strings.TrimSuffix(canonical, more), nil
	case p.Kind == PathPrefix && canonical != "/":
		return strings.TrimSuffix(canonical, "/"), nil
	}
	return canonical, nil
}

// compileCondition checks a condition and makes it ready.
func compileCondition(c Condition) (condition, error) {
	done := condition{Condition: c}
	var one func(value string) error
	switch c.Kind {
	case ConditionMethod, ConditionHeader, ConditionQuery, ConditionListener:
	case ConditionHeaderRegexp, ConditionQueryRegexp:
		one = func(value string) error {
			re, err := compileRegexp(value)
			done.exprs = append(done.exprs, re)
			return err
		}
	case ConditionHostRegexp, ConditionPathRegexp:
		one = func(value string) error {
			re, _, err := compileWhole(value)
			done.exprs = append(done.exprs, re)
			return err
		}
	case ConditionClientIP:
		one = func(value string) error {
			p, err := parsePrefix(value)
			done.prefixes = append(done.prefixes, p)
			return err
		}
	case ConditionHost:
		one = func(value string) error {
			h, err := ParseHost(value)
			done.hosts = append(done.hosts, h)
			return err
		}
	case ConditionPath:
		one = func(value string) error { return checkPath(Path{PathExact, value}) }
	case ConditionPathPrefix:
		one = func(value string) error { return checkPath(Path{PathPrefix, value}) }
	case ConditionPathStart:
		one = func(value string) error { return checkPath(Path{PathStart, value}) }
	default:
		return done, fmt.Errorf("condition kind %s: no such kind", excerpt(string(c.Kind)))
	}
	if err := checkShape(c); err != nil {
		return done, err
	}
	for _, v := range c.Values {
		if one == nil {
			break
		}
		if err := one(v); err != nil {
			return done, fmt.Errorf("condition %s: %w", c.Kind, err)
		}
	}
	return done, nil
}

// checkShape checks that a condition has a name and values where its kind has.
func checkShape(c Condition) error {
	named, bare := false, false
	switch c.Kind {
	case ConditionHeader, ConditionQuery:
		named, bare = true, true
	case ConditionHeaderRegexp, ConditionQueryRegexp:
		named = true
	}
	switch {
	case named && c.Name == "":
		return fmt.Errorf("condition %s has no name", c.Kind)
	case !named && c.Name != "":
		return fmt.Errorf("condition %s has a name: %s", c.Kind, excerpt(c.Name))
	case !bare && len(c.Values) == 0:
		return fmt.Errorf("condition %s has no values", c.Kind)
	}
	return nil
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

// hostHolds says whether the match's own host takes name.
func (c *compiledMatch) hostHolds(name string) bool {
	if c.host != nil {
		return c.host.MatchString(name)
	}
	return c.match.Host.holds(name)
}

// Matches says whether h takes the canonical name. An expression that does not
// compile takes none. It is for single questions: a Matcher keeps what it compiles.
func (h Host) Matches(name string) bool {
	if h.Kind != HostRegexp {
		return h.holds(name)
	}
	re, err := compileHost(h)
	return err == nil && re.MatchString(name)
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

// pathHolds says whether the match's own path takes the canonical path.
func (c *compiledMatch) pathHolds(path string) bool {
	if path == "" || path[0] != '/' {
		return false // not a canonical path; no route takes it
	}
	switch c.match.Path.Kind {
	case PathExact:
		return path == c.match.Path.Value
	case PathPrefix:
		return isBelow(path, c.match.Path.Value)
	case PathStart:
		return strings.HasPrefix(path, c.match.Path.Value)
	}
	return c.path.MatchString(path)
}

// isBelow says whether path is prefix or below it on a segment boundary.
func isBelow(path, prefix string) bool {
	if prefix == "/" {
		return true
	}
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// failing returns the first condition that does not hold, or nil.
func failing(conditions []condition, r *Request) *condition {
	for i := range conditions {
		if c := &conditions[i]; !c.holds(r) {
			return c
		}
	}
	return nil
}

// holds says whether the condition holds for r.
func (c *condition) holds(r *Request) bool { return c.applies(r) != c.Not }

// applies is holds without Not.
func (c *condition) applies(r *Request) bool {
	switch c.Kind {
	case ConditionMethod:
		return slices.Contains(c.Values, r.Method)
	case ConditionHeader, ConditionHeaderRegexp:
		return r.Header != nil && slices.ContainsFunc(r.Header.Values(c.Name), c.takes)
	case ConditionQuery, ConditionQueryRegexp:
		return c.takesQuery(r.Query)
	case ConditionClientIP:
		client := r.Client.Unmap().WithZone("")
		for _, p := range c.prefixes {
			if p.Contains(client) {
				return true
			}
		}
	case ConditionHost:
		for _, h := range c.hosts {
			if h.holds(r.Host) {
				return true
			}
		}
	case ConditionHostRegexp:
		return c.takes(r.Host)
	case ConditionPath:
		return slices.Contains(c.Values, r.Path)
	case ConditionPathPrefix:
		for _, prefix := range c.Values {
			if isBelow(r.Path, prefix) {
				return true
			}
		}
	case ConditionPathRegexp:
		return c.takes(r.Path)
	case ConditionPathStart:
		for _, start := range c.Values {
			if strings.HasPrefix(r.Path, start) {
				return true
			}
		}
	case ConditionListener:
		return slices.Contains(c.Values, r.Listener)
	}
	return false
}

// takes says whether one value, of a header for instance, is among those wanted.
func (c *condition) takes(value string) bool {
	if c.exprs == nil {
		return len(c.Values) == 0 || slices.Contains(c.Values, value)
	}
	for _, re := range c.exprs {
		if re.MatchString(value) {
			return true
		}
	}
	return false
}

// takesQuery says whether the raw query has the parameter with a value that is
// wanted. Every parameter is looked at, however many there are: what is forwarded
// has been seen. Parameters are separated by "&" alone; a name or value whose
// encoding is broken is taken as it was written.
func (c *condition) takesQuery(query string) bool {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		if pair != "" && unescapeQuery(name) == c.Name && c.takes(unescapeQuery(value)) {
			return true
		}
	}
	return false
}

// unescapeQuery decodes a name or value of a query, without a copy where nothing
// is encoded.
func unescapeQuery(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}
