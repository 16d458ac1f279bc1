// Package serve runs HTTP servers until a context ends.
package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// HTTP serves on the listener, with TLS where the server has a TLSConfig, until ctx ends.
// Running requests may then finish for the time grace; those that do not are cut off. The
// error is nil unless the listener fails.
func HTTP(ctx context.Context, server *http.Server, listener net.Listener, grace time.Duration) error {
	down := make(chan struct{})
	running := context.AfterFunc(ctx, func() {
		defer close(down)
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if server.Shutdown(stopping) != nil {
			_ = server.Close() // the time is up
		}
	})
	var err error
	if server.TLSConfig == nil {
		err = server.Serve(listener)
	} else {
		err = server.ServeTLS(listener, "", "")
	}
	if !running() {
		<-down
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
