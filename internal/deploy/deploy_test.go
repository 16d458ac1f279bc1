package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/deploy/marks"
	"fairway/internal/testkit"
)

// steps prints a plan, one line a step.
func steps(list []Step) string {
	var lines []string
	for _, s := range list {
		to, mark := marks.Read(s.To)
		if mark.Kind != "" {
			to = string(mark.Kind)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %d %s", s.Kind, s.Slot, to)))
	}
	return strings.Join(lines, ", ")
}

func TestPlan(t *testing.T) {
	one := func(change ...func(*Instance)) []Instance {
		list := old(1, "a")
		for _, c := range change {
			c(&list[0])
		}
		return list
	}
	n := func(digest string, state State, restart string) Instance {
		return Instance{ID: "n", Name: "shop-web-1", Slot: 1, Digest: digest, State: state, Restart: restart, Serving: "always", Created: time.Now(), Run: "aaaaaaaa"}
	}
	as := func(m marks.Mark) func(*Instance) {
		return func(in *Instance) { in.Name, in.Mark = m.On("shop-web-1"), m.Kind }
	}
	stopped := func(in *Instance) { in.State, in.Restart = Stopped, "no" }
	oldMark, keptMark := marks.Of(marks.Old, "x"), marks.Of(marks.Kept, "x")
	gone := marks.Gone(time.Time{})
	const end = "settle 0, unlock 0 fairway-deploy.shop-web"
	const from9 = "ready 1, routed 1, leave 1 leaving, drained 1, stop 1, ready 1, routed 1, keep 1 kept, restart-policy 1 always, " + end
	lock := &Lock{Run: "aaaaaaaa"}
	for _, tt := range []struct {
		name string
		o    Observation
		want Want
		is   string
	}{
		{"case 7: nothing differs", Observation{Instances: old(2, "b")}, wanted(2, "b"), ""},
		{
			"case 8: only the restart policy differs",
			Observation{Instances: one(func(in *Instance) { in.Digest, in.Restart = "b", "no" })},
			wanted(1, "b"),
			"lock 0 fairway-deploy.shop-web, ready 1, routed 1, restart-policy 1 always, " + end,
		},
		{
			"case 17: the first deploy",
			Observation{},
			wanted(1, "b"),
			"pull 0, lock 0 fairway-deploy.shop-web, create 1 shop-web-1, start 1, ready 1, routed 1, restart-policy 1 always, " + end,
		},
		{
			"case 18: one slot, start-first",
			Observation{Instances: old(1, "a"), Image: true, Missing: []string{"network shop_default"}},
			wanted(1, "b"),
			"lock 0 fairway-deploy.shop-web, prepare 0 network shop_default, rename 1 old, create 1 shop-web-1, start 1, " + from9,
		},
		{
			"case 28: stop-first",
			Observation{Instances: old(1, "a"), Image: true},
			func() Want { w := wanted(1, "b"); w.StopFirst = true; return w }(),
			"lock 0 fairway-deploy.shop-web, leave 1 leaving, drained 1, stop 1, create 1 shop-web-1, start 1, ready 1, routed 1, keep 1 kept, restart-policy 1 always, " + end,
		},
		{"case 41: old alone", Observation{Instances: one(as(oldMark)), Image: true, Lock: lock}, wanted(1, "b"), "create 1 shop-web-1, start 1, " + from9},
		{
			"a half one, of another run, is not taken for a whole one",
			Observation{Instances: append(one(as(oldMark)), func() Instance { in := n("b", Created, "no"); in.Run = "bbbbbbbb"; return in }()), Image: true, Lock: lock},
			wanted(1, "b"),
			"rename 1 old, create 1 shop-web-1, start 1, ready 1, routed 1, leave 1 leaving, drained 1, stop 1, keep 1 kept, remove 1, restart-policy 1 always, " + end,
		},
		{"case 41: created", Observation{Instances: append(one(as(oldMark)), n("b", Created, "no")), Image: true, Lock: lock}, wanted(1, "b"), "start 1, " + from9},
		{"case 41: started", Observation{Instances: append(one(as(oldMark)), n("b", Running, "no")), Image: true, Lock: lock}, wanted(1, "b"), from9},
		{
			"case 41: leaving",
			Observation{Instances: append(one(as(gone)), n("b", Running, "no")), Image: true, Lock: lock},
			wanted(1, "b"),
			"ready 1, routed 1, drained 1, stop 1, ready 1, routed 1, keep 1 kept, restart-policy 1 always, " + end,
		},
		{
			"case 41: left and stopped",
			Observation{Instances: append(one(as(gone), stopped), n("b", Running, "no")), Image: true, Lock: lock},
			wanted(1, "b"),
			"ready 1, routed 1, keep 1 kept, restart-policy 1 always, " + end,
		},
		{"case 41: kept", Observation{Instances: append(one(as(keptMark), stopped), n("b", Running, "always")), Image: true, Lock: lock}, wanted(1, "b"), end},
		{
			"case 55: a kept one was started by hand",
			Observation{Instances: append(one(as(keptMark)), n("b", Running, "always"))},
			wanted(1, "b"),
			"lock 0 fairway-deploy.shop-web, ready 1, routed 1, leave 1 leaving, drained 1, stop 1, ready 1, routed 1, keep 1 kept, " + end,
		},
		{
			"case 57: scale 3 to 1",
			Observation{Instances: old(3, "b"), Image: true},
			wanted(1, "b"),
			"lock 0 fairway-deploy.shop-web, leave 3 leaving, drained 3, stop 3, keep 3 kept, leave 2 leaving, drained 2, stop 2, keep 2 kept, settle 0, remove 2, remove 3, unlock 0 fairway-deploy.shop-web",
		},
		{
			"case 57: rm",
			Observation{Instances: append(old(1, "b"), one(as(keptMark), stopped)...), Image: true},
			Want{Name: shop, Run: "aaaaaaaa", Everything: true, Replaced: Remove},
			"lock 0 fairway-deploy.shop-web, leave 1 leaving, drained 1, stop 1, remove 1, remove 1, unlock 0 fairway-deploy.shop-web",
		},
		{
			"case 58: back to the kept one",
			Observation{Instances: append(one(as(keptMark), stopped), n("b", Running, "always"))},
			Want{Name: shop, Run: "aaaaaaaa", Slots: slots(1, "a"), Keep: 1},
			"lock 0 fairway-deploy.shop-web, start 1, rename 1 old, ready 1, routed 1, leave 1 leaving, drained 1, stop 1, ready 1, routed 1, keep 1 kept, rename 1 shop-web-1, restart-policy 1 always, " + end,
		},
		{
			"case 42: back from old and started",
			Observation{Instances: append(one(as(oldMark)), n("b", Running, "no")), Lock: lock},
			Want{Name: shop, Run: "aaaaaaaa", Slots: slots(1, "a"), Keep: 9, Replaced: Remove},
			"ready 1, routed 1, leave 1 leaving, drained 1, stop 1, ready 1, routed 1, remove 1, rename 1 shop-web-1, " + end,
		},
		{
			"case 42: back from old alone",
			Observation{Instances: one(as(oldMark)), Lock: lock},
			Want{Name: shop, Run: "aaaaaaaa", Slots: slots(1, "a"), Keep: 9, Replaced: Remove},
			"ready 1, routed 1, rename 1 shop-web-1, " + end,
		},
		{
			"no more than --keep stay",
			Observation{Instances: append(one(as(keptMark), stopped), Instance{
				ID: "older", Name: marks.Of(marks.Kept, "older").On("shop-web-1"), Mark: marks.Kept, Slot: 1, Digest: "z", State: Stopped, Restart: "no",
			}, n("b", Running, "always"))},
			wanted(1, "b"),
			"lock 0 fairway-deploy.shop-web, settle 0, remove 1, unlock 0 fairway-deploy.shop-web",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, err := Plan(tt.want, tt.o)
			// A plan is made without what is seen on the way: what was confirmed once is again
			// where something has happened since.
			got := dedupe(steps(list))
			if want := dedupe(tt.is); err != nil || got != want {
				t.Errorf("%v\n got %s\nwant %s", err, got, want)
			}
		})
	}
}

