package canonical

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Path brings a path that a label names into the one form that the paths of
// requests are compared with: percent-encoding only where RFC 3986 demands it, in upper
// case; no "." and ".." segments, plain or encoded; one slash for a run, before ".." is
// resolved. Reserved characters stay as they were written (RFC 3986, 2.2).
//
// What ReadPath refuses is an error, and so is an encoded slash. Path of its
// own result is the same.
func Path(raw string) (string, error) {
	sent, err := sentPath(raw, false)
	if err != nil {
		return "", err
	}
	return MergeSlashes(sent), nil
}

// sentPath is ReadPath's Sent; slashes says whether encoded ones are allowed.
func sentPath(raw string, slashes bool) (string, error) {
	if raw == "" || raw[0] != '/' {
		return "", errors.New("path does not begin with a slash")
	}
	if isPlainPath(raw) {
		return raw, nil
	}
	p := pathWriter{out: make([]byte, 0, len(raw)+len(raw)/4), slashes: slashes}
	for i := 0; i < len(raw); i++ {
		var err error
		if raw[i] != '%' {
			err = p.add(raw[i])
		} else if c, ok := hexByte(raw[i+1:]); ok {
			err = p.addEncoded(c, raw[i:i+3])
			i += 2
		} else {
			err = errors.New("path has a broken percent-encoding")
		}
		if err != nil {
			return "", err
		}
	}
	if err := p.endSegment(); err != nil {
		return "", err
	}
	return string(p.out), nil
}

// MergeSlashes makes a canonical path of one that is RequestPath.Sent.
func MergeSlashes(sent string) string {
	if !strings.Contains(sent, "//") && !strings.Contains(sent, "%2f") {
		return sent
	}
	out := make([]byte, 0, len(sent))
	for i := range len(sent) {
		if n := len(out); n == 0 || sent[i] != '/' || out[n-1] != '/' {
			out = append(out, sent[i])
		}
	}
	return strings.ReplaceAll(string(out), "%2f", "%2F")
}

// isPlainPath is true for canonical paths that can be read in one way only.
func isPlainPath(path string) bool {
	for i := range len(path) {
		c := path[i]
		if !isPathByte(c) && c != '/' || c == ';' {
			return false
		}
		if (c == '/' || c == '.') && i > 0 && path[i-1] == '/' {
			return false
		}
	}
	return true
}

// pathWriter builds the path to be sent byte by byte.
type pathWriter struct {
	out     []byte  // the path so far; after the first byte it holds a slash
	from    int     // where the current segment begins in out
	skip    bool    // the next slash belongs to a dot segment that was resolved
	last    [2]byte // the last two bytes before encoding, for overlong UTF-8
	slashes bool    // encoded slashes are allowed
}

func (p *pathWriter) add(c byte) error {
	if err := p.check(c); err != nil {
		return err
	}
	switch {
	case c == '#' || c == '?' || c == ' ':
		return fmt.Errorf("path has a plain %q", c)
	case c == '/':
		if err := p.endSegment(); err != nil {
			return err
		}
		if !p.skip {
			p.out = append(p.out, '/')
		}
		p.from, p.skip = len(p.out), false
	case isPathByte(c):
		p.out = append(p.out, c)
	default:
		p.out = appendEncoded(p.out, c)
	}
	return nil
}

func (p *pathWriter) addEncoded(c byte, text string) error {
	if err := p.check(c); err != nil {
		return err
	}
	switch {
	case c == '/' && !p.slashes:
		return errors.New("path has an encoded slash")
	case c == '/':
		p.out = append(p.out, text...)
	case IsUnreserved(c):
		p.out = append(p.out, c)
	default:
		p.out = appendEncoded(p.out, c)
	}
	return nil
}

// check refuses bytes that may stand in no path, however they are written.
func (p *pathWriter) check(c byte) error {
	switch {
	case isControl(c):
		return errors.New("path has a control character")
	case c == '\\':
		return errors.New("path has a backslash")
	case isOverlong(p.last[0], p.last[1], c):
		return errors.New("path has overlong UTF-8")
	}
	p.last[0], p.last[1] = p.last[1], c
	return nil
}

// endSegment resolves the segment that ends here when it is a dot segment. A ".."
// takes the run of slashes in front of it away, too.
func (p *pathWriter) endSegment() error {
	switch segment := p.out[p.from:]; {
	case string(segment) == ".":
		p.out, p.skip = p.out[:p.from], true
	case string(segment) == "..":
		parent := p.from
		for parent > 0 && p.out[parent-1] == '/' {
			parent--
		}
		if parent == 0 {
			return errors.New("path leads above the root")
		}
		for p.out[parent-1] != '/' {
			parent--
		}
		p.out, p.from, p.skip = p.out[:parent], parent, true
	case hasDotParameter(segment):
		return errors.New("path has a dot segment with a parameter")
	}
	return nil
}

func appendEncoded(out []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(out, '%', digits[c>>4], digits[c&15])
}

func isControl(c byte) bool { return c < 0x20 || c == 0x7f }

