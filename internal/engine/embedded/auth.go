package embedded

import (
	"cmp"
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"fairway/internal/engine/passwords"
	"fairway/internal/engine/users"
	"fairway/internal/route"
)

// userStore follows the user files of the live routes, and checks passwords.
type userStore struct {
	*users.Store
	*passwords.Checker

	mu    sync.Mutex
	files map[*users.File]*userFile // one for all routes, with the passwords that were right
}

func newUserStore(o users.Options) *userStore {
	o.Refuse = passwords.TooDear
	return &userStore{Store: users.New(o), Checker: passwords.NewChecker(), files: map[*users.File]*userFile{}}
}

// file returns a file that is followed.
func (s *userStore) file(name users.Name) *userFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	followed := s.File(name)
	if s.files[followed] == nil {
		s.files[followed] = &userFile{File: followed}
	}
	return s.files[followed]
}

// keep forgets the files that a table does not name.
func (s *userStore) keep(t *route.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := users.Named(t)
	s.Keep(named)
	kept := map[*users.File]bool{}
	for _, name := range named {
		kept[s.File(name)] = true
	}
	maps.DeleteFunc(s.files, func(f *users.File, _ *userFile) bool { return !kept[f] })
}

// userFile is one user file.
type userFile struct {
	*users.File
	ready atomic.Pointer[readyFile]
}

// readyFile is a content of the file with its users.
type readyFile struct {
	content *users.Content
	users   *passwords.Set
}

// users are those of the newest content; nil while the file cannot be read.
func (f *userFile) users() *passwords.Set {
	content := f.Content()
	ready := f.ready.Load()
	if ready == nil || ready.content != content {
		ready = &readyFile{content: content}
		if content.Err == nil {
			ready.users = passwords.NewSet(content.Users)
		}
		f.ready.Store(ready)
	}
	return ready.users
}

// basicAuth asks for one of the users, or one of the file.
func (s *userStore) basicAuth(a *route.BasicAuth) filter {
	realm := strings.NewReplacer(`"`, "", `\`, "", "\r", "", "\n", "").Replace(cmp.Or(a.Realm, "restricted"))
	challenge := &answer{
		status: http.StatusUnauthorized, code: "unauthorized", text: "user and password are needed",
		header: []route.HeaderValue{{Name: "Www-Authenticate", Value: `Basic realm="` + realm + `", charset="UTF-8"`}},
	}
	unreadable := &answer{status: http.StatusServiceUnavailable, code: "auth-unavailable", text: "the users of this route cannot be read"}
	busy := unavailable("auth-busy", "too many passwords to check")
	own := passwords.NewSet(a.Users)
	var file *userFile
	if a.File != "" {
		file = s.file(users.NameOf(a))
	}
	strip := a.Strip
	return func(ctx context.Context, q *request) *answer {
		asked := own
		var inFile *passwords.Set
		if file != nil {
			if inFile = file.users(); inFile == nil {
				return unreadable
			}
		}
		name, password, ok := basicCredentials(q.header["Authorization"])
		if !ok {
			return challenge
		}
		if inFile != nil && !own.Has(name) {
			asked = inFile
		}
		switch right, err := s.Verify(ctx, asked, name, password); {
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
