package fleet

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/fleet/driver"
	"fairway/internal/history"
)

// fakeDriver is a host without anything behind it.
type fakeDriver struct {
	hostDriver
	mu      sync.Mutex
	has     string // its configuration
	looks   int
	unread  error
	silent  bool // no reading ever comes
	applied time.Time
}

func (h *fakeDriver) Observe(context.Context, bool) (driver.Observation, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	return driver.Observation{Digest: driver.Digest([]byte(h.has)), Content: []byte(h.has)}, nil
}

func (h *fakeDriver) Read(ctx context.Context) (driver.Reading, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent {
		h.mu.Unlock()
		<-ctx.Done()
		h.mu.Lock()
		return driver.Reading{}, ctx.Err()
	}
	return driver.Reading{Time: time.Now()}, h.unread
}

func (h *fakeDriver) Apply(_ context.Context, content []byte, _ bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.has, h.applied = string(content), time.Now()
	return nil
}

// watched is a fleet of one such host, with two revisions of which the first is
// out.
func watched(t *testing.T, h *fakeDriver) *Fleet {
	t.Helper()
	store, err := history.Open(history.Options{Dir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, store.Close()) })
	p := driver.Target{Host: "h1", Docker: "unix:///nowhere", Document: "web", Container: "haproxy", File: simFile}
	f, err := New(Options{Map: &Map{Targets: []driver.Target{p}}, Documents: store, Records: store, NewEngine: newEngine})
	check(t, err)
	write(t, f, 0, text("v1"))
	write(t, f, 1, text("v2"))
	check(t, f.store.release("web", 1))
	f.limits.host = 2 * readTime
	f.targets[targetKey{"h1", "web"}] = newTarget(p, h)
	return f
}

// TestPendingSoon: a host that gets a pending revision between two observations is not
// left waiting for the next of them, and neither does a dead page of statistics
// keep it waiting; the status tells of that page.
func TestPendingSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeDriver{has: text("v2")}
		f := watched(t, h)
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { f.watch(ctx) })
		time.Sleep(20 * time.Second)
		h.mu.Lock()
		if h.looks != 1 {
			t.Errorf("%d looks in 20 s", h.looks)
		}
		h.unread = errors.New("the page is gone")
		h.mu.Unlock()
		began := time.Now()
		check(t, f.store.putStep("web", Step{Host: "h1", State: Lost, Had: driver.Digest([]byte(text("v1"))), Pending: driver.Digest([]byte(text("v1")))}))
		time.Sleep(watchSoon)
		h.mu.Lock()
		if h.has != text("v1") {
			t.Errorf("after %s it has %q", watchSoon, h.has)
		} else {
			t.Logf("caught up after %s", h.applied.Sub(began))
		}
		h.mu.Unlock()
		list, err := f.Status("web")
		check(t, err)
		if s := list[0]; s.Condition != Current || s.Reading != nil || s.Error != "no statistics: the page is gone" {
			t.Errorf("status: %+v", s)
		}
		cancel()
		watching.Wait()
	})
}

// TestSilentStatistics: a page of statistics that does not answer keeps nobody from
// working on the host, and does not use up the time of a change.
func TestSilentStatistics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &fakeDriver{has: text("v1"), silent: true}
		f := watched(t, h)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		time.Sleep(watchTick + time.Second) // the watch waits for the page
		s := f.target("h1", "web")
		select {
		case s.lock <- struct{}{}:
			s.release()
		default:
			t.Error("the watch holds the host while it waits for the page")
		}
		r, err := f.Start(ctx, Order{Document: "web", Author: "ann", Settings: Settings{Pause: 30 * time.Second}})
		check(t, err)
		if p := await(t, f, r.Number); p.Rollout.Phase != Done || h.has != text("v2") {
			t.Errorf("%s: %s", p.Rollout.Phase, p.Rollout.Reason)
		}
		cancel()
		check(t, <-ended)
	})
}
