package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"fairway/internal/admin/way"
	"fairway/internal/api"
)

// Issuer says who a person is. *oidc.Issuer is one. Its errors are *api.Error, for people.
type Issuer interface {
	// Begin returns where to send the browser, which comes back to the URL callback, and
	// what it keeps until then. Afterwards it goes on to the path to.
	Begin(ctx context.Context, callback, to string) (location, kept string, err error)
	// End returns who it is, and where to go on, by what the browser kept and came back
	// with.
	End(ctx context.Context, kept string, q url.Values) (who api.Identity, to string, err error)
	// Host is the name of the issuer, for people.
	Host() string
}

// SignInPages are the pages at the end of a sign-in.
type SignInPages interface {
	// SignedIn answers with a page that keeps the key of a session and goes on to a path.
	SignedIn(w http.ResponseWriter, r *http.Request, session api.Session, to string)
	// Failed answers with a page that says why a sign-in has failed.
	Failed(w http.ResponseWriter, r *http.Request, why *api.Error)
}

// SignIns are the sign-ins at an issuer. All fields but Redirect are required.
type SignIns struct {
	Access *Access
	Issuer Issuer
	Pages  SignInPages
	// Redirect is the URL that the issuer sends browsers back to; empty is
	// way.Callback at the address that they have used, whose host was checked.
	Redirect string
	Logger   *slog.Logger
}

func (s *SignIns) callback(r *http.Request) string {
	if s.Redirect != "" {
		return s.Redirect
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + way.Callback
}

// Begin sends a browser to the issuer, and on to a path of this listener afterwards, the
// parameter to; or answers with why not.
func (s *SignIns) Begin(w http.ResponseWriter, r *http.Request) {
	if err := s.Access.try(w, r); err != nil {
		s.failed(w, r, err)
		return
	}
	location, kept, err := s.Issuer.Begin(r.Context(), s.callback(r), way.Here(r.URL.Query().Get("to")))
	if err != nil {
		s.refused(w, r, err)
		return
	}
	s.Access.sessions.right(network(r))
	keepForSignIn(w, r, kept)
	http.Redirect(w, r, location, http.StatusSeeOther)
}

// End answers a browser that the issuer has sent back: with a session, or with why not. The
// audit log says which.
func (s *SignIns) End(w http.ResponseWriter, r *http.Request) {
	e := api.AuditEntry{At: time.Now().UTC().Truncate(time.Millisecond), From: RemoteHost(r), Operation: r.Method + " " + r.URL.Path} // a code is in the query
	e.Status, e.Text = s.end(w, r)
	if err := s.Access.Audit.Record(e); err != nil {
		s.Logger.Error("the audit log cannot be written", "error", err, "text", e.Text)
	}
}

func (s *SignIns) end(w http.ResponseWriter, r *http.Request) (status int, text string) {
	if err := s.Access.try(w, r); err != nil {
		return s.failed(w, r, err)
	}
	kept := ""
	if c, err := r.Cookie(signInCookie(r)); err == nil {
		kept = c.Value
	}
	keepForSignIn(w, r, "")
	who, to, err := s.Issuer.End(r.Context(), kept, r.URL.Query())
	if err != nil {
		return s.refused(w, r, err)
	}
	session, err := s.Access.begin(w, r, "", who)
	if err != nil {
		return s.failed(w, r, err)
	}
	s.Pages.SignedIn(w, r, session, way.Here(to))
	text = fmt.Sprintf("%s signed in as %s at %s", who.Name, who.Role, s.Issuer.Host())
	s.Logger.Info(text, "from", RemoteHost(r))
	return http.StatusOK, text
}

// refused shows why the issuer has let no one in. A fault of the issuer counts as no try.
func (s *SignIns) refused(w http.ResponseWriter, r *http.Request, err error) (status int, text string) {
	status, text = s.failed(w, r, err)
	if status >= http.StatusInternalServerError {
		s.Access.sessions.right(network(r))
	}
	return status, text
}

// failed shows why a sign-in has failed.
func (s *SignIns) failed(w http.ResponseWriter, r *http.Request, err error) (status int, text string) {
	shown, ok := errors.AsType[*api.Error](err)
	if !ok {
		s.Logger.Error("sign-in failed", "error", err)
		shown = api.Errorf(http.StatusInternalServerError, "it failed; the log says why")
	}
	text = shown.Title + ": " + shown.Detail
	s.Logger.Warn("sign-in failed", "reason", text, "from", RemoteHost(r))
	s.Pages.Failed(w, r, shown)
	return shown.Status, text
}

func signInCookie(r *http.Request) string { return cookieName(r) + "-sign-in" }

// keepForSignIn lets the browser keep a value until it comes back from an issuer, for ten
// minutes; empty ends that. Browsers send it along from there, unlike that of a session.
func keepForSignIn(w http.ResponseWriter, r *http.Request, value string) {
	age := 600
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: signInCookie(r), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode,
	})
}
