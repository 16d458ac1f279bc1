// Package canonical brings hosts and paths into the one form in which routes see them.
package canonical

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"fairway/internal/human"
)

// maxHost is the longest name in DNS, without the trailing dot; maxLabel is the
// longest label in one (RFC 1035, 2.3.4).
const (
	maxHost  = 253
	maxLabel = 63
)

// Host brings the host of a request into the one form that routes are compared
// with: lower case, ASCII (IDNA, RFC 5891 with the mappings of UTS 46), no port, no
// trailing dot; IPv6 addresses in the form of RFC 5952 without brackets.
//
// Underscores and hyphens may be anywhere in a label, because such names are in use. An
// empty host, empty labels, other characters, zones and names longer than DNS allows are
// errors. Host of its own result is the same.
func Host(raw string) (string, error) {
	host, err := withoutPort(raw)
	if err != nil {
		return "", hostError(raw, err)
	}
	if strings.IndexByte(host, ':') >= 0 {
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" {
			return "", hostError(raw, errors.New("not an IPv6 address"))
		}
		return addr.String(), nil
	}
	name, err := asciiName(host)
	if err != nil {
		return "", hostError(raw, err)
	}
	return name, nil
}

func hostError(raw string, err error) error {
	return fmt.Errorf("host %s: %w", human.Quote(raw, 100), err)
}

// withoutPort takes port and brackets off. Only an IPv6 address has a colon left.
func withoutPort(raw string) (string, error) {
	if rest, ok := strings.CutPrefix(raw, "["); ok {
		host, after, ok := strings.Cut(rest, "]")
		if !ok || strings.IndexByte(host, ':') < 0 {
			return "", errors.New("not an address in brackets")
		}
		if after == "" {
			return host, nil
		}
		port, ok := strings.CutPrefix(after, ":")
		if !ok {
			return "", errors.New("something follows the brackets")
		}
		return host, checkPort(port)
	}
	host, port, ok := strings.Cut(raw, ":")
	if !ok || strings.IndexByte(port, ':') >= 0 {
		return raw, nil // no port, or an IPv6 address without brackets
	}
	return host, checkPort(port)
}

// checkPort accepts a port of RFC 3986, the empty one included, up to 65535.
func checkPort(port string) error {
	_, err := strconv.ParseUint(port, 10, 16)
	switch {
	case port == "", err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange):
		return errors.New("the port is above 65535")
	}
	return errors.New("the port is not a number")
}

// asciiName is Host for a name without port. Plain names are not copied.
func asciiName(name string) (string, error) {
	if len(name) > 4*maxHost { // a name in UTF-8 may be longer than in ASCII
		return "", errors.New("the name is too long")
	}
	foreign := strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf })
	switch {
	case !foreign: // else the mapping of IDNA lowers it
		name = strings.ToLower(name)
	case !utf8.ValidString(name):
		return "", errors.New("the name is not UTF-8")
	}
	if foreign || strings.HasPrefix(name, "xn--") || strings.Contains(name, ".xn--") {
		ascii, err := nameProfile().ToASCII(name)
		if err != nil {
			return "", fmt.Errorf("not a valid international name: %w", err)
		}
		name = ascii
	}
	name = strings.TrimSuffix(name, ".")
	return name, checkName(name)
}

// nameProfile is idna.Lookup for names in use, with underscores and hyphens anywhere.
// Other ASCII characters that it lets through checkName refuses.
func nameProfile() *idna.Profile {
	return idna.New(
		idna.MapForLookup(),
		idna.BidiRule(),
		idna.StrictDomainName(false),
		idna.CheckHyphens(false),
	)
}

// checkName checks a name in lower case without trailing dot.
func checkName(name string) error {
	if name == "" {
		return errors.New("the name is empty")
	}
	if len(name) > maxHost {
		return errors.New("the name is too long")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return errors.New("a label of the name is empty")
		}
		if len(label) > maxLabel {
			return errors.New("a label of the name is too long")
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return fmt.Errorf("the character %q is not allowed in a name", c)
			}
		}
	}
	return nil
}
