package route

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
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
		Remove: slices.DeleteFunc(slices.Clone(h.Remove), IsFraming),
		Set:    slices.DeleteFunc(slices.Clone(h.Set), framing),
		Add:    slices.DeleteFunc(slices.Clone(h.Add), framing),
	}
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

// SaltedSHA256 is what the hashes of HashPassword begin with.
const SaltedSHA256 = "{SSHA256}"

// HashPassword returns the hash of a password that stands in clear text in a label:
// "{SSHA256}", the salt, which has no "$" in it, "$", and the hexadecimal SHA-256 of salt
// and password. The same arguments have the same hash, so that a table does not change by
// itself; it is not meant to withstand those who can read the label.
func HashPassword(salt, password string) string {
	sum := sha256.Sum256([]byte(salt + password))
	return SaltedSHA256 + salt + "$" + hex.EncodeToString(sum[:])
}

// PasswordForm is the form of a password's hash; see User.Hash.
type PasswordForm int

// The forms that engines can check. Nothing is the password of a hash of another one.
const (
	PasswordUnknown  PasswordForm = iota
	PasswordSHA                   // "{SHA}", the SHA-1 of the password, in base64
	PasswordSalted                // of HashPassword
	PasswordMD5Crypt              // crypt's "$1$", and Apache's "$apr1$"
	PasswordSHACrypt              // crypt's "$5$" and "$6$"
	PasswordBcrypt                // "$2a$", "$2b$" and "$2y$"
)

// passwordForms have the digits of the cost as their only groups.
var passwordForms = map[PasswordForm]*regexp.Regexp{
	PasswordSHA:      regexp.MustCompile(`^\{SHA\}[+/0-9A-Za-z]{27}=$`),
	PasswordSalted:   regexp.MustCompile(`^\{SSHA256\}[^$]*\$[0-9a-f]{64}$`),
	PasswordMD5Crypt: regexp.MustCompile(`^\$(?:1|apr1)\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}$`),
	PasswordSHACrypt: regexp.MustCompile(`^\$(?:5\$(?:rounds=([1-9][0-9]{3,8})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}|6\$(?:rounds=([1-9][0-9]{3,8})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86})$`),
	PasswordBcrypt:   regexp.MustCompile(`^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./0-9A-Za-z]{53}$`),
}

// PasswordFormOf returns the form of a hash, and what it costs to check: the rounds of
// PasswordSHACrypt, the logarithm of those of PasswordBcrypt, zero for the others.
func PasswordFormOf(hash string) (form PasswordForm, cost int) {
	for form, is := range passwordForms { // no hash has two of them
		m := is.FindStringSubmatch(hash)
		if m == nil {
			continue
		}
		digits := strings.Join(m[1:], "")
		if digits == "" && form == PasswordSHACrypt {
			return form, 5000 // where the hash does not say
		}
		cost, _ = strconv.Atoi(digits) // nine at most
		return form, cost
	}
	return PasswordUnknown, 0
}
