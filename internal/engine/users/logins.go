package users

import (
	"context"
	"crypto/md5" //nolint:gosec // as is apr1
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // {SHA} of htpasswd is what users have
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/bcrypt"

	"fairway/internal/route"
	"fairway/internal/route/userhash"
)

// Checker bounds the work of checking passwords. Any goroutine may use it.
type Checker struct {
	// work bounds how many slow hashes are computed at the same time, so that guessing
	// passwords does not starve everything else.
	work chan struct{}
	salt [32]byte // of the cache keys
}

// NewChecker returns a Checker that uses half of the processors for slow hashes.
func NewChecker() *Checker {
	c := &Checker{work: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	_, _ = rand.Read(c.salt[:]) // never fails
	return c
}

// Set is users with the hashes of their passwords.
type Set struct {
	hashes map[string]string
	// dummy is the slowest hash, for names that are not in it; empty when none is slow.
	dummy string

	mu       sync.Mutex
	verified map[[32]byte]struct{} // credentials that were right
}

// maxVerified bounds the cache of credentials that were right.
const maxVerified = 4096

// NewSet makes the users ready; the first of a name counts.
func NewSet(list []route.User) *Set {
	u := &Set{hashes: make(map[string]string, len(list)), verified: map[[32]byte]struct{}{}}
	for _, user := range list {
		if u.Has(user.Name) {
			continue
		}
		u.hashes[user.Name] = user.Hash
		if costOf(user.Hash) > costOf(u.dummy) {
			u.dummy = user.Hash
		}
	}
	return u
}

// Has reports whether there is a user of the name.
func (u *Set) Has(name string) bool {
	_, ok := u.hashes[name]
	return ok
}

// Verify reports whether the password is the user's. An unknown user costs as much as a
// known one. Right credentials are remembered by a keyed hash. The error is ctx's, when
// it ends before a slow hash had its turn.
func (c *Checker) Verify(ctx context.Context, u *Set, name, password string) (bool, error) {
	key := c.cacheKey(name, password)
	u.mu.Lock()
	_, known := u.verified[key]
	u.mu.Unlock()
	if known {
		return true, nil
	}

	hash, exists := u.hashes[name]
	costly, right := costOf(hash) > 0, false
	if exists && !costly {
		right = checkPassword(hash, password)
	}
	if u.dummy != "" {
		select {
		case c.work <- struct{}{}:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if costly {
			right = checkPassword(hash, password)
		} else {
			_ = checkPassword(u.dummy, password) // for the time it takes
		}
		<-c.work
	}
	if right {
		u.mu.Lock()
		if len(u.verified) >= maxVerified {
			clear(u.verified)
		}
		u.verified[key] = struct{}{}
		u.mu.Unlock()
	}
	return right, nil
}

// cacheKey is a salted hash of name and password; with their lengths no two pairs meet.
func (c *Checker) cacheKey(name, password string) [32]byte {
	b := make([]byte, 0, len(c.salt)+16+len(name)+len(password))
	b = append(b, c.salt[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(name)))
	b = append(b, name...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(password)))
	b = append(b, password...)
	return sha256.Sum256(b)
}

// maxRounds bounds what a hash of crypt may cost; 5000 is the default of those who
// make them.
const maxRounds = 200_000

// TooDear says why a hash of a known form is not checked; empty when it is.
func TooDear(hash string) string {
	if form, rounds := userhash.FormOf(hash); form == userhash.SHACrypt && rounds > maxRounds {
		return fmt.Sprintf("the hash asks for more than %d rounds", maxRounds)
	}
	return ""
}

// costOf is about how long it takes to check a password against the hash, in
// microseconds; zero for what is as good as nothing.
func costOf(hash string) int {
	switch form, cost := userhash.FormOf(hash); form {
	case userhash.Bcrypt:
		return 50 << cost
	case userhash.MD5Crypt:
		return 500
	case userhash.SHACrypt:
		return min(cost, maxRounds)
	}
	return 0
}

// checkPassword compares; nothing is the password of a hash of an unknown form.
func checkPassword(hash, password string) bool {
	switch form, _ := userhash.FormOf(hash); form {
	case userhash.Bcrypt:
		return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	case userhash.SHA:
		sum := sha1.Sum([]byte(password)) //nolint:gosec // see the import
		return equal("{SHA}"+base64.StdEncoding.EncodeToString(sum[:]), hash)
	case userhash.Salted:
		salt, _, ok := strings.Cut(hash[len(userhash.SaltedSHA256):], "$")
		return ok && equal(userhash.Of(salt, password), hash)
	case userhash.MD5Crypt:
		return equal(md5Crypt(hash, password), hash)
	case userhash.SHACrypt:
		if TooDear(hash) != "" {
			return false
		}
		digest, err := shacrypt.Decode(hash)
		return err == nil && digest.Match(password)
	}
	return false
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// md5Crypt is the password in the form of hash, with its salt: crypt's "$1$" (crypt(5)), or
// Apache's "$apr1$" (apr_md5_encode), which differs in nothing but that word.
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
