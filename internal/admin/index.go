package admin

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"

	"fairway/internal/api"
)

// indexHTML is the page at /. It has no script and no style, since the content
// security policy allows neither.
//
//go:embed index.html
var indexHTML string

// index is the page for people who come with a browser: where to look.
func (s *Server) index(w http.ResponseWriter, _ *http.Request) error {
	v := s.view()
	data := struct {
		Version  string
		State    string
		Routes   int
		Problems int
		Sources  []api.Source
		Links    []string
	}{Version: s.options.Version, State: s.options.Tables.Status().State, Routes: len(v.table.Routes), Problems: len(v.table.Problems)}
	for _, st := range s.options.Sources.Sources() {
		data.Sources = append(data.Sources, source(st, time.Now()))
	}
	for _, op := range s.operations() {
		if !strings.ContainsAny(op.path, "{") && op.path != "/v1/explain" {
			data.Links = append(data.Links, op.path)
		}
	}
	var b strings.Builder
	if err := s.page.Execute(&b, data); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, b.String()) // a client that has gone is nobody to tell
	return nil
}

func parseIndex() (*template.Template, error) { return template.New("index").Parse(indexHTML) }
