// Package chars reads and shows the small parts of labels: tokens, prefixes of
// addresses, and excerpts that are fit for a message.
package chars

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"fairway/internal/human"
	"fairway/internal/route"
)

// Excerpt quotes s for a message, cut to a length that fits a line.
func Excerpt(s string) string { return human.Quote(s, 60) }

// Printable returns s fit for a message or a name: valid UTF-8, no control
// characters, at most 256 bytes.
func Printable(s string) string {
	const limit = 256
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// HasControl reports whether s holds control characters or is not UTF-8.
func HasControl(s string) bool {
	if !utf8.ValidString(s) {
		return true
	}
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || 0x7f <= r && r < 0xa0 })
}

// IsToken reports whether s can name a header, a method or a cookie.
func IsToken(s string) bool { return len(s) <= 256 && route.IsToken(s) }

// ParsePrefix reads an address or a prefix in its canonical form: no host bits,
// IPv4-mapped addresses as IPv4.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if addr, addrErr := netip.ParseAddr(s); addrErr == nil && addr.Zone() == "" {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s is neither an address nor a prefix such as 10.0.0.0/8", Excerpt(s))
	}
	if p = route.UnmappedPrefix(p); p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s is wider than all IPv4 addresses", Excerpt(s))
	}
	return p.Masked(), nil
}
