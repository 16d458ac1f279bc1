package haproxy_test

import (
	"testing"

	"fairway/internal/engine/enginetest/servername"
)

// TestServerNames: the certificate follows the server name, the route the host.
func TestServerNames(t *testing.T) {
	need(t)
	servername.Run(t, startEngine(t).(candid))
}
