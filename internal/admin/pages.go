package admin

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"fairway/internal/admin/access"
	"fairway/internal/api"
)

// Pages are for browsers. They know what operations answer, and change nothing.
type Pages interface {
	// Serve answers what is no operation: a GET or HEAD, or a POST of a form that
	// asks for something. ask puts questions in the name of who, who has no role as
	// long as nobody has signed in.
	Serve(w http.ResponseWriter, r *http.Request, ask *api.Client, who api.Identity)
	access.SignInPages
}

// page answers with a page.
func (s *Server) page(r *request) error {
	who, refused := s.whoAsks(r.Request)
	if refused != nil {
		return refused
	}
	ask, err := api.NewClient(api.ClientOptions{URL: "http://localhost", Transport: inside{s.mux, who}})
	if err != nil {
		return err
	}
	s.options.Pages.Serve(r.w, r.Request, ask, who)
	return nil
}

// inside carries questions of a page to the operations without a connection.
type inside struct {
	operations http.Handler
	who        api.Identity
}

type insideKey struct{}

// whoAsks says who sent a request; of what a page asks, who asked for the page.
func (s *Server) whoAsks(r *http.Request) (api.Identity, *api.Error) {
	if who, ok := r.Context().Value(insideKey{}).(api.Identity); ok {
		return who, nil
	}
	return s.access.Identify(r)
}

// RoundTrip makes it an http.RoundTripper.
func (t inside) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := &answered{header: http.Header{}, code: http.StatusOK}
	t.operations.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), insideKey{}, t.who)))
	return &http.Response{
		StatusCode: rec.code, Header: rec.header, Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len()),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
	}, nil
}

// answered is an http.ResponseWriter in memory.
type answered struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header returns the header to be filled.
func (a *answered) Header() http.Header { return a.header }

// WriteHeader notes the status.
func (a *answered) WriteHeader(code int) { a.code = code }

// Write keeps the body.
func (a *answered) Write(p []byte) (int, error) { return a.body.Write(p) }

// fromElsewhere is for people who follow a link on another site; nothing else is shown.
const fromElsewhere = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Fairway</title></head>
<body><p>This link was on a page of another site.</p><p><a href="">Go on to Fairway</a></p></body></html>
`

// followed is true for a link on another site that a person has followed.
func followed(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}
