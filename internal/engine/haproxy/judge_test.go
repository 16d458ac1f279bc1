package haproxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestFailedCheckIsNoVerdict: that HAProxy could not be run says nothing about lines; they
// are checked again, and whoever asked is notified.
func TestFailedCheckIsNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJudge(nil, func() {})
		defer j.close()
		runs, changes := 0, 0
		j.changed = func() { changes++ }
		j.check = func(context.Context, []string) (string, error) {
			if runs++; runs < 3 {
				return "", errors.New("fork: no memory")
			}
			return "", nil
		}
		lines := []string{"http-request deny"}
		for round := range 2 {
			for range 2 { // the second one asks nobody
				if why := j.snippet(lines); !strings.Contains(why, "could not check") || !strings.Contains(why, "no memory") {
					t.Fatalf("round %d: %q", round, why)
				}
			}
			time.Sleep(checkAgain)
			synctest.Wait()
			if runs != round+1 || changes != round+1 || j.answers.Load() != uint64(round+1) {
				t.Fatalf("round %d: %d runs, %d changes", round, runs, changes)
			}
		}
		if why := j.snippet(lines); why != "" || runs != 3 {
			t.Errorf("%q after %d runs", why, runs)
		}
		if time.Sleep(10 * checkAgain); j.snippet(lines) != "" || runs != 3 || changes != 2 {
			t.Errorf("a verdict is not kept: %d runs, %d changes", runs, changes)
		}
	})
}

// TestSlowCheckHoldsNobodyUp: a check that takes long is waited for once, a bounded time;
// other lines are judged meanwhile, and the answer is notified when it is there.
func TestSlowCheckHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJudge(nil, func() {})
		defer j.close()
		var changes atomic.Int32
		j.changed = func() { changes.Add(1) }
		j.check = func(ctx context.Context, lines []string) (string, error) {
			if lines[0] == "slow" {
				time.Sleep(time.Minute)
			}
			return "HAProxy refuses it: " + lines[0], nil
		}
		began := time.Now()
		for range 10 {
			if why := j.snippet([]string{"slow"}); why != notChecked {
				t.Fatal(why)
			}
		}
		if took := time.Since(began); took != waitForVerdict {
			t.Errorf("ten questions took %v", took)
		}
		time.Sleep(j.pause)
		began = time.Now()
		if why := j.snippet([]string{"quick"}); !strings.Contains(why, "quick") || time.Since(began) != 0 {
			t.Errorf("%q after %v", why, time.Since(began))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if why := j.snippet([]string{"slow"}); !strings.Contains(why, "slow") || changes.Load() != 1 || j.answers.Load() != 1 {
			t.Errorf("%q, %d changes", why, changes.Load())
		}
	})
}

// TestManyLinesAreBounded: at most two are checked at the same time, and at most a
// thousand are remembered.
func TestManyLinesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJudge(nil, func() {})
		defer j.close()
		j.wait = 0
		var now, most atomic.Int32
		j.check = func(context.Context, []string) (string, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return "", nil
		}
		for i := range knownSnippets + 10 {
			_ = j.snippet([]string{fmt.Sprint("line ", i)})
		}
		if len(j.known) != knownSnippets {
			t.Errorf("%d are known", len(j.known))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		_ = j.snippet([]string{"one more"})
		if len(j.known) != knownSnippets || j.known["one more"] == nil || most.Load() != maxChecks {
			t.Errorf("%d are known, %d were checked at the same time", len(j.known), most.Load())
		}
		time.Sleep(time.Hour) // the last check ends
	})
}

// TestOldestVerdictIsForgotten: a new one takes the place of the one that was asked for
// longest ago, and of no other.
func TestOldestVerdictIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJudge(nil, func() {})
		defer j.close()
		checks := 0
		j.check = func(context.Context, []string) (string, error) { checks++; return "", nil }
		ask := func(i int) {
			_ = j.snippet([]string{fmt.Sprint("line ", i)})
			time.Sleep(time.Second)
			synctest.Wait() // what was found is seen, also by the race detector
		}
		for i := range knownSnippets {
			ask(i)
		}
		ask(0) // the oldest, asked for again
		ask(knownSnippets)
		before := checks
		for _, i := range []int{0, 2, knownSnippets - 1, knownSnippets} {
			if ask(i); checks != before {
				t.Fatalf("line %d was forgotten", i)
			}
		}
		if ask(1); checks != before+1 || len(j.known) != knownSnippets {
			t.Errorf("line 1 was not forgotten: %d checks, %d known", checks-before, len(j.known))
		}
	})
}

// TestManyNewLinesShareOneWait: questions about many new lines, one after the other, wait
// as long as one does; all are checked meanwhile. Who asks again at each notice gets every
// answer without another question.
func TestManyNewLinesShareOneWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJudge(nil, func() {})
		defer j.close()
		const many = 50
		checked := 0
		j.check = func(context.Context, []string) (string, error) {
			time.Sleep(time.Minute)
			return "", nil
		}
		for round := range 3 {
			ask := func() (missing int) {
				for i := range many {
					switch why := j.snippet([]string{fmt.Sprint("line ", 100*round+i)}); why {
					case "":
					case notChecked:
						missing++
					default:
						t.Fatal(why)
					}
				}
				return missing
			}
			var missing atomic.Int32
			j.changed = func() { missing.Store(int32(ask())) }
			began := time.Now()
			missing.Store(int32(ask()))
			if took := time.Since(began); missing.Load() != many || took != waitForVerdict {
				t.Errorf("round %d: %d questions of %d took %v", round, missing.Load(), many, took)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := missing.Load(); n != 0 {
				t.Errorf("round %d: of %d lines the answer is not known", round, n)
			}
			checked += many
		}
		if len(j.known) != checked {
			t.Errorf("%d lines are known", len(j.known))
		}
	})
}

// TestSlowChecksAreWaitedForTenSeconds: questions that follow each other and get their
// answers wait for a bounded time together.
func TestSlowChecksAreWaitedForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJudge(nil, func() {})
		defer j.close()
		j.check = func(context.Context, []string) (string, error) {
			time.Sleep(1500 * time.Millisecond)
			return "", nil
		}
		began := time.Now()
		for i := range 50 {
			if why := j.snippet([]string{fmt.Sprint("line ", i)}); (why == "") != (i < 6) {
				t.Fatalf("line %d: %q", i, why)
			}
		}
		if took := time.Since(began); took != checkTimeout {
			t.Errorf("fifty questions took %v", took)
		}
		time.Sleep(time.Hour) // the last checks end
	})
}
