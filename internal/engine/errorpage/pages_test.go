package errorpage

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The page of the status goes before that of its class, and that before the one for all.
func TestPages(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "404.html", "<p>{status} {reason} {host} {request_id} {x}")
	write(t, dir, "5xx.html", "class")
	write(t, dir, "default.html", "default")
	write(t, dir, "README", "no page")
	s, err := Open([]Source{{DefaultSet, dir}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]string{404: "<p>404 Not Found a&lt;b 7 {x}", 503: "class", 429: "default"} {
		a := Answer{Status: status, Code: "code", Text: "why -->", ID: "7"}
		want += "\n<!-- fairway: why --&gt; -->\n"
		if got := string(a.BodyOf(HTML, s, "", "a<b")); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
		for _, f := range []Form{JSON, Text} {
			if string(a.BodyOf(f, s, "", "a")) != string(a.Body(f)) {
				t.Errorf("%d: another body in form %d", status, f)
			}
		}
		for _, set := range []string{Off, "gone"} {
			if string(a.BodyOf(HTML, s, set, "a")) != string(a.Body(HTML)) {
				t.Errorf("%d: the set %s has a page", status, set)
			}
		}
	}
	var none *Store
	if a := (Answer{Status: 404}); string(a.BodyOf(HTML, none, "", "")) != string(a.Body(HTML)) {
		t.Error("no store has a page")
	}
}

func TestReadSetRefuses(t *testing.T) {
	for want, page := range map[string][2]string{
		"there is no page": {"README", ""}, "pages are called": {"600.html", ""}, "not UTF-8": {"404.html", "\xff"}, "more than 65536 bytes": {"404.html", strings.Repeat("x", MaxPage+1)},
	} {
		dir := t.TempDir()
		write(t, dir, page[0], page[1])
		if _, err := ReadSet(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	dir := t.TempDir()
	if _, err := ReadSet(dir); err == nil || !strings.Contains(err.Error(), "there is no page") {
		t.Errorf("an empty directory: %v", err)
	}
	for i := range maxPages + 1 {
		write(t, dir, strconv.Itoa(i), "")
	}
	if _, err := ReadSet(dir); err == nil || !strings.Contains(err.Error(), "more than 1000 files") {
		t.Errorf("many files: %v", err)
	}
	if _, err := ReadSet(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("a directory that is not there was read")
	}
}

// Pages are reread; what cannot be read leaves those before.
func TestPagesAreReread(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "default.html", "one")
	synctest.Test(t, func(t *testing.T) {
		takes := func(page string) error {
			if page == "too long" {
				return errors.New(page)
			}
			return nil
		}
		s, err := Open([]Source{{"a", dir}}, takes, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		changes := make(chan string, 3)
		s.OnChange(func() { changes <- s.Sets()["a"]["default"] })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = s.Run(ctx) }()
		write(t, dir, "default.html", "two")
		if got := <-changes; got != "two" {
			t.Errorf("%q", got)
		}
		if err := os.Remove(filepath.Join(dir, "default.html")); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "5xx.html", "three")
		if got := <-changes; got != "" || s.Sets()["a"]["5xx"] != "three" {
			t.Errorf("%q", got)
		}
		write(t, dir, "5xx.html", "too long")
		time.Sleep(3 * every)
		if s.Sets()["a"]["5xx"] != "three" || len(changes) > 0 {
			t.Error("what the engine cannot send has an effect")
		}
		if _, err := Open([]Source{{"a", dir}}, takes, nil); err == nil || err.Error() != "error pages a: 5xx.html: too long" {
			t.Errorf("at the start: %v", err)
		}
		write(t, dir, "9xx.html", "wrong")
		time.Sleep(3 * every)
		if s.Sets()["a"]["5xx"] != "three" || len(changes) > 0 {
			t.Error("what cannot be read has an effect")
		}
	})
}
