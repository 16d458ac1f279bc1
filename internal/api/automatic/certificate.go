package automatic

import (
	"time"

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
