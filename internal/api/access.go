package api

import (
	"slices"
	"time"
)

// The roles, from the least to the most. Each may do what those before it may.
const (
	RoleViewer   = "viewer"   // sees what exists, what is served and why
	RoleOperator = "operator" // changes what is served: drains, rolls back, rolls out
	RoleAdmin    = "admin"    // says who may do what, and reads who did
)

// RoleNone stands for no role where one has to be named.
const RoleNone = "none"

// Roles lists the roles, from the least to the most.
func Roles() []string { return []string{RoleViewer, RoleOperator, RoleAdmin} }

// MayAct tells whether the role have includes the role need. A word that is no
// role includes nothing and is included in none.
func MayAct(have, need string) bool {
	h, n := slices.Index(Roles(), have), slices.Index(Roles(), need)
	return h >= 0 && n >= 0 && h >= n
}

// The ways to say who one is.
const (
	ByNothing     = "nothing"     // nobody asked: the listener is for this machine alone
	ByToken       = "token"       // a bearer token
	BySession     = "session"     // a browser that signed in with a token
	ByCertificate = "certificate" // a client certificate
)

// Identity is who asks.
type Identity struct {
	// Name is the token's name, or the common name of the certificate; empty for
	// those who showed nothing.
	Name string `json:"name"`
	// Role is one of the Role constants.
	Role string `json:"role"`
	// By is one of the By constants.
	By string `json:"by"`
	// Expires is when that ends; left out when it does not.
	Expires time.Time `json:"expires,omitzero"`
}
