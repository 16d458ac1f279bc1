//go:build !linux

package embedded

import (
	"net"

	"fairway/internal/engine/embedded/http1"
)

// presence knows nothing here: that a client is gone shows when it is written to.
func presence(net.Conn) http1.Presence { return http1.Present }
