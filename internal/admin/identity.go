package admin

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"

	"fairway/internal/api"
)

// whoAsks says who sent a request. Its role is empty for those who showed nothing
// and may do nothing; the error is for those who showed something that is wrong.
func (s *Server) whoAsks(r *http.Request) (api.Identity, *api.Error) { return s.identify(r, true) }

// identify is whoAsks; used says that a session is used by this, and not only looked
// at.
func (s *Server) identify(r *http.Request, used bool) (api.Identity, *api.Error) {
	if who := identityOf(r.Context()); who.Role != "" {
		return who, nil // a page asks for somebody who is known already
	}
	if sent := r.Header.Get("Authorization"); sent != "" {
		return s.byToken(sent)
	}
	if who, shown, err := byCertificate(r.TLS); shown {
		return who, err
	}
	if who, keyed := s.bySession(r, used); who.Role != "" {
		if !keyed && !reads(r.Method) {
			return who, status(http.StatusForbidden, "the session's key is not in the header "+api.SessionKeyHeader)
		}
		return who, nil
	}
	return api.Identity{Role: s.anonymous, By: api.ByNothing}, nil
}

// byToken says who has the token of an Authorization header.
func (s *Server) byToken(sent string) (api.Identity, *api.Error) {
	scheme, token, _ := strings.Cut(sent, " ")
	if who, ok := s.bySum(sumOf(token)); ok && strings.EqualFold(scheme, "Bearer") {
		return who, nil
	}
	return api.Identity{}, status(http.StatusUnauthorized, "the token is not known here")
}

// bySum says who has the token with this sum.
func (s *Server) bySum(sum string) (api.Identity, bool) {
	if s.token != "" && subtle.ConstantTimeCompare([]byte(sum), []byte(s.token)) == 1 {
		return api.Identity{Name: "token-file", Role: api.RoleAdmin, By: api.ByToken}, true
	}
	token, ok := s.tokens.bySum(sum)
	if !ok {
		return api.Identity{}, false
	}
	return api.Identity{Name: token.Name, Role: token.Role, By: api.ByToken, Expires: token.Expires}, true
}

// tooLittle refuses somebody who may do less than is needed.
func tooLittle(who api.Identity, need string) *api.Error {
	switch {
	case who.Role == "":
		return status(http.StatusUnauthorized, "the admin API asks for a token here")
	case who.By == api.ByNothing:
		return status(http.StatusUnauthorized, fmt.Sprintf("without a token one is %s here, and this needs %s", who.Role, need))
	}
	return status(http.StatusForbidden, fmt.Sprintf("%s is %s, and this needs %s", who.Name, who.Role, need))
}

// reads is true for the methods that change nothing.
func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

type identityKey struct{}

func withIdentity(ctx context.Context, who api.Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, who)
}

// identityOf returns who asked for the operation that runs in ctx. It has no role
// in public operations.
func identityOf(ctx context.Context) api.Identity {
	who, _ := ctx.Value(identityKey{}).(api.Identity)
	return who
}

func (s *Server) identity(w http.ResponseWriter, r *http.Request) error {
	return answer(w, identityOf(r.Context()))
}
