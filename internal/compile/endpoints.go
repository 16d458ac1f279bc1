package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// endpoints makes the endpoints of a route of the plan. What the labels of the
// route say about instances holds for all of them when they are the service's own,
// else each instance's labels hold for itself. While a last good form is made
// again, it also stands in for what an instance's labels leave out or have wrong.
// Instances without an address get a problem, unless they are not expected to
// have one.
func (pl *plan) endpoints(routeID string, a asked, again bool) ([]route.Endpoint, []route.Problem) {
	var (
		list     []route.Endpoint
		problems []route.Problem
		said     = a.draft.wishes
	)
	if said.host != "" || said.virtual {
		return pl.oneEndpoint(routeID, a)
	}
	for _, m := range a.members {
		state, counts := endpointState(m.instance)
		if !counts {
			continue
		}
		o := pl.originOf(m.instance)
		w := said
		if m.labels != nil {
			if !again {
				w = wishes{}
			}
			if l := m.wish(a.name, &w); l != nil && !again {
				problems = append(problems, pl.problem(o, routeID, l.raw, l.fault))
				continue
			}
		}
		c, fault := chooseAddress(m.instance, w)
		if fault != nil {
			if state == route.EndpointReady || len(m.instance.Addresses) > 0 {
				label := ""
				if fault.code == route.CodeNoAddress {
					label = w.networkLabel
				}
				problems = append(problems, pl.problem(o, routeID, label, fault))
			}
			continue
		}
		list = append(list, route.Endpoint{
			ID:       fmt.Sprintf("%s:%d", shortID(m.instance.ID), c.port),
			Address:  printable(c.address()),
			Weight:   weight(m.instance, w),
			State:    state,
			Instance: o.instance,
			Source:   o.source,
			Node:     printable(m.instance.Node),
			Reason:   c.reason,
		})
	}
	return uniqueEndpoints(list), problems
}

// virtualID and hostID stand for instances that are not dialled themselves.
const virtualID, hostID = "virtual", "host"

// oneEndpoint makes the endpoint of a route that does not lead to the instances
// themselves: to a host that a label names, or to the virtual address of the
// service. The latter is as well as the best of the instances behind it.
func (pl *plan) oneEndpoint(routeID string, a asked) ([]route.Endpoint, []route.Problem) {
	stand := &catalog.Instance{ID: virtualID, Name: pl.service.Name, Source: pl.service.Source, State: catalog.StateReady}
	w := a.draft.wishes
	if w.host != "" {
		stand.ID, stand.Name = hostID, w.host
		stand.Addresses = []catalog.Address{{Host: w.host, Reach: catalog.ReachFixed}}
	} else {
		stand.Addresses = pl.service.Virtual
		if len(a.members) > 0 {
			stand.State = catalog.StateStarting
		}
		for _, m := range a.members {
			stand.Ports = append(stand.Ports, m.instance.Ports...)
			if m.instance.State == catalog.StateReady {
				stand.State = catalog.StateReady
			}
		}
	}
	o := pl.originOf(stand)
	if w.virtual && len(stand.Addresses) == 0 {
		return nil, []route.Problem{pl.problem(origin{source: o.source}, routeID, w.virtualLabel, &refusal{
			route.CodeNoAddress, "the service has no virtual address", "leave the label out, or give the service the endpoint mode vip and a network of Fairway's",
		})}
	}
	c, fault := chooseAddress(stand, w)
	if fault != nil {
		return nil, []route.Problem{pl.problem(origin{source: o.source}, routeID, "", fault)}
	}
	state, _ := endpointState(stand)
	reason := c.reason
	if w.host != "" {
		reason = "the host is named by a label"
	}
	return []route.Endpoint{{
		ID: fmt.Sprintf("%s:%d", stand.ID, c.port), Address: printable(c.address()), Weight: weight(stand, w), State: state,
		Instance: o.instance, Source: o.source, Reason: reason,
	}}, nil
}

// wish puts what the member's own labels say about it into w. It returns the
// first label that is refused, or nil.
func (m member) wish(name string, w *wishes) (refused *label) {
	r := m.labels.route(name)
	if r == nil {
		return nil
	}
	for i := range r.labels {
		l := &r.labels[i]
		if l.key == nil || l.key.scope != scopeInstance {
			continue
		}
		d := newDraft()
		d.wishes = *w
		if l.read(d); l.fault == nil {
			*w = d.wishes
		} else if refused == nil {
			refused = l
		}
	}
	return refused
}

// endpointState says what may be sent to an instance; counts is false for those
// that are no endpoint at all.
func endpointState(in *catalog.Instance) (state route.EndpointState, counts bool) {
	switch in.State {
	case catalog.StateReady:
		return route.EndpointReady, true
	case catalog.StateLeaving:
		return route.EndpointDraining, true
	case catalog.StateStopped:
		return "", false
	}
	return route.EndpointWaiting, true
}

// weight is the share of an instance, from 0 to 256.
func weight(in *catalog.Instance, w wishes) int {
	switch {
	case w.weight != nil:
		return *w.weight
	case in.Weight > 0:
		return min(in.Weight, 256)
	}
	return 1
}

// shortID cuts a container ID to the length that people know.
func shortID(id string) string {
	const short, full = 12, 64
	if len(id) != full || strings.Trim(id, "0123456789abcdef") != "" {
		return printable(id)
	}
	return id[:short]
}

// uniqueEndpoints sorts endpoints by ID and tells those of several sources apart
// that have the same; of what is the same even then, the first stays.
func uniqueEndpoints(list []route.Endpoint) []route.Endpoint {
	order := func(a, b route.Endpoint) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Source, b.Source), strings.Compare(a.Address, b.Address))
	}
	slices.SortFunc(list, order)
	for i := len(list) - 1; i > 0; i-- {
		if list[i].ID == list[i-1].ID {
			list[i].ID += "@" + list[i].Source
		}
	}
	slices.SortFunc(list, order)
	return slices.CompactFunc(list, func(a, b route.Endpoint) bool { return a.ID == b.ID })
}