// dedupe leaves out that an instance is confirmed again.
func dedupe(text string) string {
	first, rest, found := strings.Cut(text, "ready 1, routed 1, ")
	if !found {
		return text
	}
	return first + "ready 1, routed 1, " + strings.ReplaceAll(rest, "ready 1, routed 1, ", "")
}

// run walks in virtual time and returns the error.
func (w *world) run(t *testing.T, want Want, opts RunOptions) (err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.cancel, w.steps = cancel, 0
	hard := t.Context()
	if w.kill > 0 {
		hard = ctx // a kill ends everything
	}
	opts.IsGone = func(Lock) bool { return true }
	return walker(w).Run(ctx, hard, want, opts)
}

func (w *world) check(t *testing.T, what string) {
	t.Helper()
	if len(w.faults) > 0 {
		t.Errorf("%s: %s\n%s", what, strings.Join(w.faults, "; "), strings.Join(w.did, ", "))
	}
}

// However a deploy begins with and wherever it is killed, twice: the same command again ends as
// an undisturbed one does, revert as it was before; and there are never fewer instances that
// serve than slots (cases 19, 41 and 42).
func TestKilledAnywhere(t *testing.T) {
	second := []int{0, 2}
	if testkit.Soaking() {
		second = []int{0, 1, 2, 3, 5, 8}
	}
	for _, c := range []struct {
		name      string
		before    func() []Instance
		want      func() Want
		least     int
		lastSlots int
	}{
		{"one slot", func() []Instance { return old(1, "a") }, func() Want { return wanted(1, "b") }, 1, 1},
		{"three slots", func() []Instance { return old(3, "a") }, func() Want { return wanted(3, "b") }, 3, 3},
		{"three at once", func() []Instance { return old(3, "a") }, func() Want { w := wanted(3, "b"); w.Parallel = 3; return w }, 3, 3},
		{"more slots", func() []Instance { return old(1, "a") }, func() Want { return wanted(3, "b") }, 1, 3},
		{"fewer slots", func() []Instance { return old(3, "a") }, func() Want { return wanted(2, "b") }, 2, 2},
		{"stop-first", func() []Instance { return old(2, "a") }, func() Want { w := wanted(2, "b"); w.StopFirst = true; return w }, 1, 2},
		{"keep none", func() []Instance { return old(2, "a") }, func() Want { w := wanted(2, "b"); w.Keep = 0; return w }, 2, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			undisturbed, total := "", 0
			synctest.Test(t, func(t *testing.T) {
				w := &world{o: Observation{Instances: c.before()}, least: c.least}
				if err := w.run(t, c.want(), RunOptions{}); err != nil {
					t.Fatal(err)
				}
				w.check(t, "undisturbed")
				undisturbed, total = w.text(), w.steps
			})
			before := (&world{o: Observation{Instances: c.before()}}).text()
			for first := 1; first <= total; first++ {
				for _, second := range second {
					synctest.Test(t, func(t *testing.T) {
						w := &world{o: Observation{Instances: c.before()}, least: c.least}
						again := func(run string, opts RunOptions, back bool) error {
							want := c.want()
							want.Run = run
							if back && w.o.Lock != nil {
								want = w.o.Lock.Back(want)
							}
							return w.run(t, want, opts)
						}
						w.kill = first
						_ = again("11111111", RunOptions{}, false)
						if w.kill = second; second > 0 {
							_ = again("22222222", RunOptions{}, false)
						}
						w.kill = 0
						if err := again("33333333", RunOptions{}, false); err != nil {
							t.Fatalf("killed after %d and %d: %v\n%s\n%s", first, second, err, w.text(), strings.Join(w.did, ", "))
						}
						w.check(t, "resumed")
						if got := w.text(); got != undisturbed {
							t.Fatalf("killed after %d and %d, the same command again\n%s\nwant\n%s\ndid %s", first, second, got, undisturbed, strings.Join(w.did, ", "))
						}
					})
					synctest.Test(t, func(t *testing.T) {
						w := &world{o: Observation{Instances: c.before()}, least: c.least}
						w.kill = first
						_ = w.run(t, c.want(), RunOptions{})
						if w.o.Lock == nil {
							return // it was over, or had not begun
						}
						ending := strings.HasPrefix(w.did[first-1], "remove") // what is not kept
						if w.kill = second; second > 0 {
							want := w.o.Lock.Back(c.want())
							want.Run = "22222222"
							_ = w.run(t, want, RunOptions{Revert: true})
						}
						if w.kill = 0; w.o.Lock != nil {
							want := w.o.Lock.Back(c.want())
							want.Run = "33333333"
							if err := w.run(t, want, RunOptions{Revert: true}); err != nil && !(ending && errors.Is(err, errGone)) {
								t.Fatalf("killed after %d and %d: %v\n%s", first, second, err, w.text())
							}
						}
						w.check(t, "reverted")
						if got := w.text(); got != before && !ending {
							t.Fatalf("killed after %d and %d, reverted\n%s\nwant\n%s\ndid %s", first, second, got, before, strings.Join(w.did, ", "))
						}
					})
				}
			}
		})
	}
}

