package swarm

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi/dockertest"
)

// TestFailover walks through managers that fail in different ways.
func TestFailover(t *testing.T) {
	bubble(t, 3, func(l *lab, _ *Options) {
		shop(l)
		l.engines[0].Freeze()
		l.engines[1].worker = true
	}, func(l *lab, w *watch) {
		before := "shop@swarm\nshop@swarm: shop.1 ready proxy/10.5.0.1/none\nshop@swarm: shop.2 ready proxy/10.5.0.2/none\nshop@swarm: shop.3 ready proxy/10.5.0.3/none"
		expect(t, w, 4*time.Second, before)
		time.Sleep(time.Minute)
		l.engines[0].Calm()
		l.engines[2].Cut()
		l.task("t3", "shop", want(swarm.TaskStateRemove))
		expect(t, w, 12*time.Second, strings.Replace(before, "shop.3 ready", "shop.3 leaving (told to stop)", 1))
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, a := range w.answers {
			if a.Err != nil {
				t.Errorf("a failed answer while one manager was well: %v", a.Err)
			}
		}
	})
}

// TestBlackHole demands that a manager that goes silent is left within 15
// seconds.
func TestBlackHole(t *testing.T) {
	bubble(t, 2, withShop, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		l.engines[0].Freeze()
		l.removeTask("t1")
		time.Sleep(15 * time.Second)
		if n := len(w.service("shop@swarm").Instances); n != 2 {
			t.Errorf("%d instances after 15 s, want 2", n)
		}
		l.engines[0].Calm()
	})
}

// TestNoLeader demands that a Swarm without a leader is a failed answer, told
// once, and current again soon after the election.
func TestNoLeader(t *testing.T) {
	bubble(t, 3, withShop, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		l.do(func() { l.noLeader = true })
		time.Sleep(15 * time.Second)
		if err := w.newest().Err; err == nil || !strings.Contains(err.Error(), "does not have a leader") {
			t.Errorf("error %v", err)
		}
		failures := func() (n int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, a := range w.answers {
				if a.Err != nil {
					n++
				}
			}
			return n
		}
		time.Sleep(time.Minute)
		if n := failures(); n != 1 {
			t.Errorf("the failure was told %d times", n)
		}
		l.do(func() { l.noLeader = false })
		expect(t, w, 3*time.Second, "shop@swarm", "shop@swarm: shop.1 ready proxy/10.5.0.1/none",
			"shop@swarm: shop.2 ready proxy/10.5.0.2/none", "shop@swarm: shop.3 ready proxy/10.5.0.3/none")
	})
}

// TestDeadLeader demands that after an election only the time is lost that the dead
// leader's silence takes, whichever manager is being asked when it ends.
func TestDeadLeader(t *testing.T) {
	for phase := time.Duration(0); phase < 12*time.Second; phase += 500 * time.Millisecond {
		t.Run(phase.String(), func(t *testing.T) {
			bubble(t, 3, withShop, func(l *lab, w *watch) {
				time.Sleep(time.Minute)
				for _, e := range l.engines {
					e.Freeze()
				}
				l.removeTask("t1")
				time.Sleep(40*time.Second + phase)
				l.engines[1].Calm()
				l.engines[2].Calm()
				time.Sleep(callDeadline + 2*nextDelay)
				synctest.Wait()
				if s := w.service("shop@swarm"); s == nil || len(s.Instances) != 2 {
					t.Errorf("not current: %+v", w.newest())
				}
				l.engines[0].Calm()
			})
		})
	}
}

// TestFaults demands that each call's failure is a failed answer, and that
// nothing of a refresh that failed half-way is lost or half applied.
func TestFaults(t *testing.T) {
	for _, path := range []string{"/tasks", "/nodes", "/services", "/networks"} {
		for _, how := range []dockertest.Fault{dockertest.Error, dockertest.Truncate, dockertest.Garbage} {
			t.Run(string(how)+path, func(t *testing.T) {
				bubble(t, 1, withShop, func(l *lab, w *watch) {
					time.Sleep(time.Minute)
					l.engines[0].Disturb(path, how)
					l.removeTask("t1")
					l.service("more") // heard of while nothing can be listed
					time.Sleep(relistAfter + 2*pollSlow)
					synctest.Wait()
					if w.newest().Err == nil {
						t.Error("no failed answer")
					}
					l.engines[0].Calm()
					expect(t, w, 3*time.Second, "more@swarm", "shop@swarm", "shop@swarm: shop.2 ready proxy/10.5.0.2/none", "shop@swarm: shop.3 ready proxy/10.5.0.3/none")
				})
			})
		}
	}
}

// TestRecovery demands an answer after a failed one, though it says nothing new.
func TestRecovery(t *testing.T) {
	bubble(t, 1, withShop, func(l *lab, w *watch) {
		time.Sleep(3 * time.Second)
		before := describe(w.newest())
		fault := func(how dockertest.Fault) {
			l.engines[0].Disturb("/tasks", how)
			time.Sleep(backoffMost + time.Second)
		}
		fault(dockertest.Error)
		if w.newest().Err == nil {
			t.Error("no failed answer")
		}
		fault("")
		expect(t, w, 0, before)
		// What was heard of meanwhile is not forgotten.
		fault(dockertest.Error)
		l.service("more")
		time.Sleep(backoffMost + time.Second)
		fault("")
		expect(t, w, 0, append([]string{"more@swarm"}, strings.Split(before, "\n")...)...)
	})
}

// TestSilentListener demands that an event stream that went silent without
// ending is opened again.
func TestSilentListener(t *testing.T) {
	bubble(t, 2, withShop, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		l.engines[1].LoseStreams()
		l.engines[1].Freeze()
		time.Sleep(9 * time.Second) // more than the 8 s of a ping and its deadline
		l.engines[1].Calm()
		time.Sleep(2*listenMost + callDeadline)
		l.engines[1].container("kill", "t1", "signal", "15")
		synctest.Wait()
		if got := w.service("shop@swarm").Instances[0].State; got != catalog.StateLeaving {
			t.Errorf("state %q", got)
		}
	})
}
