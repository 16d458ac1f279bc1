package serve

import (
	"cmp"
	"net/http"
)

// Recorder remembers the status code that was sent.
type Recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the first final status.
func (r *Recorder) WriteHeader(code int) {
	if r.status == 0 && code >= 200 {
		r.status = code
	}
	r.ResponseWriter.WriteHeader(code)
}

// Write sends 200 when nothing else was said, as every http.ResponseWriter does.
func (r *Recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Begun reports whether a status was sent.
func (r *Recorder) Begun() bool { return r.status != 0 }

// Code is the status that was sent, or is sent when nothing else is.
func (r *Recorder) Code() int { return cmp.Or(r.status, http.StatusOK) }
