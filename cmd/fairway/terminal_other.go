//go:build !unix

package main

import "io"

// terminalWidth knows of no terminals here: output is plain and never cut.
func terminalWidth(io.Writer) (width int, terminal bool) { return 0, false }
