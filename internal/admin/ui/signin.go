package ui

import (
	"net/http"
	"net/url"

	"fairway/internal/admin/way"
	"fairway/internal/api"
)

// signInData is the page to sign in.
type signInData struct {
	To    string // where to go afterwards
	OIDC  string // the issuer that one may sign in at; empty for none
	Start string // where that begins
}

// readSignIn shows the ways to sign in.
func readSignIn(c *call) (any, error) {
	to := way.Here(c.q.Get("to"))
	return signInData{To: to, OIDC: c.issuer, Start: way.Start + "?" + url.Values{"to": {to}}.Encode()}, nil
}

// signedInData is what the page needs that ends a sign-in at an issuer.
type signedInData struct{ To, Key string }

// SignedIn answers with a page that keeps the key of a session and goes on to a path of this
// listener. Browsers hold back the cookie of a session from what an issuer leads to: only a
// page of this listener can go on.
func (p *Pages) SignedIn(w http.ResponseWriter, r *http.Request, session api.Session, to string) {
	p.render(w, p.outside(r), page{name: "signedin", title: "Signed in"}, http.StatusOK, signedInData{To: to, Key: session.Key})
}

// Failed answers with a page that says why a sign-in has failed.
func (p *Pages) Failed(w http.ResponseWriter, r *http.Request, why *api.Error) {
	p.render(w, p.outside(r), page{name: "unsigned", title: why.Title}, why.Status, why)
}

// outside is a call of a person who is not signed in.
func (p *Pages) outside(r *http.Request) *call {
	return &call{Context: r.Context(), r: r, now: p.now()}
}
