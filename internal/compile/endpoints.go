package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// endpoints makes the endpoints of a route. Instances without an address get a problem,
// unless they are not expected to have one.
func (c *claimant) endpoints() ([]route.Endpoint, []route.Problem) {
	var (
		list     []route.Endpoint
		problems []route.Problem
		pl, via  = c.plan, c.draft.Via
		members  = c.asked.members
	)
	problem := func(in *catalog.Instance, label string, fault *draft.Refusal) {
		o := pl.originOf(in)
		if via.Used() {
			o.Instance = ""
		}
		problems = append(problems, pl.problem(o, c.route.ID, label, fault))
	}
	if via.Used() {
		members = []member{{c.stand(), nil}}
	}
	list = make([]route.Endpoint, 0, len(members)) // it is kept
	for _, m := range members {
		state, counts := endpointState(m.instance)
		if !counts {
			continue
		}
		wishes, fault := c.wishes(m)
		if fault != nil {
			problem(m.instance, fault.Label, fault.Refusal)
			continue
		}
		if via.Virtual && len(m.instance.Addresses) == 0 {
			problem(m.instance, via.Label, draft.Refuse(
				route.CodeNoAddress, "the service has no virtual address", "leave the label out, or give the service the endpoint mode vip and a network of Fairway's",
			))
			continue
		}
		choice, refused := draft.ChooseAddress(m.instance, wishes)
		switch {
		case refused == nil:
			o := pl.originOf(m.instance)
			if via.Host != "" {
				choice.Reason = "the host is named by a label"
			}
			list = append(list, route.Endpoint{
				ID:       fmt.Sprintf("%s:%d", chars.Printable(m.instance.ShortID()), choice.Port),
				Address:  chars.Printable(choice.Address()),
				Weight:   weight(m.instance, wishes),
				State:    state,
				Instance: o.Instance,
				Source:   o.Source,
				Node:     chars.Printable(m.instance.Node),
				Reason:   choice.Reason,
			})
		case refused.Code == route.CodeNoAddress && (state == route.EndpointReady || len(m.instance.Addresses) > 0):
			problem(m.instance, cmp.Or(wishes.AddressLabel, wishes.NetworkLabel), refused)
		case state == route.EndpointReady || len(m.instance.Addresses) > 0:
			problem(m.instance, "", refused)
		}
	}
	return uniqueEndpoints(list), problems
}

// wishes is how a member is reached, and the first of its own labels about that which
// is at fault. A last good form stands in for what those leave out or have wrong.
func (c *claimant) wishes(m member) (draft.Wishes, *draft.Problem) {
	if m.own == nil {
		return c.draft.Wishes, nil
	}
	var own draft.Own // without wishes, where its labels do not have the route
	if i := slices.IndexFunc(m.own, func(o draft.Own) bool { return o.Route == c.draft.Name }); i >= 0 {
		own = m.own[i]
	}
	switch {
	case c.asked.again:
		return own.Wishes.Or(c.draft.Wishes), nil
	case own.Fault != nil:
		return draft.Wishes{}, own.Fault
	}
	return own.Wishes, nil
}

// hostID, like catalog.VirtualID, stands for instances that are not dialled themselves.
const hostID = "host"

// stand makes what is dialled in the place of the instances: a host that a label names,
// or the virtual address of the service, which is as well as the best of them.
func (c *claimant) stand() *catalog.Instance {
	s, host := c.plan.service, c.draft.Via.Host
	if host != "" {
		return &catalog.Instance{
			ID: hostID, Name: host, Source: s.Source, State: catalog.StateReady,
			Addresses: []catalog.Address{{Host: host, Reach: catalog.ReachFixed}},
		}
	}
	in := &catalog.Instance{ID: catalog.VirtualID, Name: s.Name, Source: s.Source, State: catalog.StateStarting, Addresses: s.Virtual}
	ready := func(m member) bool { return m.instance.State == catalog.StateReady }
	if len(c.asked.members) == 0 || slices.ContainsFunc(c.asked.members, ready) {
		in.State = catalog.StateReady
	}
	for _, m := range c.asked.members {
		in.Ports = append(in.Ports, m.instance.Ports...)
	}
	return in
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

func weight(in *catalog.Instance, w draft.Wishes) int {
	switch {
	case w.Weight != nil:
		return *w.Weight
	case in.Weight > 0:
		return min(in.Weight, 256)
	}
	return 1
}

// uniqueEndpoints sorts endpoints by ID and separates those of several sources
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
