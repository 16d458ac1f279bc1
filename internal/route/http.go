package route

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// AllowedMethods is the header Allow of an engine's own answers (RFC 9110, 10.2.1). Other
// methods pass as well, except CONNECT and TRACE.
const AllowedMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// IsToken reports whether s is a token (RFC 9110, 5.6.2): of a header, a method, a cookie.
func IsToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// IsFraming reports the headers of messages and connections, which no label may change.
func IsFraming(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Te", "Trailer", "Keep-Alive", "Proxy-Connection":
		return true
	}
	return false
}

// WithoutFraming returns the operation without the headers that IsFraming reports.
func (h *HeaderOperation) WithoutFraming() HeaderOperation {
	framing := func(v HeaderValue) bool { return IsFraming(v.Name) }
	return HeaderOperation{
		OverTLS: h.OverTLS,
		Remove:  slices.DeleteFunc(slices.Clone(h.Remove), IsFraming),
		Set:     slices.DeleteFunc(slices.Clone(h.Set), framing),
		Add:     slices.DeleteFunc(slices.Clone(h.Add), framing),
	}
}

// Replaced are the canonical names of the headers that are removed or set.
func (h *HeaderOperation) Replaced() []string {
	names := make([]string, 0, len(h.Remove)+len(h.Set))
	for _, name := range h.Remove {
		names = append(names, http.CanonicalHeaderKey(name))
	}
	for _, v := range h.Set {
		names = append(names, http.CanonicalHeaderKey(v.Name))
	}
	return names
}

// StickyValue is the cookie value that ties a client to an endpoint of a backend: a hash of
// the IDs. The address takes no part: it could be found by trying all there are.
func StickyValue(backend, endpoint string) string {
	sum := sha256.Sum256([]byte("fairway sticky\x00" + backend + "\x00" + endpoint))
	return hex.EncodeToString(sum[:8])
}

// UnmappedPrefix returns a prefix of IPv4-mapped addresses as one of IPv4.
func UnmappedPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}
