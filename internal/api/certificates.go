package api

import (
	"context"
	"slices"
	"time"

	"fairway/internal/api/automatic"
)

// Certificates are what the listeners show to clients, and what they lack.
type Certificates struct {
	At time.Time `json:"at"`
	// Certificates are sorted by when they end; those that cannot be read come first.
	// Never null, as the next.
	Certificates []Certificate `json:"certificates"`
	// Uncovered are the hosts that are served over HTTPS, or redirected there, and have no
	// certificate; sorted. There is none where that is not known: a certificate cannot be
	// read, or a trusted proxy in front ends TLS.
	Uncovered []UncoveredHost `json:"uncovered"`
	// Automatic are the hosts that Fairway itself gets certificates for, sorted by name;
	// left out where there are none.
	Automatic []automatic.Managed `json:"automatic,omitempty"`
	// Authority is why the certificate authority as a whole cannot be used; left out when it can.
	Authority *automatic.Trouble `json:"authority,omitempty"`
}

// Wrong is true when a certificate cannot be used or had, a host has none, or the authority fails.
func (c Certificates) Wrong() bool {
	return len(c.Uncovered) > 0 || c.Authority != nil || slices.ContainsFunc(c.Certificates, Certificate.Wrong) || slices.ContainsFunc(c.Automatic, automatic.Managed.Wrong)
}

// Certificate is a certificate of listeners.
type Certificate = automatic.Certificate

// UncoveredHost is a host without a certificate.
type UncoveredHost = automatic.UncoveredHost

// Certificates lists the certificates of the listeners, and the hosts that have none.
func (c *Client) Certificates(ctx context.Context) (Certificates, error) {
	return get[Certificates](ctx, c, "/v1/certificates", nil)
}
