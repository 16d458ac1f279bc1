package swarm

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/discovery/daemon"
	"fairway/internal/dockerapi"
)

// place is where Fairway stands, seen from the Swarm.
type place struct {
	source string
	onHost bool // outside any container, on the machine of one of the engines
}

// view is what translating a service and its tasks needs to know of the rest.
type view struct {
	place
	nodes    map[string]dockerapi.Node
	networks map[string]dockerapi.Network
	own      map[string]bool // networks that Fairway's container is on
	// leaderDown: the leader, elected a moment ago, has given its own node up.
	leaderDown bool
}

// run is a task with what the lists alone do not say.
type run struct {
	dockerapi.Task
	leaving bool // it is not in the list of those that are meant to run
	hint    hintState
}

// hintState is what an event said about a task before any list did.
type hintState string

const (
	noHint   hintState = ""
	stopping hintState = "stopping" // its container got a signal to stop
	ended    hintState = "ended"    // its container does not run any more
)

func (v *view) service(s dockerapi.Service, runs []run) *catalog.Service {
	name := s.Name
	if !catalog.IsName(name) {
		name = s.ID
	}
	service := &catalog.Service{
		ID:        name + "@" + v.source,
		Name:      name,
		Source:    v.source,
		OwnLabels: true,
		Virtual:   v.virtual(s),
		Created:   s.Created,
		Image:     s.Image,
	}
	if s.Mode == "replicated" {
		replicas := int(min(s.Replicas, math.MaxInt32))
		service.Replicas = &replicas
	}
	if len(s.Labels) > 0 {
		service.Labels = s.Labels
	}
	service.Env = s.Env
	for _, r := range runs {
		if i := v.instance(name, s, r); i != nil {
			service.Instances = append(service.Instances, i)
		}
	}
	slices.SortFunc(service.Instances, func(a, b *catalog.Instance) int { return strings.Compare(a.ID, b.ID) })
	return service
}

// instance translates a task; nil for one that is history.
func (v *view) instance(service string, s dockerapi.Service, r run) *catalog.Instance {
	state, reason := v.state(r)
	if state == "" {
		return nil
	}
	i := &catalog.Instance{
		ID:          r.ID,
		Name:        service + "." + v.copyName(r.Task),
		Source:      v.source,
		Node:        r.NodeID,
		State:       state,
		StateReason: reason,
		Created:     r.Created,
		Ports:       v.ports(s, r.Task),
	}
	i.Image, _, _ = strings.Cut(r.Image, "@")
	if len(r.Labels) > 0 {
		i.Labels = r.Labels
	}
	if r.State == "running" {
		i.Started = r.Since
	}
	if state != catalog.StateStopped {
		i.Addresses = v.addresses(r.Task)
	}
	return i
}

// copyName names a task by slot, or one of a global service by node.
func (v *view) copyName(t dockerapi.Task) string {
	if t.Slot > 0 {
		return strconv.Itoa(t.Slot)
	}
	return cmp.Or(v.nodes[t.NodeID].Name, t.NodeID, t.ID)
}

// state says whether a task can serve; "" when it is history.
func (v *view) state(r run) (catalog.State, string) {
	node, known := v.nodes[r.NodeID]
	dead := !known || v.isDead(node)
	switch {
	case r.leaving || r.Desired == "remove":
		// One on a dead node is replaced already.
		if r.State != "running" || dead {
			return "", ""
		}
		if r.hint == ended {
			return catalog.StateStopped, "container ended"
		}
		return catalog.StateLeaving, "told to stop"
	case r.State == "running" && r.Desired == "running":
		switch {
		case !known:
			return catalog.StateUnhealthy, "its node is not in the Swarm"
		case dead:
			return catalog.StateUnhealthy, "node " + cmp.Or(node.Name, node.ID) + " is " + node.State
		case r.hint == stopping:
			return catalog.StateLeaving, "told to stop"
		case r.hint == ended:
			return catalog.StateStopped, "container ended"
		default:
			return catalog.StateReady, ""
		}
	}
	switch r.State {
	case "complete", "shutdown", "failed", "rejected", "remove", "orphaned", "":
		return "", ""
	default:
		return catalog.StateStarting, explain(r.Task)
	}
}

