//go:build !386

package http1

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const hasLines = true

// now makes one system call on a socket that never waits, without a word to the scheduler.
func now(call, fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), //nolint:gosec // as unsafe.Pointer allows it
			flags|syscall.MSG_DONTWAIT, 0, 0)
		if err != syscall.EINTR {
			return int(n), err
		}
	}
}

// readNow reads what is there.
func readNow(fd uintptr, p []byte) (int, error) {
	n, err := recv(fd, p)
	switch {
	case err == syscall.EAGAIN:
		return 0, errWait
	case err != 0:
		return 0, os.NewSyscallError("recvfrom", err)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// writeNow writes what is taken at once. What is wrong, another write says.
func writeNow(fd uintptr, p []byte) int {
	if n, err := send(fd, p); err == 0 {
		return n
	}
	return 0
}

// look says how much there is to be read, of one byte, and takes nothing out.
func look(fd uintptr) (int, syscall.Errno) {
	var b [1]byte
	return now(syscall.SYS_RECVFROM, fd, b[:], syscall.MSG_PEEK)
}

// unread is how much can be read of a socket now.
func unread(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
