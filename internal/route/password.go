package route

import (
	"crypto/sha256"
	"encoding/hex"
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
