package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/fleet/driver"
	"fairway/internal/history"
	"fairway/internal/testkit"
)

// fuse lets a number of calls pass and then none at all, as when the process was
// killed between two of them.
type fuse struct {
	mu   sync.Mutex
	left int // below zero for no end
}

var errKilled = errors.New("the process was killed")

func newFuse(calls int) *fuse { return &fuse{left: calls} }

// blown reports whether the process was killed.
func (f *fuse) blown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left == 0
}

func (f *fuse) pass() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return errKilled
	}
	if f.left--; f.left == 0 {
		return errKilled
	}
	return nil
}

// mortalRecords and mortalEngine are those of a process that is killed.
type mortalRecords struct {
	*history.Store
	fuse *fuse
}

func (r mortalRecords) PutRecord(kind, name string, data []byte) error {
	if err := r.fuse.pass(); err != nil {
		return err
	}
	return r.Store.PutRecord(kind, name, data)
}

type mortalEngine struct {
	driver.Engine
	fuse *fuse
}

func (e mortalEngine) ContainerList(ctx context.Context, all bool) ([]dockerapi.Container, error) {
	if err := e.fuse.pass(); err != nil {
		return nil, err
	}
	return e.Engine.ContainerList(ctx, all)
}

// ContainerExec may be done although its answer is not heard.
func (e mortalEngine) ContainerExec(ctx context.Context, id string, x dockerapi.Exec) (dockerapi.ExecResult, error) {
	if err := e.fuse.pass(); err != nil {
		return dockerapi.ExecResult{}, err
	}
	r, err := e.Engine.ContainerExec(ctx, id, x)
	if e.fuse.pass() != nil {
		return dockerapi.ExecResult{}, errKilled
	}
	return r, err
}

func (e mortalEngine) ContainerSignal(ctx context.Context, id, signal string) error {
	if err := e.fuse.pass(); err != nil {
		return err
	}
	return e.Engine.ContainerSignal(ctx, id, signal)
}

func (e mortalEngine) ContainerLog(ctx context.Context, id string, tail int) ([]dockerapi.LogLine, error) {
	if err := e.fuse.pass(); err != nil {
		return nil, err
	}
	return e.Engine.ContainerLog(ctx, id, tail)
}

// TestKilled kills Fairway in rollouts, some of which are good and some not, and
// starts it again: every rollout ends, and then every host has all of the old
// revision or all of the new one, in its file as in what runs. The moments are
// numbers of calls outward, counted from the start of each process, so each kill
// happens; TestKilledAtRandom draws them.
func TestKilled(t *testing.T) {
	t.Parallel()
	x := newKillTest(t)
	for _, round := range []struct {
		fault string
		kills []int
	}{
		{"", []int{1, 6, 12}},
		{"# ANSWER503\n", []int{20, 9}},
		{"", []int{30, 3}},
		{"# BINDFAIL\n", []int{15}},
		{"  SYNTAX\n", []int{10}},
	} {
		left := round.kills
		kills := x.round(round.fault, 10*time.Millisecond, func() int {
			if len(left) == 0 {
				return -1
			}
			next := left[0]
			left = left[1:]
			return next
		})
		if kills != len(round.kills) {
			t.Fatalf("revision with %q: killed %d times of %v: the rollout ended before", round.fault, kills, round.kills)
		}
	}
}

// TestKilledAtRandom is TestKilled with 200 rollouts and moments that are drawn.
func TestKilledAtRandom(t *testing.T) {
	testkit.Soak(t)
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	x, kills := newKillTest(t), 0
	for range 200 {
		fault := ""
		if random.IntN(3) == 0 {
			fault = []string{"# ANSWER503\n", "# BINDFAIL\n", "  SYNTAX\n"}[random.IntN(3)]
		}
		left := 5 // enough is enough
		kills += x.round(fault, 10*time.Millisecond*time.Duration(random.IntN(20)), func() int {
			if left--; left < 0 {
				return -1
			}
			return 1 + random.IntN(150)
		})
	}
	testkit.Figure(t, "rollouts of a fleet with Fairway killed at random", "200 rollouts, %d kills, no mixture", kills)
	if kills == 0 {
		t.Error("no kill hit a rollout")
	}
}

// killTest is a fleet of three hosts whose Fairway is killed again and again.
type killTest struct {
	t       *testing.T
	s       *simFleet
	dir     string
	good    string // what all hosts have
	version int
}

