//go:build unix

package main

import (
	"io"

	"golang.org/x/sys/unix"
)

// terminalWidth returns the number of columns of the terminal behind w, and
// whether there is one. A terminal that does not know counts as 80 wide.
func terminalWidth(w io.Writer) (width int, terminal bool) {
	f, ok := w.(descriptor)
	if !ok {
		return 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	if size.Col == 0 {
		return 80, true
	}
	return int(size.Col), true
}
