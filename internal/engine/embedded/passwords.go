package embedded

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // {SHA} of htpasswd is what users have
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/bcrypt"

	"fairway/internal/route"
)

// hashForm is the form of a password's hash; see route.User.
type hashForm int

const (
	formUnknown hashForm = iota
	formBcrypt
	formSHA       // {SHA}
	formSalted    // {SSHA256}
	formMD5Crypt  // $1$
	formSHA2Crypt // $5$ and $6$
)

// maxRounds bounds what a hash of crypt may cost; 5000 is the default of those who
// make them.
const maxRounds = 200_000

// formOf tells the form of a hash.
func formOf(hash string) hashForm {
	switch {
	case strings.HasPrefix(hash, route.SaltedSHA256):
		return formSalted
	case strings.HasPrefix(hash, "{SHA}"):
		return formSHA
	case strings.HasPrefix(hash, "$1$"):
		return formMD5Crypt
	case strings.HasPrefix(hash, "$5$"), strings.HasPrefix(hash, "$6$"):
		if n := roundsOf(hash); n < 1 || n > maxRounds {
			return formUnknown
		}
		return formSHA2Crypt
	}
	if _, err := bcrypt.Cost([]byte(hash)); err == nil {
		return formBcrypt
	}
	return formUnknown
}

// roundsOf returns the rounds that a "$5$" or "$6$" hash asks for, 0 when it is not
// clear how many.
func roundsOf(hash string) int {
	rest, ok := strings.CutPrefix(hash[len("$5$"):], "rounds=")
	if !ok {
		return 5000
	}
	digits, _, _ := strings.Cut(rest, "$")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// costOf is about how long it takes to check a password against the hash, in
// microseconds; zero for what is as good as nothing.
func costOf(hash string) int {
	switch formOf(hash) {
	case formBcrypt:
		cost, _ := bcrypt.Cost([]byte(hash))
		return 50 << cost
	case formMD5Crypt:
		return 500
	case formSHA2Crypt:
		return roundsOf(hash)
	}
	return 0
}

// isCostly is true for hashes that are made to be slow.
func isCostly(hash string) bool { return costOf(hash) > 0 }

// checkPassword reports whether the password is the one of the hash. Nothing is the
// password of a hash of an unknown form.
func checkPassword(hash, password string) bool {
	switch formOf(hash) {
	case formBcrypt:
		return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	case formSHA:
		sum := sha1.Sum([]byte(password)) //nolint:gosec // see the import
		return equal("{SHA}"+base64.StdEncoding.EncodeToString(sum[:]), hash)
	case formSalted:
		salt, _, ok := strings.Cut(hash[len(route.SaltedSHA256):], "$")
		return ok && equal(route.HashPassword(salt, password), hash)
	case formMD5Crypt:
		return crypts(md5crypt.Decode, hash, password)
	case formSHA2Crypt:
		return crypts(shacrypt.Decode, hash, password)
	}
	return false
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// crypts checks a hash of crypt(3).
func crypts(decode func(string) (algorithm.Digest, error), hash, password string) bool {
	digest, err := decode(hash)
	return err == nil && digest.Match(password)
}

// newUsers makes the users of a route ready.
func newUsers(list []route.User) *users {
	u := &users{hashes: make(map[string]string, len(list)), verified: map[[32]byte]struct{}{}}
	for _, user := range list {
		u.add(user.Name, user.Hash)
	}
	return u
}

// add adds a user; the first of a name counts.
func (u *users) add(name, hash string) {
	if _, twice := u.hashes[name]; twice {
		return
	}
	u.hashes[name] = hash
	if costOf(hash) > costOf(u.dummy) {
		u.dummy = hash
	}
}

// has reports whether there is a user of the name.
func (u *users) has(name string) bool {
	_, ok := u.hashes[name]
	return ok
}

// parseUsers reads a user file.
func parseUsers(data []byte) (*users, error) {
	known := func(hash string) bool { return formOf(hash) != formUnknown }
	list, err := route.ParseUsers(data, known, rand.Text)
	if err != nil {
		return nil, err
	}
	return newUsers(list), nil
}
