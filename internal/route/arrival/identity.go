package arrival

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/route/canonical"
	"fairway/internal/route/field"
)

// Peer is the other end of the connection a request came by.
type Peer struct {
	Addr netip.Addr
	// Text is Addr as text, or empty: then it is made.
	Text string
	// TLS says that the request came by TLS.
	TLS bool
	// Trusted are the proxies whose headers count.
	Trusted []netip.Prefix
}

// Trusts reports whether addr is one of the trusted proxies.
func (p *Peer) Trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(p.Trusted, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

// Identity is who sent a request, and to what, as the endpoint gets it.
type Identity struct {
	Client netip.Addr
	// Chain is the value of X-Forwarded-For.
	Chain string
	// Proto is "http" or "https"; Host has the port where the client named one.
	Proto, Host, Port string
	// ID is X-Request-Id.
	ID string
	// Told is X-Forwarded-Proto of a trusted peer (see forwardedProto), else Proto.
	Told string
}

// IsIdentity reports the headers, in any case, by which endpoints learn who sent a request
// to where. The last two replace the path that was matched in some frameworks.
func IsIdentity(name string) bool {
	if name == "" || name[0]|0x20 != 'x' && name[0]|0x20 != 'f' {
		return false
	}
	for _, known := range [...]string{"Forwarded", "X-Real-Ip", "X-Request-Id", "X-Original-Url", "X-Rewrite-Url"} {
		if field.Same(name, known) {
			return true
		}
	}
	const prefix = "X-Forwarded-"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// Identify works out the identity and writes it into the header, with every identity
// header of an untrusted peer removed. host is canonical, in brackets where it must be;
// port may be empty.
//
// From a trusted peer, X-Forwarded-For is continued and the client is its right-most
// address that is not a trusted proxy itself. X-Forwarded-Proto, -Host and -Port, and
// X-Request-Id count where they are sane. Other identity headers stay.
func Identify(h *field.List, p Peer, host, port string) Identity {
	id := Identity{Client: p.Addr, Proto: "http", Host: host, Port: port}
	if p.TLS {
		id.Proto = "https"
	}
	if port != "" {
		id.Host += ":" + port
	}
	id.Told = id.Proto
	if p.Trusts(p.Addr) {
		id.Told = forwardedProto(h.Get("X-Forwarded-Proto"))
		id.accept(h, &p)
	} else {
		h.DelFunc(IsIdentity)
	}
	if p.Addr.IsValid() {
		if id.Chain != "" {
			id.Chain += ", "
		}
		if p.Text == "" {
			p.Text = p.Addr.String()
		}
		id.Chain += p.Text
	}
	if id.Port == "" {
		id.Port = defaultPort(id.Proto)
	}
	if id.ID == "" {
		id.ID = NewID()
	}
	id.Tell(h)
	return id
}

func defaultPort(proto string) string {
	if proto == "https" {
		return "443"
	}
	return "80"
}

// accept takes over what a trusted peer says.
func (id *Identity) accept(h *field.List, p *Peer) {
	chain := addresses(h.Values("X-Forwarded-For"))
	for i := len(chain) - 1; i >= 0; i-- {
		id.Client = chain[i]
		if !p.Trusts(chain[i]) {
			break
		}
	}
	shown := make([]string, len(chain))
	for i, addr := range chain {
		shown[i] = addr.String()
	}
	id.Chain = strings.Join(shown, ", ")

	if v := id.Told; v == "http" || v == "https" {
		if v != id.Proto {
			id.Port = "" // the one of the host, if any, is said below
		}
		id.Proto = v
	}
	if v := only(h, "X-Forwarded-Host"); v != "" {
		if host, err := canonical.Host(v); err == nil {
			id.Host, id.Port = Bracketed(host), PortOf(v)
			if id.Port != "" {
				id.Host += ":" + id.Port
			}
		}
	}
	if n, err := strconv.ParseUint(only(h, "X-Forwarded-Port"), 10, 16); err == nil && n > 0 {
		id.Port = strconv.FormatUint(n, 10)
	}
	if v := only(h, "X-Request-Id"); isSaneID(v) {
		id.ID = v
	}
}

// Tell sets the headers.
func (id *Identity) Tell(h *field.List) {
	h.Del("X-Forwarded-For")
	h.Del("X-Real-Ip")
	if id.Chain != "" {
		h.Add("X-Forwarded-For", id.Chain)
	}
	if id.Client.IsValid() {
		text := id.Chain // of one address, in most cases
		if strings.IndexByte(text, ',') >= 0 {
			text = id.Client.String()
		}
		h.Add("X-Real-Ip", text)
	}
	h.Set("X-Forwarded-Proto", id.Proto)
	if id.Host != "" { // HTTP/1.0 need not name one
		h.Set("X-Forwarded-Host", id.Host)
	}
	h.Set("X-Forwarded-Port", id.Port)
	h.Set("X-Request-Id", id.ID)
}

// forwardedProto reads X-Forwarded-Proto: of a list the first entry, which the outermost
// proxy has written, in any case, and the schemes of WebSocket for those of HTTP.
func forwardedProto(value string) string {
	first, _, _ := strings.Cut(value, ",")
	switch first = strings.ToLower(strings.TrimSpace(first)); first {
	case "wss":
		return "https"
	case "ws":
		return "http"
	}
	return first
}

// only returns the value of a header that is there once, without commas, or nothing.
func only(h *field.List, name string) string {
	v := h.Get(name)
	if h.Count(name) != 1 || strings.IndexByte(v, ',') >= 0 {
		return ""
	}
	return strings.TrimSpace(v)
}

// addresses reads X-Forwarded-For from right to left up to the first entry that
// is no address, and returns what it read in the order of the header.
func addresses(values []string) (list []netip.Addr) {
	rest := strings.Join(values, ",")
	for more := true; more; {
		comma := strings.LastIndexByte(rest, ',')
		addr, ok := forwardedAddr(strings.TrimSpace(rest[comma+1:]))
		if !ok {
			break
		}
		list = append(list, addr)
		rest, more = rest[:max(comma, 0)], comma >= 0
	}
	slices.Reverse(list)
	return list
}

// forwardedAddr reads one entry: an address, with or without port and brackets.
func forwardedAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = ap.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// isSaneID limits what is taken over as a request ID to what every log can hold.
func isSaneID(s string) bool {
	const sane = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+=@"
	return s != "" && len(s) <= 128 && strings.Trim(s, sane) == ""
}

// NewID returns 128 random bits. They name a request; they are no secret.
func NewID() string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), rand.Uint64())
	return hex.EncodeToString(binary.BigEndian.AppendUint64(b, rand.Uint64()))
}

// PortOf returns the port of an authority that CanonicalHost accepted.
func PortOf(authority string) string {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.IndexByte(authority[i:], ']') >= 0 ||
		authority[0] != '[' && strings.IndexByte(authority, ':') != i {
		return ""
	}
	return strings.TrimLeft(authority[i+1:], "0")
}

// Bracketed puts an IPv6 address into brackets, as headers and URLs want it.
func Bracketed(host string) string {
	if strings.IndexByte(host, ':') >= 0 {
		return "[" + host + "]"
	}
	return host
}
