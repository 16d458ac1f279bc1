package admin

import (
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"fairway/internal/admin/find"
	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/compile/native"
)

const (
	defaultFound = 20
	maxFound     = 100
	maxSearched  = 500 // entries of the history that a search looks at
)

// search finds what the words of q may mean.
func (s *Server) search(r *request) ([]api.Found, error) {
	if strings.TrimSpace(r.text("q")) == "" {
		return nil, api.Errorf(http.StatusBadRequest, "query parameter \"q\": want words to search for")
	}
	return find.Best(r.text("q"), s.searched(r), r.limit(defaultFound)), nil
}

// searched is what can be found, what is looked for most first. Where there is no fleet or
// history, or it cannot be read, the rest is found.
func (s *Server) searched(r *request) iter.Seq[find.Item] {
	return func(yield func(find.Item) bool) {
		for item := range find.In(r.view()) {
			if !yield(item) {
				return
			}
		}
		for _, item := range s.kept(r) {
			if !yield(item) {
				return
			}
		}
	}
}

// kept are the documents of the fleet and the newest entries of the history.
func (s *Server) kept(r *request) (items []find.Item) {
	if s.options.Fleet != nil {
		documents, _ := fleetDesk{s.options.Fleet}.documents(r)
		for _, d := range documents {
			items = append(items, find.Item{Found: api.Found{
				Kind: api.FoundDocument, ID: d.Name, Name: d.Name, Text: fmt.Sprintf("r%d is released, r%d the newest", d.Released, d.Newest),
			}, More: d.Hosts})
		}
	}
	if s.options.History != nil {
		entries, _ := s.options.History.Entries(0, maxSearched)
		for _, e := range entries {
			number := strconv.FormatUint(e.Number, 10)
			items = append(items, find.Item{Found: api.Found{
				Kind: api.FoundEntry, ID: number, Name: e.Cause.Text, Text: find.Join("entry "+number, e.Time.UTC().Format(time.DateTime)),
			}, More: []string{e.Cause.Operator, e.Cause.Message}})
		}
	}
	return items
}

// labels are those that routes are made of.
func (s *Server) labels(*request) ([]api.Label, error) {
	return show.All(native.Keys(), func(k native.Key) api.Label {
		return api.Label{Name: catalog.LabelPrefix + k.Name, Value: k.Value, Meaning: k.Meaning, Example: k.Example}
	}), nil
}
