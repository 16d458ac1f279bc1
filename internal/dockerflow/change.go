package dockerflow

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/catalog"
)

// Announcing says what a listener announces of a snapshot.
type Announcing struct {
	// Label is the label that must say true; empty means com.df.notify.
	Label string
	// NamePrefix, with an underscore behind it, goes before the names of services.
	NamePrefix string
	// NodeInfo adds where the instances of a service run.
	NodeInfo bool
}

// stackLabel is the label in which Docker keeps the stack of a service.
const stackLabel = "com.docker.stack.namespace"

// event is one thing to announce: a service or a node that is there, changed or gone.
type event struct {
	object string // what it is about, unique over services and nodes
	node   bool
	remove bool
	query  string // the parameters, form-encoded, sorted by name
}

// announced is what there is to announce of one object.
type announced struct {
	create, remove string
	stamp          string // changes when it is to be announced again: for another image, too
}

// events are what a listener announces when one snapshot follows another, or none. After a
// change of a node all services are announced again: a receiver may have lost them with it.
func (a Announcing) events(before, after *catalog.Snapshot) []event {
	before = cmp.Or(before, &catalog.Snapshot{})
	nodes := difference(nodesOf(before), nodesOf(after), true)
	old, now := a.servicesOf(before), a.servicesOf(after)
	if len(nodes) > 0 {
		for id, service := range old {
			service.stamp = ""
			old[id] = service
		}
	}
	return append(nodes, difference(old, now, false)...)
}

// difference lists what is gone, then what is new or changed, each sorted.
func difference(before, after map[string]announced, node bool) []event {
	var gone, there []event
	for id, o := range before {
		if _, still := after[id]; !still {
			gone = append(gone, event{id, node, true, o.remove})
		}
	}
	for id, o := range after {
		if old, known := before[id]; !known || old.stamp != o.stamp {
			there = append(there, event{id, node, false, o.create})
		}
	}
	byObject := func(x, y event) int { return strings.Compare(x.object, y.object) }
	slices.SortFunc(gone, byObject)
	slices.SortFunc(there, byObject)
	return append(gone, there...)
}

// servicesOf are the services of a snapshot that are to be announced.
func (a Announcing) servicesOf(s *catalog.Snapshot) map[string]announced {
	all := map[string]announced{}
	names := nodeNames(s)
	for _, service := range s.Services {
		if !a.announces(service) {
			continue
		}
		params, _ := a.parameters(service, asWritten)
		remove := encode(params)
		a.addFacts(params, service, names)
		create := encode(params)
		all["service "+service.ID] = announced{create, remove, create + "\x00" + service.Image}
	}
	return all
}

// announces reports whether a service is to be announced. Posted ones would go in circles.
func (a Announcing) announces(s *catalog.Service) bool {
	return s.Source != Source && strings.EqualFold(s.Labels[a.label()], "true")
}

func (a Announcing) label() string { return cmp.Or(a.Label, LabelPrefix+"notify") }

// A disclosure says how much of the labels of a service or a node an answer holds.
type disclosure int

const (
	allShown  disclosure = iota
	someShown            // some are left out
	unusable             // one is left out without which the service would be less protected
)

// ownLabels returns the com.df.* labels that are shown in full, by parameter. A puller would
// take what is shown in part for the value.
func ownLabels(labels map[string]string, shown func(key, value string) string) (params map[string]string, d disclosure) {
	params = map[string]string{}
	for key, value := range labels {
		name, ok := strings.CutPrefix(key, LabelPrefix)
		switch {
		case !ok:
		case shown(key, value) == value:
			params[name] = value
		case protects(name):
			d = unusable
		default:
			d = max(d, someShown)
		}
	}
	return params, d
}

// parameters are what is announced of a service in any case: its com.df.* labels as far as
// they are shown, its name, and that the call is for all replicas unless a label says no.
func (a Announcing) parameters(s *catalog.Service, shown func(key, value string) string) (map[string]string, disclosure) {
	params, d := ownLabels(s.Labels, shown)
	for _, noLabel := range []string{strings.TrimPrefix(a.label(), LabelPrefix), "replicas", "nodeInfo"} {
		delete(params, noLabel)
	}
	if _, said := params["distribute"]; !said {
		params["distribute"] = "true"
	}
	name := s.Name
	if strings.EqualFold(s.Labels[LabelPrefix+"shortName"], "true") {
		name = strings.TrimPrefix(name, s.Labels[stackLabel]+"_")
	}
	if a.NamePrefix != "" {
		name = a.NamePrefix + "_" + name
	}
	params["serviceName"] = name
	return params, d
}

