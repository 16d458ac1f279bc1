package route

import (
	"errors"
	"strings"
)

// RequestPath is the path of a request in the forms in which it is needed.
type RequestPath struct {
	// Canonical is what routes are compared with: the form of CanonicalPath, with
	// encoded slashes as characters of their segment.
	Canonical string
	// Sent is what goes to the backend: Canonical, but with the slashes as they
	// came, both their runs and the spelling of encoded ones.
	Sent string
	// Other is another path that a backend could read in Sent, in canonical form;
	// empty when there is none. A request may only be served when Canonical and
	// Other belong to the same route.
	Other string
	// Front is true when that other reading is gone as soon as the run of slashes
	// that Sent begins with is one slash; see OneFrontSlash.
	Front bool
}

// ReadPath reads the path of a request, in the escaped form of the request line and
// without query. What a backend may not see in any form is an error, to be answered
// with 400: a path that does not begin with a slash, "..", which leads above the
// root, "#", "?", backslash and control characters, plain or (but for "#" and "?")
// encoded, a plain space, broken percent-encoding, overlong UTF-8, and dot segments
// with parameters ("..;x") or behind an encoding ("..%2F", "%252e%252e").
//
// Applications differ in four things, so the path is read once more, as plainly as any
// does: everything decoded, repeatedly; encoded slashes and backslashes as slashes;
// parameters (";x") taken away; runs of slashes merged. That is Other, unless it equals
// Canonical. Else a path that begins with several slashes is read as a reference with a
// host (RFC 3986, 4.2): Other is what follows the first segment.
func ReadPath(raw string) (RequestPath, error) {
	sent, err := sentPath(raw, true)
	if err != nil {
		return RequestPath{}, err
	}
	p := RequestPath{Canonical: mergeSlashes(sent), Sent: sent}
	plainest, err := plainestPath(p.Canonical)
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

// plainestPath is the plainest reading of a canonical path; see ReadPath.
func plainestPath(path string) (string, error) {
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

// decodeAll decodes a path until nothing is left to decode. Backslashes that come out
// are slashes. A slash that comes out behind a semicolon is an error: it ends the
// parameter for those who decode first, and is a part of it for those who decode last.
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
