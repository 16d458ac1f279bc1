package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownSession keeps the signals of our terminal and of our process group away.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// listenerOf is the process that listens on a unix socket; 0 when it runs in a namespace
// that we cannot see into.
func listenerOf(ctx context.Context, path string) (int, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) {
		peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) //nolint:gosec // a descriptor
	}); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, asked
	}
	return int(peer.Pid), nil
}

// watch calls ended once a process that is not our child has ended, unless ctx does
// first. Its descriptor can be read then; without one, as in containers of engines before
// 20.10, its socket is looked at. The process is nil when it cannot be seen.
func watch(ctx context.Context, pid int, path string, ended func(error)) (*os.Process, error) {
	if pid <= 0 {
		go watchSocket(ctx, path, ended)
		return nil, nil
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	if err != nil {
		go watchSocket(ctx, path, ended)
		return os.FindProcess(pid)
	}
	file := os.NewFile(uintptr(fd), "pidfd") //nolint:gosec // a descriptor
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	go func() {
		defer context.AfterFunc(ctx, func() { _ = file.Close() })()
		switch err := raw.Read(func(fd uintptr) bool { return hasEnded(int(fd)) }); {
		case ctx.Err() != nil:
			return
		case err != nil:
			watchSocket(ctx, path, ended)
		default:
			ended(nil)
		}
		_ = file.Close()
	}()
	return os.FindProcess(pid) // which has a descriptor of its own: no other process can be meant later
}

// hasEnded asks without waiting.
func hasEnded(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) //nolint:gosec // a descriptor
	return err == nil && n > 0
}
