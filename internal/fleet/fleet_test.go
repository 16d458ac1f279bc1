package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/history"
	"fairway/internal/testkit"
)

// text is a configuration that every simulated HAProxy takes.
func text(version string) string {
	return "# " + version + "\nlisten web\n  bind :80\n"
}

// start opens a fleet over the hosts and runs it until stop, or the end of the
// test.
func (s *simFleet) start(t testing.TB, dir string) (f *Fleet, stop func()) {
	t.Helper()
	store, err := history.Open(history.Options{Dir: dir})
	check(t, err)
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("FLEET_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	f, err = New(Options{Map: s.m, Documents: store, Records: store, NewEngine: newEngine, Logger: log, Watch: 500 * time.Millisecond, OnEnded: s.ended})
	check(t, err)
	f.pages.Transport = s.pages()
	f.limits = s.limits
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	var ended bool
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.Close()
		check(t, store.Close())
	}
	t.Cleanup(stop)
	testkit.Eventually(t, "the fleet is ready", f.isReady)
	return f, stop
}

func (f *Fleet) isReady() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write puts a revision of the document web.
func write(t testing.TB, f *Fleet, expect uint64, content string) history.Revision {
	t.Helper()
	r, err := f.Put(history.Draft{Document: "web", Expect: expect, Author: "ann", Content: []byte(content)})
	check(t, err)
	return r
}

// quick are settings for hosts that are simulated.
var quick = Settings{Pause: 30 * time.Millisecond}

// rollout starts a rollout and waits for its end.
func rollout(t testing.TB, f *Fleet, settings Settings) Progress {
	t.Helper()
	r, err := f.Start(t.Context(), Order{Document: "web", Author: "ann", Settings: settings})
	check(t, err)
	return await(t, f, r.Number)
}

func await(t testing.TB, f *Fleet, number uint64) Progress {
	t.Helper()
	var p Progress
	testkit.Within(t, 2*time.Minute, "the rollout ends", func() bool {
		var err error
		p, err = f.Progress("web")
		check(t, err)
		return p.Rollout.Number == number && p.Rollout.Phase.Ended()
	})
	return p
}

// states are the states of the steps, as "applied applied refused".
func states(p Progress) string {
	var all []string
	for _, s := range p.Steps {
		all = append(all, string(s.State))
	}
	return strings.Join(all, " ")
}

// files are what the hosts have: the version in the file, and, where it is
// another, the one that runs.
func (s *simFleet) files() string {
	version := func(content string) string {
		first, _, _ := strings.Cut(strings.TrimPrefix(content, "# "), "\n")
		return first
	}
	var all []string
	for _, h := range s.hosts {
		file, running := h.has()
		v := version(file)
		if running != file {
			v += "/" + version(running)
		}
		all = append(all, v)
	}
	return strings.Join(all, " ")
}

// TestRollout puts a revision on five hosts, again, and back.
func TestRollout(t *testing.T) {
	for _, way := range []string{"shell", "agent"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			testRollout(t, way)
		})
	}
}

func testRollout(t *testing.T, way string) {
	s := newSimFleet(t, 5, text("v1"))
	for i, h := range s.hosts {
		h.hasAgent, h.noSums = way == "agent", i%2 == 0
	}
	reported := make(chan Rollout, 10)
	s.ended = func(r Rollout) { reported <- r }
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	p := rollout(t, f, quick)
	if got := states(p); p.Rollout.Phase != Done || got != "applied applied applied applied applied" {
		t.Fatalf("phase %s (%s), steps %s, note %s", p.Rollout.Phase, p.Rollout.Reason, got, fmt.Sprint(p.Steps))
	}
	if got := s.files(); got != "v2 v2 v2 v2 v2" {
		t.Errorf("hosts have %s", got)
	}
	var waves []int
	for _, step := range p.Steps {
		waves = append(waves, step.Wave)
	}
	// One canary, then a quarter of five: two at a time.
	if diff := cmp.Diff([]int{0, 1, 1, 2, 2}, waves); diff != "" {
		t.Errorf("waves (-want +got):\n%s", diff)
	}
	if p = rollout(t, f, quick); p.Rollout.Phase != Done || states(p) != "already already already already already" {
		t.Errorf("again: phase %s, steps %s", p.Rollout.Phase, states(p))
	}
	one := uint64(1)
	r, err := f.Start(t.Context(), Order{Document: "web", Revision: one, Author: "ann", Settings: quick})
	check(t, err)
	if p = await(t, f, r.Number); p.Rollout.Phase != Done || s.files() != "v1 v1 v1 v1 v1" {
		t.Errorf("back: phase %s, hosts %s", p.Rollout.Phase, s.files())
	}
	if released, err := f.store.released("web"); err != nil || released != 1 {
		t.Errorf("revision %d is out, %v", released, err)
	}
	ended, err := f.Ended("web")
	check(t, err)
	if len(ended) != 3 || ended[0].Number != 3 || ended[0].States[Applied] != 5 {
		t.Errorf("ended: %+v", ended)
	}
	for number := range uint64(3) {
		if r := <-reported; r.Number != number+1 || r.Document != "web" || r.Phase != Done || r.Ended.IsZero() {
			t.Errorf("reported: %+v", r)
		}
	}
	if len(reported) > 0 {
		t.Errorf("reported twice: %+v", <-reported)
	}
	s.onlyFixed(t)
}

