//go:build !linux

package process

import (
	"context"
	"net"
	"os"
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

func watch(ctx context.Context, _ int, path string, ended func(error)) (*os.Process, error) {
	go watchSocket(ctx, path, ended)
	return nil, nil
}