// addFacts adds what is announced of a service that is there.
func (a Announcing) addFacts(params map[string]string, s *catalog.Service, nodeNames map[string]string) {
	if s.Replicas != nil {
		params["replicas"] = strconv.Itoa(*s.Replicas)
	}
	if info := nodeInfo(s, nodeNames); a.NodeInfo && len(info) > 0 {
		text, _ := json.Marshal(info) // texts alone are in it
		params["nodeInfo"] = string(text)
	}
}

// encode writes parameters in the form of a query, sorted by name.
func encode(params map[string]string) string { return valuesOf(params).Encode() }

func valuesOf(params map[string]string) url.Values {
	values := url.Values{}
	for name, value := range params {
		values.Set(name, value)
	}
	return values
}

// nodeInfo lists node name, address and node ID of the instances that run, on the
// network that the label scrapeNetwork names, else on the first.
func nodeInfo(s *catalog.Service, nodeNames map[string]string) [][3]string {
	network := s.Labels[LabelPrefix+"scrapeNetwork"]
	var info [][3]string
	for _, in := range s.Instances {
		if in.State != catalog.StateReady {
			continue
		}
		i := slices.IndexFunc(in.Addresses, func(a catalog.Address) bool { return network == "" || a.Network == network })
		if i >= 0 {
			info = append(info, [3]string{nodeNames[in.Node], in.Addresses[i].Host, in.Node})
		}
	}
	slices.SortFunc(info, func(x, y [3]string) int { return slices.Compare(x[:], y[:]) })
	return info
}

func nodeNames(s *catalog.Snapshot) map[string]string {
	names := make(map[string]string, len(s.Nodes))
	for _, n := range s.Nodes {
		names[n.ID] = n.Name
	}
	return names
}

// nodesOf are the nodes of a Swarm that are up.
func nodesOf(s *catalog.Snapshot) map[string]announced {
	all := map[string]announced{}
	for _, n := range s.Nodes {
		if !isUp(n) {
			continue
		}
		params, _ := nodeParameters(n, asWritten)
		create, remove := encode(params), encode(map[string]string{"id": n.ID, "hostname": n.Name, "address": n.Address})
		all["node "+n.ID] = announced{create, remove, create}
	}
	return all
}

func isUp(n *catalog.Node) bool { return n.Role != "" && n.State != "down" }

// nodeParameters are what is announced of a node. Its own labels go before those of its
// engine, and facts before labels.
func nodeParameters(n *catalog.Node, shown func(key, value string) string) (map[string]string, disclosure) {
	params, ofEngine := ownLabels(n.EngineLabels, shown)
	own, d := ownLabels(n.Labels, shown)
	maps.Copy(params, own)
	maps.Copy(params, map[string]string{
		"id": n.ID, "hostname": n.Name, "address": n.Address,
		"versionIndex": fmt.Sprint(n.Version), "state": n.State, "role": n.Role, "availability": n.Availability,
	})
	return params, max(d, ofEngine)
}

// running lists the services that are wholly there, as get-services shows them. complete is
// false when a label is left out, or a service that would be less protected without it.
func (a Announcing) running(s *catalog.Snapshot, shown func(key, value string) string) (list []map[string]string, complete bool) {
	list, complete = []map[string]string{}, true
	names := nodeNames(s)
	for _, service := range s.Services {
		if !a.announces(service) || !isComplete(service) {
			continue
		}
		params, d := a.parameters(service, shown)
		complete = complete && d == allShown
		if d == unusable {
			continue
		}
		a.addFacts(params, service, names)
		list = append(list, params)
	}
	return list, complete
}

// isComplete reports whether all instances that a service is to have are ready.
func isComplete(s *catalog.Service) bool {
	ready, unready := 0, 0
	for _, in := range s.Instances {
		switch in.State {
		case catalog.StateReady:
			ready++
		case catalog.StateStarting, catalog.StateUnhealthy:
			unready++
		}
	}
	if s.Replicas != nil {
		return ready >= *s.Replicas
	}
	return ready > 0 && unready == 0
}

// nodes lists the nodes that are up, as get-nodes shows them, as running does services.
func (Announcing) nodes(s *catalog.Snapshot, shown func(key, value string) string) (list []map[string]string, complete bool) {
	list, complete = []map[string]string{}, true
	for _, n := range s.Nodes {
		if isUp(n) {
			params, d := nodeParameters(n, shown)
			complete = complete && d == allShown
			list = append(list, params)
		}
	}
	return list, complete
}
