package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"go.uber.org/goleak"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi/dockertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watch collects what a source answers.
type watch struct {
	mu      sync.Mutex
	answers []catalog.Answer
	times   []time.Time
}

func (w *watch) newest() catalog.Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.answers) == 0 {
		return catalog.Answer{}
	}
	return w.answers[len(w.answers)-1]
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.answers)
}

// last prints the newest answer: one line for each instance.
func (w *watch) last() string { return describe(w.newest()) }

func describe(a catalog.Answer) string {
	if a.Err != nil {
		return "error"
	}
	var lines []string
	for _, s := range a.Services {
		for _, i := range s.Instances {
			line := fmt.Sprintf("%s: %s %s", s.ID, i.Name, i.State)
			for _, addr := range i.Addresses {
				line += fmt.Sprintf(" %s/%s/%s", addr.Network, addr.Host, addr.Reach)
			}
			for _, p := range i.Ports {
				line += fmt.Sprintf(" %d", p.Number)
				if p.Published != "" {
					line += "=" + p.Published
				}
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// bubble runs test with an engine and a source that follows it, in virtual
// time.
func bubble(t *testing.T, prepare func(*engine), test func(*engine, *watch)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		if prepare != nil {
			prepare(e)
		}
		client := e.client()
		s, err := New(Options{Name: "docker", Client: client})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		out := make(chan catalog.Answer)
		w := &watch{}
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx, out) })
		running.Go(func() {
			for {
				select {
				case a := <-out:
					w.mu.Lock()
					w.answers, w.times = append(w.answers, a), append(w.times, time.Now())
					w.mu.Unlock()
				case <-ctx.Done():
					return
				}
			}
		})
		synctest.Wait()
		test(e, w)
		cancel()
		client.Close()
		e.Cut()
		running.Wait()
	})
}

func want(t *testing.T, w *watch, lines ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(strings.Join(lines, "\n"), w.last()); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// TestLife follows one container through everything that can happen to it.
func TestLife(t *testing.T) {
	bubble(t, nil, func(e *engine, w *watch) {
		want(t, w)
		e.create("a")
		want(t, w, "a@docker: a stopped 8080")
		e.start("a")
		want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080")
		e.connect("a", "mac", true)
		want(t, w, "a@docker: a ready mac/10.1.0.2/none web/10.0.0.1/bridge 8080")
		e.connect("a", "mac", false)
		want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080")
		e.rename("a", "b")
		want(t, w, "b@docker: b ready web/10.0.0.1/bridge 8080")
		e.pause("a", true)
		want(t, w, "b@docker: b paused web/10.0.0.1/bridge 8080")
		e.pause("a", false)
		want(t, w, "b@docker: b ready web/10.0.0.1/bridge 8080")
		e.kill("a", "1")
		want(t, w, "b@docker: b ready web/10.0.0.1/bridge 8080")
		e.kill("a", "15")
		want(t, w, "b@docker: b leaving web/10.0.0.1/bridge 8080")
		e.die("a")
		want(t, w, "b@docker: b stopped 8080")
		e.start("a")
		want(t, w, "b@docker: b ready web/10.0.0.1/bridge 8080")
		e.remove("a")
		want(t, w)
	})
}

// TestHealth holds a container with a health check out until it passes.
func TestHealth(t *testing.T) {
	bubble(t, nil, func(e *engine, w *watch) {
		e.run("a", func(b *box) { b.health = container.Starting })
		want(t, w, "a@docker: a starting web/10.0.0.1/bridge 8080")
		e.setHealth("a", container.Healthy)
		want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080")
		e.setHealth("a", container.Unhealthy)
		want(t, w, "a@docker: a unhealthy web/10.0.0.1/bridge 8080")
	})
}

// TestRestarts: how often an engine has restarted a container is known from the inspection,
// and stays known through lists.
func TestRestarts(t *testing.T) {
	bubble(t, nil, func(e *engine, w *watch) {
		e.run("a", func(b *box) { b.restarts = 3 })
		synctest.Wait()
		for range 2 {
			for _, s := range w.newest().Services {
				if got := s.Instances[0].Restarts; s.Name == "a" && got != 3 {
					t.Errorf("%d restarts, want 3", got)
				}
			}
			e.run("b") // another list
			time.Sleep(time.Minute)
			synctest.Wait()
		}
	})
}

// TestFirstAnswerHasPorts demands that the first answer has the ports of a container
// without a network stack of its own, which only an inspection has: after a restart it
// would be out of service for a moment.
func TestFirstAnswerHasPorts(t *testing.T) {
	bubble(t, func(e *engine) { e.run("a", func(b *box) { b.mode, b.networks = "host", nil }) }, func(_ *engine, w *watch) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if got := describe(w.answers[0]); got != "a@docker: a ready host/127.0.0.1/bridge 8080" {
			t.Errorf("first answer %q", got)
		}
	})
}

