package http1

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fired := 0
		a := Alarm{Expire: func() { fired++ }}
		for range 3 {
			a.Start(time.Second)
			time.Sleep(999 * time.Millisecond)
			a.Stop()
		}
		time.Sleep(time.Minute)
		if fired != 0 {
			t.Errorf("fired %d times though it was stopped in time", fired)
		}
		a.Start(time.Second)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		a.Stop()
		if fired != 1 {
			t.Errorf("fired %d times, want once", fired)
		}
		// A timer that went off before it was stopped says nothing about the next
		// start.
		a.Start(time.Second)
		a.fire()
		a.Stop()
		if fired != 1 {
			t.Errorf("fired early")
		}
	})
}
