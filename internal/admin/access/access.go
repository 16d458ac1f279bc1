// Package access says who asks at the admin API: tokens with roles, sessions of
// browsers, client certificates, and what those may do who show nothing. It keeps
// the audit log of what they did.
package access

import (
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"fairway/internal/api"
)

// MinToken is how many characters Options.Token has at least.
const MinToken = 16

// Options are what Open needs. The zero value works.
type Options struct {
	// Token is a bearer token for admin, of at least 16 characters, kept as SHA-256.
	Token  string
	Dir    string           // where tokens and the audit log are kept; empty keeps them in memory
	Now    func() time.Time // the clock; nil is time.Now
	Logger *slog.Logger     // gets what goes wrong; required
}

// Access says who asks. Its methods may be called from any goroutine.
type Access struct {
	// Anonymous is the role of those who show nothing. It is set before the first request.
	Anonymous string
	// Tokens are the tokens with roles, and Audit is what was done.
	Tokens *Tokens
	Audit  *Audit

	sum      string // of Options.Token; empty for none
	sessions *sessions
}

// Open reads tokens and audit log. The admin API is needed most when something is
// broken: it starts with what can be read, and logs what cannot. Where there is no
// token at all it makes the first one.
func Open(o Options) (*Access, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Access{sessions: newSessions(o.Now)}
	if o.Token != "" && len(o.Token) < MinToken {
		return nil, fmt.Errorf("the token has fewer than %d characters", MinToken)
	}
	var err error
	if a.Audit, err = openAudit(o.Dir); err != nil {
		o.Logger.Error("the audit log of before cannot be read", "error", err)
	}
	if a.Tokens, err = openTokens(o.Dir, o.Now); err != nil {
		o.Logger.Error("no token is known until this is mended; remove the file to begin anew", "error", err)
		a.Tokens = &Tokens{now: o.Now}
	}
	if o.Token != "" {
		a.sum = sumOf(o.Token)
		return a, nil
	}
	path, err := a.Tokens.first()
	switch {
	case err != nil:
		o.Logger.Error("the first token cannot be kept", "error", err)
	case path != "":
		o.Logger.Info("made the first token, for admin", "file", path)
	}
	return a, nil
}

// Identify says who sent a request, and keeps their session from ending as idle. The role
// is empty for those who showed nothing; the error is for what is wrong.
func (a *Access) Identify(r *http.Request) (api.Identity, *api.Error) { return a.identify(r, true) }

// StillHolds says whether what a request showed holds on and still gives at least a role,
// without using its session.
func (a *Access) StillHolds(r *http.Request, role string) bool {
	who, refused := a.identify(r, false)
	return refused == nil && api.MayAct(who.Role, role)
}

func (a *Access) identify(r *http.Request, used bool) (api.Identity, *api.Error) {
	if sent := r.Header.Get("Authorization"); sent != "" {
		scheme, token, _ := strings.Cut(sent, " ")
		if who, ok := a.bySum(sumOf(token)); ok && strings.EqualFold(scheme, "Bearer") {
			return who, nil
		}
		return api.Identity{}, api.Errorf(http.StatusUnauthorized, "the token is not known here")
	}
	if who, shown, err := byCertificate(r.TLS); shown {
		return who, err
	}
	if who, keyed := a.bySession(r, used); who.Role != "" {
		if !keyed && r.Method != http.MethodGet && r.Method != http.MethodHead {
			return who, api.Errorf(http.StatusForbidden, "the session's key is not in the header %s", api.SessionKeyHeader)
		}
		return who, nil
	}
	return api.Identity{Role: a.Anonymous, By: api.ByNothing}, nil
}

// bySum says who has the token with this sum.
func (a *Access) bySum(sum string) (api.Identity, bool) {
	if a.sum != "" && subtle.ConstantTimeCompare([]byte(sum), []byte(a.sum)) == 1 {
		return api.Identity{Name: "token-file", Role: api.RoleAdmin, By: api.ByToken}, true
	}
	token, ok := a.Tokens.bySum(sum)
	if !ok {
		return api.Identity{}, false
	}
	return api.Identity{Name: token.Name, Role: token.Role, By: api.ByToken, Expires: token.Expires}, true
}

