package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/history"
)

// fuse lets a number of calls pass and then none at all, as when the process was
// killed between two of them.
type fuse struct {
	mu   sync.Mutex
	left int // below zero for no end
	died chan struct{}
}

var errKilled = errors.New("the process was killed")

func newFuse(calls int) *fuse { return &fuse{left: calls, died: make(chan struct{})} }

func (f *fuse) pass() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return errKilled
	}
	if f.left--; f.left == 0 {
		close(f.died)
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
	Engine
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

// TestKilled kills Fairway at random moments of rollouts, some of which are good
// and some not, and starts it again: every rollout ends, and then every host has
// all of the old revision or all of the new one, in its file as in what runs.
func TestKilled(t *testing.T) {
	t.Parallel()
	rounds := 2
	if os.Getenv("FAIRWAY_LONG") != "" {
		rounds = 200
	} else if testing.Short() {
		rounds = 1
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	s := newSimFleet(t, 3, text("v1"))
	dir := t.TempDir()
	f, stop := s.start(t, dir)
	write(t, f, 0, text("v1"))
	stop()
	good, kills := text("v1"), 0
	for round := range rounds {
		content := text(fmt.Sprintf("v%d", round+2))
		bad := random.IntN(3) == 0
		if bad {
			content += []string{"# ANSWER503\n", "# BINDFAIL\n", "  SYNTAX\n"}[random.IntN(3)]
		}
		kills += killUntilDone(t, s, dir, content, random)
		file, _ := s.hosts[0].has()
		for _, h := range s.hosts {
			if f, running := h.has(); f != file || running != file {
				t.Fatalf("round %d: a mixture: hosts have %s", round, s.files())
			}
		}
		switch {
		case bad && file != good:
			t.Fatalf("round %d: a bad revision is out: %s", round, s.files())
		case file != good && file != content:
			t.Fatalf("round %d: neither the old revision nor the new one: %s", round, s.files())
		}
		good = file
	}
	t.Logf("%d rollouts, %d kills", rounds, kills)
	if kills == 0 {
		t.Error("nobody was ever killed")
	}
}

// killUntilDone puts a revision out, and kills Fairway again and again until the
// rollout has ended and nothing is owed.
func killUntilDone(t *testing.T, s *simFleet, dir, content string, random *rand.Rand) (kills int) {
	t.Helper()
	begun := false
	for {
		store, err := history.Open(history.Options{Dir: dir})
		check(t, err)
		fuse := newFuse(1 + random.IntN(150))
		if kills == 5 {
			fuse = newFuse(-1) // enough is enough
		}
		f, err := New(Options{Map: s.m, Documents: store, Records: mortalRecords{store, fuse}, Watch: 500 * time.Millisecond, NewEngine: func(url string) (Engine, error) {
			e, err := newEngine(url)
			return mortalEngine{e, fuse}, err
		}})
		check(t, err)
		f.pages.Transport = s.pages()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		for !f.isReady() {
			time.Sleep(time.Millisecond)
		}
		if !begun {
			list, err := f.Revisions("web", 1)
			check(t, err)
			if _, err := f.Put(history.Draft{Document: "web", Expect: list[0].Number, Author: "ann", Content: []byte(content)}); err != nil && !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			settings := quick
			settings.Pause = 10 * time.Millisecond * time.Duration(random.IntN(20))
			_, err = f.Start(ctx, Order{Document: "web", Author: "ann", Settings: settings})
			begun = err == nil
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			for ctx.Err() == nil {
				p, err := f.Progress("web")
				if err == nil && p.Rollout.Phase.Ended() && len(f.owed()) == 0 && f.busy("web") == nil {
					return
				}
				time.Sleep(2 * time.Millisecond)
			}
		}()
		done := false
		select {
		case <-fuse.died:
			kills++
		case <-over:
			done = true
		case <-time.After(time.Minute):
			p, _ := f.Progress("web")
			t.Fatalf("no end: %+v, hosts have %s", p, s.files())
		}
		cancel()
		<-over
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		f.Close()
		check(t, store.Close())
		if done {
			return kills
		}
	}
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
	settings.Pause = 300 * time.Millisecond
	r, err := f.Start(t.Context(), Order{Document: "web", Author: "ann", Settings: settings})
	check(t, err)
	for p, err := f.Progress("web"); p.Steps[0].State == Pending; p, err = f.Progress("web") {
		check(t, err)
		time.Sleep(time.Millisecond)
	}
	stop()
	if got := s.files(); got != "v2 v1 v1" {
		t.Errorf("hosts have %s", got)
	}
	f, _ = s.start(t, dir)
	if p := await(t, f, r.Number); p.Rollout.Phase != Done || s.files() != "v2 v2 v2" {
		t.Errorf("phase %s, hosts %s", p.Rollout.Phase, s.files())
	}
}
