package embedded

import (
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"fairway/internal/route"
)

// peer is the other end of the connection a request came by.
type peer struct {
	addr netip.Addr
	tls  bool
	// trusted are the proxies whose word is believed.
	trusted []netip.Prefix
}

// trusts reports whether addr is one of the trusted proxies.
func (p *peer) trusts(addr netip.Addr) bool {
	for _, prefix := range p.trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// identity is who sent a request, and to what, as the endpoint is told.
type identity struct {
	client netip.Addr
	// chain is the value of X-Forwarded-For.
	chain string
	// proto is "http" or "https"; host has the port where the client named one.
	proto, host, port string
	requestID         string
	// told is X-Forwarded-Proto of a trusted peer, as forwardedProto reads it; of
	// other peers it is proto.
	told string
	// forwarded are the values of Forwarded, of trusted peers only.
	forwarded []string
}

// isIdentityHeader tells the headers by which endpoints learn who sent a request
// to where. The last two replace the path in some frameworks, past the one that
// was matched.
func isIdentityHeader(name string) bool {
	switch name {
	case "Forwarded", "X-Real-Ip", "X-Request-Id", "X-Original-Url", "X-Rewrite-Url":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// identify works out the identity and makes the header tell it, with every
// identity header of an untrusted peer removed. host is canonical, in brackets
// where it must be; port may be empty.
//
// From a trusted peer, X-Forwarded-For is continued and the client is its
// right-most address that is not a trusted proxy itself; what is left of an
// entry that is no address is cut off. X-Forwarded-Proto, -Host and -Port, and
// X-Request-Id are believed where they are sane. Other identity headers stay.
func identify(h http.Header, p peer, host, port string) identity {
	id := identity{client: p.addr, proto: "http", host: host, port: port}
	if p.tls {
		id.proto = "https"
	}
	if port != "" {
		id.host += ":" + port
	}
	id.told = id.proto
	if p.trusts(p.addr) {
		id.told = forwardedProto(h["X-Forwarded-Proto"])
		id.believe(h, &p)
	} else {
		for name := range h {
			if isIdentityHeader(name) {
				delete(h, name)
			}
		}
	}
	if p.addr.IsValid() {
		if id.chain != "" {
			id.chain += ", "
		}
		id.chain += p.addr.String()
	}
	if id.port == "" {
		id.port = defaultPort(id.proto)
	}
	if id.requestID == "" {
		id.requestID = newRequestID()
	}
	id.tell(h)
	return id
}

func defaultPort(proto string) string {
	if proto == "https" {
		return "443"
	}
	return "80"
}

// believe takes over what a trusted peer says.
func (id *identity) believe(h http.Header, p *peer) {
	chain := addresses(h["X-Forwarded-For"])
	for i := len(chain) - 1; i >= 0; i-- {
		id.client = chain[i]
		if !p.trusts(chain[i]) {
			break
		}
	}
	var b strings.Builder
	for i, addr := range chain {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(addr.String())
	}
	id.chain = b.String()

	if v := id.told; v == "http" || v == "https" {
		if v != id.proto {
			id.port = "" // the one of the host, if any, is said below
		}
		id.proto = v
	}
	if v := only(h, "X-Forwarded-Host"); v != "" {
		if host, err := route.CanonicalHost(v); err == nil {
			id.host, id.port = bracketed(host), portOfAuthority(v)
			if id.port != "" {
				id.host += ":" + id.port
			}
		}
	}
	if n, err := strconv.ParseUint(only(h, "X-Forwarded-Port"), 10, 16); err == nil && n > 0 {
		id.port = strconv.FormatUint(n, 10)
	}
	if v := only(h, "X-Request-Id"); isSaneID(v) {
		id.requestID = v
	}
	id.forwarded = h["Forwarded"]
}

// tell sets the headers. They are set again in the outgoing request, where the
// transport removes some of them.
func (id *identity) tell(h http.Header) {
	set := func(name, value string) { h[name] = []string{value} }
	delete(h, "X-Forwarded-For")
	delete(h, "X-Real-Ip")
	if id.chain != "" {
		set("X-Forwarded-For", id.chain)
	}
	if id.client.IsValid() {
		set("X-Real-Ip", id.client.String())
	}
	set("X-Forwarded-Proto", id.proto)
	if id.host != "" { // HTTP/1.0 need not name one
		set("X-Forwarded-Host", id.host)
	}
	set("X-Forwarded-Port", id.port)
	set("X-Request-Id", id.requestID)
	if len(id.forwarded) > 0 {
		h["Forwarded"] = id.forwarded
	}
}

// forwardedProto reads X-Forwarded-Proto in the spellings that there are: of a list
// the first entry, which the outermost proxy has written, in any case, and the
// schemes of WebSocket for those of HTTP.
func forwardedProto(values []string) string {
	if len(values) == 0 {
		return ""
	}
	first, _, _ := strings.Cut(values[0], ",")
	switch first = strings.ToLower(strings.TrimSpace(first)); first {
	case "wss":
		return "https"
	case "ws":
		return "http"
	}
	return first
}

// only returns the value of a header that is there once, without commas; empty
// otherwise.
func only(h http.Header, name string) string {
	values := h[name]
	if len(values) != 1 || strings.IndexByte(values[0], ',') >= 0 {
		return ""
	}
	return strings.TrimSpace(values[0])
}

// addresses reads X-Forwarded-For from right to left up to the first entry that
// is no address, and returns what it read in the order of the header.
func addresses(values []string) []netip.Addr {
	var reversed []netip.Addr
	for i := len(values) - 1; i >= 0; i-- {
		rest := values[i]
		for more := true; more; {
			entry := rest
			if j := strings.LastIndexByte(rest, ','); j >= 0 {
				rest, entry = rest[:j], rest[j+1:]
			} else {
				more = false
			}
			addr, ok := forwardedAddr(strings.TrimSpace(entry))
			if !ok {
				return backwards(reversed)
			}
			reversed = append(reversed, addr)
		}
	}
	return backwards(reversed)
}

func backwards(list []netip.Addr) []netip.Addr {
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
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
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=', c == '@':
		default:
			return false
		}
	}
	return true
}

// newRequestID returns 128 random bits. They name a request; they are no secret.
func newRequestID() string {
	var b [16]byte
	for i, n := range []uint64{rand.Uint64(), rand.Uint64()} {
		for j := range 8 {
			b[8*i+j] = byte(n >> (8 * j))
		}
	}
	return hex.EncodeToString(b[:])
}