// A deploy whose new instances do not get well leaves everything as it was.
func TestWayBack(t *testing.T) {
	for name, ill := range map[string]string{
		"case 27: it cannot be started":       "start",
		"case 30: it exits":                   "exits",
		"case 31: its check never passes":     "never",
		"case 30: it is unhealthy":            "unhealthy",
		"case 32: it gets ill while settling": "late",
	} {
		for _, sick := range []int{1, 2} { // case 33: a later slot
			t.Run(fmt.Sprintf("%s, slot %d", name, sick), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := &world{o: Observation{Instances: old(2, "a")}, least: 2, ill: func(slot int) string {
						if slot == sick {
							return ill
						}
						return ""
					}}
					before := w.text()
					err := w.run(t, wanted(2, "b"), RunOptions{})
					failed, ok := errors.AsType[*FailedError](err)
					if !ok || !failed.Back {
						t.Fatalf("error %v\n%s", err, strings.Join(w.did, ", "))
					}
					if lacks, ok := errors.AsType[*NotReadyError](err); ill != "start" && (!ok || len(lacks.Log) != 2) {
						t.Errorf("error %#v", err)
					}
					if got := w.text(); got != before {
						t.Errorf("left is\n%s\nwant\n%s\ndid %s", got, before, strings.Join(w.did, ", "))
					}
					if ill != "late" { // which takes requests until it is seen
						w.check(t, name)
					}
				})
			})
		}
	}
}

