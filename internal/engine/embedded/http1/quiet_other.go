//go:build !unix

package http1

import "net"

// quiet knows nothing here.
type quiet struct{}

func (quiet) open(net.Conn) {}

func (quiet) look() bool { return true }
