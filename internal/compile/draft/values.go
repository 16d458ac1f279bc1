package draft

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/rule"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// Refusal is why a label is refused: a code, the reason, and what to do instead.
// Plain errors of readers are refused with route.CodeBadValue.
type Refusal struct {
	Code route.Code
	Text string
	Hint string
}

// Refuse returns a refusal.
func Refuse(code route.Code, text, hint string) *Refusal { return &Refusal{code, text, hint} }

// Error returns the reason.
func (r *Refusal) Error() string { return r.Text }

// Reason is what requests get while a route is refused because of a label; empty for none.
func (r *Refusal) Reason(label string) string {
	if label == "" {
		return r.Text
	}
	return chars.Printable(label) + ": " + r.Text
}

// Bad is a refusal with route.CodeBadValue.
func Bad(hint, format string, args ...any) error {
	return &Refusal{route.CodeBadValue, fmt.Sprintf(format, args...), hint}
}

// AsRefusal makes a refusal of the error of a reader.
func AsRefusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	if r, ok := errors.AsType[*rule.Error](err); ok {
		return &Refusal{route.CodeBadRule, r.Error(), r.Hint}
	}
	return &Refusal{route.CodeBadValue, err.Error(), ""}
}

// CheckText refuses a value of a label that is too long or no plain text. lines allows
// control characters, such as the ends of lines.
func CheckText(value string, lines bool) *Refusal {
	switch {
	case len(value) > MaxLabelBytes:
		return Refuse(route.CodeBadValue, fmt.Sprintf("the value is longer than %d bytes", MaxLabelBytes), "")
	case !utf8.ValidString(value):
		return Refuse(route.CodeBadValue, "the value is not UTF-8", "")
	case !lines && chars.HasControl(value):
		return Refuse(route.CodeBadValue, "the value has control characters", "")
	}
	return nil
}

// ReadBool reads true or false, in any case.
func ReadBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, Bad("write true or false", "%s is neither true nor false", chars.Excerpt(s))
}

// ReadInt reads a number between two bounds.
func ReadInt(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return 0, Bad("", "%s is not a number from %d to %d", chars.Excerpt(s), least, most)
	}
	return n, nil
}

// ReadPort reads the number of a port.
func ReadPort(s string) (uint16, error) {
	n, err := ReadInt(s, 1, 65535)
	return uint16(n), err
}

// ReadDuration reads a duration such as 10s between two bounds.
func ReadDuration(s string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, Bad("write it like 500ms, 10s or 2m", "%s is not a duration", chars.Excerpt(s))
	}
	if d < least || d > most {
		return 0, Bad("", "%s is not between %v and %v", chars.Excerpt(s), least, most)
	}
	return d, nil
}

// HeaderHSTS is the header of RFC 6797.
const HeaderHSTS = "Strict-Transport-Security"

// hstsUnits are units of the age beside those of time.ParseDuration.
var hstsUnits = map[string]time.Duration{"d": 24 * time.Hour, "y": 365 * 24 * time.Hour}

// ReadHSTS reads "1y subdomains preload": how long browsers come by https alone, and for
// whom that holds. The result sets the header in responses over TLS.
func ReadHSTS(s string) (*route.HeaderOperation, error) {
	const hint, most = "write it like 1y, 180d or 31536000s, and subdomains or preload behind it", 10
	words := strings.Fields(strings.ToLower(s))
	if len(words) == 0 {
		return nil, Bad(hint, "the duration is empty")
	}
	age, err := time.ParseDuration(words[0])
	for unit, length := range hstsUnits {
		if digits, ok := strings.CutSuffix(words[0], unit); ok {
			var n int
			n, err = ReadInt(digits, 0, int(most*hstsUnits["y"]/length))
			age = time.Duration(n) * length
		}
	}
	if err != nil || age < 0 || age > most*hstsUnits["y"] || age%time.Second != 0 {
		return nil, Bad(hint, "%s is not a duration of whole seconds up to 10y", chars.Excerpt(words[0]))
	}
	value := "max-age=" + strconv.FormatInt(int64(age/time.Second), 10)
	known := 1 // the age
	for _, word := range []struct{ label, directive string }{{"subdomains", "includeSubDomains"}, {"preload", "preload"}} {
		if slices.Contains(words, word.label) {
			known++
			value += "; " + word.directive
		}
	}
	if len(words) != known {
		return nil, Bad(hint, "%s has other words than subdomains and preload, or one twice", chars.Excerpt(s))
	}
	return &route.HeaderOperation{OverTLS: true, Set: []route.HeaderValue{{Name: HeaderHSTS, Value: value}}}, nil
}