// isDead reports whether the managers have given a node up: it is down, or its state is not
// known and the leader does not reach the manager on it; see the package comment.
func (v *view) isDead(n dockerapi.Node) bool {
	switch {
	case n.State == "ready":
		return false
	case n.State == "down" && !v.leaderDown:
		return true
	default:
		return n.Unreachable
	}
}

// maxReason is the longest reason, in bytes; the text comes from engines.
const maxReason = 200

// explain says why a task does not run yet, such as "pending: no suitable node".
func explain(t dockerapi.Task) string {
	reason := t.State
	if t.Error != "" {
		reason += ": " + strings.Join(strings.Fields(strings.ToValidUTF8(t.Error, "?")), " ")
	}
	return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
}

// addresses returns the addresses of a task but those on the ingress network.
func (v *view) addresses(t dockerapi.Task) []catalog.Address {
	var list []catalog.Address
	for _, at := range t.Attachments {
		if at.Ingress || v.networks[at.NetworkID].Ingress {
			continue
		}
		if at.Network == daemon.HostNetwork && len(at.IPs) == 0 {
			if host := v.host(t.NodeID); host != "" {
				list = append(list, catalog.Address{Host: host, Network: daemon.HostNetwork, Reach: catalog.ReachBridge})
			}
			continue
		}
		for _, ip := range at.IPs {
			if daemon.Usable(ip) {
				list = append(list, catalog.Address{Host: ip.String(), Network: at.Network, Reach: v.reach(at.NetworkID)})
			}
		}
	}
	return daemon.SortAddresses(list)
}

// virtual returns the addresses of the whole service on known networks but the ingress one.
func (v *view) virtual(s dockerapi.Service) []catalog.Address {
	var list []catalog.Address
	for _, vip := range s.VirtualIPs {
		network, known := v.networks[vip.NetworkID]
		if known && !network.Ingress && daemon.Usable(vip.IP) {
			list = append(list, catalog.Address{Host: vip.IP.String(), Network: network.Name, Reach: v.reach(vip.NetworkID)})
		}
	}
	return daemon.SortAddresses(list)
}

func (v *view) reach(networkID string) catalog.Reach {
	if v.own[networkID] {
		return catalog.ReachShared
	}
	return catalog.ReachNone
}

// host returns where Fairway dials the ports of a node; empty when it cannot. A Swarm of one
// machine may call it 127.0.0.1.
func (v *view) host(nodeID string) string {
	ip := v.nodes[nodeID].Address
	if daemon.Usable(ip) || v.onHost && ip.IsLoopback() {
		return ip.String()
	}
	return ""
}

// ports returns the ports of a task that its service publishes. Only one published on the
// task's own node leads to this task.
func (v *view) ports(s dockerapi.Service, t dockerapi.Task) []catalog.Port {
	published := make(map[daemon.PortKey]string)
	// The task knows the port that Docker chose, the service the one asked for.
	for _, p := range slices.Concat(s.Ports, t.Ports) {
		k := daemon.PortKey{Number: p.Number, Protocol: p.Protocol}
		at := published[k]
		if host := v.host(t.NodeID); p.Mode == "host" && p.Published > 0 && host != "" {
			at = daemon.HostPort(host, p.Published)
		}
		published[k] = at
	}
	return daemon.Ports(published)
}

func (v *view) node(n dockerapi.Node) *catalog.Node {
	return &catalog.Node{
		ID:           n.ID,
		Name:         cmp.Or(n.Name, n.ID),
		Source:       v.source,
		State:        n.State,
		Availability: n.Availability,
		Address:      v.host(n.ID),
		Role:         n.Role,
		Engine:       n.Engine,
		Labels:       n.Labels,
		EngineLabels: n.EngineLabels,
		Version:      n.Version,
	}
}
