//go:build !linux

package process

import (
	"context"
	"net"
	"syscall"
)

func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// listenerOf knows only whether there is a listener.
func listenerOf(ctx context.Context, path string) (int, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return 0, err
	}
	return 0, conn.Close()
}

func watch(_ int, path string, ended func(error)) (handle, error) {
	return watchSocket(path, ended), nil
}
