package control

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/catalog"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordingEngine notes the hashes it was given and refuses while refuse is set.
type recordingEngine struct {
	mu      sync.Mutex
	applied []string
	refuse  error
}

func (e *recordingEngine) Name() string { return "recording" }

func (e *recordingEngine) Apply(_ context.Context, t *route.Table) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse != nil {
		return e.refuse
	}
	e.applied = append(e.applied, t.Hash)
	return nil
}

func (e *recordingEngine) setRefuse(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuse = err
}

func (e *recordingEngine) hashes() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.applied)
}

// hostCompiler makes one route per service, for the host of the service's name.
type hostCompiler struct {
	mu       sync.Mutex
	previous []*route.Table // what it was handed, in order
}

func (c *hostCompiler) Compile(s *catalog.Snapshot, previous *route.Table) *route.Table {
	c.mu.Lock()
	c.previous = append(c.previous, previous)
	c.mu.Unlock()
	names := make([]string, len(s.Services))
	for i, svc := range s.Services {
		names[i] = svc.Name
	}
	return tableOf(s.Revision, names...)
}

func tableOf(revision uint64, names ...string) *route.Table {
	var routes []*route.Route
	var backends []*route.Backend
	for _, n := range names {
		routes = append(routes, &route.Route{
			ID: n, Service: n, Backend: n,
			Matches: []route.Match{{
				Host: route.Host{Kind: route.HostExact, Value: n + ".example.com"},
				Path: route.Path{Kind: route.PathPrefix, Value: "/"},
			}},
		})
		backends = append(backends, &route.Backend{
			ID: n, Service: n, Scheme: route.SchemeHTTP,
			Balance: route.Balance{Policy: route.BalanceRoundRobin},
		})
	}
	t, err := route.New(revision, nil, routes, backends, nil)
	if err != nil {
		panic(err)
	}
	return t
}

func snapshotOf(revision uint64, names ...string) *catalog.Snapshot {
	s := &catalog.Snapshot{Revision: revision, Sources: []catalog.SourceStatus{{Name: "test", Synced: true}}}
	for _, n := range names {
		s.Services = append(s.Services, &catalog.Service{ID: n, Name: n, Source: "test"})
	}
	return s
}

// harness is a running loop over a feed and a recording engine.
type harness struct {
	feed     catalog.Feed
	engine   recordingEngine
	compiler hostCompiler
	control  *Control
}

func start(t *testing.T, restored *LastGood, store *Store) *harness {
	t.Helper()
	h := &harness{}
	c, err := New(Options{
		Feed: &h.feed, Compiler: &h.compiler, Engines: []Engine{&h.engine},
		Store: store, Restored: restored, Metrics: &metrics.Set{},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.control = c
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return h
}

func TestSameContentsAreAppliedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil, nil)
		h.feed.Publish(snapshotOf(1, "a"))
		synctest.Wait()
		h.feed.Publish(snapshotOf(2, "a"))
		synctest.Wait()
		if got := len(h.engine.hashes()); got != 1 {
			t.Fatalf("applied %d times, want once", got)
		}
		if got := h.control.Table().Revision; got != 2 {
			t.Errorf("live table has revision %d, want 2: the contents are those of revision 2 as well", got)
		}
		h.feed.Publish(snapshotOf(3, "a", "b"))
		synctest.Wait()
		if got := len(h.engine.hashes()); got != 2 {
			t.Errorf("applied %d times after a change, want 2", got)
		}
	})
}

func TestLastRunServesBeforeAnySourceAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := tableOf(7, "a")
		h := start(t, &LastGood{Table: old, Snapshot: snapshotOf(7, "a")}, nil)
		synctest.Wait()
		if got := h.engine.hashes(); !slices.Equal(got, []string{old.Hash}) {
			t.Fatalf("applied %v, want the restored table", got)
		}
		if got := h.control.Status().State; got != StateRestored {
			t.Fatalf("state %q, want restored", got)
		}

		s := snapshotOf(1, "a")
		s.Restored = true
		h.feed.Publish(s)
		synctest.Wait()
		if got := h.control.Status().State; got != StateRestored {
			t.Errorf("state %q after a restored snapshot, want restored", got)
		}
		partial := snapshotOf(2, "a", "b")
		partial.Sources = append(partial.Sources, catalog.SourceStatus{Name: "silent"})
		h.feed.Publish(partial)
		synctest.Wait()
		if got := h.control.Status().State; got != StatePartial {
			t.Errorf("state %q with a source that has not answered, want partial", got)
		}
		h.feed.Publish(snapshotOf(3, "a", "b", "c"))
		synctest.Wait()
		if got := h.control.Status().State; got != StateSynced {
			t.Errorf("state %q, want synced", got)
		}
		if h.compiler.previous[0] != old {
			t.Error("the first compile did not get the restored table: claims would be lost")
		}
	})
}

