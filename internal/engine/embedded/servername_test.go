package embedded

import (
	"os"
	"testing"

	"fairway/internal/engine/enginetest/servername"
)

// TestServerNames: the certificate follows the server name, the route the host.
func TestServerNames(t *testing.T) {
	s := newSite(t, Options{UserDirs: []string{os.TempDir()}})
	servername.Run(t, s.engine)
}
