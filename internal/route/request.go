package route

import "net/netip"

// Request is what the matcher sees of a request. Host and Path are canonical
// (CanonicalHost, CanonicalPath): the same values go to the backend, so that a
// decision made here holds there.
type Request struct {
	Method string
	Host   string
	Path   string
	// Query is the raw query, without the question mark.
	Query string
	// Header may be nil, which means no headers.
	Header Header
	// Client is the address of the client, after trusted proxies were
	// followed; IPv4-mapped addresses are unmapped.
	Client netip.Addr
	// TLS is true when the client came by TLS.
	TLS bool
	// Listener is the name of the listener it came in by.
	Listener string
}

// Header gives the values of a header by its canonical name. http.Header is one.
type Header interface {
	Values(name string) []string
}
