package route

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
)

// SaltedSHA256 is what the hashes of HashPassword begin with.
const SaltedSHA256 = "{SSHA256}"

// HashPassword returns the hash of a password that was written in clear text into
// a label, for User.Hash: "{SSHA256}", the salt, "$", and the hexadecimal SHA-256
// of salt and password, one behind the other. The salt has no "$" in it. The same
// arguments have the same hash, so that a table does not change by itself; the
// hash is not meant to withstand those who can read the label.
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

var (
	shaForm      = regexp.MustCompile(`^\{SHA\}[+/0-9A-Za-z]{27}=$`)
	saltedForm   = regexp.MustCompile(`^\{SSHA256\}[^$]*\$[0-9a-f]{64}$`)
	md5CryptForm = regexp.MustCompile(`^\$(?:1|apr1)\$[./0-9A-Za-z]{1,8}\$[./0-9A-Za-z]{22}$`)
	shaCryptForm = regexp.MustCompile(`^\$(?:5\$(?:rounds=([1-9][0-9]{3,8})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}|6\$(?:rounds=([1-9][0-9]{3,8})\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86})$`)
	bcryptForm   = regexp.MustCompile(`^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./0-9A-Za-z]{53}$`)
)

// PasswordFormOf returns the form of a hash, and what it costs to check: the rounds of
// PasswordSHACrypt, the logarithm of those of PasswordBcrypt, zero for the others.
func PasswordFormOf(hash string) (form PasswordForm, cost int) {
	switch {
	case shaForm.MatchString(hash):
		return PasswordSHA, 0
	case saltedForm.MatchString(hash):
		return PasswordSalted, 0
	case md5CryptForm.MatchString(hash):
		return PasswordMD5Crypt, 0
	}
	if m := shaCryptForm.FindStringSubmatch(hash); m != nil {
		cost = 5000 // where the hash does not say
		if rounds := m[1] + m[2]; rounds != "" {
			cost, _ = strconv.Atoi(rounds) // nine digits at most
		}
		return PasswordSHACrypt, cost
	}
	if m := bcryptForm.FindStringSubmatch(hash); m != nil {
		cost, _ = strconv.Atoi(m[1])
		return PasswordBcrypt, cost
	}
	return PasswordUnknown, 0
}

// notPasswords are beginnings of hashes that are known by name and that no engine
// checks.
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
