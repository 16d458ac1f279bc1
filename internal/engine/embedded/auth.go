package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"fairway/internal/route"
)

// userStore holds the htpasswd files of the live routes.
type userStore struct {
	log *slog.Logger
	// work bounds how many bcrypt hashes are computed at the same time, so that
	// guessing passwords does not starve everything else.
	work chan struct{}
	salt [32]byte // of the cache keys

	mu    sync.Mutex
	files map[string]*userFile
}

func newUserStore(log *slog.Logger) *userStore {
	s := &userStore{log: log, work: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), files: map[string]*userFile{}}
	_, _ = rand.Read(s.salt[:]) // never fails
	return s
}

// userFile is one htpasswd file. Its content is replaced as a whole when the file
// changes.
type userFile struct {
	store   *userStore
	path    string
	stamp   fileStamp             // of the last read; guarded by the store's mutex
	logged  bool                  // that it cannot be read; guarded as well
	content atomic.Pointer[users] // nil: cannot be read
}

// users are users with the hashes of their passwords.
type users struct {
	hashes map[string]string
	// dummy is a hash as costly to check as the dearest of hashes, for names that
	// are not in it; empty when none of them costs anything to speak of.
	dummy string

	mu       sync.Mutex
	verified map[[32]byte]struct{} // credentials that were right
}

// maxVerified bounds the cache of credentials that were right.
const maxVerified = 4096

// file returns the file at path, read for the first time when it is new.
func (s *userStore) file(path string) *userFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[path]
	if f == nil {
		f = &userFile{store: s, path: path}
		s.files[path] = f
		f.read()
	}
	return f
}

// keep forgets the files that no route of t names.
func (s *userStore) keep(t *route.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.files) == 0 {
		return
	}
	used := map[string]bool{}
	for _, r := range t.Routes {
		for i := range r.Filters {
			if a := r.Filters[i].BasicAuth; a != nil && a.File != "" {
				used[a.File] = true
			}
		}
	}
	for path := range s.files {
		if !used[path] {
			delete(s.files, path)
		}
	}
}

// reload reads the files that changed.
func (s *userStore) reload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if !f.stamp.holds(stampOf(f.path)) {
			f.read()
		}
	}
}

// read reads the file. While it cannot be read, nobody is let in.
func (f *userFile) read() {
	was := f.stamp
	f.stamp = stampOf(f.path)
	content, err := readUsers(f.path)
	if err != nil {
		if f.content.Swap(nil) == nil && f.logged && was.same(f.stamp) {
			return
		}
		f.logged = true
		f.store.log.Error("user file cannot be read, its routes answer 503", "file", f.path, "error", err)
		return
	}
	f.content.Store(content)
}

// maxUserFile bounds the size of a file.
const maxUserFile = 4 << 20

func readUsers(path string) (*users, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxUserFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxUserFile {
		return nil, errors.New("the file is too large")
	}
	return parseUsers(data)
}

// basicAuth asks for one of the users, or one of the file.
func (s *userStore) basicAuth(a *route.BasicAuth) filter {
	realm := strings.NewReplacer(`"`, "", `\`, "", "\r", "", "\n", "").Replace(cmp.Or(a.Realm, "restricted"))
	challenge := &answer{
		status: http.StatusUnauthorized, code: "unauthorized", text: "user and password are needed",
		header: []route.HeaderValue{{Name: "Www-Authenticate", Value: `Basic realm="` + realm + `", charset="UTF-8"`}},
	}
	unreadable := &answer{status: http.StatusServiceUnavailable, code: "auth-unavailable", text: "the users of this route cannot be read"}
	busy := &answer{status: http.StatusServiceUnavailable, code: "auth-busy", text: "too many passwords to check", retryAfter: retrySoon}
	own := newUsers(a.Users)
	var file *userFile
	if a.File != "" {
		file = s.file(a.File)
	}
	strip := a.Strip
	return func(ctx context.Context, q *request) *answer {
		asked := own
		var inFile *users
		if file != nil {
			if inFile = file.content.Load(); inFile == nil {
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
	return strings.Cut(string(raw), ":")
}

// verify reports whether the password is the user's. An unknown user costs the
// same work as a known one, so that the time tells nothing. Right credentials
// are remembered by a keyed hash, until the file changes.
func (u *users) verify(ctx context.Context, s *userStore, name, password string) (bool, error) {
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
