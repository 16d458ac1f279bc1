package docker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"

	"fairway/internal/deploy/marks"
)

// A rename for a mark of a deploy changes nothing: there is no answer, and so no table and no
// entry of the history; counters, check results and sticky clients belong to an endpoint that
// is the same pointer as before.
func TestRenameForADeployIsNoChange(t *testing.T) {
	bubble(t, func(e *engine) { e.run("web") }, func(e *engine, w *watch) {
		synctest.Wait()
		time.Sleep(2 * time.Second) // the list after the first
		synctest.Wait()
		before, answers := w.newest().Services[0], w.count()
		for _, name := range []string{marks.Of(marks.Old, "web").On("web"), "web", marks.Of(marks.Old, "web").On("web")} {
			e.rename("web", name)
			synctest.Wait()
		}
		if n := w.count() - answers; n != 0 {
			t.Errorf("%d answers, want none", n)
		}
		time.Sleep(time.Minute) // lists
		synctest.Wait()
		if w.newest().Services[0] != before {
			t.Errorf("the service has another pointer: %s", w.last())
		}
	})
}

// The mark of one that leaves takes it out before any signal; the name of its service, and so
// its owner and its claims, stay. A start makes it void (case 60).
func TestLeavingByName(t *testing.T) {
	bubble(t, func(e *engine) { e.run("db") }, func(e *engine, w *watch) {
		want(t, w, "db@docker: db ready web/10.0.0.1/bridge 8080")
		e.mu.Lock()
		gone := marks.Gone(e.containers["db"].started)
		e.mu.Unlock()
		e.rename("db", gone.On("db"))
		want(t, w, "db@docker: db leaving web/10.0.0.1/bridge 8080")
		e.rename("db", "db")
		want(t, w, "db@docker: db ready web/10.0.0.1/bridge 8080")
		e.rename("db", gone.On("db"))
		time.Sleep(time.Second)
		e.die("db")
		want(t, w, "db@docker: db stopped 8080")
		e.start("db")
		want(t, w, "db@docker: db ready web/10.0.0.1/bridge 8080")
	})
}

// One that left before this run of Fairway is left out from its first answer on.
func TestLeavingByNameFromTheStart(t *testing.T) {
	bubble(t, func(e *engine) {
		e.run("db")
		b := e.containers["db"]
		b.name = marks.Gone(b.started).On("db")
	}, func(_ *engine, w *watch) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if got := describe(w.answers[0]); got != "db@docker: db leaving web/10.0.0.1/bridge 8080" {
			t.Errorf("first answer %q", got)
		}
	})
}

// Without a health check a new instance gets its first request when its label says (case 22).
func TestAdmittedAfter(t *testing.T) {
	labels := func(b *box) { b.labels = map[string]string{marks.LabelAdmit: "10s"} }
	bubble(t, nil, func(e *engine, w *watch) {
		e.run("a", labels)
		want(t, w, "a@docker: a starting web/10.0.0.1/bridge 8080")
		time.Sleep(10*time.Second - time.Millisecond)
		want(t, w, "a@docker: a starting web/10.0.0.1/bridge 8080")
		time.Sleep(time.Millisecond)
		want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080")
		e.die("a")
		e.start("a")
		want(t, w, "a@docker: a starting web/10.0.0.1/bridge 8080")
		time.Sleep(10 * time.Second)
		want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080")
		e.run("b", labels, func(b *box) { b.health = container.Starting })
		e.setHealth("b", container.Healthy)
		want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080", "b@docker: b ready web/10.0.0.2/bridge 8080")
		e.remove("a")
		e.remove("b")
		want(t, w)
	})
}

// The clock of the engine may be ahead: nothing waits longer than the label says.
func TestAdmittedDespiteClock(t *testing.T) {
	bubble(t, nil, func(e *engine, w *watch) {
		e.create("a", func(b *box) {
			b.labels = map[string]string{marks.LabelAdmit: "10s"}
		})
		e.do(func() {
			b := e.containers["a"]
			b.status, b.started = container.StateRunning, time.Now().Add(time.Hour)
			e.Emit("container", "start", "a")
		})
		want(t, w, "a@docker: a starting web/10.0.0.1/bridge 8080")
		time.Sleep(10 * time.Second)
		want(t, w, "a@docker: a ready web/10.0.0.1/bridge 8080")
	})
}

// The lock of a deploy is no service.
func TestLockIsIgnored(t *testing.T) {
	bubble(t, func(e *engine) {
		e.create("lock", func(b *box) { b.labels = map[string]string{marks.LabelLock: "1", "fairway.host": "x"} })
	}, func(_ *engine, w *watch) { want(t, w) })
}
