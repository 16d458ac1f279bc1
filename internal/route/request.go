package route

import "net/netip"

// Request is what the matcher sees of a request. Host and Path are canonical
// (CanonicalHost, ReadPath).
type Request struct {
	Method string
	Host   string
	Path   string
	// Other is another way in which a backend could read the path; empty when
	// there is none. Find does not look at it; see TakesBoth.
	Other string
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
