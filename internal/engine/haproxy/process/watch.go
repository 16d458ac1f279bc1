package process

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// unseen is a master whose process number is not ours to use: it runs in another
// namespace, or the system has no better means.
type unseen struct{}

// Signal implements handle.
func (unseen) Signal(os.Signal) error {
	return errors.New("it runs where its process cannot be seen from here")
}

// silence is how long a socket may have no listener before its master is taken for
// gone: in a reload it has none for a second or two.
const silence = 10 * time.Second

// watchSocket calls ended once the socket has had no listener for a while. It
// looks twice a second.
func watchSocket(path string, ended func(error)) handle {
	go func() {
		for heard := time.Now(); time.Since(heard) < silence; time.Sleep(500 * time.Millisecond) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := listenerOf(ctx, path)
			// A queue that is full has a listener.
			if err == nil || ctx.Err() != nil || errors.Is(err, syscall.EAGAIN) {
				heard = time.Now()
			}
			cancel()
		}
		ended(nil)
	}()
	return unseen{}
}