// ReadList cuts a list at its commas; every item is trimmed, and none is empty.
func ReadList(s string) ([]string, error) {
	items := strings.Split(s, ",")
	if len(items) > MaxListItems {
		return nil, Bad("use several routes", "the list has more than %d items", MaxListItems)
	}
	for i, item := range items {
		if items[i] = strings.TrimSpace(item); items[i] == "" {
			return nil, Bad("separate items with single commas", "the list has an empty item")
		}
	}
	return items, nil
}

// readEach reads every item of a list, each once.
func readEach[T comparable](s string, read func(string) (T, error)) ([]T, error) {
	items, err := ReadList(s)
	if err != nil {
		return nil, err
	}
	var values []T
	for _, item := range items {
		v, err := read(item)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values, nil
}

// ReadHosts reads a list of hosts, each once.
func ReadHosts(s string) ([]route.Host, error) { return readEach(s, route.ParseHost) }

// ReadName reads one name in its canonical form.
func ReadName(s, hint string) (string, error) {
	h, err := route.ParseHost(s)
	if err != nil {
		return "", err
	}
	if h.Kind != route.HostExact {
		return "", Bad(hint, "%s is not one name", chars.Excerpt(s))
	}
	return h.Value, nil
}

// ReadProtocols reads the protocols of upgrades, sorted, each once. WebSocket needs none.
func ReadProtocols(s string) ([]string, error) {
	items, err := readEach(strings.ToLower(s), func(p string) (string, error) {
		if !route.IsProtocol(p) {
			return "", Bad("write names such as tcp or SPDY/3.1, separated by commas", "%s is not a protocol", chars.Excerpt(p))
		}
		return p, nil
	})
	slices.Sort(items)
	return slices.DeleteFunc(items, func(p string) bool { return p == "websocket" }), err
}

// ReadPaths reads a list of paths, each once; an expression is one path.
func ReadPaths(kind route.PathKind, s string) ([]route.Path, error) {
	read := func(item string) (route.Path, error) { return route.ParsePath(kind, item) }
	if kind != route.PathRegexp {
		return readEach(s, read)
	}
	p, err := read(s)
	if err != nil {
		return nil, err
	}
	return []route.Path{p}, nil
}

// ReadPrefixes reads a list of addresses and prefixes, sorted, each once.
func ReadPrefixes(s string) ([]netip.Prefix, error) {
	prefixes, err := readEach(s, chars.ParsePrefix)
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	return prefixes, err
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// ReadRate reads "100/s" or "100/s burst 200". Without a burst, all requests of
// one unit may come at once.
func ReadRate(s string) (*route.RateLimit, error) {
	const most = 1_000_000
	hint := "write it like 100/s or 100/m burst 200"
	words := strings.Fields(s)
	if len(words) != 1 && (len(words) != 3 || words[1] != "burst") {
		return nil, Bad(hint, "%s is not a rate", chars.Excerpt(s))
	}
	count, unit, _ := strings.Cut(words[0], "/")
	per, ok := rateUnits[unit]
	if !ok {
		return nil, Bad(hint, "%s has no unit s, m or h", chars.Excerpt(s))
	}
	requests, err := ReadInt(count, 1, most)
	if err != nil {
		return nil, err
	}
	limit := &route.RateLimit{Requests: requests, Per: per, Burst: requests}
	if len(words) == 3 {
		if limit.Burst, err = ReadInt(words[2], 1, most); err != nil {
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

// ReadSize reads a number of bytes, with a unit of 1000 or 1024.
func ReadSize(s string) (int64, error) {
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
	return 0, Bad("write it like 500kB, 10MB or 1GiB", "%s is not a size up to 1 TiB", chars.Excerpt(s))
}

// ReadRedirectStatus reads a status that a redirect may answer with.
func ReadRedirectStatus(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || !slices.Contains([]int{301, 302, 303, 307, 308}, n) {
		return 0, Bad("use 301, 302, 303, 307 or 308", "%s is not the status of a redirect", chars.Excerpt(s))
	}
	return n, nil
}

// ReadRedirect reads a URL, or a path, behind an optional status: 307 unless it is there,
// which browsers do not remember.
func ReadRedirect(s string) (*route.Redirect, error) {
	hint := "write it like https://new.example or 308 https://new.example/path"
	r := &route.Redirect{Status: 307}
	if status, rest, ok := strings.Cut(s, " "); ok {
		n, err := ReadRedirectStatus(status)
		if err != nil {
			return nil, err
		}
		r.Status, s = n, strings.TrimSpace(rest)
	}
	u, err := url.Parse(s)
	switch {
	case err == nil && u.User != nil, (err != nil || u.Opaque != "") && strings.Contains(s, "@"):
		return nil, Bad(hint, "the URL has a user in it") // and a password, which is not repeated
	case strings.ContainsAny(s, "?#"):
		return nil, Bad("the query of the request is kept", "the URL has a query or a fragment")
	case err != nil || u.Opaque != "":
		return nil, Bad(hint, "%s is not a URL", chars.Excerpt(s))
	case u.Scheme == "" && (u.Host != "" || u.Path == ""):
		return nil, Bad(hint, "%s has no scheme", chars.Excerpt(s))
	case u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" || u.Scheme != "" && u.Host == "":
		return nil, Bad(hint, "%s is not an http or https URL", chars.Excerpt(s))
	}
	r.Scheme = u.Scheme
	if u.Host != "" {
		if r.Host, err = canonicalAuthority(u); err != nil {
			return nil, err
		}
	}
	if u.Path != "" {
		if r.Path, err = canonical.Path(u.EscapedPath()); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// canonicalAuthority is the host of a URL with its port, if it names one.
func canonicalAuthority(u *url.URL) (string, error) {
	host, err := canonical.Host(u.Host)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port != "" {
		_, err = ReadPort(port)
	}
	return strings.TrimSuffix(net.JoinHostPort(host, port), ":"), err
}

// ReadAuthFile reads where the users of basic-auth are. The value is never
// repeated: people write passwords here.
func ReadAuthFile(s string) (*route.BasicAuth, error) {
	path, ok := strings.CutPrefix(s, "file:")
	if !ok {
		return nil, Bad("put the users into a file made by htpasswd -B and write file:/path/to/it", "users do not belong into labels, which everybody can read")
	}
	if err := checkFile(path, "users"); err != nil {
		return nil, err
	}
	return &route.BasicAuth{File: path, Realm: "fairway"}, nil
}

// checkFile refuses the path of a file that is not plain and absolute.
func checkFile(path, example string) error {
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "/../") || strings.HasSuffix(path, "/") || strings.HasSuffix(path, "/..") {
		return Bad("write it like file:/run/secrets/"+example, "the file is not named by a plain absolute path")
	}
	return nil
}

// ReadTLS reads where certificates come from, as route.Route has it.
func ReadTLS(s string) (string, error) {
	path, file := strings.CutPrefix(s, "file:")
	switch {
	case file:
		return path, checkFile(path, "shop.pem")
	case s == "auto":
		return route.TLSAuto, nil
	case s == route.TLSOff || s == route.TLSInternal:
		return s, nil
	}
	return "", Bad("write auto, off, internal or file:/path/to/it.pem", "%s is no way to get a certificate", chars.Excerpt(s))
}

// ReadBalance reads a balance policy.
func ReadBalance(s string) (route.Balance, error) {
	policy, on, hashed := strings.Cut(s, ":")
	on, name, named := strings.Cut(on, ":")
	b := route.Balance{Policy: route.BalancePolicy(policy), On: route.HashOn(on), Name: name}
	right := false
	switch b.Policy {
	case route.BalanceRoundRobin, route.BalanceLeastConn, route.BalanceRandom2:
		right = !hashed
	case route.BalanceHash:
		switch b.On {
		case route.HashClientIP, route.HashPath:
			right = !named
		case route.HashHeader:
			b.Name = CanonicalHeader(name)
			right = chars.IsToken(name)
		case route.HashCookie:
			right = chars.IsToken(name)
		case route.HashQuery:
			right = name != ""
		}
	}
	if !right {
		return b, Bad("use round-robin, least-conn, random2, or hash: with client-ip, path, header:<name>, cookie:<name> or query:<name>",
			"%s is not a balance policy", chars.Excerpt(s))
	}
	return b, nil
}

// ReadPrefixPath reads a path that is put in front of others or taken off them.
func ReadPrefixPath(s string) (string, error) {
	p, err := route.ParsePath(route.PathPrefix, s)
	if err != nil {
		return "", err
	}
	if p.Value == "/" {
		return "", errors.New("the prefix / changes nothing")
	}
	return p.Value, nil
}

// ReadHealthPath reads the path of a check, which may have a query.
func ReadHealthPath(s string) (string, error) {
	u, err := url.ParseRequestURI(s)
	if err != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "# \\") {
		return "", Bad("write it like /up", "%s is not a path", chars.Excerpt(route.MaskQuery(s)))
	}
	return u.RequestURI(), nil
}

// identityHeaders state who asks, and how: the engine writes them from what it has
// verified. What else begins with X-Forwarded- is the owner's to set; see
// docs/decisions/012-headers-of-labels.md.
var identityHeaders = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-Ip",
}

// HeaderChange is what is done to a header.
type HeaderChange int

// The changes of headers.
const (
	HeaderSet HeaderChange = iota
	HeaderAdd
	HeaderRemove
)

// CanonicalHeader writes the name of a header in its canonical form.
func CanonicalHeader(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }

// ReadHeader reads a header that a label changes in requests or responses. Underscores
// count as hyphens, because services behind CGI cannot distinguish them. The value is never
// repeated in errors: it may be a credential.
func ReadHeader(name, value string, request bool, change HeaderChange) (route.HeaderValue, error) {
	v := route.HeaderValue{Name: CanonicalHeader(name), Value: value}
	plain := CanonicalHeader(strings.ReplaceAll(name, "_", "-"))
	switch {
	case !chars.IsToken(name):
		return v, Bad("", "%s is not the name of a header", chars.Excerpt(name))
	case plain == "Host" || route.IsFraming(plain): // no label changes them, in either direction
		return v, Bad("", "%s belongs to the connection and cannot be changed", plain)
	case request && StatesIdentity(name) && change != HeaderRemove:
		return v, Bad("name the proxies that are trusted to send it in fairway.yml", "%s states who asks, and only Fairway itself sets it", plain)
	case len(value) > MaxHeaderBytes:
		return v, Bad("", "the value is longer than %d bytes", MaxHeaderBytes)
	}
	return v, nil
}

// StatesIdentity says whether a header of requests states to a service who asks.
func StatesIdentity(name string) bool {
	plain := CanonicalHeader(strings.ReplaceAll(name, "_", "-"))
	return slices.Contains(identityHeaders, plain)
}

// ChangeHeader puts one change into the operation for requests or responses.
func (d *Draft) ChangeHeader(request bool, change HeaderChange, name, value string) error {
	v, err := ReadHeader(name, value, request, change)
	if err != nil {
		return err
	}
	op := &d.Filter.ResponseHeaders
	if request {
		op = &d.Filter.RequestHeaders
	}
	if *op == nil {
		*op = &route.HeaderOperation{}
	}
	switch change {
	case HeaderSet:
		(*op).Set = append((*op).Set, v)
	case HeaderAdd:
		(*op).Add = append((*op).Add, v)
	case HeaderRemove:
		(*op).Remove = append((*op).Remove, v.Name)
	}
	return nil
}

// sortByName brings headers into their canonical order.
func sortByName(list []route.HeaderValue) {
	slices.SortStableFunc(list, func(a, b route.HeaderValue) int { return strings.Compare(a.Name, b.Name) })
}

// Hidden shows nothing of the value of a label.
func Hidden(string, string) string { return route.Masked }

// ShownHeader shows the value of a header that is none for credentials.
func ShownHeader(name, value string) string {
	if route.Credential(name) {
		return route.Masked
	}
	return value
}
