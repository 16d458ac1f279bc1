package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"fairway/internal/human"
)

// ErrNoAnswer is wrapped by errors that mean that nothing answered at all.
var ErrNoAnswer = errors.New("no Fairway answers")

// Error is an answer that says no: problem details after RFC 9457. The client
// returns it as *Error.
type Error struct {
	// Type is a URI that names the kind of error: TypeRole, or "about:blank" when Title
	// and Status say it all.
	Type string `json:"type"`
	// Title is the kind of error in a few words.
	Title string `json:"title"`
	// Status is the HTTP status code.
	Status int `json:"status"`
	// Detail says what is wrong in this case.
	Detail string `json:"detail,omitempty"`
}

// TypeRole is the type of errors for callers whose role may not do what they ask for.
const TypeRole = "urn:fairway:role"

// ProblemContentType is the content type of an Error on the wire.
const ProblemContentType = "application/problem+json"

// Errorf makes the error that is answered with a status. Its Detail is formatted.
func Errorf(status int, format string, args ...any) *Error {
	return &Error{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// Error is one line of text without control characters.
func (e *Error) Error() string {
	return fmt.Sprintf("%s (%d)", human.Escape(cmp.Or(e.Detail, e.Title)), e.Status)
}
