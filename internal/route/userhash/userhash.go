// Package userhash is the forms that hashes of passwords have.
package userhash

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
)

// SaltedSHA256 is what the hashes of Of begin with.
const SaltedSHA256 = "{SSHA256}"

// Of returns the hash of a password that stands in clear text in a label:
// "{SSHA256}", the salt, which has no "$" in it, "$", and the hexadecimal SHA-256 of salt
// and password. The same arguments have the same hash, so that a table does not change by
// itself; it is not meant to withstand those who can read the label.
func Of(salt, password string) string {
	sum := sha256.Sum256([]byte(salt + password))
	return SaltedSHA256 + salt + "$" + hex.EncodeToString(sum[:])
}

// Form is the form of a password's hash, as route.User has it.
type Form int

// The forms that engines can check. Nothing is the password of a hash of another one.
const (
	Unknown  Form = iota
	SHA           // "{SHA}", the SHA-1 of the password, in base64
	Salted        // of Of
	MD5Crypt      // crypt's "$1$", and Apache's "$apr1$"
	SHACrypt      // crypt's "$5$" and "$6$"
	Bcrypt        // "$2a$", "$2b$" and "$2y$"
)

// forms have the digits of the cost as their only groups.
var forms = map[Form]*regexp.Regexp{
	SHA:      regexp.MustCompile(`^\{SHA\}[+/0-9A-Za-z]{27}=$`),
	Salted:   regexp.MustCompile(`^\{SSHA256\}[^$]*\$[0-9a-f]{64}$`),
	MD5Crypt: regexp.MustCompile(`^\$(?:1|apr1)\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}$`),
	SHACrypt: regexp.MustCompile(`^\$(?:5\$(?:rounds=([1-9][0-9]{3,8})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}|6\$(?:rounds=([1-9][0-9]{3,8})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86})$`),
	Bcrypt:   regexp.MustCompile(`^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./0-9A-Za-z]{53}$`),
}

// FormOf returns the form of a hash, and what it costs to check: the rounds of
// SHACrypt, the logarithm of those of Bcrypt, zero for the others.
func FormOf(hash string) (form Form, cost int) {
	for form, is := range forms { // no hash has two of them
		m := is.FindStringSubmatch(hash)
		if m == nil {
			continue
		}
		digits := strings.Join(m[1:], "")
		if digits == "" && form == SHACrypt {
			return form, 5000 // where the hash does not say
		}
		cost, _ = strconv.Atoi(digits) // nine at most
		return form, cost
	}
	return Unknown, 0
}
