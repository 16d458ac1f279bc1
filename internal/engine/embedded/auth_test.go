package embedded

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"fairway/internal/route"
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
	path := filepath.Join(t.TempDir(), "users")
	replaceFile(t, path, []byte(htpasswd(t)))
	s := newSite(t, Options{})
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

	// A changed file counts at once, also against what was remembered.
	replaceFile(t, path, []byte("ada:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"))
	s.engine.users.reload()
	if got := status("ada:lovelace"); got != 401 {
		t.Errorf("old password: status %d", got)
	}
	if got := status("ada:secret"); got != 200 {
		t.Errorf("new password: status %d", got)
	}
	// While it is broken or missing, nobody is let in.
	for _, broken := range []string{"ada:$apr1$x\n", "ada\n", ":{SHA}x\n", "ada:\n"} {
		replaceFile(t, path, []byte(broken))
		s.engine.users.reload()
		if got := status("ada:secret"); got != 503 {
			t.Errorf("broken file: status %d", got)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.engine.users.reload()
	if got := status("ada:secret"); got != 503 {
		t.Errorf("missing file: status %d", got)
	}
	replaceFile(t, path, []byte(htpasswd(t)))
	eventually(t, "the file is reread by itself", func() bool { return status("ada:lovelace") == 200 })
	// Files that no route names are forgotten.
	s.routes["a.example"].Filters = nil
	s.route("a.example", "a.example", nil)
	s.apply()
	if n := len(s.engine.users.files); n != 0 {
		t.Errorf("%d files are still watched", n)
	}
}

// TestParseUsers: errors name the line and keep its content to themselves.
func TestParseUsers(t *testing.T) {
	_, err := parseUsers([]byte("ok:{SHA}x\nada:$apr1$topsecret\n"))
	if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("error %v", err)
	}
}

// TestS22LoginTiming: an unknown user costs the work of a known one.
func TestS22LoginTiming(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), 8)
	if err != nil {
		t.Fatal(err)
	}
	u, err := parseUsers([]byte("ada:" + string(hash) + "\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cost, err := bcrypt.Cost([]byte(u.dummy)); err != nil || cost != 8 {
		t.Fatalf("the dummy costs %d (%v), want as much as the dearest hash", cost, err)
	}
	store := newUserStore(testLog(t))
	least := func(name string) time.Duration {
		best := time.Hour
		for range 5 {
			began := time.Now()
			if right, err := u.verify(context.Background(), store, name, "wrong"); right || err != nil {
				t.Fatal(right, err)
			}
			best = min(best, time.Since(began))
		}
		return best
	}
	known := least("ada")
	for _, name := range []string{"eve", "bob"} {
		// Without the dummy it would be a thousandth.
		if other := least(name); other < known/4 {
			t.Errorf("user %s takes %v, the known one %v", name, other, known)
		}
	}
}

// TestVerifyWaits: whoever waits for his turn to check a password stops when his
// client does.
func TestVerifyWaits(t *testing.T) {
	u, err := parseUsers([]byte(htpasswd(t)))
	if err != nil {
		t.Fatal(err)
	}
	store := newUserStore(testLog(t))
	for range cap(store.work) {
		store.work <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if right, err := u.verify(ctx, store, "ada", "lovelace"); right || err == nil {
		t.Errorf("%v %v", right, err)
	}
}
