package find

import (
	"iter"

	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/route"
)

// In is what can be found of a snapshot and its table, what is looked for most first.
func In(v *show.View) iter.Seq[Item] {
	return func(yield func(Item) bool) {
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
			item := Item{Found: api.Found{Kind: api.FoundNode, ID: n.ID, Name: n.Name, Text: Join(n.State, n.Role, n.Address)}}
			if !yield(item) {
				return
			}
		}
	}
}

func serviceItem(v *show.View, svc *catalog.Service) Item {
	item := Item{Found: api.Found{Kind: api.FoundService, ID: svc.ID, Name: svc.Name, Text: "no route"}}
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

func routeItem(r *route.Route, m api.Match) Item {
	return Item{Found: api.Found{Kind: api.FoundRoute, ID: r.ID, Name: address(m), Text: m.Text, Service: r.Service}}
}

func instanceItem(v *show.View, svc *catalog.Service, in *catalog.Instance) Item {
	shown := v.Instance(in)
	item := Item{Found: api.Found{
		Kind: api.FoundInstance, ID: in.ID, Name: in.Name, Service: svc.ID, Text: Join(shown.State, in.Image, shown.NodeName),
	}}
	for _, a := range in.Addresses {
		item.More = append(item.More, a.Host)
	}
	return item
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

// Join puts a point between what is not empty.
func Join(parts ...string) string {
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
