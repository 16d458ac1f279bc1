package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"fairway/internal/admin/access"
	"fairway/internal/admin/way"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/control"
	"fairway/internal/fleet"
	"fairway/internal/fleet/driver"
	"fairway/internal/history"
	"fairway/internal/notify"
	"fairway/internal/plan"
	"fairway/internal/series"
	"fairway/internal/serve"
)

// newMux registers operations, and answers no to known callers for everything else.
func (s *Server) newMux(ops []operation) *http.ServeMux {
	mux := http.NewServeMux()
	register := func(pattern string, op operation) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, cmp.Or(op.room, maxBody))
			if err := s.perform(&request{Request: r, w: w, server: s}, op); err != nil {
				s.fail(w, op.method+" "+op.path, err)
			}
		})
	}
	paths := map[string][]operation{}
	for _, op := range ops {
		serve, params := op.serve, op.params
		op.serve = func(r *request) (err error) {
			if r.query, err = checkParams(r.URL.RawQuery, params); err != nil {
				return err
			}
			return serve(r)
		}
		register(op.method+" "+op.path, op)
		paths[op.path] = append(paths[op.path], op)
	}
	for path, known := range paths {
		register(path, notAllowed(known))
	}
	rest := operation{method: http.MethodGet, role: api.RoleViewer, serve: func(*request) error {
		return api.Errorf(http.StatusNotFound, "no such path; docs/api.md lists what there is")
	}}
	if s.options.Pages == nil {
		register("/", rest)
		return mux
	}
	register("/v1/", rest)
	if s.options.SignIn != nil {
		at := access.SignIns{Access: s.access, Issuer: s.options.SignIn, Pages: s.options.Pages, Redirect: s.options.RedirectURL, Logger: s.log}
		mux.HandleFunc("GET "+way.Start, at.Begin)
		mux.HandleFunc("GET "+way.Callback, at.End)
	}
	register("/", operation{method: http.MethodGet, public: true, serve: func(r *request) error {
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPost {
			return s.page(r)
		}
		return s.perform(r, rest)
	}})
	return mux
}

// perform answers an operation, or says why not. Changes go to the audit log.
func (s *Server) perform(r *request, op operation) error {
	answer := op.serve
	if need := op.needs(); need != "" {
		var refused *api.Error
		if r.who, refused = s.whoAsks(r.Request); refused == nil && !api.MayAct(r.who.Role, need) {
			refused = access.TooLittle(r.who, need)
		}
		if refused != nil && refused.Status == http.StatusUnauthorized {
			r.w.Header().Set("WWW-Authenticate", `Bearer realm="fairway"`)
		}
		if refused != nil && (r.who.Name == "" || op.method == http.MethodGet) {
			return refused
		}
		if refused != nil {
			answer = func(*request) error { return refused }
		}
	}
	if !op.changes() {
		return answer(r)
	}
	if _, inside := r.Context().Value(insideKey{}).(api.Identity); inside {
		return api.Errorf(http.StatusMethodNotAllowed, "a page changes nothing")
	}
	began, rec := time.Now(), &serve.Recorder{ResponseWriter: r.w}
	r.w = rec
	err := answer(r)
	status, text := rec.Code(), r.remark
	if err != nil {
		failure := asError(err)
		status, text = failure.Status, cmp.Or(failure.Detail, failure.Title)
	}
	s.record(r, began, status, text)
	return err
}

// record writes into the audit log how an operation went.
func (s *Server) record(r *request, began time.Time, status int, text string) {
	e := api.AuditEntry{
		At: began.UTC().Truncate(time.Millisecond), Who: r.who.Name, Role: r.who.Role, By: r.who.By,
		From: access.RemoteHost(r.Request), Operation: r.Method + " " + r.URL.RequestURI(), Status: status, Text: text,
	}
	s.log.Info("admin operation", "who", e.Who, "role", e.Role, "by", e.By, "from", e.From,
		"operation", e.Operation, "status", e.Status, "text", e.Text)
	if failed := s.access.Audit.Record(e); failed != nil {
		s.log.Error("the audit log cannot be written; the line before is all that is kept", "error", failed)
	}
}

// done is the answer of an operation that has nothing else to say.
func (r *request) done(format string, args ...any) (api.Done, error) {
	r.remark = fmt.Sprintf(format, args...)
	return api.Done{Text: r.remark}, nil
}

func (r *request) did(err error, format string, args ...any) (api.Done, error) {
	if err != nil {
		return api.Done{}, err
	}
	return r.done(format, args...)
}

// notAllowed answers the other methods of a path to who may call any of its operations.
func notAllowed(known []operation) operation {
	least := known[0]
	var allow []string
	for _, op := range known {
		if op.public || !least.public && api.MayAct(least.needs(), op.needs()) {
			least = op
		}
		allow = append(allow, op.method)
		if op.method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	return operation{method: http.MethodGet, public: least.public, role: least.needs(), serve: func(r *request) error {
		r.w.Header().Set("Allow", strings.Join(allow, ", "))
		return api.Errorf(http.StatusMethodNotAllowed, "not with this method here; with %s", strings.Join(allow, ", "))
	}}
}

// statusOf are the statuses of errors whose text says what is wrong.
func statusOf(err error) int {
	var refused *driver.RefusedError
	var absent *driver.AbsentError
	switch is := func(list ...error) bool {
		return slices.ContainsFunc(list, func(known error) bool { return errors.Is(err, known) })
	}; {
	case is(history.ErrNotFound, catalog.ErrNoSubject, fleet.ErrUnknown, notify.ErrNoChannel, series.ErrUnknown):
		return http.StatusNotFound
	case is(control.ErrRefused, fleet.ErrInvalid):
		return http.StatusBadRequest
	case is(fleet.ErrBusy, fleet.ErrDrift, fleet.ErrMoved, control.ErrWithdrawn):
		return http.StatusConflict
	case errors.As(err, &refused):
		return http.StatusUnprocessableEntity
	case errors.As(err, &absent):
		return http.StatusBadGateway
	case is(history.ErrFull):
		return http.StatusInsufficientStorage
	case is(history.ErrUnavailable, control.ErrNotNow, control.ErrNoHistory, plan.ErrNoTable):
		return http.StatusServiceUnavailable
	case is(history.ErrDamaged):
		return http.StatusInternalServerError
	}
	return 0
}

// asError returns what a caller learns of an error.
func asError(err error) *api.Error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e
	}
	if conflict, ok := errors.AsType[*history.ConflictError](err); ok {
		return api.Errorf(http.StatusConflict, "%v", conflict) // which says it all
	}
	if status := statusOf(err); status != 0 {
		return api.Errorf(status, "%v", err)
	}
	return api.Errorf(http.StatusInternalServerError, "it failed; the log says why")
}

// fail answers with problem details. What a caller does not learn is logged.
func (s *Server) fail(w http.ResponseWriter, operation string, err error) {
	e := asError(err)
	if _, ok := errors.AsType[*api.Error](err); !ok && e.Status == http.StatusInternalServerError {
		s.log.Error("admin operation failed", "operation", operation, "error", err)
	}
	send(w, e.Status, api.ProblemContentType, e)
}
