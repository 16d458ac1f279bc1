package route

import (
	"bytes"
	"fmt"
	"strings"
)

// ParseUsers reads the lines of a user file (see BasicAuth.File): "name:hash", or
// "name:password" in clear text, several of them separated by commas. known says
// whether a hash has a form that the engine can check; what has none becomes the
// HashPassword of itself with a salt. What looks like a hash but is of no known form
// is an error that names the line, not the content: it must not become a password by
// itself. Users are in the order of the file; of two with one name the first counts.
func ParseUsers(data []byte, known func(hash string) bool, salt func() string) ([]User, error) {
	var users []User
	n := 0
	for line := range bytes.Lines(data) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		for _, entry := range splitUsers(text) {
			name, hash, ok := strings.Cut(entry, ":")
			if !ok || name == "" || hash == "" {
				return nil, fmt.Errorf("line %d: not user:hash", n)
			}
			if !known(hash) {
				if hash[0] == '$' || hash[0] == '{' {
					return nil, fmt.Errorf("line %d: a hash of a form that is not known", n)
				}
				hash = HashPassword(salt(), hash)
			}
			users = append(users, User{Name: name, Hash: hash})
		}
	}
	return users, nil
}

// splitUsers returns the users in a line. A comma separates them where users are on
// both sides of it; else it belongs to a password.
func splitUsers(line string) []string {
	parts := strings.Split(line, ",")
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
		if !strings.Contains(p, ":") {
			return []string{line}
		}
	}
	return parts
}
