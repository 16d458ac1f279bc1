package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownSession keeps the signals of our terminal and of our process group away.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// listenerOf is the process that listens on a unix socket, as this process sees
// its number; 0 when it runs in a namespace that we cannot see into.
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

// pidfd is a process that is not our child, by a descriptor that keeps its
// number from meaning another one.
type pidfd struct {
	file   *os.File
	closed *atomic.Bool
}

// watch calls ended once the process has ended. The descriptor of a process can
// be read when it has ended; the runtime's poller waits for that. Where there is
// none, as in containers of engines before 20.10, its socket is looked at.
func watch(pid int, path string, ended func(error)) (handle, error) {
	if pid <= 0 {
		return watchSocket(path, ended), nil
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	if err != nil {
		watchSocket(path, ended)
		return os.FindProcess(pid)
	}
	h := pidfd{os.NewFile(uintptr(fd), "pidfd"), new(atomic.Bool)} //nolint:gosec // a descriptor
	raw, err := h.file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, h.file.Close())
	}
	go func() {
		defer h.file.Close()
		switch err := raw.Read(func(fd uintptr) bool { return hasEnded(int(fd)) }); {
		case h.closed.Load():
		case err != nil:
			watchSocket(path, ended)
		default:
			ended(nil)
		}
	}()
	return h, nil
}

// hasEnded asks without waiting.
func hasEnded(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) //nolint:gosec // a descriptor
	return err == nil && n > 0
}

// Close stops the watch.
func (h pidfd) Close() error {
	h.closed.Store(true)
	return h.file.Close()
}

// Signal implements handle.
func (h pidfd) Signal(s os.Signal) error {
	number, ok := s.(syscall.Signal)
	if !ok {
		return errors.New("not a signal")
	}
	raw, err := h.file.SyscallConn()
	if err != nil {
		return os.ErrProcessDone // closed: it has ended
	}
	var sent error
	if err := raw.Control(func(fd uintptr) {
		sent = unix.PidfdSendSignal(int(fd), number, nil, 0) //nolint:gosec // a descriptor
	}); err != nil {
		return os.ErrProcessDone
	}
	if errors.Is(sent, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return sent
}
