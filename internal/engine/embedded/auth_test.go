package embedded

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"fairway/internal/engine/users"
	"fairway/internal/route"
	"fairway/internal/route/field"
	"fairway/internal/testkit"
)

// htpasswd makes lines for ada (bcrypt, "lovelace") and bob ({SHA}, "secret").
func htpasswd(t testing.TB) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("lovelace"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return "# users\n\nada:" + string(hash) + "\r\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"
}

func TestBasicAuth(t *testing.T) {
	a := newApp(t, nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "users")
	replaceFile(t, path, []byte(htpasswd(t)))
	s := newSite(t, Options{UserDirs: []string{dir}})
	s.serve("a.example", a.addr())
	s.routes["a.example"].Filters = []route.Filter{{BasicAuth: &route.BasicAuth{File: path, Realm: `a "b`}}}
	s.apply()
	status := func(credentials string) int {
		return s.raw("GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials)) + "\r\n\r\n").StatusCode
	}
	for credentials, want := range map[string]int{
		"ada:lovelace": 200, "bob:secret": 200, "ada:secret": 401, "bob:lovelace": 401, "eve:secret": 401, "ada:": 401,
		":": 401, "ada": 401, "# users:": 401, "ada:lovelace:x": 401, "": 401,
	} {
		for range 2 { // the second time from the cache
			if got := status(credentials); got != want {
				t.Errorf("%q: status %d, want %d", credentials, got, want)
			}
		}
	}
	for _, header := range []string{"", "Authorization: Bearer x\r\n", "Authorization: Basic !\r\n", "Authorization: Basic YWRhOmxvdmVsYWNl\r\nAuthorization: Basic eDp5\r\n"} {
		res := s.raw("GET / HTTP/1.1\r\nHost: a.example\r\n" + header + "\r\n")
		if res.StatusCode != 401 || res.Header.Get("Www-Authenticate") != `Basic realm="a b", charset="UTF-8"` {
			t.Errorf("%q: %d %v", header, res.StatusCode, res.Header)
		}
	}

	becomes := func(what, credentials string, want int) {
		t.Helper()
		testkit.Eventually(t, what, func() string {
			if got := status(credentials); got != want {
				return fmt.Sprintf("%q: status %d, want %d", credentials, got, want)
			}
			return ""
		})
	}
	// A changed file counts, also against what was remembered.
	replaceFile(t, path, []byte("ada:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"))
	becomes("the new password", "ada:secret", 200)
	becomes("the old password", "ada:lovelace", 401)
	// A line that says nothing locks its user, and nobody else.
	replaceFile(t, path, []byte("ada:$apr1$x\nada\n:{SHA}x\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"))
	becomes("ada is locked", "ada:secret", 401)
	becomes("bob is not", "bob:secret", 200)
	// While it is missing, nobody is let in.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	becomes("nobody is let in", "bob:secret", 503)
	replaceFile(t, path, []byte(htpasswd(t)))
	becomes("the file is there again", "ada:lovelace", 200)
	// Files that no route names are forgotten.
	s.routes["a.example"].Filters = nil
	s.route("a.example", "a.example", nil)
	s.apply()
	if n := len(s.engine.users.Contents()); n != 0 {
		t.Errorf("%d files are still watched", n)
	}
}

// TestLongPasswordsAreNotHashed: what a hash costs grows with the password, so one that
// nobody has is refused before.
func TestLongPasswordsAreNotHashed(t *testing.T) {
	for length, want := range map[int]bool{1: true, maxPassword: true, maxPassword + 1: false, 48 << 10: false} {
		header := "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:"+strings.Repeat("x", length)))
		if _, _, ok := basicCredentials(field.List{{Name: "Authorization", Value: header}}); ok != want {
			t.Errorf("a password of %d bytes: %t", length, ok)
		}
	}
}

// TestRoutesShareAUserFile: a password that was right is not hashed again for another
// route with the same file, nor after a change of the route.
func TestRoutesShareAUserFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("ada:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, Options{UserDirs: []string{filepath.Dir(file)}})
	auth := func(realm string) []route.Filter {
		return []route.Filter{{BasicAuth: &route.BasicAuth{File: file, Realm: realm}}}
	}
	set := func() *users.Set { return s.engine.users.File(users.Name{Path: file}).Content().Logins() }
	serve := func(host string, filters []route.Filter) {
		s.serve(host, "127.0.0.1:1")
		s.routes[host].Filters = filters
	}
	serve("a.example", auth("a"))
	serve("b.example", auth("b"))
	s.apply()
	first := set()
	serve("a.example", auth("another"))
	s.apply()
	if files := len(s.engine.users.Contents()); set() != first || files != 1 {
		t.Errorf("another set of users for one file, or %d files", files)
	}
	serve("a.example", nil)
	serve("b.example", nil)
	s.apply()
	if len(s.engine.users.Contents()) != 0 {
		t.Error("a file that no route names is kept")
	}
}
