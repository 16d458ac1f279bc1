package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"

	"fairway/internal/api"
)

// whoAsks says who sent a request. Its role is empty for those who showed nothing
// and may do nothing; the error is for those who showed something that is wrong.
func (s *Server) whoAsks(r *http.Request) (api.Identity, *api.Error) {
	if sent := r.Header.Get("Authorization"); sent != "" {
		return s.byToken(sent)
	}
	return api.Identity{Role: s.anonymous, By: api.ByNothing}, nil
}

// byToken says who has the token of an Authorization header.
func (s *Server) byToken(sent string) (api.Identity, *api.Error) {
	scheme, token, _ := strings.Cut(sent, " ")
	// Sums are compared, so that neither contents nor length show in the time
	// it takes.
	sum := sha256.Sum256([]byte(token))
	if s.token != nil && subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
		return api.Identity{Name: "token-file", Role: api.RoleAdmin, By: api.ByToken}, nil
	}
	return api.Identity{}, status(http.StatusUnauthorized, "the token is not known here")
}

// tooLittle refuses somebody who may do less than is needed.
func tooLittle(who api.Identity, need string) *api.Error {
	if who.By == api.ByNothing {
		return status(http.StatusUnauthorized, fmt.Sprintf("without a token one is %s here, and this needs %s", who.Role, need))
	}
	return status(http.StatusForbidden, fmt.Sprintf("%s is %s, and this needs %s", who.Name, who.Role, need))
}

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