// TestFaultyRevisions rolls out what HAProxy refuses, what cannot be bound, and
// what answers 503: it reaches the canary at most, and is taken back.
func TestFaultyRevisions(t *testing.T) {
	for name, tt := range map[string]struct {
		content, want, state string
		taken                uint16
		agent                bool
	}{
		"syntax":         {content: text("bad") + "  SYNTAX\n", want: "h1: haproxy refuses the configuration: web:4: unknown keyword 'SYNTAX' in 'listen' section", state: "refused"},
		"taken":          {content: text("bad") + "  bind :81\n", taken: 81, want: "h1: web: line 4: cannot bind 0.0.0.0:81: the address is in use by another program", state: "refused"},
		"bindfail":       {content: text("bad") + "# BINDFAIL\n", want: "Starting proxy web: cannot bind socket (Address already in use) [0.0.0.0:81]; what was there before runs again", state: "refused"},
		"503":            {content: text("bad") + "# ANSWER503\n", want: "h1: 100.0 % of requests fail, 0.0 % did before", state: "returned"},
		"agent syntax":   {content: text("bad") + "  SYNTAX\n", agent: true, want: "parsing [/dev/stdin:4] : unknown keyword 'SYNTAX'", state: "refused"},
		"agent bindfail": {content: text("bad") + "# BINDFAIL\n", agent: true, want: "cannot bind socket (Address already in use) [0.0.0.0:81]; what was there before runs again", state: "refused"},
		"agent 503":      {content: text("bad") + "# ANSWER503\n", agent: true, want: "h1: 100.0 % of requests fail, 0.0 % did before", state: "returned"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSimFleet(t, 3, text("v1"))
			for _, h := range s.hosts {
				h.hasAgent = tt.agent
				if tt.taken > 0 {
					h.listening = []uint16{tt.taken}
				}
			}
			f, _ := s.start(t, t.TempDir())
			write(t, f, 0, text("v1"))
			write(t, f, 1, tt.content)
			settings := quick
			settings.Pause = 3 * time.Second
			p := rollout(t, f, settings)
			if p.Rollout.Phase != Reverted || !strings.Contains(p.Rollout.Reason, tt.want) {
				t.Errorf("phase %s, reason %q, want %q", p.Rollout.Phase, p.Rollout.Reason, tt.want)
			}
			if got := states(p); got != tt.state+" waiting waiting" {
				t.Errorf("steps %s", got)
			}
			if got := s.files(); got != "v1 v1 v1" {
				t.Errorf("hosts have %s", got)
			}
			if released, err := f.store.released("web"); err != nil || released != 1 {
				t.Errorf("revision %d is out, %v", released, err)
			}
			for _, h := range s.hosts[1:] {
				h.mu.Lock()
				if strings.Contains(strings.Join(h.commands, ";"), "write") {
					t.Errorf("%s was written to", h.name)
				}
				h.mu.Unlock()
			}
			s.onlyFixed(t)
		})
	}
}

