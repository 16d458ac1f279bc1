//go:build !unix

package http1

// isQuiet knows nothing here.
func (p *Peer) isQuiet() bool { return true }
