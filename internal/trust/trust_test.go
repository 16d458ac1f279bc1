package trust

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/acme/authority"
)

// stage is a machine in a directory: its programs note how they were called.
type stage struct {
	Machine
	system  string // its store
	called  []string
	missing map[string]bool
	fails   string // a program
	real    bool   // certutil is that of this machine
}

func newStage(t *testing.T) *stage {
	dir := t.TempDir()
	s := &stage{system: filepath.Join(dir, "usr/local/share/ca-certificates"), missing: map[string]bool{}}
	s.Root, s.Home = dir, filepath.Join(dir, "home")
	for _, d := range []string{s.system, s.Home} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.Run = func(ctx context.Context, name string, args ...string) (string, error) {
		if s.missing[name] {
			return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
		}
		s.called = append(s.called, strings.Join(append([]string{name}, args...), " "))
		if name == s.fails {
			return "line one\nit went wrong\n", errors.New("exit status 1")
		}
		if s.real && name == "certutil" {
			out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
			return string(out), err
		}
		return "", nil
	}
	return s
}

func newRoot(t *testing.T) *root {
	t.Helper()
	made, err := authority.New(authority.Options{Dir: t.TempDir(), Name: "here"}).Root()
	if err != nil {
		t.Fatal(err)
	}
	r, err := parse(string(made.PEM), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// results are those of outcomes, by who reads the store.
func results(all []Outcome) string {
	var words []string
	for _, o := range all {
		words = append(words, o.Of+": "+strings.TrimSuffix(o.Result+" "+o.Text, " "))
	}
	return strings.Join(words, "; ")
}

// TestSystemStore: the root comes once, and all that are ours go.
func TestSystemStore(t *testing.T) {
	s, r := newStage(t), newRoot(t)
	s.missing["certutil"] = true
	foreign := filepath.Join(s.system, "fairway-company.crt")
	if err := os.WriteFile(foreign, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		do   func() []Outcome
		want string
	}{
		{func() []Outcome { return s.remove(t.Context()) }, "system: nothing to remove"},
		{func() []Outcome { return s.install(t.Context(), r) }, "system: trusted"},
		{func() []Outcome { return s.install(t.Context(), r) }, "system: already trusted"},
		{func() []Outcome { return s.install(t.Context(), newRoot(t)) }, "system: trusted"},
		{func() []Outcome { return s.remove(t.Context()) }, "system: no longer trusted"},
		{func() []Outcome { return s.remove(t.Context()) }, "system: nothing to remove"},
	} {
		if got := results(step.do()); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
	if got := strings.Join(s.called, ", "); got != strings.Repeat("update-ca-certificates, ", 2)+"update-ca-certificates" {
		t.Errorf("run: %s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(s.system, "*")); len(left) != 1 || left[0] != foreign {
		t.Errorf("left: %v", left)
	}
}

// TestStoresThatFail: what went wrong is said, with what to do, and nothing is left behind.
func TestStoresThatFail(t *testing.T) {
	r := newRoot(t)
	for name, tt := range map[string]struct {
		make func(s *stage)
		want string
	}{
		"program fails":   {func(s *stage) { s.fails = "update-ca-certificates" }, "system: failed update-ca-certificates: exit status 1: it went wrong"},
		"program missing": {func(s *stage) { s.missing["update-ca-certificates"] = true }, "not found"},
		"no store":        {func(s *stage) { _ = os.RemoveAll(s.system) }, "system: failed no store that is known"},
		"no certutil": {func(s *stage) {
			profile := filepath.Join(s.Home, ".mozilla/firefox/abc.default")
			_ = os.MkdirAll(profile, 0o755)
			_ = os.WriteFile(filepath.Join(profile, "cert9.db"), nil, 0o600)
		}, "system: trusted; Firefox: failed certutil is not installed"},
	} {
		s := newStage(t)
		s.missing["certutil"] = true
		tt.make(s)
		if got := results(s.install(t.Context(), r)); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		if left, _ := filepath.Glob(filepath.Join(s.system, "*")); strings.HasPrefix(name, "program") && len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
	if o := (Outcome{}).become("", &os.PathError{Op: "open", Path: "/x", Err: os.ErrPermission}); o.Result != Failed || !strings.Contains(o.Hint, "root") {
		t.Errorf("without rights: %+v", o)
	}
}

// TestBrowsers: the stores of Chromium and Firefox, with the real certutil.
func TestBrowsers(t *testing.T) {
	if _, err := exec.LookPath("certutil"); err != nil {
		t.Skip("no certutil: install libnss3-tools")
	}
	s, r := newStage(t), newRoot(t)
	s.real = true
	profile := filepath.Join(s.Home, ".mozilla/firefox/abc.default")
	if err := os.MkdirAll(profile, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("certutil", "-N", "-d", "sql:"+profile, "--empty-password").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, step := range []struct {
		do   func() []Outcome
		want string
	}{
		{func() []Outcome { return s.install(t.Context(), r) }, "system: trusted; Firefox: trusted; Chromium: trusted"},
		{func() []Outcome { return s.install(t.Context(), r) }, "system: already trusted; Firefox: already trusted; Chromium: already trusted"},
		{func() []Outcome { return s.install(t.Context(), newRoot(t)) }, "system: trusted; Firefox: trusted; Chromium: trusted"},
		{func() []Outcome { return s.remove(t.Context()) }, "system: no longer trusted; Firefox: no longer trusted; Chromium: no longer trusted"},
		{func() []Outcome { return s.remove(t.Context()) }, "system: nothing to remove; Firefox: nothing to remove; Chromium: nothing to remove"},
	} {
		if got := results(step.do()); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
	s.Sudo = true
	if err := os.RemoveAll(filepath.Join(s.Home, ".pki")); err != nil {
		t.Fatal(err)
	}
	if got := results(s.install(t.Context(), r)); strings.Contains(got, "Chromium") {
		t.Errorf("root makes a store for another person: %s", got)
	}
}

// TestParse: nothing is trusted but the root of Fairway.
func TestParse(t *testing.T) {
	a := authority.New(authority.Options{Dir: t.TempDir()})
	made, err := a.Root()
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, err := a.Issue(t.Context(), "app.localhost")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		text string
		now  time.Time
		want string
	}{
		"root":      {string(made.PEM), time.Now(), ""},
		"ended":     {string(made.PEM), made.NotAfter.Add(time.Hour), "has ended"},
		"two":       {string(made.PEM) + string(made.PEM), time.Now(), "not one certificate"},
		"a leaf":    {string(leaf[:strings.Index(string(leaf), "-----END")]) + "-----END CERTIFICATE-----\n", time.Now(), "not the root"},
		"none":      {"", time.Now(), "not one certificate"},
		"nonsense":  {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", time.Now(), "is no certificate"},
		"not PEM":   {"<html>", time.Now(), "not one certificate"},
		"a key too": {string(made.PEM) + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", time.Now(), "not one certificate"},
	} {
		r, err := parse(tt.text, tt.now)
		if err == nil && (r.fingerprint != made.Fingerprint || r.subject != made.Name || !r.until.Equal(made.NotAfter)) {
			t.Errorf("%s: it is called %q, %s, until %s", name, r.subject, r.fingerprint, r.until)
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