func newKillTest(t *testing.T) *killTest {
	t.Helper()
	x := &killTest{t: t, s: newSimFleet(t, 3, text("v1")), dir: t.TempDir(), good: text("v1"), version: 1}
	f, stop := x.s.start(t, x.dir)
	write(t, f, 0, x.good)
	stop()
	return x
}

// round puts a new revision out, with a fault unless that is empty, and checks
// what the hosts have at its end. fuse says for each process at which of its calls
// it is killed; below zero, never.
func (x *killTest) round(fault string, pause time.Duration, fuse func() int) (kills int) {
	t := x.t
	t.Helper()
	x.version++
	content := text(fmt.Sprintf("v%d", x.version)) + fault
	kills = x.killUntilDone(content, pause, fuse)
	file, _ := x.s.hosts[0].has()
	for _, h := range x.s.hosts {
		if f, running := h.has(); f != file || running != file {
			t.Fatalf("revision %d: a mixture: hosts have %s", x.version, x.s.files())
		}
	}
	switch {
	case fault != "" && file != x.good:
		t.Fatalf("revision %d: a bad revision is on the hosts: %s", x.version, x.s.files())
	case file != x.good && file != content:
		t.Fatalf("revision %d: neither the old revision nor the new one: %s", x.version, x.s.files())
	}
	x.good = file
	return kills
}

// killUntilDone puts a revision out with one process after the other, until the
// rollout has ended and no host has a pending revision.
func (x *killTest) killUntilDone(content string, pause time.Duration, next func() int) (kills int) {
	for begun := false; ; {
		if x.process(content, pause, newFuse(next()), &begun) {
			return kills
		}
		kills++
	}
}

// process runs a Fairway until the rollout has ended (true) or its fuse has blown.
func (x *killTest) process(content string, pause time.Duration, fuse *fuse, begun *bool) (done bool) {
	t := x.t
	t.Helper()
	store, err := history.Open(history.Options{Dir: x.dir})
	check(t, err)
	f, err := New(Options{Map: x.s.m, Documents: store, Records: mortalRecords{store, fuse}, Watch: 500 * time.Millisecond, NewEngine: func(url string) (driver.Engine, error) {
		e, err := newEngine(url)
		return mortalEngine{e, fuse}, err
	}})
	check(t, err)
	f.pages.Transport, f.limits = x.s.pages(), x.s.limits
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		f.Close()
		check(t, store.Close())
	}()
	testkit.Eventually(t, "the fleet is ready", f.isReady)
	if !*begun {
		list, err := f.Revisions("web", 1)
		check(t, err)
		if _, err := f.Put(history.Draft{Document: "web", Expect: list[0].Number, Author: "ann", Content: []byte(content)}); err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		settings := quick
		settings.Pause = pause
		_, err = f.Start(ctx, Order{Document: "web", Author: "ann", Settings: settings})
		*begun = err == nil
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, "the rollout ends, or the process is killed", func() string {
		if fuse.blown() {
			return ""
		}
		p, err := f.Progress("web")
		if err == nil && p.Rollout.Phase.Ended() && len(f.pending()) == 0 && f.runOf("web") == nil {
			done = true
			return ""
		}
		return fmt.Sprintf("%+v, hosts have %s", p, x.s.files())
	})
	return done && !fuse.blown()
}

// TestAskedToEnd asks Fairway to end while it changes a host: that is finished, and
// the next run goes on with the others.
func TestAskedToEnd(t *testing.T) {
	t.Parallel()
	s := newSimFleet(t, 3, text("v1"))
	dir := t.TempDir()
	f, stop := s.start(t, dir)
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	settings := quick
	settings.Pause = 2 * time.Second
	r, err := f.Start(t.Context(), Order{Document: "web", Author: "ann", Settings: settings})
	check(t, err)
	testkit.Eventually(t, "the first host is worked on", func() bool {
		p, err := f.Progress("web")
		check(t, err)
		return p.Steps[0].State != Waiting
	})
	stop()
	if got := s.files(); got != "v2 v1 v1" {
		t.Errorf("hosts have %s", got)
	}
	f, _ = s.start(t, dir)
	if p := await(t, f, r.Number); p.Rollout.Phase != Done || s.files() != "v2 v2 v2" {
		t.Errorf("phase %s, hosts %s", p.Rollout.Phase, s.files())
	}
}
