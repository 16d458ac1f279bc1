package compile

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/route"
)

// refusal is an error with a code of its own and a hint; plain errors of readers
// are refused with CodeBadValue.
type refusal struct {
	code route.Code
	text string
	hint string
}

// Error returns the reason.
func (r *refusal) Error() string { return r.text }

// bad is a refusal with CodeBadValue.
func bad(hint, format string, args ...any) error {
	return &refusal{route.CodeBadValue, fmt.Sprintf(format, args...), hint}
}

func readBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, bad("write true or false", "%s is neither true nor false", excerpt(s))
}

func readInt(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, bad("", "%s is not a number from %d to %d", excerpt(s), least, most)
	}
	return n, nil
}

func readDuration(s string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, bad("write it like 500ms, 10s or 2m", "%s is not a duration", excerpt(s))
	}
	if d < least || d > most {
		return 0, bad("", "%s is not between %v and %v", excerpt(s), least, most)
	}
	return d, nil
}

// readList cuts a list at its commas; every item is trimmed, and none is empty.
func readList(s string) ([]string, error) {
	items := strings.Split(s, ",")
	if len(items) > maxListItems {
		return nil, bad("use several routes", "the list has more than %d items", maxListItems)
	}
	for i, item := range items {
		if items[i] = strings.TrimSpace(item); items[i] == "" {
			return nil, bad("separate items with single commas", "the list has an empty item")
		}
	}
	return items, nil
}

