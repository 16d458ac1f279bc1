package show

import (
	"cmp"
	"slices"

	"fairway/internal/api"
	"fairway/internal/catalog"
)

// Nodes are the nodes of a snapshot, and those that services files name, sorted by ID.
func Nodes(snapshot *catalog.Snapshot) (all []api.Node) {
	instances, named := map[string]int{}, map[string]string{} // by node: how many, and a source that names it
	for _, service := range snapshot.Services {
		for _, in := range service.Instances {
			instances[in.Node]++
			named[in.Node] = cmp.Or(in.Source, service.Source)
		}
	}
	delete(named, "")
	for _, n := range snapshot.Nodes {
		delete(named, n.ID)
		all = append(all, api.Node{
			ID: n.ID, Name: n.Name, Source: n.Source, State: n.State,
			Address: n.Address, Role: n.Role, Availability: n.Availability, Engine: n.Engine,
			Instances: instances[n.ID],
		})
	}
	for id, source := range named {
		all = append(all, api.Node{ID: id, Name: id, Source: source, State: api.NodeNotWatched, Instances: instances[id]})
	}
	slices.SortFunc(all, func(a, b api.Node) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
