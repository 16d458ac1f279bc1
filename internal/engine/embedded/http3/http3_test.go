package http3

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

type anyone struct{}

func (anyone) Within(ctx context.Context) context.Context { return ctx }
func (anyone) Busy(bool)                                  {}
func (anyone) Ended()                                     {}

// TestIdle: the time of a connection without requests does not run while there is one, and
// begins anew when the last of them ends.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, over := time.Now(), time.Duration(0)
		c := &Conn{client: anyone{}, limit: time.Minute}
		c.idle = time.AfterFunc(c.limit, func() { over = time.Since(began) })
		for _, n := range []int{1, 1, -1, -1} {
			time.Sleep(50 * time.Second)
			c.add(n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if want := 200*time.Second + c.limit; over != want {
			t.Errorf("it ended after %v, want %v", over, want)
		}
	})
}
