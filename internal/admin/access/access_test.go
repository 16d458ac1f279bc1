package access

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/api"
)

func TestAuditSurvivesARestartAndTornLines(t *testing.T) {
	dir := t.TempDir()
	a, err := openAudit(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := a.Record(api.AuditEntry{Status: i}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"status":`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if a, err = openAudit(dir); err != nil {
		t.Fatal(err)
	}
	if err := a.Record(api.AuditEntry{Status: 5}); err != nil {
		t.Fatal(err)
	}
	if a, err = openAudit(dir); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, d := range a.Newest(4) {
		got += fmt.Sprint(d.Status)
	}
	if got != "5432" && got != "4321" {
		t.Errorf("the newest are %s", got)
	}
	if !strings.HasPrefix(got, "5") {
		t.Error("what was recorded after a torn line is lost")
	}
}

func TestAuditStaysSmall(t *testing.T) {
	dir := t.TempDir()
	a, err := openAudit(dir)
	if err != nil {
		t.Fatal(err)
	}
	a.size = maxAuditFile - 10
	for range 2 {
		if err := a.Record(api.AuditEntry{Text: strings.Repeat("x", 100)}); err != nil {
			t.Fatal(err)
		}
	}
	if a.size > 1000 || len(a.Newest(10)) != 2 {
		t.Errorf("size %d, entries %d", a.size, len(a.Newest(10)))
	}
	for range MaxEntries + 10 {
		a.remember(api.AuditEntry{})
	}
	if n := len(a.Newest(MaxEntries + 100)); n != MaxEntries {
		t.Errorf("%d entries are remembered", n)
	}
}

func TestSignInIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const goodToken = "0123456789abcdef"
		a, err := Open(Options{Token: goodToken, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		try := func(from, token string) int {
			r := httptest.NewRequest("POST", "/v1/session", nil)
			r.RemoteAddr = from
			if _, err := a.SignIn(httptest.NewRecorder(), r, token); err != nil {
				var e *api.Error
				errors.As(err, &e)
				return e.Status
			}
			return 200
		}
		for i := range maxSignIns {
			if code := try(fmt.Sprintf("[2001:db8::%x]:1", i), "wrong"); code != 401 {
				t.Fatalf("try %d: %d", i, code)
			}
		}
		if code := try("[2001:db8::ffff]:1", goodToken); code != 429 {
			t.Errorf("after the limit, from the same network: %d", code)
		}
		if code := try("[2001:db8:0:1::1]:1", goodToken); code != 200 {
			t.Errorf("from another network: %d", code)
		}
		time.Sleep(signInWindow + time.Second)
		if code := try("[2001:db8::1]:1", goodToken); code != 200 {
			t.Errorf("a minute later: %d", code)
		}
		for i := range 2 * maxAddresses {
			try(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), "wrong")
		}
		if n := len(a.sessions.failed); n > maxAddresses {
			t.Errorf("%d addresses are remembered", n)
		}
	})
}

// Tokens that are tried at the same moment count before any of them is judged.
func TestSignInsAtTheSameMomentAreLimited(t *testing.T) {
	s := newSessions(time.Now)
	from := netip.MustParsePrefix("192.0.2.1/32")
	let := 0
	for range 3 * maxSignIns { // none has been judged yet
		if s.try(from) {
			let++
		}
	}
	if let != maxSignIns {
		t.Errorf("%d may try at once, want %d", let, maxSignIns)
	}
}

// A session that is only looked at, as an open stream does, ends as idle.
func TestALookDoesNotKeepASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(time.Now)
		cookie, key, err := s.begin("sum", api.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		for range 13 {
			time.Sleep(time.Hour)
			_, _, _, _ = s.of(cookie, key, false)
		}
		if _, _, _, ok := s.of(cookie, key, false); ok {
			t.Error("a session that nobody uses holds after 13 hours")
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(time.Now)
		cookie, key, err := s.begin("sum", api.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		for range int(sessionLong/sessionIdle) + 1 {
			time.Sleep(sessionIdle - time.Minute)
			if _, _, _, ok := s.of(cookie, key, true); !ok && time.Since(s.now()) < sessionLong {
				break
			}
		}
		if _, _, _, ok := s.of(cookie, key, true); ok {
			t.Error("a session holds for longer than a week")
		}
		cookie, key, _ = s.begin("sum", api.Identity{})
		time.Sleep(sessionIdle + time.Second)
		if _, _, _, ok := s.of(cookie, key, true); ok {
			t.Error("a session holds although it was idle")
		}
		for range maxSessions - len(s.open) {
			_, _, _ = s.begin("sum", api.Identity{})
		}
		for range maxSessions {
			if _, _, err = s.begin("sum", api.Identity{}); err != nil {
				break
			}
		}
		if err == nil || len(s.open) > maxSessions {
			t.Errorf("%d sessions, %v", len(s.open), err)
		}
	})
}