// What is not kept, and slots that go, are removed when all is well, not before.
func TestWayBackOfRemoved(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{o: Observation{Instances: old(3, "a")}, least: 2, ill: func(slot int) string { return map[int]string{2: "late"}[slot] }}
			before, want := w.text(), wanted(2, "b")
			if want.Keep = 0; late { // one is gone for a reason of its own
				time.AfterFunc(12*time.Second, func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.o = done(Want{}, w.o, Step{Kind: Delete, Instance: "old1a"})
				})
			}
			failed, ok := errors.AsType[*FailedError](w.run(t, want, RunOptions{}))
			if !ok || failed.Back == late || late != strings.Contains(failed.Error(), "slot 1 had is gone") {
				t.Errorf("late %t: %v", late, failed)
			}
			if got := w.text(); !late && got != before {
				t.Errorf("left is\n%s\ndid %s", got, strings.Join(w.did, ", "))
			}
		})
	}
}

// What did not run before need not run on the way back.
func TestWayBackToStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{o: Observation{Instances: old(2, "a")}, ill: func(slot int) string { return map[int]string{2: "exits"}[slot] }}
		w.o.Instances[0].State = Stopped
		before := w.text()
		failed, ok := errors.AsType[*FailedError](w.run(t, wanted(2, "b"), RunOptions{}))
		if got := w.text(); !ok || !failed.Back || got != before || strings.Count(strings.Join(w.did, ","), "start 1") != 1 {
			t.Errorf("%v; left is\n%s\nwant\n%s\ndid %s", failed, got, before, strings.Join(w.did, ", "))
		}
	})
}

// Fairways that do not answer, and an engine that does not, are asked again for a while; what is
// not confirmed at the end of the drain time is said.
func TestNoAnswer(t *testing.T) {
	for _, tt := range []struct {
		out    time.Duration
		failed bool
	}{{20 * time.Second, false}, {10 * time.Minute, true}} {
		for _, engine := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := &world{o: Observation{Instances: old(1, "a")}, least: 1}
				time.AfterFunc(5*time.Second, func() { w.silent(engine, true) })
				time.AfterFunc(5*time.Second+tt.out, func() { w.silent(engine, false) })
				if err := w.run(t, wanted(1, "b"), RunOptions{NoBack: true}); (err != nil) != tt.failed || tt.failed && !errors.Is(err, errSilent) {
					t.Errorf("engine %t, out for %s: %v", engine, tt.out, err)
				}
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{o: Observation{Instances: old(1, "a")}, least: 1}
		detail, k := "", walker(w)
		k.Report = func(p Progress) {
			switch {
			case p.Step.Kind == Leave && p.State == "done":
				w.silent(false, true)
			case p.Step.Kind == Drained && p.State == "done":
				w.silent(false, false)
				detail = p.Detail
			}
		}
		if err := k.Run(t.Context(), t.Context(), wanted(1, "b"), RunOptions{}); err != nil || detail != "no Fairway confirmed within 30s: "+errSilent.Error() {
			t.Errorf("%v, %q", err, detail)
		}
	})
}

