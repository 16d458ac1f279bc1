package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Identity says who asks and what that lets one do.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	return get[Identity](ctx, c, "/v1/identity", nil)
}

// Tokens lists the tokens with roles. It needs the role admin, as do the methods
// below.
func (c *Client) Tokens(ctx context.Context) (List[Token], error) {
	return get[List[Token]](ctx, c, "/v1/tokens", nil)
}

// CreateToken makes a token. Its secret is in the answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, n NewToken) (MadeToken, error) {
	return call[MadeToken](ctx, c, http.MethodPost, "/v1/tokens", nil, n)
}

// RevokeToken makes a token of no use, and ends the sessions that began with it.
func (c *Client) RevokeToken(ctx context.Context, name string) (Done, error) {
	return call[Done](ctx, c, http.MethodDelete, "/v1/tokens/"+url.PathEscape(name), nil, nil)
}

// Audit lists the newest n entries of the audit log, the newest first; n is 1 to 1000.
func (c *Client) Audit(ctx context.Context, n int) (List[AuditEntry], error) {
	return get[List[AuditEntry]](ctx, c, "/v1/audit", url.Values{"limit": {strconv.Itoa(n)}})
}