// TestTroubledHosts rolls out over hosts that are down, hang, or die on the way,
// and sees them caught up.
func TestTroubledHosts(t *testing.T) {
	for name, tt := range map[string]struct {
		break2, mend func(t *testing.T, h *simHost)
		phase        Phase
		states       string
		files        string // when all hosts are back
	}{
		"down": {
			break2: func(_ *testing.T, h *simHost) { h.Cut() },
			mend:   func(_ *testing.T, h *simHost) { h.Restore() },
			phase:  Done, states: "applied absent applied applied", files: "v2 v2 v2 v2",
		},
		"stopped": {
			break2: func(_ *testing.T, h *simHost) { h.set(func(h *simHost) { h.stopped = true }) },
			mend:   func(_ *testing.T, h *simHost) { h.set(func(h *simHost) { h.stopped = false }) },
			phase:  Done, states: "applied absent applied applied", files: "v2 v2 v2 v2",
		},
		"black hole": {
			break2: func(_ *testing.T, h *simHost) { h.Freeze() },
			mend:   func(_ *testing.T, h *simHost) { h.Calm() },
			phase:  Done, states: "applied absent applied applied", files: "v2 v2 v2 v2",
		},
		"one exec hangs": {
			break2: func(_ *testing.T, h *simHost) { h.set(func(h *simHost) { h.hang = "swap" }) },
			mend:   func(_ *testing.T, h *simHost) { h.set(func(h *simHost) { h.hang = "" }) },
			phase:  Reverted, states: "returned refused waiting waiting", files: "v1 v1 v1 v1",
		},
		"every exec hangs": {
			break2: func(_ *testing.T, h *simHost) { h.set(func(h *simHost) { h.hang = "look" }) },
			mend:   func(_ *testing.T, h *simHost) { h.set(func(h *simHost) { h.hang = "" }) },
			phase:  Done, states: "applied absent applied applied", files: "v2 v2 v2 v2",
		},
		"loses power": {
			break2: func(_ *testing.T, h *simHost) { h.set(func(h *simHost) { h.fatal = "swap" }) },
			mend:   func(_ *testing.T, h *simHost) { h.set(func(h *simHost) { h.fatal = ""; h.Calm() }) },
			phase:  Reverted, states: "returned lost waiting waiting", files: "v1 v1 v1 v1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSimFleet(t, 4, text("v1"))
			s.limits.look, s.limits.host, s.limits.rollout = 4*time.Second, 12*time.Second, 2*time.Minute
			f, _ := s.start(t, t.TempDir())
			write(t, f, 0, text("v1"))
			write(t, f, 1, text("v2"))
			tt.break2(t, s.hosts[1])
			p := rollout(t, f, Settings{Wave: Share{Count: 1}, Pause: 20 * time.Millisecond})
			if got := states(p); p.Rollout.Phase != tt.phase || got != tt.states {
				t.Fatalf("phase %s (%s), steps %s, want %s %s", p.Rollout.Phase, p.Rollout.Reason, got, tt.phase, tt.states)
			}
			if (p.Steps[1].Pending == "") != (p.Steps[1].State == Refused) || p.Steps[1].Error == "" {
				t.Errorf("what the host is owed: %+v", p.Steps[1])
			}
			tt.mend(t, s.hosts[1])
			testkit.Eventually(t, "hosts have "+tt.files, func() string {
				if s.files() == tt.files && f.store.step("h2", "web").Pending == "" {
					return ""
				}
				st, _ := f.Status("web")
				return fmt.Sprintf("%s; status %+v", s.files(), st[1])
			})
			list, err := f.Status("web")
			check(t, err)
			for _, h := range list {
				if h.Condition != Current {
					t.Errorf("%s is %s: %s", h.Host, h.Condition, h.Error)
				}
			}
		})
	}
}

// TestKilledCommand has commands killed, as happens to them when their container
// ends or is out of memory: that is told in words, is no refusal, and is no reason
// to take a container with the agent for one without.
func TestKilledCommand(t *testing.T) {
	for command, want := range map[string]string{
		"read": "absent applied", "haproxy -c": "absent applied", "swap": "refused waiting",
		"fairway haproxy status": "absent applied", "fairway haproxy apply": "lost waiting",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			s := newSimFleet(t, 2, text("v1"))
			for _, h := range s.hosts {
				h.hasAgent = strings.HasPrefix(command, "fairway")
			}
			s.hosts[0].set(func(h *simHost) { h.kill = command })
			f, _ := s.start(t, t.TempDir())
			write(t, f, 0, text("v1"))
			write(t, f, 1, text("v2"))
			p := rollout(t, f, quick)
			if got := states(p); got != want || !strings.Contains(p.Steps[0].Error, "the command was killed while it was at work") {
				t.Errorf("%s: steps %s, %s", p.Rollout.Phase, got, p.Steps[0].Error)
			}
			s.hosts[0].mu.Lock()
			defer s.hosts[0].mu.Unlock()
			if s.hosts[0].hasAgent && slices.ContainsFunc(s.hosts[0].commands, func(c string) bool { return !strings.HasPrefix(c, "fairway") }) {
				t.Errorf("the container was given %v", s.hosts[0].commands)
			}
		})
	}
}

