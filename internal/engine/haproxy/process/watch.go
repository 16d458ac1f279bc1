package process

import (
	"context"
	"errors"
	"os"
	"time"
)

// unseen is a master whose process number is not ours to use: it runs in another
// namespace, or the system has no better means.
type unseen struct{}

// Signal implements handle.
func (unseen) Signal(os.Signal) error {
	return errors.New("it runs where its process cannot be seen from here")
}

// watchSocket calls ended once nobody listens on the socket any more. It looks
// twice a second: a master that starts anew keeps its socket.
func watchSocket(path string, ended func(error)) handle {
	go func() {
		for {
			time.Sleep(500 * time.Millisecond)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := listener(ctx, path)
			timedOut := ctx.Err() != nil
			cancel()
			// A queue that is full is somebody who listens.
			if err != nil && !timedOut {
				ended(nil)
				return
			}
		}
	}()
	return unseen{}
}
