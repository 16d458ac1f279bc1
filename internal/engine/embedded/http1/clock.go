package http1

import "time"

// Clock is the time for one goroutine, which reads the clock of the system anew only when
// something may have waited meanwhile: reading it each time costs more than parsing a head.
// The zero value is no time: see NewClock.
type Clock struct {
	now   time.Time
	stale bool
}

// NewClock reads the clock.
func NewClock() Clock { return Clock{now: time.Now()} }

// Now is the time, which goes on after Waited.
func (c *Clock) Now() time.Time {
	if c.stale {
		c.now, c.stale = c.now.Add(time.Since(c.now)), false
	}
	return c.now
}

// Waited says that time may have passed.
func (c *Clock) Waited() { c.stale = true }