// TestNoStatistics rolls out over hosts whose pages of statistics are not there, for
// one of them from the change on: what could not be read before says nothing
// about the change.
func TestNoStatistics(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 2, text("v1"))
	f, _ := s.start(t, t.TempDir())
	pages := s.pages()
	delete(pages, "h1")
	f.pages.Transport = pages
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	settings := quick
	settings.Canary, settings.Pause = 2, 3500*time.Millisecond
	if p := rollout(t, f, settings); p.Rollout.Phase != Done || s.files() != "v2 v2" {
		t.Fatalf("phase %s %s, hosts %s", p.Rollout.Phase, p.Rollout.Reason, s.files())
	}
	write(t, f, 2, text("v3")+"# NOPAGE\n")
	if p := rollout(t, f, settings); p.Rollout.Phase != Reverted || s.files() != "v2 v2" || !strings.Contains(p.Rollout.Reason, "h2: contact is lost since the change") {
		t.Errorf("phase %s %s, hosts %s", p.Rollout.Phase, p.Rollout.Reason, s.files())
	}
}

// TestNextRolloutFollowsAtOnce starts a rollout at the moment at which everybody can see
// that the one before has ended: it was refused until that had taken itself off the list.
func TestNextRolloutFollowsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 1, text("v1"))
	var f *Fleet
	next := make(chan error, 1)
	s.ended = func(r Rollout) {
		if r.Number == 1 {
			_, err := f.Start(t.Context(), Order{Document: "web", Author: "bob", Settings: quick})
			next <- err
		}
	}
	f, _ = s.start(t, t.TempDir())
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	_, err := f.Start(t.Context(), Order{Document: "web", Author: "ann", Settings: quick})
	check(t, err)
	check(t, <-next)
	await(t, f, 2)
}

// TestTwoOperators has two people work on the same document.
func TestTwoOperators(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 2, text("v1"))
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	_, err := f.Put(history.Draft{Document: "web", Expect: 1, Author: "bob", Content: []byte(text("v3"))})
	if conflict := (*history.ConflictError)(nil); !errors.As(err, &conflict) || conflict.Current != 2 || conflict.Author != "ann" {
		t.Errorf("error %v", err)
	}
	settings := quick
	settings.Pause = 2 * time.Second
	r, err := f.Start(t.Context(), Order{Document: "web", Author: "ann", Settings: settings})
	check(t, err)
	if _, err := f.Start(t.Context(), Order{Document: "web", Author: "bob", Settings: settings}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "by ann") {
		t.Errorf("error %v", err)
	}
	check(t, f.Stop("web", "bob"))
	if p := await(t, f, r.Number); p.Rollout.Phase != Reverted || p.Rollout.Reason != "stopped by bob" || s.files() != "v1 v1" {
		t.Errorf("phase %s, reason %s, hosts %s", p.Rollout.Phase, p.Rollout.Reason, s.files())
	}
	two := uint64(2)
	_, err = f.Start(t.Context(), Order{Document: "web", Author: "bob", Expect: &two, Settings: settings})
	if !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "revision 1 of web, not 2, by rollout 1 of ann") {
		t.Errorf("error %v", err)
	}
}

