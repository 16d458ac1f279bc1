package process

import (
	"context"
	"errors"
	"syscall"
	"time"

	"fairway/internal/clock"
)

// silence is how long a socket may have no listener before its master counts as gone: in
// a reload it has none for a second or two.
const silence = 10 * time.Second

// watchSocket calls ended once a socket has no listener for a while, unless ctx ends first.
func watchSocket(ctx context.Context, path string, ended func(error)) {
	for heard := time.Now(); time.Since(heard) < silence; {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		_, err := listenerOf(asking, path)
		// A queue that is full has a listener.
		if err == nil || asking.Err() != nil || errors.Is(err, syscall.EAGAIN) {
			heard = time.Now()
		}
		cancel()
		if clock.Sleep(ctx, 500*time.Millisecond) != nil {
			return
		}
	}
	ended(nil)
}