// The one that loses the lock writes nothing more.
func TestLosesTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{o: Observation{Instances: old(2, "a")}, least: 2}
		k, did := walker(w), 0
		k.Report = func(p Progress) {
			if p.Step.Kind == Routed && p.State == "done" { // the next of the batch writes
				w.mu.Lock()
				w.o.Lock, did = &Lock{Run: "bbbbbbbb", Who: "anna"}, len(w.did)
				w.mu.Unlock()
			}
		}
		err := k.Run(t.Context(), t.Context(), wanted(2, "b"), RunOptions{})
		if lost, ok := errors.AsType[*LostError](err); !ok || lost.Lock.Who != "anna" || len(w.did) != did {
			t.Errorf("%v after %s", err, strings.Join(w.did, ", "))
		}
	})
}

// One that is removed while all are watched is made again, and one that was ill before is named.
func TestWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{o: Observation{Instances: old(1, "a")}}
		k, said := walker(w), ""
		k.Report = func(p Progress) {
			if p.Step.Kind == Settle && p.State == "doing" && w.made == 1 {
				time.AfterFunc(3*time.Second, func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.o = done(Want{}, w.o, Step{Kind: Delete, Instance: "new1"})
				})
			}
			if p.Step.Kind == Ready {
				said = p.Detail
			}
		}
		if err := k.Run(t.Context(), t.Context(), wanted(1, "b"), RunOptions{}); err != nil || w.made != 2 || !strings.Contains(w.text(), "shop-web-1 b running") {
			t.Errorf("%v, %d made\n%s", err, w.made, w.text())
		}
		w.o.Instances = old(1, "b")
		w.o.Instances[0].Health = "unhealthy"
		if err := k.Run(t.Context(), t.Context(), wanted(1, "b"), RunOptions{}); err != nil || !strings.Contains(said, "unhealthy") {
			t.Errorf("%v, %q", err, said)
		}
	})
}

// Without a way back it is left as it is (case 34).
func TestNoWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{o: Observation{Instances: old(3, "a")}, least: 3, ill: func(slot int) string { return map[int]string{2: "exits"}[slot] }}
		err := w.run(t, wanted(3, "b"), RunOptions{NoBack: true})
		if err == nil || !strings.Contains(err.Error(), "fairway service revert shop/web") {
			t.Error(err)
		}
		w.check(t, "left")
		if w.o.Lock == nil {
			t.Error("the way back has no beginning")
		}
	})
}

// Two deploys at once: one of them is refused (cases 45 and 47), and one that was broken off may
// only be gone on with by what wants the same (case 43).
func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lock := Lock{ID: "l", Who: "anna", Host: "h", Run: "bbbbbbbb", Digest: wanted(1, "b").Digest(), Until: time.Now().Add(time.Hour)}
		o := Observation{Lock: &lock}
		for _, tt := range []struct {
			name string
			want Want
			opts RunOptions
			gone bool
			took bool
		}{
			{"case 45: under way", wanted(1, "b"), RunOptions{}, false, false},
			{"case 47: taken over as asked", wanted(1, "c"), RunOptions{TakeOver: true}, false, true},
			{"case 41: broken off, the same", wanted(1, "b"), RunOptions{}, true, true},
			{"case 43: broken off, another", wanted(1, "c"), RunOptions{}, true, false},
			{"case 42: broken off, reverted", wanted(1, "c"), RunOptions{Revert: true}, true, true},
		} {
			tt.opts.IsGone = func(Lock) bool { return tt.gone }
			w, err := Admitted(tt.want, o, tt.opts)
			if held, ok := errors.AsType[*HeldError](err); ok == tt.took || ok && held.Broken != tt.gone || tt.took && w.TakeFrom != "l" {
				t.Errorf("%s: %v, %q", tt.name, err, w.TakeFrom)
			}
		}
		time.Sleep(2 * time.Hour)
		if w, err := Admitted(wanted(1, "c"), o, RunOptions{}); err != nil || w.TakeFrom != "l" {
			t.Errorf("case 47: past its time: %v", err)
		}
	})
}

