package poll

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun asks at once, at the interval and when woken, and stops with its
// context, also while nobody takes the answer.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wake := make(chan struct{})
		out := make(chan catalog.Answer)
		asked := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			Run(ctx, 10*time.Second, wake, out, func(context.Context) catalog.Answer {
				asked++
				return catalog.Answer{}
			})
		}()
		began := time.Now()
		<-out
		if took := time.Since(began); took != 0 {
			t.Errorf("first answer after %v", took)
		}
		<-out
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("second answer after %v", took)
		}
		began = time.Now()
		wake <- struct{}{}
		<-out
		if took := time.Since(began); took != 0 {
			t.Errorf("answer %v after waking", took)
		}
		wake <- struct{}{}
		synctest.Wait() // it has asked, and nobody takes the answer
		cancel()
		<-done
		if asked != 4 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestJitter stays within a tenth and takes what is too small as it is.
func TestJitter(t *testing.T) {
	for range 1000 {
		if d := Jitter(time.Second); d < 900*time.Millisecond || d > 1100*time.Millisecond {
			t.Fatalf("%v", d)
		}
	}
	for _, d := range []time.Duration{0, 1, -time.Second} {
		if Jitter(d) != d {
			t.Errorf("%v became %v", d, Jitter(d))
		}
	}
}
