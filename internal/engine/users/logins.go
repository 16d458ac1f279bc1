package users

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"sync"

	"fairway/internal/route"
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
	// dummy is the hash that is the slowest to check, for names that are not in it;
	// empty when none is slow.
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

// Verify reports whether the password is the user's. An unknown user costs the same
// work as a known one, so that the time gives nothing away. Right credentials are
// remembered by a keyed hash. The error is ctx's, when it ends before a slow hash had
// its turn.
func (c *Checker) Verify(ctx context.Context, u *Set, name, password string) (bool, error) {
	key := c.cacheKey(name, password)
	u.mu.Lock()
	_, known := u.verified[key]
	u.mu.Unlock()
	if known {
		return true, nil
	}

	hash, exists := u.hashes[name]
	right := false
	if exists && !isCostly(hash) {
		right = checkPassword(hash, password)
	}
	if u.dummy != "" {
		select {
		case c.work <- struct{}{}:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if exists && isCostly(hash) {
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

// cacheKey is a salted hash of name and password, each with its length, so that no two
// pairs share one.
func (c *Checker) cacheKey(name, password string) [32]byte {
	b := make([]byte, 0, len(c.salt)+16+len(name)+len(password))
	b = append(b, c.salt[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(name)))
	b = append(b, name...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(password)))
	b = append(b, password...)
	return sha256.Sum256(b)
}
