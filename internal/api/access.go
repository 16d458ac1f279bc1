package api

import (
	"context"
	"net/url"
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

// MayAct reports whether the role have includes need. What is no role includes nothing.
func MayAct(have, need string) bool {
	h, n := slices.Index(Roles(), have), slices.Index(Roles(), need)
	return h >= 0 && n >= 0 && h >= n
}

// The ways to say who one is.
const (
	ByNothing     = "nothing"     // no identity: the listener is for this machine alone
	ByToken       = "token"       // a bearer token
	BySession     = "session"     // a browser that signed in with a token
	ByCertificate = "certificate" // a client certificate
	ByOIDC        = "oidc"        // a browser that signed in at the OpenID Connect issuer
)

// Identity is who asks.
type Identity struct {
	// Name is the token's name, the common name of the certificate, or what the issuer
	// calls a person; empty for those who showed nothing.
	Name string `json:"name"`
	// Role is one of the Role constants.
	Role string `json:"role"`
	// By is one of the By constants.
	By string `json:"by"`
	// Expires is when that ends; left out when it does not.
	Expires time.Time `json:"expires,omitzero"`
}

// TokenPrefix begins every token, for searches for leaked secrets.
const TokenPrefix = "fairway_"

// Token is a bearer token as it is kept: without what to send. Tokens
// are sorted by name.
type Token struct {
	// Name says whose it is, and stands in the audit log.
	Name string `json:"name"`
	// Role is one of the Role constants.
	Role    string    `json:"role"`
	Created time.Time `json:"created"`
	// By is the name of the operator who made it; left out for the first one, which
	// Fairway makes by itself.
	By string `json:"by,omitempty"`
	// Expires is when it ceases to hold; left out for never.
	Expires time.Time `json:"expires,omitzero"`
}

// NewToken asks for a token.
type NewToken struct {
	// Name has 1 to 64 letters, digits, dots, dashes and underscores.
	Name string `json:"name"`
	Role string `json:"role"`
	// Days is how long it holds, from 1 to 3650; zero means for good.
	Days int `json:"days,omitempty"`
}

// MadeToken is the answer to NewToken, and the only place where the token itself
// stands.
type MadeToken struct {
	Token
	// Secret is what to send: Authorization: Bearer SECRET.
	Secret string `json:"secret"`
}

// SignIn asks for a session: a cookie that a browser keeps.
type SignIn struct {
	Token string `json:"token"`
}

// Session is a session that has begun.
type Session struct {
	Identity
	// Key has to be sent in the header Fairway-Key with everything that changes
	// something: the cookie alone, which a browser also sends to other ports of
	// the same name, lets one read.
	Key string `json:"key"`
}

// SessionKeyHeader is the header that Session.Key goes into.
const SessionKeyHeader = "Fairway-Key"

// AuditEntry is an operation that changed something, or was refused. Entries are
// sorted by time, the newest first.
type AuditEntry struct {
	At time.Time `json:"at"`
	// Who is the name of the token, certificate or person; empty for those who showed
	// nothing.
	Who  string `json:"who,omitempty"`
	Role string `json:"role,omitempty"`
	// By is one of the By constants.
	By string `json:"by,omitempty"`
	// From is the address the request came from.
	From string `json:"from"`
	// Operation is method and path, as they were asked for.
	Operation string `json:"operation"`
	// Status is the status code of the answer.
	Status int `json:"status"`
	// Text says what was done, or why it was refused.
	Text string `json:"text,omitempty"`
}

// Done is the answer of operations that have nothing else to say.
type Done struct {
	// Text says what was done.
	Text string `json:"text"`
}

// Tokens lists the tokens. It needs the role admin, as do the methods below.
func (c *Client) Tokens(ctx context.Context) (List[Token], error) {
	return list[Token](ctx, c, "/v1/tokens", nil)
}

// CreateToken makes a token. Its secret is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, n NewToken) (MadeToken, error) {
	return post[MadeToken](ctx, c, "/v1/tokens", n)
}

// RevokeToken makes a token of no use, and ends the sessions that began with it.
func (c *Client) RevokeToken(ctx context.Context, name string) (Done, error) {
	return remove[Done](ctx, c, "/v1/tokens/"+url.PathEscape(name), nil)
}

// Audit lists the newest n entries of the audit log, the newest first; n is 1 to 1000.
func (c *Client) Audit(ctx context.Context, n int) (List[AuditEntry], error) {
	return list[AuditEntry](ctx, c, "/v1/audit", url.Values{"limit": given(n)})
}
