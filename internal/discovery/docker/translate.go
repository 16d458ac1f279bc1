package docker

import (
	"cmp"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/discovery/daemon"
	"fairway/internal/dockerapi"
)

// place is where Fairway stands, seen from the engine.
type place struct {
	source   string
	host     dockerapi.Host
	enclosed bool   // the engine's networks are not those of its machine
	selfID   string // of Fairway's container; empty outside any container
}

// view is what translating one container needs to know of the others.
type view struct {
	place
	self    *dockerapi.Container // Fairway's container, when the engine has it
	drivers map[string]string
	find    func(id string) *dockerapi.Container // nil when there is none
}

// onHost reports whether Fairway is on the engine's machine and in its network
// namespace.
func (v *view) onHost() bool {
	return v.host.Local && (v.selfID == "" || v.self != nil && v.self.NetworkMode == "host")
}

// bridged reports whether the engine's bridges are within Fairway's reach.
func (v *view) bridged() bool { return v.onHost() && !v.enclosed }

// maxStackDepth bounds how far one container's network stack is followed into
// another's.
const maxStackDepth = 4

// instance translates a container. leaving is when it got a signal to stop,
// zero for never.
func (v *view) instance(c dockerapi.Container, leaving time.Time, signal string) *catalog.Instance {
	i := &catalog.Instance{
		ID:      c.ID,
		Name:    cmp.Or(c.Name, shortID(c.ID)),
		Source:  v.source,
		Node:    v.source,
		Image:   c.Image,
		Created: c.Created,
		Started: c.Started,
	}
	if len(c.Labels) > 0 {
		i.Labels = c.Labels
	}
	i.State, i.StateReason = state(c, leaving, signal)
	stack := dockerapi.Container{} // what does not run is nowhere
	if c.Status == "running" || c.Status == "paused" || c.Status == "restarting" {
		stack = v.stack(c)
	}
	i.Addresses = v.addresses(stack)
	i.Ports = v.ports(c, stack)
	return i
}

// state says whether a container can serve.
func state(c dockerapi.Container, leaving time.Time, signal string) (catalog.State, string) {
	if !leaving.IsZero() && (c.Status == "running" || c.Status == "paused") {
		if name := daemon.SignalName(signal); name != "" {
			return catalog.StateLeaving, "told to stop by " + name
		}
		return catalog.StateLeaving, "told to stop"
	}
	switch c.Status {
	case "running":
		switch c.Health {
		case "starting":
			return catalog.StateStarting, "health check: starting"
		case "unhealthy":
			return catalog.StateUnhealthy, "health check: unhealthy"
		default:
			return catalog.StateReady, ""
		}
	case "paused":
		return catalog.StatePaused, ""
	case "restarting":
		return catalog.StateStarting, "restarting"
	case "created", "exited", "dead", "removing":
		return catalog.StateStopped, c.Status
	default:
		return catalog.StateStopped, "unknown state"
	}
}

// stack returns the container whose network stack c uses: c itself, unless it
// was started in another one's.
func (v *view) stack(c dockerapi.Container) dockerapi.Container {
	for range maxStackDepth {
		id, ok := strings.CutPrefix(c.NetworkMode, "container:")
		if !ok {
			return c
		}
		other := v.find(id)
		if other == nil || other.Status != "running" {
			return dockerapi.Container{}
		}
		c = *other
	}
	return dockerapi.Container{}
}

// addresses returns the addresses of a network stack, sorted by network, then
// by host.
func (v *view) addresses(c dockerapi.Container) []catalog.Address {
	if c.NetworkMode == daemon.HostNetwork {
		a := catalog.Address{Host: v.host.Name, Network: daemon.HostNetwork, Reach: catalog.ReachNone}
		if !v.enclosed && (v.onHost() || !v.host.Local) {
			a.Reach = catalog.ReachBridge
		}
		return []catalog.Address{a}
	}
	var list []catalog.Address
	for _, at := range c.Attachments {
		reach := v.reach(at)
		for _, ip := range []netip.Addr{at.IPv4, at.IPv6} {
			if daemon.Usable(ip) {
				list = append(list, catalog.Address{Host: ip.String(), Network: at.Network, Reach: reach})
			}
		}
	}
	return daemon.SortAddresses(list)
}

// reach says how Fairway gets to a network. An internal network is no
// different: it has no way out, but the host is on its bridge.
func (v *view) reach(at dockerapi.Attachment) catalog.Reach {
	if v.self != nil {
		for _, mine := range v.self.Attachments {
			if mine.NetworkID == at.NetworkID && (at.NetworkID != "" || mine.Network == at.Network) && at.Network != daemon.HostNetwork {
				return catalog.ReachShared
			}
		}
	}
	if v.bridged() && v.drivers[at.NetworkID] == "bridge" {
		return catalog.ReachBridge
	}
	return catalog.ReachNone
}

