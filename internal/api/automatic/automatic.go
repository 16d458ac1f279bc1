// Package automatic is the wire types of certificates: those of listeners, and the hosts that
// Fairway gets them for.
package automatic

import (
	"time"

	"fairway/internal/human"
)

// The states of a host that Fairway gets certificates for.
const (
	Valid       = "valid"        // there is a certificate, and the last order went well
	Waiting     = "waiting"      // the first order is to come
	Ordering    = "ordering"     // an order is under way
	Failed      = "failed"       // the last order failed; there may be a certificate
	Kept        = "kept"         // no route has the host any more: it is not renewed
	NoAuthority = "no-authority" // no authority is configured that issues for it
)

// Managed is a host that Fairway gets certificates for.
type Managed struct {
	// Name is the host, with "*." for a wildcard.
	Name string `json:"name"`
	// State is one of the constants.
	State string `json:"state"`
	// Service, Route and Label are where the wish comes from; left out when no route has
	// the host any more, or no label has it word for word.
	Service string `json:"service,omitempty"`
	Route   string `json:"route,omitempty"`
	Label   string `json:"label,omitempty"`
	// OnDemand is true of a name that a client asked for (acme.on-demand).
	OnDemand bool `json:"onDemand,omitempty"`
	// Internal is true where it comes from the authority of Fairway's own.
	Internal bool `json:"internal,omitempty"`
	// Error is why the last order failed, in the words of the authority; Since is when that
	// began, and Failures how many orders have failed since then.
	Error    string    `json:"error,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Failures int       `json:"failures,omitempty"`
	// NextOrder is when the next order begins at the earliest; left out for never.
	NextOrder time.Time `json:"nextOrder,omitzero"`
	// File has the certificate, and NotAfter is when it ends; left out while there is none.
	File     string    `json:"file,omitempty"`
	NotAfter time.Time `json:"notAfter,omitzero"`
}

// Wrong is true when it lacks a certificate that it cannot get, or the last order failed.
func (m Managed) Wrong() bool {
	return m.State == Failed || m.State == NoAuthority
}

// Next says in words when the next order is.
func (m Managed) Next(now time.Time) string {
	switch left := m.NextOrder.Sub(now); {
	case m.State == Ordering:
		return "now"
	case m.NextOrder.IsZero() || m.State == Kept || m.State == NoAuthority:
		return "never"
	case left <= 0:
		return "soon"
	case left < 48*time.Hour:
		return "in " + human.Age(left)
	default:
		return "in " + human.Days(left)
	}
}

// Trouble is why the certificate authority cannot be used.
type Trouble struct {
	Error string `json:"error"`
	// Since is when that began, NextOrder when it is asked again.
	Since     time.Time `json:"since"`
	NextOrder time.Time `json:"nextOrder"`
}

// UncoveredHost is a host without a certificate.
type UncoveredHost struct {
	// Host is as routes have it, with "*." for a wildcard.
	Host string `json:"host"`
	// Routes are the IDs of its routes; never null.
	Routes []string `json:"routes"`
	// Text says what is wrong, Hint what to do.
	Text string `json:"text"`
	Hint string `json:"hint"`
}
