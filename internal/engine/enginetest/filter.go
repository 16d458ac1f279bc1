package enginetest

import (
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// filterCases are filters over time, and bodies that are not known beforehand.
func filterCases() []goCase {
	return []goCase{
		{"basic-auth rereads its file", authReload},
		{"basic-auth closes when its file goes", authGone},
		{"basic-auth forgets who had another password", authForgets},
		{"basic-auth waits for no file", authWaitsForNoFile},
		{"rate-limit refills", rateRefills},
		{"max-body of a body without length", maxBodyChunked},
		{"compress answers with gzip", compressGzip},
	}
}

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// htpasswd is a line for a user.
func htpasswd(w *world, user, password string) string {
	w.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		w.Fatal(err)
	}
	return fmt.Sprintf("%s:%s\n", user, hash)
}

const routeAuth = `routes: [{id: any, filters: [{basicAuth: {file: $DIR/users, realm: x}}], to: [e1]}]`

func authReload(w *world) {
	w.writeFile("users", htpasswd(w, "joe", "old"))
	w.apply(routeAuth)
	w.want(w.get("http://a.example/", basic("joe", "old")), 200, "e1")
	w.want(w.get("http://a.example/", basic("ann", "new")), http.StatusUnauthorized, "")
	w.writeFile("users", htpasswd(w, "ann", "new"))
	w.eventually("ann gets in", func() bool { return w.get("http://a.example/", basic("ann", "new")).StatusCode == 200 })
	w.want(w.get("http://a.example/", basic("joe", "old")), http.StatusUnauthorized, "")
}

func authGone(w *world) {
	w.writeFile("users", htpasswd(w, "joe", "old"))
	w.apply(routeAuth)
	w.want(w.get("http://a.example/", basic("joe", "old")), 200, "e1")
	if err := os.Remove(filepath.Join(w.dir, "users")); err != nil {
		w.Fatal(err)
	}
	w.eventually("no user is let in", func() bool {
		return w.get("http://a.example/", basic("joe", "old")).StatusCode == http.StatusServiceUnavailable
	})
	w.want(w.get("http://a.example/"), http.StatusServiceUnavailable, "")
	w.writeFile("users", htpasswd(w, "joe", "old"))
	w.eventually("joe gets in again", func() bool { return w.get("http://a.example/", basic("joe", "old")).StatusCode == 200 })
}

// authForgets: credentials that were right are not remembered beyond their hash, in
// in any form.
func authForgets(w *world) {
	const openSesame = "$apr1$saltsalt$HIDXe7D36X22w1CH4M1cQ."
	for _, hash := range []string{openSesame, strings.TrimSpace(strings.TrimPrefix(htpasswd(w, "joe", "open sesame"), "joe:"))} {
		w.writeFile("users", "joe:"+hash+"\n")
		w.apply(routeAuth)
		w.eventually("joe gets in", func() bool { return w.get("http://a.example/", basic("joe", "open sesame")).StatusCode == 200 })
		w.writeFile("users", htpasswd(w, "joe", "new"))
		w.eventually("the new password counts", func() bool { return w.get("http://a.example/", basic("joe", "new")).StatusCode == 200 })
		w.want(w.get("http://a.example/", basic("joe", "open sesame")), http.StatusUnauthorized, "")
	}
}

// authWaitsForNoFile: a file that never answers, or never ends, is the affair of its
// own route.
func authWaitsForNoFile(w *world) {
	if err := syscall.Mkfifo(filepath.Join(w.dir, "fifo"), 0o600); err != nil {
		w.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(w.dir, "link")); err != nil {
		w.Fatal(err)
	}
	table := "routes:\n  - {id: other, host: other.example, to: [e1]}\n"
	var hosts []string
	for i, file := range []string{"$DIR/fifo", "$DIR/link", "$DIR", "/dev/zero", "/proc/self/fd/1", "/etc/passwd"} {
		host := fmt.Sprintf("auth%d.example", i)
		hosts = append(hosts, host)
		table += fmt.Sprintf("  - {id: auth%d, host: %s, filters: [{basicAuth: {file: %s, realm: x}}], to: [e1]}\n", i, host, file)
	}
	t := w.table(table)
	applied := make(chan error, 1)
	go func() { applied <- w.engine.Apply(w.Context(), t) }()
	if err := receive(w, "the table is applied", applied); err != nil {
		w.Fatal(err)
	}
	w.want(w.get("http://other.example/"), 200, "e1")
	for _, host := range hosts {
		w.want(w.get("http://"+host+"/", basic("root", "x")), http.StatusServiceUnavailable, "")
	}
}

func rateRefills(w *world) {
	table := `routes: [{id: any, filters: [{rateLimit: {requests: 2, per: 1s, burst: 1}}], to: [e1]}]`
	w.apply(table)
	start := time.Now()
	w.want(w.get("http://a.example/"), 200, "e1")
	w.want(w.get("http://a.example/"), http.StatusTooManyRequests, "")
	// A swap forgives nothing.
	w.apply(strings.Replace(table, "to:", "hold: 1s, to:", 1))
	w.eventually("the next one passes", func() bool { return w.get("http://a.example/").StatusCode == 200 })
	if d := time.Since(start); d < 450*time.Millisecond {
		w.Errorf("after %v another one passed, at 2 in a second", d)
	}
}

// A length that was not announced is found out on the way. The endpoint never
// sees a whole body that is too long.
func maxBodyChunked(w *world) {
	w.apply(`routes: [{id: any, filters: [{maxBody: {bytes: 1000}}], to: [e1]}]`)
	c := w.client("http", false)
	unknown := func(n int) io.Reader { return io.MultiReader(strings.NewReader(strings.Repeat("x", n))) }
	w.want(w.do(c, http.MethodPost, "http://a.example/", unknown(1000)), 200, "e1")
	for _, n := range []int{1001, 100_000} {
		before := w.log.len()
		e := <-w.begin(w.client("http", false), http.MethodPost, "http://a.example/", unknown(n)).done
		if e.err == nil { // else it was hung up on while it still sent
			w.want(e.answer, http.StatusRequestEntityTooLarge, "")
		}
		time.Sleep(settle)
		for _, s := range w.log.since(before) {
			if s.BodyErr == "" || len(s.Body) > 1000 {
				w.Errorf("of %d bytes the endpoint saw %d, as a whole: %v", n, len(s.Body), s.BodyErr == "")
			}
		}
	}
}

func compressGzip(w *world) {
	w.apply(`routes: [{id: any, filters: [{compress: {}}], to: [e1]}]`)
	plain := w.get("http://a.example/", "X-Do: size=30000")
	a := w.get("http://a.example/", "X-Do: size=30000", "Accept-Encoding: gzip")
	w.want(a, 200, "e1")
	if len(a.body) >= len(plain.body) {
		w.Errorf("%d bytes became %d", len(plain.body), len(a.body))
	}
	z, err := gzip.NewReader(strings.NewReader(a.body))
	if err != nil {
		w.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil || string(got) != plain.body {
		w.Errorf("of %d bytes %d came out (%v)", len(plain.body), len(got), err)
	}
	// An entity tag is for these very bytes (RFC 9110, 8.8.3).
	tagged := w.get("http://a.example/", `X-Do: size=30000; header=Etag: "abc"`, "Accept-Encoding: gzip")
	if tag := tagged.Header.Get("Etag"); tag == `"abc"` {
		w.Error("the compressed answer has the strong entity tag of the plain one")
	}
}
