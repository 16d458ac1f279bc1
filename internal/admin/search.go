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
	"fairway/internal/route"
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
	v := r.view()
	return func(yield func(find.Item) bool) {
		for _, svc := range v.Snapshot.Services {
			if !yield(serviceItem(v, svc)) {
				return
			}
		}
		for _, one := range v.Table.Routes {
			for _, m := range v.Route(one, nil).Matches {
				if !yield(routeItem(one, m)) {
					return
				}
			}
		}
		for _, svc := range v.Snapshot.Services {
			for _, in := range svc.Instances {
				if !yield(instanceItem(v, svc, in)) {
					return
				}
			}
		}
		for _, n := range v.Snapshot.Nodes {
			item := find.Item{Found: api.Found{Kind: api.FoundNode, ID: n.ID, Name: n.Name, Text: join(n.State, n.Role, n.Address)}}
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

func serviceItem(v *show.View, svc *catalog.Service) find.Item {
	item := find.Item{Found: api.Found{Kind: api.FoundService, ID: svc.ID, Name: svc.Name, Text: "no route"}}
	for i, one := range v.RoutesOf(svc.ID) {
		for j, m := range v.Route(one, nil).Matches {
			if i+j == 0 {
				item.Text = address(m)
			}
			item.More = append(item.More, address(m))
		}
	}
	return item
}

func routeItem(r *route.Route, m api.Match) find.Item {
	return find.Item{Found: api.Found{Kind: api.FoundRoute, ID: r.ID, Name: address(m), Text: m.Text, Service: r.Service}}
}

func instanceItem(v *show.View, svc *catalog.Service, in *catalog.Instance) find.Item {
	shown := v.Instance(in)
	item := find.Item{Found: api.Found{
		Kind: api.FoundInstance, ID: in.ID, Name: in.Name, Service: svc.ID, Text: join(shown.State, in.Image, shown.NodeName),
	}}
	for _, a := range in.Addresses {
		item.More = append(item.More, a.Host)
	}
	return item
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
				Kind: api.FoundEntry, ID: number, Name: e.Cause.Text, Text: join("entry "+number, e.Time.UTC().Format(time.DateTime)),
			}, More: []string{e.Cause.Operator, e.Cause.Message}})
		}
	}
	return items
}

// address is the host and path of a match, as one would type it.
func address(m api.Match) string {
	switch {
	case m.HostKind == string(route.HostRegexp):
		return m.Text
	case m.Path == "/" && m.PathKind == "prefix":
		return m.Host
	}
	return m.Host + m.Path
}

// join puts a point between what is not empty.
func join(parts ...string) string {
	all := ""
	for _, p := range parts {
		switch {
		case p == "":
		case all == "":
			all = p
		default:
			all += " · " + p
		}
	}
	return all
}

// labels are those that routes are made of.
func (s *Server) labels(*request) ([]api.Label, error) {
	return show.All(native.Keys(), func(k native.Key) api.Label {
		return api.Label{Name: catalog.LabelPrefix + k.Name, Value: k.Value, Meaning: k.Meaning, Example: k.Example}
	}), nil
}
