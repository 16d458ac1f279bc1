// Package way is the paths of a sign-in at an issuer, and where it may lead.
package way

import "strings"

// Start is where a sign-in begins, with the path to go on to as the parameter to, and
// Callback where the issuer sends the browser back.
const (
	Start    = "/sign-in/start"
	Callback = "/sign-in/callback"
)

// Here returns a path to go on to after a sign-in, or / for what would lead elsewhere.
func Here(to string) string {
	// "//host" and "/\host" are other hosts.
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") || len(to) > 1500 {
		return "/"
	}
	return to
}
