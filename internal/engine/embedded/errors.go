package embedded

import (
	"net/http"
	"strconv"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/errorpage"
	"fairway/internal/route"
	"fairway/internal/route/field"
)

// answer is what Fairway itself answers.
type answer struct {
	status int
	// code is stable and sent as X-Fairway-Error; empty for what is no error.
	code string
	// text is one sentence for people, without secrets.
	text string
	// retryAfter is in seconds; zero sends none.
	retryAfter int
	// header holds further headers, in canonical form.
	header []route.HeaderValue
	// guard is true when a guard refused the request.
	guard bool
	// hangUp closes the connection afterwards.
	hangUp bool
}

func refusal(status int, code, text string) *answer {
	return &answer{status: status, code: code, text: text, guard: true}
}

// retrySoon is the Retry-After for what may be back at any moment.
const retrySoon = 2

// unavailable is a 503 for what may be back at any moment.
func unavailable(code, text string) *answer {
	return &answer{status: http.StatusServiceUnavailable, code: code, text: text, retryAfter: retrySoon}
}

func noEndpoint(service string) *answer {
	return unavailable("no-endpoint", "service "+service+" has no endpoint that is ready")
}

// notFound distinguishes an unknown host from an unknown path, once there was a snapshot.
func (t *liveTable) notFound(q *request) *answer {
	if t.table.Revision == 0 && len(t.table.Routes) == 0 {
		return unavailable("starting", "starting: what there is to serve is not known yet")
	}
	a := &answer{status: http.StatusNotFound, code: "unknown-host", text: "no route for host " + q.Host}
	switch {
	case q.Host == "":
		a.text = "no route takes a request without a host"
	case t.requests.NamesHost(q.Host):
		a.code, a.text = "no-route", "no route on host "+q.Host+" takes this request"
	}
	return a
}

func (a *answer) write(w *responseWriter, accept []string, requestID string, page func(errorpage.Answer, errorpage.Form) []byte) {
	h := make(field.List, 0, 8)
	for _, v := range a.header {
		h.Set(v.Name, v.Value)
	}
	if requestID != "" {
		h.Set("X-Request-Id", requestID)
	}
	if a.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(a.retryAfter))
	}
	var body []byte
	if a.code != "" {
		h.Set("X-Fairway-Error", a.code)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		form := errorpage.FormOf(accept)
		h.Set("Content-Type", form.Type())
		body = page(errorpage.Answer{Status: a.status, Code: a.code, Text: a.text, ID: requestID}, form)
	}
	w.Begin(&http1.Answer{Status: a.status, Fields: h, Length: int64(len(body)), Close: a.hangUp})
	_, _ = w.Write(body) // a client that went away needs no answer
}