// ports returns the ports a container declares, and for each where Fairway can
// dial it through the host. stack is the container whose network stack it uses.
func (v *view) ports(c, stack dockerapi.Container) []catalog.Port {
	published := make(map[portKey]dockerapi.Port)
	for _, p := range stack.Ports {
		if p.HostPort == 0 || v.publishedAt(p) == "" {
			continue
		}
		k := portKey{p.Number, p.Protocol}
		if best, ok := published[k]; !ok || morePublic(p, best) {
			published[k] = p
		}
	}
	numbers := make(map[portKey]bool)
	for _, p := range c.Exposed {
		numbers[portKey{p.Number, p.Protocol}] = true
	}
	for _, p := range c.Ports {
		numbers[portKey{p.Number, p.Protocol}] = true
	}
	var list []catalog.Port
	for k := range numbers {
		port := catalog.Port{Number: k.number, Protocol: k.protocol}
		if p, ok := published[k]; ok {
			port.Published = v.publishedAt(p)
		}
		list = append(list, port)
	}
	return daemon.SortPorts(list)
}

type portKey struct {
	number   uint16
	protocol string
}

// morePublic orders the places where one port is published: every address of
// the host before a certain one, IPv4 before IPv6, lower before higher.
func morePublic(p, than dockerapi.Port) bool {
	rank := func(p dockerapi.Port) int {
		r := 0
		if !anyAddress(p.HostIP) {
			r += 2
		}
		if p.HostIP.Is6() {
			r++
		}
		return r
	}
	return cmp.Or(cmp.Compare(rank(p), rank(than)), p.HostIP.Compare(than.HostIP), cmp.Compare(p.HostPort, than.HostPort)) < 0
}

func anyAddress(ip netip.Addr) bool { return !ip.IsValid() || ip.IsUnspecified() }

// publishedAt returns where Fairway dials a published port; empty when it
// cannot. From inside a container of the engine's machine the published ports
// are behind addresses that differ from one set-up to the next, so they are not
// used there.
func (v *view) publishedAt(p dockerapi.Port) string {
	host := ""
	switch {
	case v.host.Local && !v.onHost():
		return ""
	case anyAddress(p.HostIP):
		host = v.host.Name
	case p.HostIP.IsLoopback() && !v.host.Local:
		return "" // on the other machine's own loopback
	default:
		host = p.HostIP.Unmap().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(p.HostPort)))
}

// shortID is the form in which people see a container ID.
func shortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// view returns the view of the moment.
func (w *world) view() *view {
	v := &view{place: w.place, drivers: w.drivers, find: func(id string) *dockerapi.Container {
		if e := w.containers[id]; e != nil && e.known {
			return &e.facts
		}
		return nil
	}}
	if e := w.self(); e != nil {
		v.self = &e.facts
	}
	return v
}

// self returns the entry of Fairway's own container; nil when the engine does
// not have it.
func (w *world) self() *entry {
	if w.place.selfID == "" {
		return nil
	}
	if e := w.containers[w.place.selfID]; e != nil && e.known {
		return e
	}
	return nil
}

// findSelf completes the ID of Fairway's container where only its beginning is
// known.
func (w *world) findSelf(listed map[string]bool) {
	if w.place.selfID == "" || isFullID(w.place.selfID) {
		return
	}
	for id := range listed {
		if isFullID(id) && strings.HasPrefix(id, w.place.selfID) {
			w.place.selfID = id
			return
		}
	}
}

// refresh translates a container again after its facts changed, and with it
// those whose translation depends on it. details is true when nothing waits for
// the result unless it changes how the container serves.
func (w *world) refresh(e *entry, details bool) {
	w.translate(w.view(), e, details)
	w.refreshDependents(e.facts.ID)
}

// refreshDependents translates those again that see id's network stack: all of
// them for Fairway's own container, else those that share it.
func (w *world) refreshDependents(id string) {
	if id == w.place.selfID {
		w.refreshAll()
		return
	}
	for sharer := range w.sharers {
		if e := w.containers[sharer]; e.facts.NetworkMode == "container:"+id {
			w.translate(w.view(), e, false)
		}
	}
}

// refreshAll translates every container again.
func (w *world) refreshAll() {
	v := w.view()
	for _, e := range w.containers {
		w.translate(v, e, false)
	}
}

// translate makes the instance of a container. It keeps the pointer of one that
// did not change.
func (w *world) translate(v *view, e *entry, details bool) {
	if !e.known || e.facts.Labels[labelSwarmService] != "" {
		return // labels never change, so it never was one of ours
	}
	next := v.instance(e.facts, e.leaving, e.signal)
	g := groupOf(e.facts)
	if e.instance != nil {
		if e.group == g && reflect.DeepEqual(e.instance, next) {
			return
		}
		if e.group != g {
			w.groups.remove(e.group, e.facts.ID)
		}
	}
	if details && e.instance != nil && e.instance.State == next.State && slices.Equal(e.instance.Addresses, next.Addresses) {
		w.details = true
	} else {
		w.fresh = true
	}
	e.instance, e.group = next, g
	w.groups.put(g, next)
}
