package api

import (
	"context"
	"slices"
	"time"

	"fairway/internal/api/automatic"
	"fairway/internal/human"
)

// The states of a certificate.
const (
	CertificateValid      = "valid"
	CertificateExpiring   = "expiring" // within 14 days, or the last fifth of a shorter life
	CertificateExpired    = "expired"
	CertificateNotYet     = "not-yet-valid"
	CertificateUnreadable = "unreadable" // nothing was ever read of it
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
	Automatic []automatic.Certificate `json:"automatic,omitempty"`
	// Authority is why the certificate authority as a whole cannot be used; left out when it can.
	Authority *automatic.Trouble `json:"authority,omitempty"`
}

// Wrong is true when a certificate cannot be used or had, a host has none, or the authority fails.
func (c Certificates) Wrong() bool {
	return len(c.Uncovered) > 0 || c.Authority != nil || slices.ContainsFunc(c.Certificates, Certificate.Wrong) || slices.ContainsFunc(c.Automatic, automatic.Certificate.Wrong)
}

// Certificate is a certificate of listeners.
type Certificate struct {
	// File is where it is, on the machine of Fairway.
	File string `json:"file"`
	// State is one of the Certificate constants.
	State string `json:"state"`
	// Error says why the file cannot be used; left out when it can.
	Error string `json:"error,omitempty"`
	// Names are its DNS names and addresses; never null, as the next lists.
	Names []string `json:"names"`
	// Issuer is who has signed it; "self-signed" for itself.
	Issuer string `json:"issuer,omitempty"`
	// Key is the kind of its key, such as "ECDSA P-256" or "RSA 2048".
	Key       string    `json:"key,omitempty"`
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
	// Listeners have it: "https", and "admin" and "fleet" for Fairway's own.
	Listeners []string `json:"listeners"`
	// Routes are the IDs of the routes for whose hosts it is shown.
	Routes []string `json:"routes"`
}

// Wrong is true when it cannot be used now.
func (c Certificate) Wrong() bool {
	return c.Error != "" || c.State != CertificateValid && c.State != CertificateExpiring
}

// Ends says in words when it ends or has ended; empty where that is not known.
func (c Certificate) Ends(now time.Time) string {
	switch left := c.NotAfter.Sub(now); {
	case c.State == CertificateUnreadable:
		return ""
	case c.State == CertificateNotYet:
		return "begins in " + human.Days(c.NotBefore.Sub(now))
	case left < 0:
		return "expired " + human.Days(-left) + " ago"
	default:
		return "in " + human.Days(left)
	}
}

// UncoveredHost is a host without a certificate.
type UncoveredHost = automatic.UncoveredHost

// Certificates lists the certificates of the listeners, and the hosts that have none.
func (c *Client) Certificates(ctx context.Context) (Certificates, error) {
	return get[Certificates](ctx, c, "/v1/certificates", nil)
}
