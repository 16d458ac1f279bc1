//go:build !linux || 386

package http1

import "syscall"

// There are no lines here: everything is read and written in the ordinary way.
const hasLines = false

func readNow(uintptr, []byte) (int, error) { return 0, errWait }

func writeNow(uintptr, []byte) int { return 0 }

func look(uintptr) (int, syscall.Errno) { return 0, 0 }

func unread(uintptr) int { return 0 }