// hasDotParameter is true for "." and ".." followed by a path parameter.
func hasDotParameter(segment []byte) bool {
	return bytes.HasPrefix(segment, []byte(".;")) || bytes.HasPrefix(segment, []byte("..;"))
}

// isOverlong is true when c is the byte by which a sequence turns out to be UTF-8 in more
// bytes than needed: a lenient decoder makes a dot or a slash of it.
func isOverlong(b, a, c byte) bool {
	if c&0xc0 != 0x80 {
		return false
	}
	return a == 0xc0 || a == 0xc1 || // two bytes for ASCII
		b == 0xe0 && 0x80 <= a && a < 0xa0 || // three bytes for two
		b == 0xf0 && 0x80 <= a && a < 0x90 // four bytes for three
}

// IsUnreserved reports what means the same plain and encoded (RFC 3986, 2.3).
func IsUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// isPathByte is for what may stand plainly in a segment of a path (RFC 3986, 3.3, pchar).
func isPathByte(c byte) bool {
	switch c {
	case '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@':
		return true
	}
	return IsUnreserved(c)
}

func hexByte(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	var b [1]byte
	_, err := hex.Decode(b[:], []byte(s[:2])) // its error takes no memory
	return b[0], err == nil
}

// RequestPath is the path of a request in the forms in which it is needed.
type RequestPath struct {
	// Canonical is what routes are compared with: the form of Path, with encoded
	// slashes as characters of their segment.
	Canonical string
	// Sent is what goes to the backend: Canonical, but with the slashes as they came.
	Sent string
	// Other is another path that a backend could read in Sent, in canonical form, or empty.
	// A request may only be served when both belong to the same route.
	Other string
	// Front is true when Other is gone once Sent begins with one slash; see OneFrontSlash.
	Front bool
}

// ReadPath reads the path of a request as it stands in the request line, without query.
// An error, to be answered with 400, is a path that does not begin with a slash, ".."
// that leads above the root, plain "#", "?" and space, backslash and control characters,
// plain or encoded, broken percent-encoding, overlong UTF-8, and dot segments with
// parameters ("..;x") or behind an encoding ("..%2F", "%252e%252e").
//
// Other is the path as plainly as any application reads it: everything decoded,
// repeatedly; encoded slashes and backslashes as slashes; parameters (";x") taken away;
// runs of slashes merged. Where that is Canonical, a path that begins with several slashes
// is a reference with a host (RFC 3986, 4.2): Other is what follows the first segment.
func ReadPath(raw string) (RequestPath, error) {
	sent, err := sentPath(raw, true)
	if err != nil {
		return RequestPath{}, err
	}
	p := RequestPath{Canonical: MergeSlashes(sent), Sent: sent}
	plainest, err := Plainest(p.Canonical)
	switch {
	case err != nil:
		return RequestPath{}, err
	case plainest != p.Canonical:
		p.Other, p.Sent = plainest, OneFrontSlash(sent)
	case len(p.Sent) > 1 && p.Sent[1] == '/' && p.Canonical != "/":
		_, rest, _ := strings.Cut(p.Canonical[1:], "/")
		p.Other, p.Front = "/"+rest, true
	}
	return p, nil
}

// OneFrontSlash makes one slash of the run that a path begins with.
func OneFrontSlash(path string) string {
	return "/" + strings.TrimLeft(path, "/")
}

// Plainest is a canonical path as plainly as any application reads it; see ReadPath.
func Plainest(path string) (string, error) {
	if strings.IndexByte(path, '%') < 0 && strings.IndexByte(path, ';') < 0 {
		return path, nil
	}
	decoded, err := decodeAll(path)
	if err != nil {
		return "", err
	}
	out := make([]byte, 0, len(path))
	for segment := range strings.SplitSeq(decoded, "/") {
		if n := len(out); n == 0 || out[n-1] != '/' {
			out = append(out, '/')
		}
		segment, _, _ = strings.Cut(segment, ";")
		if segment == "." || segment == ".." {
			return "", errors.New("path has a dot segment behind an encoding")
		}
		for i := range len(segment) {
			if c := segment[i]; isPathByte(c) {
				out = append(out, c)
			} else {
				out = appendEncoded(out, c)
			}
		}
	}
	return string(out), nil
}

// decodeAll decodes a path until nothing is left to decode, with backslashes as slashes.
// A slash that comes out behind a semicolon is an error: it ends the parameter for those
// who decode first, and is a part of it for those who decode last.
func decodeAll(path string) (string, error) {
	out := make([]byte, 0, len(path))
	parameter := false // a semicolon was in the segment, as it was before decoding
	for i := range len(path) {
		out = append(out, path[i])
		if path[i] == '/' {
			parameter = false
		}
		for {
			n := len(out)
			parameter = parameter || out[n-1] == ';'
			if n < 3 || out[n-3] != '%' {
				break
			}
			c, ok := hexByte(string(out[n-2:]))
			if !ok {
				break
			}
			if isControl(c) {
				return "", errors.New("path has a control character")
			}
			if c == '\\' {
				c = '/'
			}
			if c == '/' && parameter {
				return "", errors.New("path has an encoded slash behind a semicolon")
			}
			out = append(out[:n-3], c)
		}
	}
	return string(out), nil
}
