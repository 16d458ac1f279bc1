package oidc

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// redeem gives a code for the tokens of the issuer. Where it takes the secret in two places,
// and does not know the client by the first, it is asked again by the second.
func (i *Issuer) redeem(ctx context.Context, p *oidc.Provider, begun sealed, code, secret string) (*oauth2.Token, error) {
	config := i.config(p, begun.Callback)
	config.ClientSecret = secret
	i.mu.Lock()
	before := i.style
	i.mu.Unlock()
	var refused error
	for _, style := range styles(p, secret, before) {
		config.Endpoint.AuthStyle = style
		token, err := config.Exchange(ctx, code, oauth2.VerifierOption(begun.Verifier))
		if err == nil {
			i.mu.Lock()
			i.style = style
			i.mu.Unlock()
			return token, nil
		}
		if !isUnknownClient(err) {
			return nil, err
		}
		if refused == nil {
			refused = err
		}
	}
	return nil, refused
}

// styles are the places where the issuer takes the secret, the one that worked before first
// (OpenID Connect Discovery 1.0, 3, token_endpoint_auth_methods_supported). A client without
// a secret names itself in the body.
func styles(p *oidc.Provider, secret string, before oauth2.AuthStyle) []oauth2.AuthStyle {
	if secret == "" {
		return []oauth2.AuthStyle{oauth2.AuthStyleInParams}
	}
	var said struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	_ = p.Claims(&said) // what cannot be read was not said
	header, body := slices.Contains(said.Methods, "client_secret_basic"), slices.Contains(said.Methods, "client_secret_post")
	switch {
	case header && !body:
		return []oauth2.AuthStyle{oauth2.AuthStyleInHeader}
	case body && !header:
		return []oauth2.AuthStyle{oauth2.AuthStyleInParams}
	case before == oauth2.AuthStyleInParams:
		return []oauth2.AuthStyle{oauth2.AuthStyleInParams, oauth2.AuthStyleInHeader}
	}
	return []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams}
}

// isUnknownClient says whether the issuer has looked at the client alone, and not at the code.
func isUnknownClient(err error) bool {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	return ok && (refused.ErrorCode == "invalid_client" || refused.ErrorCode == "invalid_request" ||
		refused.ErrorCode == "" && refused.Response != nil && refused.Response.StatusCode == http.StatusUnauthorized)
}
