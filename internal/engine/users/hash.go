package users

import (
	"crypto/md5"  //nolint:gosec // as is apr1
	"crypto/sha1" //nolint:gosec // {SHA} of htpasswd is what users have
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/bcrypt"

	"fairway/internal/route"
)

// maxRounds bounds what a hash of crypt may cost; 5000 is the default of those who
// make them.
const maxRounds = 200_000

// TooDear says why a hash of a known form is not checked; empty when it is.
func TooDear(hash string) string {
	if form, rounds := route.PasswordFormOf(hash); form == route.PasswordSHACrypt && rounds > maxRounds {
		return fmt.Sprintf("the hash asks for more than %d rounds", maxRounds)
	}
	return ""
}

// costOf is about how long it takes to check a password against the hash, in
// microseconds; zero for what is as good as nothing.
func costOf(hash string) int {
	switch form, cost := route.PasswordFormOf(hash); form {
	case route.PasswordBcrypt:
		return 50 << cost
	case route.PasswordMD5Crypt:
		return 500
	case route.PasswordSHACrypt:
		return min(cost, maxRounds)
	}
	return 0
}

// isCostly is true for hashes that are made to be slow.
func isCostly(hash string) bool { return costOf(hash) > 0 }

// checkPassword reports whether the password is the one of the hash. Nothing is the
// password of a hash of an unknown form.
func checkPassword(hash, password string) bool {
	switch form, _ := route.PasswordFormOf(hash); form {
	case route.PasswordBcrypt:
		return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	case route.PasswordSHA:
		sum := sha1.Sum([]byte(password)) //nolint:gosec // see the import
		return equal("{SHA}"+base64.StdEncoding.EncodeToString(sum[:]), hash)
	case route.PasswordSalted:
		salt, _, ok := strings.Cut(hash[len(route.SaltedSHA256):], "$")
		return ok && equal(route.HashPassword(salt, password), hash)
	case route.PasswordMD5Crypt:
		return equal(md5Crypt(hash, password), hash)
	case route.PasswordSHACrypt:
		if TooDear(hash) != "" {
			return false
		}
		digest, err := shacrypt.Decode(hash)
		return err == nil && digest.Match(password)
	}
	return false
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// md5Crypt is crypt's "$1$" and Apache's "$apr1$", which differ in nothing but that
// word: the password in the form of hash, with its salt. See crypt(5), and
// apr_md5_encode in the sources of Apache's APR.
func md5Crypt(hash, password string) string {
	parts := strings.SplitN(hash, "$", 4)
	magic, salt := "$"+parts[1]+"$", parts[2]
	sum := md5.Sum([]byte(password + salt + password)) //nolint:gosec // see the import
	text := []byte(password + magic + salt)
	for left := len(password); left > 0; left -= len(sum) {
		text = append(text, sum[:min(left, len(sum))]...)
	}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			text = append(text, 0)
		} else {
			text = append(text, password[0])
		}
	}
	sum = md5.Sum(text) //nolint:gosec // see the import
	for i := range 1000 {
		text = text[:0]
		pick := func(odd bool) {
			if odd {
				text = append(text, password...)
			} else {
				text = append(text, sum[:]...)
			}
		}
		pick(i&1 == 1)
		if i%3 != 0 {
			text = append(text, salt...)
		}
		if i%7 != 0 {
			text = append(text, password...)
		}
		pick(i&1 == 0)
		sum = md5.Sum(text) //nolint:gosec // see the import
	}
	const digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	out := []byte(magic + salt + "$")
	write := func(v, n int) {
		for range n {
			out = append(out, digits[v&63])
			v >>= 6
		}
	}
	for _, i := range [][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		write(int(sum[i[0]])<<16|int(sum[i[1]])<<8|int(sum[i[2]]), 4)
	}
	write(int(sum[11]), 2)
	return string(out)
}
