package admin

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"fairway/internal/admin/access"
	"fairway/internal/admin/way"
	"fairway/internal/api"
	"fairway/internal/serve"
)

// newHandler puts the guards that every request must pass in front of the operations.
func (s *Server) newHandler(ops []operation) http.Handler {
	s.mux = s.newMux(ops)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &serve.Recorder{ResponseWriter: w}
		// Requests are counted by pattern: what clients make up never becomes a label.
		defer func() { s.requests.With(strconv.Itoa(rec.Code()), counted(r.Pattern)).Inc() }()
		defer s.recoverPanic(rec, r)
		secureHeaders(rec.Header())
		err := cmp.Or(s.hosts.Check(r), access.SameOrigin(r))
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
func (s *Server) recoverPanic(w *serve.Recorder, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	s.log.Error("admin handler panicked", "path", r.Pattern, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if !w.Begun() {
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
