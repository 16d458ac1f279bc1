package fleet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/history"
	"fairway/internal/testkit"
)

// TestReread changes the fleet file of a fleet that runs: a host comes and goes, a
// token becomes another, and a fault changes nothing.
func TestReread(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 2, text("v1"))
	dir := t.TempDir()
	file := filepath.Join(dir, "fleet.yml")
	say := func(hosts ...*simHost) string {
		var b strings.Builder
		b.WriteString("hosts:\n")
		for _, h := range hosts {
			fmt.Fprintf(&b, "  - {name: %s, docker: '%s', containers: [{document: web, label: edge=yes}]}\n", h.name, h.url)
		}
		return b.String()
	}
	put := func(text string) { check(t, os.WriteFile(file, []byte(text), 0o600)) }
	put(say(s.hosts[0]))
	store, err := history.Open(history.Options{Dir: dir})
	check(t, err)
	var log testkit.Log
	f, err := New(Options{Path: file, Documents: store, Records: store, NewEngine: newEngine, Watch: 200 * time.Millisecond, Logger: log.Logger()})
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	defer func() {
		cancel()
		check(t, <-done)
		f.Close()
		check(t, store.Close())
	}()
	testkit.Eventually(t, "the fleet is ready", f.isReady)
	write(t, f, 0, text("v1"))
	hosts := func(want string) {
		t.Helper()
		testkit.Eventually(t, "hosts are "+want, func() string {
			list, err := f.Status("web")
			check(t, err)
			var all []string
			for _, h := range list {
				all = append(all, h.Host+" "+string(h.Condition))
			}
			if got := strings.Join(all, ", "); got != want {
				return got
			}
			return ""
		})
	}
	hosts("h1 current")
	put(say(s.hosts...))
	hosts("h1 current, h2 current")
	put("hosts:\n  - {name: h1}\n")
	log.Await(t, "the fleet file has a fault")
	hosts("h1 current, h2 current")
	token := filepath.Join(dir, "token")
	check(t, os.WriteFile(token, []byte("the first of its tokens"), 0o600))
	put(say(s.hosts...) + "readers: [{name: edge, token-file: token, documents: [web]}]\n")
	tokenIs := func(want string) {
		t.Helper()
		sum := sha256.Sum256([]byte(want))
		testkit.Eventually(t, "the token is "+want, func() bool {
			r := f.current().Readers
			return len(r) == 1 && *r[0].Token == sum
		})
	}
	tokenIs("the first of its tokens")
	check(t, os.WriteFile(token, []byte("the second of its tokens"), 0o600))
	tokenIs("the second of its tokens")
	put(say(s.hosts[1]))
	hosts("h2 current")
	put("hosts:\n  - {name: h2, docker: '" + s.hosts[1].url + "', containers: [{document: web, name: another}]}\n")
	hosts("h2 unreachable")
}

// TestPartial rolls out to some hosts only, which puts nothing out.
func TestPartial(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 3, text("v1"))
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	r, err := f.Start(t.Context(), Order{Document: "web", Hosts: []string{"h2"}, Author: "ann", Settings: quick})
	check(t, err)
	if p := await(t, f, r.Number); p.Rollout.Phase != Done || states(p) != "applied" || s.files() != "v1 v2 v1" {
		t.Errorf("phase %s, steps %s, hosts %s", p.Rollout.Phase, states(p), s.files())
	}
	if released, err := f.Released("web"); err != nil || released != 1 {
		t.Errorf("revision %d is out, %v", released, err)
	}
	if p := rollout(t, f, quick); p.Rollout.Phase != Done || states(p) != "applied already applied" || s.files() != "v2 v2 v2" {
		t.Errorf("phase %s, steps %s, hosts %s", p.Rollout.Phase, states(p), s.files())
	}
	if _, err := f.Start(t.Context(), Order{Document: "web", Hosts: []string{"h9"}, Settings: quick}); !errors.Is(err, ErrUnknown) {
		t.Errorf("a host that is not there: %v", err)
	}
}

// TestRestoreOfAnOldTemplate restores what is released while more revisions of the
// template are newer than are tried to recognise one.
func TestRestoreOfAnOldTemplate(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 1, "# v1\nbind :801\n")
	s.m.Templates["web"] = true
	s.m.Targets[0].Values = map[string]string{"port": "801"}
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, "# v1\nbind :{{port}}\n")
	if p := rollout(t, f, quick); p.Rollout.Phase != Done {
		t.Fatalf("phase %s %s", p.Rollout.Phase, p.Rollout.Reason)
	}
	for i := range maxRendered + 1 {
		write(t, f, uint64(i+1), fmt.Sprintf("# later %d\nbind :{{port}}\n", i))
	}
	s.hosts[0].set(func(h *simHost) { h.files[simFile] = "by hand\n" })
	check(t, f.Restore(t.Context(), "h1", "web"))
	s.hosts[0].set(func(h *simHost) {
		if got := h.files[simFile]; got != "# v1\nbind :801\n" {
			t.Errorf("the host has %q", got)
		}
	})
}

// TestTemplate rolls a template out, and recognises what it made.
func TestTemplate(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 2, "# v1\nbind :801\n")
	s.m.Templates["web"] = true
	for i := range s.m.Targets {
		s.m.Targets[i].Values = map[string]string{"port": fmt.Sprint(801 + i)}
	}
	s.hosts[1].set(func(h *simHost) { h.files[simFile], h.running = "# v1\nbind :802\n", "# v1\nbind :802\n" })
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, "# v1\nbind :{{port}}\n")
	list, err := f.Drift(t.Context(), "web", nil)
	check(t, err)
	for _, h := range list {
		if !h.Same || h.Revision != 1 {
			t.Errorf("%s: revision %d, diff %s", h.Host, h.Revision, h.Diff)
		}
	}
	write(t, f, 1, "# v2\nbind :{{port}}\n# {{host}}\n")
	if p := rollout(t, f, quick); p.Rollout.Phase != Done {
		t.Fatalf("phase %s %s", p.Rollout.Phase, p.Rollout.Reason)
	}
	for i, want := range []string{"# v2\nbind :801\n# h1\n", "# v2\nbind :802\n# h2\n"} {
		if file, running := s.hosts[i].has(); file != want || running != want {
			t.Errorf("host %d has %q and runs %q", i+1, file, running)
		}
	}
	write(t, f, 2, "bind :{{address}}\n")
	if _, err := f.Start(t.Context(), Order{Document: "web", Settings: quick}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `no value "address"`) {
		t.Errorf("a value that is missing: %v", err)
	}
	if _, err := f.Adopt(t.Context(), "h1", "web", 3, "ann", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("a template was adopted: %v", err)
	}
}