// TestLeavingAtOnce demands that a stop is answered from the event alone, even
// while the engine answers no call.
func TestLeavingAtOnce(t *testing.T) {
	bubble(t, func(e *engine) {
		e.run("a")
		e.run("b", func(b *box) { b.stopSignal = "SIGWINCH" })
	}, func(e *engine, w *watch) {
		time.Sleep(2 * time.Second) // past the second list
		e.Disturb("/containers", dockertest.Slow)
		e.kill("a", "SIGTERM")
		e.kill("b", "28")
		began := time.Now()
		want(t, w, "a@docker: a leaving web/10.0.0.1/bridge 8080", "b@docker: b leaving web/10.0.0.2/bridge 8080")
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

// TestLeavingFromTheStart demands that a container that is told to stop while the
// very first list is under way is seen leaving, though nothing was known of it yet.
func TestLeavingFromTheStart(t *testing.T) {
	bubble(t, func(e *engine) {
		e.run("a")
		e.run("b")
		lateness[0].run(e, "")
	}, func(e *engine, w *watch) {
		time.Sleep(100 * time.Millisecond)
		e.kill("a", "15")
		e.kill("b", "1")
		e.Calm()
		time.Sleep(4 * time.Second)
		want(t, w, "a@docker: a leaving web/10.0.0.1/bridge 8080", "b@docker: b ready web/10.0.0.2/bridge 8080")
	})
}

// TestLeavingSticks demands that lists, which show a leaving container as
// running, do not bring it back, and that a start does.
func TestLeavingSticks(t *testing.T) {
	bubble(t, nil, func(e *engine, w *watch) {
		e.run("a")
		synctest.Wait()
		time.Sleep(time.Second)
		e.kill("a", "15")
		time.Sleep(2 * time.Minute)
		want(t, w, "a@docker: a leaving web/10.0.0.1/bridge 8080")
		// A restart that nobody tells of: the time of the start gives it away.
		e.do(func() { e.containers["a"].started = time.Now() })
		e.Cut()
		time.Sleep(time.Second)
		e.Restore()
		time.Sleep(2 * time.Second)
		want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080")
	})
}

// TestWhoStaysIsBack demands that a container that goes on running long after it
// was told to stop is used again.
func TestWhoStaysIsBack(t *testing.T) {
	bubble(t, nil, func(e *engine, w *watch) {
		e.run("a")
		synctest.Wait()
		time.Sleep(time.Second)
		e.kill("a", "2")
		time.Sleep(leavingLimit + time.Minute)
		want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080")
	})
}

// TestGoneWithoutGoodbye demands that a container that is destroyed while it
// runs is seen stopped first: if its absence must be confirmed, what is kept
// must not look alive.
func TestGoneWithoutGoodbye(t *testing.T) {
	bubble(t, func(e *engine) { e.run("a") }, func(e *engine, w *watch) {
		before := w.count()
		e.remove("a")
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		var got []string
		for _, a := range w.answers[before:] {
			got = append(got, describe(a))
		}
		if diff := cmp.Diff([]string{"a@docker: a stopped 8080", ""}, got); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
	})
}

// TestRemovalConfirmed demands a second answer, between five and six seconds
// after one in which a service was gone that no event had told of, and no later
// than the collector needs; and that no answer between them is called certain.
func TestRemovalConfirmed(t *testing.T) {
	bubble(t, func(e *engine) { e.run("a"); e.run("b") }, func(e *engine, w *watch) {
		time.Sleep(10 * time.Second)
		before := w.count()
		e.do(func() { delete(e.containers, "a") })
		for len(w.newest().Services) == 2 {
			time.Sleep(100 * time.Millisecond)
		}
		gone := time.Now()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		confirmed := false
		for i, at := range w.times[before:] {
			without := len(w.answers[before+i].Services) == 1
			if without && at.Sub(gone) < 5*time.Second && w.answers[before+i].Certain {
				t.Errorf("certain %v after it was gone", at.Sub(gone))
			}
			confirmed = confirmed || without && at.Sub(gone) >= 5*time.Second
		}
		if !confirmed {
			t.Errorf("no answer from 5 to 6 s later, only at %v", w.times[before:])
		}
	})
}

// TestRemovalToldIsCertain demands that a removal that an event told of waits for
// no confirmation, and costs no list.
func TestRemovalToldIsCertain(t *testing.T) {
	bubble(t, func(e *engine) { e.run("a"); e.run("b") }, func(e *engine, w *watch) {
		if w.newest().Certain {
			t.Error("the first answer is certain: what went before it was not heard")
		}
		time.Sleep(10 * time.Second)
		e.Count("GET /containers/json")
		e.remove("a")
		time.Sleep(10 * time.Second)
		if got := w.newest(); len(got.Services) != 1 || !got.Certain {
			t.Errorf("%d services, certain %v; want 1 and true", len(got.Services), got.Certain)
		}
		if more := e.Count("GET /containers/json"); more != 0 {
			t.Errorf("%d lists because of it", more)
		}
	})
}

// TestListLags demands that a list that does not show yet what an event told
// changes nothing back.
func TestListLags(t *testing.T) {
	bubble(t, func(e *engine) { e.run("a"); e.run("b") }, func(e *engine, w *watch) {
		time.Sleep(40 * time.Second)
		e.do(func() { e.stale, e.muteLists = e.summaries(), true })
		e.die("a")
		e.remove("b") // also plans a list in 5.5 s
		e.run("c")
		expect := []string{"a@docker: a stopped 8080", "c@docker: c ready web/10.0.0.3/bridge 8080"}
		want(t, w, expect...)
		for range 20 {
			// An event about something unknown makes the source list.
			e.Emit("container", "start", "ghost")
			time.Sleep(100 * time.Millisecond)
			want(t, w, expect...)
		}
	})
}

// TestGoneStaysGone demands that a list that was under way when a container was
// destroyed does not bring it back, not even for a moment.
func TestGoneStaysGone(t *testing.T) {
	bubble(t, func(e *engine) { e.run("a"); e.run("b") }, func(e *engine, w *watch) {
		time.Sleep(10 * time.Second)
		lateness[0].run(e, "")
		e.Emit("container", "start", "ghost")
		synctest.Wait()
		e.remove("a")
		synctest.Wait()
		before := w.count()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.answers) == before {
			t.Error("the late list made no answer")
		}
		for _, a := range w.answers[before:] {
			if got := describe(a); got != "b@docker: b ready web/10.0.0.2/bridge 8080" {
				t.Errorf("answer %q", got)
			}
		}
	})
}

// TestFaults breaks the engine in every way, changes something meanwhile, and
// demands an error, and the truth within two seconds after the engine is back.
func TestFaults(t *testing.T) {
	disturb := func(path string, how dockertest.Fault) func(*engine) {
		return func(e *engine) {
			e.Disturb(path, how)
			e.BreakStreams()
		}
	}
	for _, tt := range []struct {
		name    string
		break_  func(*engine)
		repair  func(*engine)
		noticed time.Duration
	}{
		{"cut", (*engine).Cut, (*engine).Restore, 0},
		{"frozen", (*engine).Freeze, (*engine).Calm, 15 * time.Second},
		{"list truncated", disturb("/containers/json", "truncate"), (*engine).Calm, time.Second},
		{"list garbage", disturb("/containers/json", "garbage"), (*engine).Calm, time.Second},
		{"list refused", disturb("/containers/json", "error"), (*engine).Calm, time.Second},
		{"networks refused", disturb("/networks", "error"), (*engine).Calm, time.Second},
		{"events refused", disturb("/events", "error"), (*engine).Calm, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(e *engine) { e.run("a"); e.run("b") }, func(e *engine, w *watch) {
				time.Sleep(10 * time.Second)
				tt.break_(e)
				time.Sleep(tt.noticed)
				want(t, w, "error")
				e.die("a")
				e.remove("b")
				e.run("c")
				time.Sleep(time.Minute)
				want(t, w, "error")
				tt.repair(e)
				time.Sleep(2 * time.Second)
				want(t, w, "a@docker: a stopped 8080", "c@docker: c ready web/10.0.0.3/bridge 8080")
			})
		})
	}
}

