package route

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// UserFault is one line of a user file that no password is right for.
type UserFault struct {
	Line int
	// User is the name; empty where the line has none, or one that is not shown.
	User string
	// Text says what is wrong. It holds nothing of the line.
	Text string
}

// String is the fault as one phrase.
func (f UserFault) String() string {
	if f.User == "" {
		return fmt.Sprintf("line %d: %s", f.Line, f.Text)
	}
	return fmt.Sprintf("line %d: user %s: %s", f.Line, f.User, f.Text)
}

// shownUser are names that a fault repeats. Others may be a part of something that is
// no user file at all.
var shownUser = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)

// ParseUsers reads a user file (see BasicAuth.File). refuse says why an engine cannot
// check a hash of a known form; nil means that it can check all of them. A user whose
// hash has no known form, or is refused, stays in the list without a hash: no password
// is right, and none of a later line is either. clear is BasicAuth.Clear: then what has
// none of the forms, nor looks like another one, is a password in clear text and
// becomes the HashPassword of itself; the same file always makes the same users. Users
// are in the order of the file; of two with one name the first counts.
func ParseUsers(data []byte, clear bool, refuse func(hash string) string) (users []User, faults []UserFault) {
	sum := sha256.Sum256(data)
	seen := map[string]bool{}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		entries := []string{text}
		if clear {
			entries = splitUsers(text)
		}
		for _, entry := range entries {
			name, hash, ok := strings.Cut(entry, ":")
			if !ok || name == "" || hash == "" {
				faults = append(faults, UserFault{Line: n, Text: "not user:hash"})
				continue
			}
			if seen[name] {
				continue
			}
			seen[name] = true
			form, _ := PasswordFormOf(hash)
			why := ""
			switch {
			case form != PasswordUnknown && refuse != nil:
				why = refuse(hash)
			case form == PasswordUnknown && clear && hash[0] != '$' && hash[0] != '{':
				salt := sha256.Sum256(append(sum[:len(sum):len(sum)], name...))
				hash = HashPassword(hex.EncodeToString(salt[:8]), hash)
			case form == PasswordUnknown:
				why = whyUnknown(hash)
			}
			if why != "" {
				fault := UserFault{Line: n, Text: why}
				if shownUser.MatchString(name) {
					fault.User = name
				}
				faults = append(faults, fault)
				hash = ""
			}
			users = append(users, User{Name: name, Hash: hash})
		}
	}
	return users, faults
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
