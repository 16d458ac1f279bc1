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

// endpoints makes the endpoints of a route. What the labels of the route say about
// instances holds for all of them when they are the service's own, else each instance's
// labels hold for itself. While a last good form is made again, it also stands in for
// what an instance's labels leave out or have wrong. Instances without an address get a
// problem, unless they are not expected to have one.
func (c *claimant) endpoints() ([]route.Endpoint, []route.Problem) {
	var (
		list     []route.Endpoint
		problems []route.Problem
		pl       = c.plan
	)
	if c.draft.Via.Host != "" || c.draft.Via.Virtual {
		return c.oneEndpoint()
	}
	for _, m := range c.asked.members {
		state, counts := endpointState(m.instance)
		if !counts {
			continue
		}
		o := pl.originOf(m.instance)
		wishes, fault := c.wishes(m)
		if fault != nil {
			problems = append(problems, pl.problem(o, c.route.ID, fault.Label, fault.Refusal))
			continue
		}
		choice, refused := draft.ChooseAddress(m.instance, wishes)
		if refused != nil {
			if state == route.EndpointReady || len(m.instance.Addresses) > 0 {
				label := ""
				if refused.Code == route.CodeNoAddress {
					label = wishes.NetworkLabel
				}
				problems = append(problems, pl.problem(o, c.route.ID, label, refused))
			}
			continue
		}
		list = append(list, route.Endpoint{
			ID:       fmt.Sprintf("%s:%d", shortID(m.instance.ID), choice.Port),
			Address:  chars.Printable(choice.Address()),
			Weight:   weight(m.instance, wishes),
			State:    state,
			Instance: o.Instance,
			Source:   o.Source,
			Node:     chars.Printable(m.instance.Node),
			Reason:   choice.Reason,
		})
	}
	return uniqueEndpoints(list), problems
}

// wishes is how a member is reached, and the first of its own labels about that which
// is at fault.
func (c *claimant) wishes(m member) (draft.Wishes, *draft.Problem) {
	own := m.own[c.draft.Name]
	switch {
	case m.own == nil:
		return c.draft.Wishes, nil
	case c.asked.again:
		return own.Wishes.Or(c.draft.Wishes), nil
	case own.Fault != nil:
		return draft.Wishes{}, own.Fault
	}
	return own.Wishes, nil
}

// virtualID and hostID stand for instances that are not dialled themselves.
const virtualID, hostID = "virtual", "host"

// oneEndpoint makes the endpoint of a route that does not lead to the instances
// themselves: to a host that a label names, or to the virtual address of the
// service. The latter is as well as the best of the instances behind it.
func (c *claimant) oneEndpoint() ([]route.Endpoint, []route.Problem) {
	pl, via := c.plan, c.draft.Via
	stand := &catalog.Instance{ID: virtualID, Name: pl.service.Name, Source: pl.service.Source, State: catalog.StateReady}
	if via.Host != "" {
		stand.ID, stand.Name = hostID, via.Host
		stand.Addresses = []catalog.Address{{Host: via.Host, Reach: catalog.ReachFixed}}
	} else {
		stand.Addresses = pl.service.Virtual
		if len(c.asked.members) > 0 {
			stand.State = catalog.StateStarting
		}
		for _, m := range c.asked.members {
			stand.Ports = append(stand.Ports, m.instance.Ports...)
			if m.instance.State == catalog.StateReady {
				stand.State = catalog.StateReady
			}
		}
	}
	o := pl.originOf(stand)
	service := route.Origin{Source: o.Source}
	if via.Virtual && len(stand.Addresses) == 0 {
		return nil, []route.Problem{pl.problem(service, c.route.ID, via.Label, draft.Refuse(
			route.CodeNoAddress, "the service has no virtual address", "leave the label out, or give the service the endpoint mode vip and a network of Fairway's",
		))}
	}
	choice, fault := draft.ChooseAddress(stand, c.draft.Wishes)
	if fault != nil {
		return nil, []route.Problem{pl.problem(service, c.route.ID, "", fault)}
	}
	state, _ := endpointState(stand)
	if via.Host != "" {
		choice.Reason = "the host is named by a label"
	}
	return []route.Endpoint{{
		ID: fmt.Sprintf("%s:%d", stand.ID, choice.Port), Address: chars.Printable(choice.Address()), Weight: weight(stand, c.draft.Wishes), State: state,
		Instance: o.Instance, Source: o.Source, Reason: choice.Reason,
	}}, nil
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
func weight(in *catalog.Instance, w draft.Wishes) int {
	switch {
	case w.Weight != nil:
		return *w.Weight
	case in.Weight > 0:
		return min(in.Weight, 256)
	}
	return 1
}

// shortID cuts a container ID to the length that people know.
func shortID(id string) string {
	const short, full = 12, 64
	if len(id) != full || strings.Trim(id, "0123456789abcdef") != "" {
		return chars.Printable(id)
	}
	return id[:short]
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