func TestRefusedTableIsRetriedAndTheOldOneStaysLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil, nil)
		h.feed.Publish(snapshotOf(1, "a"))
		synctest.Wait()
		live := h.control.Table()

		h.engine.setRefuse(errors.New("address already in use"))
		h.feed.Publish(snapshotOf(2, "a", "b"))
		synctest.Wait()
		if h.control.Table() != live {
			t.Error("a refused table is shown as live")
		}
		if got := h.control.Status().Pending; got == "" {
			t.Error("nothing says why the newest table is not live")
		}

		h.engine.setRefuse(nil)
		time.Sleep(retryLast)
		synctest.Wait()
		if got := h.control.Table(); got.Revision != 2 {
			t.Errorf("live revision %d after the engine recovered, want 2", got.Revision)
		}
		if got := h.control.Status().Pending; got != "" {
			t.Errorf("still pending: %s", got)
		}
	})
}

func TestNewerSnapshotReplacesThePendingOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil, nil)
		h.engine.setRefuse(errors.New("no"))
		h.feed.Publish(snapshotOf(1, "a"))
		synctest.Wait()
		h.engine.setRefuse(nil)
		h.feed.Publish(snapshotOf(2, "b"))
		synctest.Wait() // at once, not after the backoff
		if got := h.engine.hashes(); !slices.Equal(got, []string{tableOf(2, "b").Hash}) {
			t.Fatalf("applied %v, want only the newest", got)
		}
	})
}

func TestNothingIsAppliedBeforeAnySourceAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil, nil)
		failed := snapshotOf(1)
		failed.Sources = []catalog.SourceStatus{{Name: "test", Stale: true, Error: "connection refused"}}
		h.feed.Publish(failed)
		synctest.Wait()
		if got := h.engine.hashes(); len(got) != 0 {
			t.Fatalf("applied %v on doubt", got)
		}
		if got := h.control.Status().State; got != StateStarting {
			t.Errorf("state %q, want starting", got)
		}
		h.feed.Publish(snapshotOf(2)) // it answered: there is nothing
		synctest.Wait()
		if got := len(h.engine.hashes()); got != 1 {
			t.Errorf("applied %d times after an answer, want once", got)
		}
	})
}

func TestNewWantsItsParts(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Fatal("New without parts succeeded")
	}
}

// A table that one engine took and another refused is not live. When it is
// withdrawn, the engine that took it gets the table before again.
func TestWithdrawnTableLeavesTheEngineThatTookIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var feed catalog.Feed
		var takes, refuses recordingEngine
		c, err := New(Options{Feed: &feed, Compiler: &hostCompiler{}, Engines: []Engine{&takes, &refuses}, Metrics: &metrics.Set{}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		defer func() { cancel(); <-done }()

		before, withdrawn := tableOf(1, "a").Hash, tableOf(2, "a", "b").Hash
		feed.Publish(snapshotOf(1, "a"))
		synctest.Wait()
		refuses.setRefuse(errors.New("no"))
		feed.Publish(snapshotOf(2, "a", "b"))
		synctest.Wait()
		time.Sleep(2 * retryFirst) // it is tried again, where it is not served
		feed.Publish(snapshotOf(3, "a"))
		synctest.Wait()
		if got := takes.hashes(); !slices.Equal(got, []string{before, withdrawn, before}) {
			t.Errorf("the engine that took the withdrawn table was given %d tables and serves %s", len(got), got[len(got)-1])
		}
		if got := refuses.hashes(); !slices.Equal(got, []string{before}) {
			t.Errorf("the engine that refused it was given %d tables", len(got))
		}
		if c.Table().Revision != 3 || c.Status().Pending != "" {
			t.Errorf("revision %d is live, pending %q", c.Table().Revision, c.Status().Pending)
		}
	})
}
