//go:build !race && !386

package http1

import "syscall"

func recv(fd uintptr, p []byte) (int, syscall.Errno) { return now(syscall.SYS_RECVFROM, fd, p, 0) }

func send(fd uintptr, p []byte) (int, syscall.Errno) {
	return now(syscall.SYS_SENDTO, fd, p, syscall.MSG_NOSIGNAL)
}
