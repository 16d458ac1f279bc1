package embedded

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fired := 0
		w := watch{expire: func() { fired++ }}
		for range 3 {
			w.start(time.Second)
			time.Sleep(999 * time.Millisecond)
			w.stop()
		}
		time.Sleep(time.Minute)
		if fired != 0 {
			t.Errorf("fired %d times though it was stopped in time", fired)
		}
		w.start(time.Second)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.stop()
		if fired != 1 {
			t.Errorf("fired %d times, want once", fired)
		}
		// A timer that went off before it was stopped says nothing about the next
		// start.
		w.start(time.Second)
		w.fire()
		w.stop()
		if fired != 1 {
			t.Errorf("fired early")
		}
	})
}
