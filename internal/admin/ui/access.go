package ui

import (
	"strings"

	"fairway/internal/api"
)

// accessData is who may do what, and who did what.
type accessData struct {
	Tokens []api.Token
	Audit  []api.AuditEntry
	Roles  []string
}

func (p *Pages) access(c *call) (any, error) {
	tokens, err := c.ask.Tokens(c)
	if err != nil {
		return nil, err
	}
	audit, err := c.ask.Audit(c, 200)
	if err != nil {
		return nil, err
	}
	return accessData{Tokens: tokens.Items, Audit: audit.Items, Roles: api.Roles()}, nil
}

// signInData is where to go afterwards.
type signInData struct {
	To string
}

func (signInData) title() string { return "Sign in" }

func (p *Pages) signIn(c *call) (any, error) {
	to := c.q.Get("to")
	// Only a path of this listener: "//host" and "/\host" are others.
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		to = "/"
	}
	return signInData{To: to}, nil
}
