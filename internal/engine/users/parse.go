package users

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"fairway/internal/route"
	"fairway/internal/route/userhash"
)

// Fault is one line of a user file that no password is right for.
type Fault struct {
	Line int
	// User is the name; empty where the line has none, or one that is not shown.
	User string
	// Text says what is wrong. It holds nothing of the line.
	Text string
}

// String is the fault as one phrase.
func (f Fault) String() string {
	if f.User == "" {
		return fmt.Sprintf("line %d: %s", f.Line, f.Text)
	}
	return fmt.Sprintf("line %d: user %s: %s", f.Line, f.User, f.Text)
}

// shownUser are names that a fault repeats. Others may be a part of something that is
// no user file at all.
var shownUser = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)

// Parse reads a user file (see route.BasicAuth.File). refuse says why an engine cannot
// check a hash of a known form; nil means that it can check all of them. A user whose
// hash has no known form, or is refused, stays in the list without a hash: no password
// is right, and none of a later line is either. clear is route.BasicAuth.Clear: then
// what has none of the forms, nor looks like another one, is a password in clear text
// and becomes its userhash.Of; the same file always makes the same users. Users
// are in the order of the file; of two with one name the first counts.
func Parse(data []byte, clear bool, refuse func(hash string) string) (list []route.User, faults []Fault) {
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
				faults = append(faults, Fault{Line: n, Text: "not user:hash"})
				continue
			}
			if seen[name] {
				continue
			}
			seen[name] = true
			form, _ := userhash.FormOf(hash)
			why := ""
			switch {
			case form != userhash.Unknown && refuse != nil:
				why = refuse(hash)
			case form == userhash.Unknown && clear && hash[0] != '$' && hash[0] != '{':
				salt := sha256.Sum256(append(sum[:len(sum):len(sum)], name...))
				hash = userhash.Of(hex.EncodeToString(salt[:8]), hash)
			case form == userhash.Unknown:
				why = whyUnknown(hash)
			}
			if why != "" {
				fault := Fault{Line: n, Text: why}
				if shownUser.MatchString(name) {
					fault.User = name
				}
				faults = append(faults, fault)
				hash = ""
			}
			list = append(list, route.User{Name: name, Hash: hash})
		}
	}
	return list, faults
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

// notPasswords are beginnings of known hashes that no engine checks.
var notPasswords = []struct{ begins, name string }{
	{"$y$", "yescrypt"},
	{"$gy$", "gost-yescrypt"},
	{"$7$", "scrypt"},
	{"$argon2", "argon2"},
	{"$pbkdf2", "PBKDF2"},
	{"$sha1$", "PBKDF1"},
	{"$md5", "SunMD5"},
	{"$2", "bcrypt, but not a whole one"},
	{"$apr1$", "apr1, but not a whole one"},
	{"$1$", "MD5-crypt, but not a whole one"},
	{"$5$", "SHA-crypt, but not a whole one"},
	{"$6$", "SHA-crypt, but not a whole one"},
	{"{SHA}", "SHA-1, but not a whole one"},
	{"{SSHA}", "salted SHA-1"},
}

var desForm = regexp.MustCompile(`^[./0-9A-Za-z]{13}$`)

// whyUnknown says what a text of no known form is taken for. It repeats nothing of
// the text, which may be a password.
func whyUnknown(hash string) string {
	for _, n := range notPasswords {
		if strings.HasPrefix(hash, n.begins) {
			return "the hash is " + n.name
		}
	}
	switch {
	case desForm.MatchString(hash):
		return "the hash is DES-crypt, or a password in clear text"
	case hash[0] == '$' || hash[0] == '{':
		return "the hash has a form that is not known"
	}
	return "it is no hash, and passwords in clear text are not accepted"
}
