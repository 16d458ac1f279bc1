// Package answered is what the page Names shows: which names are answered with what, who asks
// for them, and what is wrong.
package answered

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"fairway/internal/admin/ui/export"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
	"fairway/internal/api/names"
	"fairway/internal/printer"
)

const (
	maxClients = 20 // of those who ask, the newest
	maxTaken   = 50
)

// Page is what there is to show.
type Page struct {
	Off   bool // there is no DNS server
	State names.Names
	// Clients and Taken are the first of those in State.
	Clients []names.NameClient
	Taken   []names.TakenName
	listing.List[names.Name]
	// Question is what is to be explained, Why the answer and Refused why there is none.
	Question Question
	Why      *names.NameExplanation
	Refused  string
}

// Question is a question of DNS as it is typed; its Name is empty for none.
type Question struct{ Name, Type, Client string }

// Types are those that can be chosen.
func (Question) Types() []string { return []string{"A", "AAAA", "SRV", "PTR", "TXT"} }

// Read asks for what the page at a path shows, by its query.
func Read(ctx context.Context, ask *api.Client, path string, q url.Values) (Page, error) {
	var p Page
	var err error
	if p.State, err = names.Get(ctx, ask); err != nil {
		if refused, ok := errors.AsType[*api.Error](err); ok && refused.Status == http.StatusServiceUnavailable {
			return Page{Off: true}, nil
		}
		return p, err
	}
	all, err := names.List(ctx, ask)
	if err != nil {
		return p, err
	}
	p.Clients, p.Taken = p.State.Clients[:min(maxClients, len(p.State.Clients))], p.State.Taken[:min(maxTaken, len(p.State.Taken))]
	p.List = listing.New(path, q, all.Items, func(n names.Name, words []string, _ string) bool {
		return listing.Has(words, n.Name, n.Kind, n.Of)
	},
		listing.Text("name", func(n names.Name) string { return n.Name }),
		listing.Text("kind", func(n names.Name) string { return n.Kind }),
		listing.Text("of", func(n names.Name) string { return n.Of }))
	if p.Question = (Question{q.Get("name"), q.Get("type"), q.Get("client")}); p.Question.Name != "" {
		why, err := names.Explain(ctx, ask, p.Question.Name, p.Question.Type, p.Question.Client)
		if refused, ok := errors.AsType[*api.Error](err); ok {
			p.Refused = refused.Detail
		} else if err != nil {
			return p, err
		} else {
			p.Why = &why
		}
	}
	return p, nil
}

// Answer says which kind of answer is explained, in words.
func (p Page) Answer() string {
	switch {
	case p.Why.Rcode == "FOREIGN":
		return "not answered here, but looked up elsewhere"
	case p.Why.Rcode == "NOERROR" && len(p.Why.Records) == 0:
		return "no data"
	}
	return p.Why.Rcode
}

// Explain is the link to what a name is answered with.
func (p Page) Explain(name string) string {
	return p.With("name", bounded(name), "type", "", "client", "")
}

// Ask is the link to what a name is answered to a client.
func (p Page) Ask(client string) string { return p.With("client", bounded(client)) }

// bounded is what goes into a link: no name of DNS is longer.
func bounded(text string) string { return text[:min(300, len(text))] }

// More is how many clients, or names that are taken, are not shown.
func (p Page) More() (of struct{ Clients, Taken int }) {
	of.Clients, of.Taken = len(p.State.Clients)-len(p.Clients), len(p.State.Taken)-len(p.Taken)
	return of
}

// Export is the list as a file.
func (p Page) Export() export.List {
	return export.Of(p.All, export.Same, func(to *printer.Printer, list []names.Name) {
		t := to.Columns("NAME", "KIND", "OF")
		for _, n := range list {
			t.Add(n.Name, n.Kind, n.Of)
		}
		t.Print()
	})
}
