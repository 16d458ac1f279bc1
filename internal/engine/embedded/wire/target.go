package wire

import "strings"

// SplitTarget returns path and query of a request target in origin form or, in
// HTTP/1, in absolute form. What is neither comes back as a path that is not canonical.
func SplitTarget(target string, major int) (path, query string, hasQuery bool) {
	if _, rest, ok := strings.Cut(target, "://"); ok && target[0] != '/' && major == 1 {
		if rest == "" || rest[0] == '/' || rest[0] == '?' {
			return "", "", false
		}
		target = "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
			if target[0] == '?' {
				target = "/" + target
			}
		}
	}
	return strings.Cut(target, "?")
}
