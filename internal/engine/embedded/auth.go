package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"fairway/internal/engine/users"
	"fairway/internal/route"
)

// userStore follows the user files of the live routes, and checks passwords.
type userStore struct {
	*users.Store
	// work bounds how many slow hashes are computed at the same time, so that guessing
	// passwords does not starve everything else.
	work chan struct{}
	salt [32]byte // of the cache keys
}

func newUserStore(o users.Options) *userStore {
	s := &userStore{Store: users.New(o), work: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	_, _ = rand.Read(s.salt[:]) // never fails
	return s
}

// userFile is one user file.
type userFile struct {
	*users.File
	ready atomic.Pointer[readyFile]
}

// readyFile is a content of the file with its users.
type readyFile struct {
	content *users.Content
	users   *userSet
}

// users are those of the newest content; nil while the file cannot be read.
func (f *userFile) users() *userSet {
	content := f.Content()
	ready := f.ready.Load()
	if ready == nil || ready.content != content {
		ready = &readyFile{content: content}
		if content.Err == nil {
			ready.users = newUserSet(content.Users)
		}
		f.ready.Store(ready)
	}
	return ready.users
}

// userSet is users with the hashes of their passwords.
type userSet struct {
	hashes map[string]string
	// dummy is a hash as costly to check as the dearest of hashes, for names that
	// are not in it; empty when none of them costs anything to speak of.
	dummy string

	mu       sync.Mutex
	verified map[[32]byte]struct{} // credentials that were right
}

// maxVerified bounds the cache of credentials that were right.
const maxVerified = 4096

// basicAuth asks for one of the users, or one of the file.
func (s *userStore) basicAuth(a *route.BasicAuth) filter {
	realm := strings.NewReplacer(`"`, "", `\`, "", "\r", "", "\n", "").Replace(cmp.Or(a.Realm, "restricted"))
	challenge := &answer{
		status: http.StatusUnauthorized, code: "unauthorized", text: "user and password are needed",
		header: []route.HeaderValue{{Name: "Www-Authenticate", Value: `Basic realm="` + realm + `", charset="UTF-8"`}},
	}
	unreadable := &answer{status: http.StatusServiceUnavailable, code: "auth-unavailable", text: "the users of this route cannot be read"}
	busy := unavailable("auth-busy", "too many passwords to check")
	own := newUserSet(a.Users)
	var file *userFile
	if a.File != "" {
		file = &userFile{File: s.File(users.NameOf(a))}
	}
	strip := a.Strip
	return func(ctx context.Context, q *request) *answer {
		asked := own
		var inFile *userSet
		if file != nil {
			if inFile = file.users(); inFile == nil {
				return unreadable
			}
		}
		name, password, ok := basicCredentials(q.header["Authorization"])
		if !ok {
			return challenge
		}
		if inFile != nil && !own.has(name) {
			asked = inFile
		}
		switch right, err := asked.verify(ctx, s, name, password); {
		case err != nil:
			return busy
		case !right:
			return challenge
		}
		if strip {
			q.stripped = q.header["Authorization"]
			delete(q.header, "Authorization")
		}
		return nil
	}
}

// basicCredentials reads the one Authorization header there may be.
func basicCredentials(values []string) (name, password string, ok bool) {
	if len(values) != 1 {
		return "", "", false
	}
	const scheme = "basic "
	v := values[0]
	if len(v) < len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(v[len(scheme):])
	if err != nil {
		return "", "", false
	}
	name, password, ok = strings.Cut(string(raw), ":")
	return name, password, ok && len(password) <= maxPassword
}

// maxPassword is the most bytes of a password, as in libxcrypt: what a hash costs grows
// with them.
const maxPassword = 512

// verify reports whether the password is the user's. An unknown user costs the
// same work as a known one, so that the time gives nothing away. Right credentials are
// remembered by a keyed hash, until the file changes.
func (u *userSet) verify(ctx context.Context, s *userStore, name, password string) (bool, error) {
	key := s.cacheKey(name, password)
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
		case s.work <- struct{}{}:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if exists && isCostly(hash) {
			right = checkPassword(hash, password)
		} else {
			_ = checkPassword(u.dummy, password) // for the time it takes
		}
		<-s.work
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

// cacheKey is a salted hash of name and password, each with its length, so that
// no two pairs share one.
func (s *userStore) cacheKey(name, password string) [32]byte {
	b := make([]byte, 0, len(s.salt)+16+len(name)+len(password))
	b = append(b, s.salt[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(name)))
	b = append(b, name...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(password)))
	b = append(b, password...)
	return sha256.Sum256(b)
}