// TestDrift has somebody edit a file by hand.
func TestDrift(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 2, text("v1"))
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, text("v1"))
	edited := text("v1") + "# by hand\n"
	s.hosts[1].set(func(h *simHost) { h.files[simFile] = edited })
	list, err := f.Drift(t.Context(), "web", nil)
	check(t, err)
	if !list[0].Same || list[0].Condition != Current || list[1].Same || list[1].Condition != Edited || !strings.Contains(list[1].Diff, "\n+# by hand\n") {
		t.Errorf("drift: %+v", list)
	}
	write(t, f, 1, text("v2"))
	if _, err := f.Start(t.Context(), Order{Document: "web", Author: "ann", Settings: quick}); !errors.Is(err, ErrDrift) || !strings.Contains(err.Error(), "host h2") {
		t.Errorf("a rollout over an edited file: %v", err)
	}
	check(t, f.Restore(t.Context(), "h2", "web"))
	if got := s.files(); got != "v1 v1" {
		t.Errorf("hosts have %s", got)
	}
	s.hosts[1].set(func(h *simHost) { h.files[simFile] = edited })
	r, err := f.Adopt(t.Context(), "h2", "web", 2, "bob", "")
	check(t, err)
	got, err := f.Revision("web", 0)
	check(t, err)
	if r.Number != 3 || string(got.Content) != edited || got.Author != "bob" || got.Message != "adopted from host h2" {
		t.Errorf("revision %d: %+v", r.Number, got)
	}
	if p := rollout(t, f, quick); p.Rollout.Phase != Done || states(p) != "applied already" {
		t.Errorf("phase %s, steps %s", p.Rollout.Phase, states(p))
	}
	s.hosts[0].set(func(h *simHost) { h.files[simFile] = "something else\n" })
	settings := quick
	settings.AllowDrift = true
	kept := func() int {
		list, err := f.o.Records.Records(kindContent)
		check(t, err)
		return len(list)
	}
	write(t, f, 3, text("v4"))
	if p := rollout(t, f, settings); p.Rollout.Phase != Done || s.files() != "v4 v4" || kept() != 1 {
		t.Errorf("phase %s %s, hosts %s, %d contents kept", p.Rollout.Phase, p.Rollout.Reason, s.files(), kept())
	}
	write(t, f, 4, text("v5")+"# ANSWER503\n")
	s.hosts[0].set(func(h *simHost) { h.files[simFile] = "by hand\n" })
	settings.Pause = 5 * time.Second
	if p := rollout(t, f, settings); p.Rollout.Phase != Reverted || s.files() != "by hand v4" || kept() != 1 {
		t.Errorf("phase %s %s, hosts %s, %d contents kept", p.Rollout.Phase, p.Rollout.Reason, s.files(), kept())
	}
	check(t, f.Restore(t.Context(), "h1", "web"))
	write(t, f, 5, text("v6"))
	settings.Pause = 20 * time.Millisecond
	if p := rollout(t, f, settings); p.Rollout.Phase != Done || kept() != 0 {
		t.Errorf("phase %s %s, %d contents kept", p.Rollout.Phase, p.Rollout.Reason, kept())
	}
}

// TestLostSignal has HAProxy not hear the first signal.
func TestLostSignal(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 1, text("v1"))
	s.limits.host, s.limits.rollout = 30*time.Second, time.Minute
	f, _ := s.start(t, t.TempDir())
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	s.hosts[0].set(func(h *simHost) { h.deaf = 1 })
	if p := rollout(t, f, quick); p.Rollout.Phase != Done || s.files() != "v2" {
		t.Errorf("phase %s %s, hosts %s", p.Rollout.Phase, p.Rollout.Reason, s.files())
	}
}

// TestFirst begins with a fleet of which nothing is out: that is told, and what a
// host has can be made the first revision.
func TestFirst(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 2, text("v1"))
	f, _ := s.start(t, t.TempDir())
	if _, _, err := f.Plan(t.Context(), "web", 0, nil); !errors.Is(err, ErrUnknown) || err.Error() != "document web has no revision yet: fairway fleet put web FILE makes the first" {
		t.Errorf("plan: %v", err)
	}
	if _, err := f.Revision("other", 3); !errors.Is(err, ErrUnknown) || err.Error() != "there is no document other" {
		t.Errorf("another document: %v", err)
	}
	if _, err := f.Put(history.Draft{Document: "web", Author: "ann"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("an empty configuration: %v", err)
	}
	drift, err := f.Drift(t.Context(), "web", nil)
	check(t, err)
	status, err := f.Status("web")
	check(t, err)
	if drift[0].Condition != Unseen || status[0].Condition != Unseen || status[0].Error != "nothing of document web is out yet" {
		t.Errorf("%+v, %+v", drift[0], status[0])
	}
	_, err = f.Adopt(t.Context(), "h1", "web", 0, "ann", "")
	check(t, err)
	if status, err = f.Status("web"); err != nil || status[0].Condition != Current {
		t.Errorf("%+v, %v", status[0], err)
	}
	if _, err := f.Revision("web", 2); !errors.Is(err, ErrUnknown) || err.Error() != "document web has no revision 2" {
		t.Errorf("another revision: %v", err)
	}
}
