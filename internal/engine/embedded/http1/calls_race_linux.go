//go:build race && !386

package http1

import "syscall"

// The race detector takes what one side of a connection does before it writes to be before
// what the other side, of the same process, does after it has read. It sees that in these
// calls alone.

func recv(fd uintptr, p []byte) (int, syscall.Errno) { return result(syscall.Read(int(fd), p)) }

func send(fd uintptr, p []byte) (int, syscall.Errno) { return result(syscall.Write(int(fd), p)) }

func result(n int, err error) (int, syscall.Errno) {
	errno, _ := err.(syscall.Errno) //nolint:errorlint // it is returned as it is
	return n, errno
}