// Requests that run are waited for (case 36), at most for a time (case 37).
func TestDrained(t *testing.T) {
	for _, endless := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{o: Observation{Instances: old(1, "a")}, least: 1, busy: map[string]int{"old1a": 3}}
			if !endless {
				time.AfterFunc(30*time.Second, func() { w.mu.Lock(); defer w.mu.Unlock(); w.busy["old1a"] = 0 })
			}
			var details []string
			k := walker(w)
			k.Report = func(p Progress) {
				if p.Step.Kind == Drained && p.State == "done" {
					details = append(details, p.Detail)
				}
			}
			if err := k.Run(t.Context(), t.Context(), wanted(1, "b"), RunOptions{}); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(details, ";")
			if endless && (k.Cut != 3 || got != "3 cut after 30s") || !endless && (k.Cut != 0 || !strings.HasPrefix(got, "drained 3 in 20")) {
				t.Errorf("endless %t: %d cut, %q", endless, k.Cut, got)
			}
		})
	}
}

// What happens is what the plan has said (judged by the kinds that write).
func TestPlanIsWhatHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{o: Observation{Instances: old(3, "a"), Missing: []string{"network x"}}}
		list, err := Plan(wanted(2, "b"), w.o)
		if err != nil {
			t.Fatal(err)
		}
		var planned []string
		for _, s := range list {
			if s.Kind != Ready && s.Kind != Routed && s.Kind != Drained && s.Kind != Settle {
				planned = append(planned, fmt.Sprintf("%s %d", s.Kind, s.Slot))
			}
		}
		if err := w.run(t, wanted(2, "b"), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(w.did, ", "), strings.Join(planned, ", "); got != want {
			t.Errorf("did     %s\nplanned %s", got, want)
		}
	})
}

// An interrupt walks back (case 44); a second one stops at once.
func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{o: Observation{Instances: old(1, "a")}, least: 1}
		before := w.text()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		err := walker(w).Run(ctx, t.Context(), wanted(1, "b"), RunOptions{})
		if failed, ok := errors.AsType[*FailedError](err); !ok || !failed.Back || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if w.text() != before {
			t.Errorf("left is\n%s", w.text())
		}
	})
}

// The new instance is removed by others, each time (case 51).
func TestRemovedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{o: Observation{Instances: old(1, "a")}, least: 1}
		before := w.text()
		stop := time.AfterFunc(0, func() {})
		var remove func()
		remove = func() {
			w.mu.Lock()
			for _, in := range w.o.Instances {
				if strings.HasPrefix(in.ID, "new") {
					w.o = done(Want{}, w.o, Step{Kind: Delete, Instance: in.ID})
				}
			}
			stop = time.AfterFunc(3*time.Second, remove)
			w.mu.Unlock()
		}
		remove()
		err := w.run(t, wanted(1, "b"), RunOptions{})
		w.mu.Lock()
		stop.Stop()
		w.mu.Unlock()
		if !errors.Is(err, ErrChanged) || w.made != mostAnew+1 || w.text() != before {
			t.Errorf("%v after %d instances; left is\n%s", err, w.made, w.text())
		}
	})
}

func TestFrom(t *testing.T) {
	from := map[int]Target{1: {"abc", "on-failure:3", false}, 12: {"def", "", true}}
	if got := ParseFrom(FormatFrom(from)); fmt.Sprint(got) != fmt.Sprint(from) {
		t.Error(got)
	}
	if got := ParseFrom("x 1 2=a 0=a=b -1=a=b"); len(got) != 0 {
		t.Error(got)
	}
}

// The way back takes the order from the lock: the way there may be one of another command.
func TestOrderOfTheWayBack(t *testing.T) {
	l := &Lock{From: slots(1, "a"), StopFirst: true}
	if want := l.Back(Want{Name: shop}); !want.StopFirst {
		t.Error("two run at once on the way back")
	}
}
