package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"fairway/internal/api"
)

// askingPages tell what whoever asks for a page may learn.
type askingPages struct{ t *testing.T }

// Serve implements Pages.
func (p askingPages) Serve(w http.ResponseWriter, r *http.Request, q *api.Client, who api.Identity) {
	code := func(err error) int {
		var e *api.Error
		if errors.As(err, &e) {
			return e.Status
		}
		return 200
	}
	_, info := q.Info(r.Context())
	_, tokens := q.Tokens(r.Context())
	_, made := q.CreateToken(r.Context(), api.NewToken{Name: "x", Role: api.RoleAdmin})
	fmt.Fprintf(w, "%s page=%s info=%d tokens=%d made=%d", r.URL.Path, who.Role, code(info), code(tokens), code(made))
}

func (p askingPages) SignedIn(w http.ResponseWriter, _ *http.Request, session api.Session, to string) {
	fmt.Fprintf(w, "%s signed in, key %s, to %s", session.Name, session.Key, to)
}

func (p askingPages) Failed(w http.ResponseWriter, _ *http.Request, why *api.Error) {
	w.WriteHeader(why.Status)
	fmt.Fprint(w, why.Title, ": ", why.Detail)
}

// A page learns what whoever asks for it may learn, and changes nothing.
func TestPagesAskInTheNameOfWhoeverAsks(t *testing.T) {
	o := options(t, newWorld(t))
	o.Token, o.Pages = goodToken, askingPages{t}
	s := newServer(t, o)
	viewer, err := s.access.Tokens.Create(api.NewToken{Name: "v", Role: api.RoleViewer}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, path, token, want string
		code                      int
	}{
		{"GET", "/", "", "/ page= info=401 tokens=401 made=401", 200},
		{"GET", "/a/b", viewer.Secret, "/a/b page=viewer info=200 tokens=403 made=405", 200},
		{"GET", "/", goodToken, "/ page=admin info=200 tokens=200 made=405", 200},
		{"GET", "/", "wrong", "not known", 401},
		{"POST", "/", goodToken, "/ page=admin info=200 tokens=200 made=405", 200},
		{"PUT", "/", goodToken, "no such path", 404},
		{"GET", "/v1/none", goodToken, "no such path", 404},
		{"GET", "/v1/none", "", "asks for a token", 401},
	} {
		rec := ask(t, s, tt.method, tt.path, func(r *http.Request) {
			if tt.token != "" {
				bearer(tt.token)(r)
			}
		})
		if rec.Code != tt.code || !strings.Contains(rec.Body.String(), tt.want) {
			t.Errorf("%s %s with %q = %d %s, want %d %s", tt.method, tt.path, tt.token, rec.Code, rec.Body, tt.code, tt.want)
		}
	}
	if n := len(s.access.Tokens.List()); n != 1 {
		t.Errorf("there are %d tokens", n)
	}
}

// Whoever follows a link on another site gets a page that tells nothing; scripts
// and frames of that site get what they always get.
func TestLinksOnOtherSites(t *testing.T) {
	o := options(t, newWorld(t))
	o.Pages = askingPages{t}
	s := newServer(t, o)
	follow := func(edit func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "document")
			edit(r)
		}
	}
	rec := ask(t, s, "GET", "/services", follow(func(*http.Request) {}))
	if rec.Code != 403 || rec.Body.String() != fromElsewhere {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	for name, edit := range map[string]func(*http.Request){
		"a frame":        func(r *http.Request) { r.Header.Set("Sec-Fetch-Dest", "iframe") },
		"a script":       func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "no-cors") },
		"a form":         func(r *http.Request) { r.Method = "POST" },
		"a rebound name": func(r *http.Request) { r.Host = "evil.example" },
	} {
		if rec := ask(t, s, "GET", "/services", follow(edit)); rec.Code != 403 || rec.Header().Get("Content-Type") != api.ProblemContentType {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
}

// An operation asked from inside has nobody's rights but those of the page.
func TestInsideOnlyReads(t *testing.T) {
	s := newServer(t, options(t, newWorld(t)))
	r, err := http.NewRequestWithContext(context.Background(), "DELETE", "http://localhost/v1/tokens/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := inside{s.mux, api.Identity{Role: api.RoleAdmin}}.RoundTrip(r)
	if err != nil || res.StatusCode != 405 {
		t.Errorf("%v, %v", res, err)
	}
}
