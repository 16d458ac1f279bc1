//go:build !unix

package embedded

// maxFiles is how many files the process may have open: nothing bounds it here.
func maxFiles() uint64 { return 1 << 20 }