func readHosts(s string) ([]route.Host, error) {
	items, err := readList(s)
	if err != nil {
		return nil, err
	}
	var hosts []route.Host
	for _, item := range items {
		h, err := route.ParseHost(item)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// readName reads one name in its canonical form.
func readName(s, hint string) (string, error) {
	h, err := route.ParseHost(s)
	if err != nil {
		return "", err
	}
	if h.Kind != route.HostExact {
		return "", bad(hint, "%s is not one name", excerpt(s))
	}
	return h.Value, nil
}

// readProtocols reads the protocols of upgrades. WebSocket needs none.
func readProtocols(s string) ([]string, error) {
	items, err := readList(strings.ToLower(s))
	if err != nil {
		return nil, err
	}
	for _, p := range items {
		if !route.IsProtocol(p) {
			return nil, bad("write names such as tcp or SPDY/3.1, separated by commas", "%s is not a protocol", excerpt(p))
		}
	}
	items = slices.DeleteFunc(items, func(p string) bool { return p == "websocket" })
	slices.Sort(items)
	return slices.Compact(items), nil
}

func readPaths(kind route.PathKind, s string) ([]route.Path, error) {
	items := []string{s}
	if kind != route.PathRegexp {
		var err error
		if items, err = readList(s); err != nil {
			return nil, err
		}
	}
	var paths []route.Path
	for _, item := range items {
		p, err := route.ParsePath(kind, item)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	return paths, nil
}

// parsePrefix reads an address or a prefix in its canonical form: no host bits,
// IPv4-mapped addresses as IPv4.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%s is neither an address nor a prefix such as 10.0.0.0/8", excerpt(s))
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%s is wider than all IPv4 addresses", excerpt(s))
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func readPrefixes(s string) ([]netip.Prefix, error) {
	items, err := readList(s)
	if err != nil {
		return nil, err
	}
	prefixes := make([]netip.Prefix, len(items))
	for i, item := range items {
		if prefixes[i], err = parsePrefix(item); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	return slices.Compact(prefixes), nil
}

// rateUnits are the times a rate limit may count in.
var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// readRate reads "100/s" or "100/s burst 200". Without a burst, all requests of
// one unit may come at once.
func readRate(s string) (*route.RateLimit, error) {
	const most = 1_000_000
	hint := "write it like 100/s or 100/m burst 200"
	words := strings.Fields(s)
	if len(words) != 1 && (len(words) != 3 || words[1] != "burst") {
		return nil, bad(hint, "%s is not a rate", excerpt(s))
	}
	count, unit, _ := strings.Cut(words[0], "/")
	per, ok := rateUnits[unit]
	if !ok {
		return nil, bad(hint, "%s has no unit s, m or h", excerpt(s))
	}
	requests, err := readInt(count, 1, most)
	if err != nil {
		return nil, err
	}
	limit := &route.RateLimit{Requests: requests, Per: per, Burst: requests}
	if len(words) == 3 {
		if limit.Burst, err = readInt(words[2], 1, most); err != nil {
			return nil, err
		}
	}
	return limit, nil
}

// sizeUnits are the units of a size, longest first.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"b", 1}, {"", 1},
}

func readSize(s string) (int64, error) {
	const most = 1 << 40
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(strings.ToLower(s), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > most/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, bad("write it like 500kB, 10MB or 1GiB", "%s is not a size up to 1 TiB", excerpt(s))
}

// redirectStatuses are the statuses that a redirect may answer with.
var redirectStatuses = []int{301, 302, 303, 307, 308}

// readRedirect reads a URL, or a path, behind an optional status. Without one it
// is 307, which browsers do not remember and which keeps the method.
func readRedirect(s string) (*route.Redirect, error) {
	hint := "write it like https://new.example or 308 https://new.example/path"
	r := &route.Redirect{Status: 307}
	if status, rest, ok := strings.Cut(s, " "); ok {
		n, err := strconv.Atoi(status)
		if err != nil || !slices.Contains(redirectStatuses, n) {
			return nil, bad("use 301, 302, 303, 307 or 308", "%s is not the status of a redirect", excerpt(status))
		}
		r.Status, s = n, strings.TrimSpace(rest)
	}
	u, err := url.Parse(s)
	switch {
	case err == nil && u.User != nil, (err != nil || u.Opaque != "") && strings.Contains(s, "@"):
		return nil, bad(hint, "the URL has a user in it") // and a password, which is not repeated
	case strings.ContainsAny(s, "?#"):
		return nil, bad("the query of the request is kept", "the URL has a query or a fragment")
	case err != nil || u.Opaque != "":
		return nil, bad(hint, "%s is not a URL", excerpt(s))
	case u.Scheme == "" && (u.Host != "" || u.Path == ""):
		return nil, bad(hint, "%s has no scheme", excerpt(s))
	case u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" || u.Scheme != "" && u.Host == "":
		return nil, bad(hint, "%s is not an http or https URL", excerpt(s))
	}
	r.Scheme = u.Scheme
	if u.Host != "" {
		if r.Host, err = canonicalAuthority(u); err != nil {
			return nil, err
		}
	}
	if u.Path != "" {
		if r.Path, err = route.CanonicalPath(u.EscapedPath()); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// canonicalAuthority is the host of a URL with its port, if it names one.
func canonicalAuthority(u *url.URL) (string, error) {
	host, err := route.CanonicalHost(u.Host)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		if strings.Contains(host, ":") {
			return "[" + host + "]", nil
		}
		return host, nil
	}
	if _, err := readInt(port, 1, 65535); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}

// readAuthFile reads where the users of basic-auth are. The value is never
// repeated: people write passwords here.
func readAuthFile(s string) (*route.BasicAuth, error) {
	path, ok := strings.CutPrefix(s, "file:")
	switch {
	case !ok:
		return nil, bad("put the users into a file made by htpasswd -B and write file:/path/to/it", "users do not belong into labels, which everybody can read")
	case !strings.HasPrefix(path, "/") || strings.Contains(path, "/../") || strings.HasSuffix(path, "/") || strings.HasSuffix(path, "/.."):
		return nil, bad("write it like file:/run/secrets/users", "the file is not named by a plain absolute path")
	}
	return &route.BasicAuth{File: path, Realm: "fairway"}, nil
}

// readBalance reads a balance policy.
func readBalance(s string) (route.Balance, error) {
	policy, on, hashed := strings.Cut(s, ":")
	on, name, named := strings.Cut(on, ":")
	b := route.Balance{Policy: route.BalancePolicy(policy), On: route.HashOn(on), Name: name}
	wrong := bad("use round-robin, least-conn, random2, or hash: with client-ip, path, header:<name>, cookie:<name> or query:<name>",
		"%s is not a balance policy", excerpt(s))
	switch b.Policy {
	case route.BalanceRoundRobin, route.BalanceLeastConn, route.BalanceRandom2:
		if hashed {
			return b, wrong
		}
		return b, nil
	case route.BalanceHash:
	default:
		return b, wrong
	}
	switch b.On {
	case route.HashClientIP, route.HashPath:
		if named {
			return b, wrong
		}
	case route.HashHeader, route.HashCookie:
		if !isToken(name) {
			return b, wrong
		}
		if b.On == route.HashHeader {
			b.Name = canonicalHeader(name)
		}
	case route.HashQuery:
		if name == "" {
			return b, wrong
		}
	default:
		return b, wrong
	}
	return b, nil
}

// readPrefixPath reads a path that is put in front of others or taken off them.
func readPrefixPath(s string) (string, error) {
	p, err := route.ParsePath(route.PathPrefix, s)
	if err != nil {
		return "", err
	}
	if p.Value == "/" {
		return "", errors.New("the prefix / changes nothing")
	}
	return p.Value, nil
}

// readHealthPath reads the path of a check, which may have a query.
func readHealthPath(s string) (string, error) {
	u, err := url.ParseRequestURI(s)
	if err != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "# \\") {
		return "", bad("write it like /up", "%s is not a path", excerpt(route.MaskQuery(s)))
	}
	return u.RequestURI(), nil
}