// bySession says whose session the request has; keyed is true with the session's key.
func (a *Access) bySession(r *http.Request, used bool) (who api.Identity, keyed bool) {
	c, err := r.Cookie(cookieName(r))
	if err != nil {
		return who, false
	}
	sum, who, keyed, ok := a.sessions.of(c.Value, r.Header.Get(api.SessionKeyHeader), used)
	if !ok || sum == "" {
		return who, keyed
	}
	if who, ok = a.bySum(sum); !ok {
		return api.Identity{}, false // the token was revoked, or its time is over
	}
	who.By = api.BySession
	return who, keyed
}

// SignIn begins a session for the owner of a token: for pages of this listener alone.
func (a *Access) SignIn(w http.ResponseWriter, r *http.Request, token string) (api.Session, error) {
	if refused := a.try(w, r); refused != nil {
		return api.Session{}, refused
	}
	sum := sumOf(token)
	who, ok := a.bySum(sum)
	if !ok {
		return api.Session{}, api.Errorf(http.StatusUnauthorized, "the token is not known here")
	}
	who.By = api.BySession
	return a.begin(w, r, sum, who)
}

// try counts a try to sign in; an error when there were too many that failed.
func (a *Access) try(w http.ResponseWriter, r *http.Request) error {
	if !a.sessions.try(network(r)) {
		w.Header().Set("Retry-After", "60")
		return api.Errorf(http.StatusTooManyRequests, "too many tries to sign in from there have failed; wait a minute")
	}
	return nil
}

// begin begins a session for the owner of the token with a sum, or for who without one.
func (a *Access) begin(w http.ResponseWriter, r *http.Request, sum string, who api.Identity) (api.Session, error) {
	a.sessions.right(network(r))
	shown := who
	if sum != "" {
		who = api.Identity{} // the token says it, as long as it holds
	}
	cookie, key, err := a.sessions.begin(sum, who)
	if err != nil {
		return api.Session{}, err
	}
	setCookie(w, r, cookie, int(sessionLong.Seconds()))
	return api.Session{Identity: shown, Key: key}, nil
}

// SignOut ends the session that the request belongs to.
func (a *Access) SignOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName(r)); err == nil {
		a.sessions.end(c.Value)
	}
	setCookie(w, r, "", -1)
}

// TooLittle refuses those who may do less than is needed.
func TooLittle(who api.Identity, need string) *api.Error {
	e := api.Errorf(http.StatusForbidden, "%s is %s, and this needs the role %s", who.Name, who.Role, need)
	switch {
	case who.Role == "":
		e = api.Errorf(http.StatusUnauthorized, "the admin API asks for a token here")
	case who.By == api.ByNothing:
		e = api.Errorf(http.StatusUnauthorized, "without a token one is %s here, and this needs the role %s", who.Role, need)
	}
	e.Type = api.TypeRole
	return e
}

// AnonymousRole is the role of those who show nothing at an address; empty for none. signIn
// says that the operator has set a token, or an issuer at which people sign in.
func AnonymousRole(configured string, bound net.Addr, signIn bool) string {
	switch {
	case configured == api.RoleNone:
		return ""
	case configured != "":
		return configured
	case signIn || !Local(bound):
		return ""
	case bound.Network() == "unix":
		return api.RoleAdmin
	}
	return api.RoleViewer
}

// Local is true for an address that other machines cannot reach, by what was bound.
func Local(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// RemoteHost is where a request came from, without the port, whatever headers say.
func RemoteHost(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// byCertificate reads a verified client certificate: O= is the role, CN the name.
func byCertificate(state *tls.ConnectionState) (who api.Identity, shown bool, err *api.Error) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return who, false, nil
	}
	leaf := state.VerifiedChains[0][0]
	for _, role := range slices.Backward(api.Roles()) {
		if slices.Contains(leaf.Subject.Organization, role) {
			return api.Identity{Name: leaf.Subject.CommonName, Role: role, By: api.ByCertificate, Expires: leaf.NotAfter.UTC()}, true, nil
		}
	}
	return who, true, api.Errorf(http.StatusForbidden, "the client certificate names no role: its organisation has to be viewer, operator or admin")
}
