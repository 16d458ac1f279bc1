package admin

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/admin/way"
	"fairway/internal/api"
)

// newHandler puts the guards that every request must pass in front of the operations.
func (s *Server) newHandler(ops []operation) http.Handler {
	s.mux = s.newMux(ops)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		// Requests are counted by pattern: what clients make up never becomes a label.
		defer func() { s.requests.With(strconv.Itoa(rec.code()), counted(r.Pattern)).Inc() }()
		defer s.recoverPanic(rec, r)
		secureHeaders(rec.Header())
		err := cmp.Or(s.hosts.Check(r), sameOrigin(r))
		if r.URL.Path == way.Callback && followed(r) {
			err = s.hosts.Check(r) // an issuer sends the browser back; the sign-in checks what belongs to it
		}
		if err != nil && followed(r) && s.hosts.Check(r) == nil {
			rec.Header().Set("Content-Type", "text/html; charset=utf-8")
			rec.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(rec, fromElsewhere)
			return
		}
		if err != nil {
			send(rec, err.Status, api.ProblemContentType, err)
			return
		}
		s.mux.ServeHTTP(rec, r)
	})
}

// counted is the path of a mux pattern, or "other" for what is no operation.
func counted(pattern string) string {
	_, path, found := strings.Cut(pattern, " ")
	if !found {
		path = pattern
	}
	if path == "" || path == "/" {
		return "other"
	}
	return strings.TrimSuffix(path, "{$}")
}

// recoverPanic answers 500 for a handler that panicked, and logs it.
func (s *Server) recoverPanic(w *recorder, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	s.log.Error("admin handler panicked", "path", r.Pattern, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if w.status == 0 {
		send(w, http.StatusInternalServerError, api.ProblemContentType, api.Errorf(http.StatusInternalServerError, "the handler failed; the log says more"))
	}
}

// secureHeaders forbid to load, embed, frame or keep; pages ask for what they need.
func secureHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// sameOrigin refuses what a browser asks on behalf of another page, whatever the method.
// Pages of the same site are strangers too: services of others have sister names.
func sameOrigin(r *http.Request) *api.Error {
	if !slices.Contains([]string{"", "none", "same-origin"}, r.Header.Get("Sec-Fetch-Site")) {
		return api.Errorf(http.StatusForbidden, "refused: the request was made by a page of another origin; type the address instead")
	}
	// Browsers without Sec-Fetch-Site send Origin with what scripts could read.
	origin := r.Header.Get("Origin")
	if _, host, _ := strings.Cut(origin, "://"); origin != "" && host != r.Host {
		return api.Errorf(http.StatusForbidden, "refused: the request was made by a page of another origin")
	}
	return nil
}

// recorder remembers the status code that was sent.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the first final status.
func (r *recorder) WriteHeader(code int) {
	if r.status == 0 && code >= 200 {
		r.status = code
	}
	r.ResponseWriter.WriteHeader(code)
}

// Write sends 200 when nothing else was said, as every http.ResponseWriter does.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) code() int { return cmp.Or(r.status, http.StatusOK) }
