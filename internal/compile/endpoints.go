package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// endpoints makes the endpoints of a route of the plan. said is what the labels
// of the route say about instances; when they are the service's own they hold for
// all instances, else each instance's labels hold for itself. While a last good
// form is made again, said also stands in for what an instance's labels leave out
// or have wrong. Instances without an address get a problem, unless they are not
// expected to have one.
func (pl *plan) endpoints(routeID, name string, said wishes, again bool) ([]route.Endpoint, []route.Problem) {
	var (
		list     []route.Endpoint
		problems []route.Problem
	)
	for _, m := range pl.members {
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
			if l := m.wish(name, &w); l != nil && !again {
				problems = append(problems, pl.problem(o, routeID, l, l.fault))
				continue
			}
		}
		c, fault := chooseAddress(m.instance, w)
		if fault != nil {
			if state == route.EndpointReady || len(m.instance.Addresses) > 0 {
				p := pl.problem(o, routeID, nil, fault)
				if fault.code == route.CodeNoAddress {
					p.Label = printable(w.networkLabel)
				}
				problems = append(problems, p)
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