// TestSickContainer demands that one container that cannot be inspected does
// not hide the others.
func TestSickContainer(t *testing.T) {
	bubble(t, nil, func(e *engine, w *watch) {
		e.Disturb("/containers/sick/json", dockertest.Error)
		e.run("sick")
		e.run("a")
		time.Sleep(time.Minute)
		want(t, w, "a@docker: a ready web/10.0.0.2/bridge 8080", "sick@docker: sick ready web/10.0.0.1/bridge 8080")
	})
}

// TestSlowStart demands that a container is used soon after its start although the
// engine, as a busy one does, left an inspection without an answer meanwhile:
// the events after that inspection began must not be forgotten with it, and the
// next list must not be half a minute away.
func TestSlowStart(t *testing.T) {
	for name, quiet := range map[string]time.Duration{
		"start before the inspection fails": time.Second,
		"start before it began":             0,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(e *engine, w *watch) {
				time.Sleep(10 * time.Second) // past the lists of the beginning
				e.Disturb("/containers/a/json", dockertest.Hang)
				e.create("a")
				time.Sleep(quiet)
				e.start("a")
				time.Sleep(2 * time.Second)
				e.Calm()
				time.Sleep(inspectDeadline + unreadableAgain)
				want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080")
			})
		})
	}
}

// TestPointers demands that services that did not change keep their pointers.
func TestPointers(t *testing.T) {
	bubble(t, func(e *engine) { e.run("a"); e.run("b") }, func(e *engine, w *watch) {
		time.Sleep(5 * time.Second)
		before := byID(w.newest())
		e.kill("a", "15")
		time.Sleep(2 * time.Minute)
		e.Cut()
		time.Sleep(time.Second)
		e.Restore()
		time.Sleep(5 * time.Second)
		after := byID(w.newest())
		if before["b@docker"] != after["b@docker"] {
			t.Error("b changed its pointer")
		}
		if before["a@docker"] == after["a@docker"] {
			t.Error("a kept its pointer")
		}
	})
}

func byID(a catalog.Answer) map[string]*catalog.Service {
	m := make(map[string]*catalog.Service)
	for _, s := range a.Services {
		m[s.ID] = s
	}
	return m
}

// TestQuiet demands that a quiet engine is listed twice a minute and no more,
// and that nothing but named GET calls reaches it.
func TestQuiet(t *testing.T) {
	bubble(t, func(e *engine) { e.run("a") }, func(e *engine, w *watch) {
		time.Sleep(10 * time.Minute)
		counts := map[string]int{}
		for _, c := range e.Calls() {
			counts[c]++
		}
		allowed := []string{"HEAD /_ping", "GET /info", "GET /networks", "GET /containers/json", "GET /containers/a/json", "GET /events"}
		for call, n := range counts {
			if !slices.Contains(allowed, call) {
				t.Errorf("%s was called", call)
			}
			if call == "GET /containers/json" && (n < 18 || n > 26) {
				t.Errorf("%d lists in ten minutes", n)
			}
			if call == "GET /containers/a/json" && n != 1 {
				t.Errorf("%d inspections", n)
			}
		}
	})
}
