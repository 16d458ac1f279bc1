//go:build !unix

package embedded

// isClosed cannot tell here.
func (c *endpointConn) isClosed() bool { return false }
