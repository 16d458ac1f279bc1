package http1

import (
	"sync"
	"time"
)

// Alarm calls Expire when what was started is not stopped in time. It may be used again. A nil
// one may be stopped.
type Alarm struct {
	Expire func() // it must not call Start or Stop

	mu      sync.Mutex
	timer   *time.Timer
	running bool
	until   time.Time
}

// Start begins to wait, anew if it does already.
func (a *Alarm) Start(limit time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running, a.until = true, time.Now().Add(limit)
	if a.timer == nil {
		a.timer = time.AfterFunc(limit, a.fire)
	} else {
		a.timer.Reset(limit)
	}
}

// Stop returns only when Expire is not running and will not be called any more.
func (a *Alarm) Stop() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running = false
	if a.timer != nil {
		a.timer.Stop()
	}
}

func (a *Alarm) fire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	// A timer that went off just before it was stopped may get here only after
	// the next start.
	if a.running && !time.Now().Before(a.until) {
		a.Expire()
	}
}
