package docker

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/deploy/marks"
	"fairway/internal/discovery/daemon"
	"fairway/internal/dockerapi"
)

// onHost reports whether Fairway is in the network namespace of the engine's machine.
func (w *world) onHost() bool {
	self := w.facts(w.selfID)
	return w.host.Local && (w.selfID == "" || self != nil && self.NetworkMode == "host")
}

// maxStackDepth bounds how far network stacks of other containers are followed.
const maxStackDepth = 4

// nameOf is the name of a container without the mark of a deploy: a rename for one changes
// nothing of what is served.
func nameOf(c dockerapi.Container) string {
	base, _ := marks.Read(c.Name)
	return base
}

// instance translates a container. leaving is when it got a signal to stop, admit when it may
// get its first request; zero for never, and for at once.
func (w *world) instance(c dockerapi.Container, leaving time.Time, signal string, admit time.Time) *catalog.Instance {
	i := &catalog.Instance{
		ID:      c.ID,
		Name:    cmp.Or(nameOf(c), shortID(c.ID)),
		Source:  w.source,
		Node:    w.source,
		Image:   c.Image,
		Created: c.Created,
		Started: c.Started, Restarts: c.Restarts, Hostname: c.Hostname,
	}
	if len(c.Labels) > 0 {
		i.Labels = c.Labels
	}
	if w.variables && len(c.Variables) > 0 {
		i.Labels = maps.Clone(c.Variables)
		maps.Copy(i.Labels, c.Labels)
	}
	i.Env = c.Env
	i.State, i.StateReason = state(c, leaving, signal)
	if i.State == catalog.StateReady && w.now().Before(admit) {
		i.State, i.StateReason = catalog.StateStarting, "gets its first request "+marks.Admit(c.Labels).String()+" after its start"
	}
	stack := dockerapi.Container{} // what does not run is nowhere
	if c.Status == "running" || c.Status == "paused" || c.Status == "restarting" {
		stack = w.stack(c)
	}
	i.Addresses = w.addresses(stack)
	i.Ports = w.ports(c, stack)
	return i
}

func state(c dockerapi.Container, leaving time.Time, signal string) (catalog.State, string) {
	if !leaving.IsZero() && (c.Status == "running" || c.Status == "paused") {
		if name := daemon.SignalName(signal); name != "" {
			return catalog.StateLeaving, "told to stop by " + name
		}
		return catalog.StateLeaving, "told to stop"
	}
	_, mark := marks.Read(c.Name)
	if mark.IsLeaving(c.Started) && (c.Status == "running" || c.Status == "paused") {
		return catalog.StateLeaving, "replaced by a deploy"
	}
	detail := ""
	if c.Detail != "" {
		detail = ", " + c.Detail
	}
	switch c.Status {
	case "running":
		switch c.Health {
		case "starting":
			return catalog.StateStarting, "health check: starting"
		case "unhealthy":
			return catalog.StateUnhealthy, "health check: unhealthy" + detail
		default:
			return catalog.StateReady, ""
		}
	case "paused":
		return catalog.StatePaused, ""
	case "restarting":
		return catalog.StateStarting, "restarting" + detail
	case "created", "exited", "dead", "removing":
		if mark.Kind == marks.Kept {
			detail = ", kept for the way back"
		}
		return catalog.StateStopped, c.Status + detail
	default:
		return catalog.StateStopped, "unknown state"
	}
}

// stack returns the container whose network stack c uses.
func (w *world) stack(c dockerapi.Container) dockerapi.Container {
	for range maxStackDepth {
		id, ok := strings.CutPrefix(c.NetworkMode, "container:")
		if !ok {
			return c
		}
		other := w.facts(id)
		if other == nil || other.Status != "running" {
			return dockerapi.Container{}
		}
		c = *other
	}
	return dockerapi.Container{}
}

// addresses returns the addresses of a network stack, sorted.
func (w *world) addresses(c dockerapi.Container) []catalog.Address {
	if c.NetworkMode == daemon.HostNetwork {
		a := catalog.Address{Host: w.host.Name, Network: daemon.HostNetwork, Reach: catalog.ReachNone}
		if !w.enclosed && (w.onHost() || !w.host.Local) {
			a.Reach = catalog.ReachBridge
		} else if gateway := w.gateway(); gateway != "" {
			a.Host, a.Reach = gateway, catalog.ReachBridge
		}
		return []catalog.Address{a}
	}
	var list []catalog.Address
	for _, at := range c.Attachments {
		reach, link := w.reach(at), w.isLink(at)
		for _, ip := range []netip.Addr{at.IPv4, at.IPv6} {
			if daemon.Usable(ip) {
				list = append(list, catalog.Address{Host: ip.String(), Network: at.Network, Reach: reach, Link: link})
			}
		}
	}
	return daemon.SortAddresses(list)
}

// gateway is the address of the engine's machine on the first bridge that Fairway's own
// container is on; empty for none. Containers on the machine's network are reached by it.
func (w *world) gateway() string {
	self := w.facts(w.selfID)
	if self == nil || !w.host.Local {
		return ""
	}
	for _, at := range self.Attachments { // sorted by name
		if w.drivers[at.NetworkID] == "bridge" && daemon.Usable(at.Gateway) {
			return at.Gateway.String()
		}
	}
	return ""
}

// reach says how Fairway gets to a network; to an internal one over the host's bridge.
func (w *world) reach(at dockerapi.Attachment) catalog.Reach {
	if self := w.facts(w.selfID); self != nil {
		for _, mine := range self.Attachments {
			if mine.NetworkID == at.NetworkID && (at.NetworkID != "" || mine.Network == at.Network) && at.Network != daemon.HostNetwork {
				return catalog.ReachShared
			}
		}
	}
	if w.onHost() && !w.enclosed && w.drivers[at.NetworkID] == "bridge" {
		return catalog.ReachBridge
	}
	return catalog.ReachNone
}

// isLink reports whether a network is a part of one that this machine is on.
func (w *world) isLink(at dockerapi.Attachment) bool {
	here := w.host.Local && !w.enclosed && (w.onHost() || w.facts(w.selfID) != nil)
	driver := w.drivers[at.NetworkID]
	return here && (driver == "macvlan" || driver == "ipvlan")
}

// ports returns the ports a container declares, with where Fairway dials each through the host.
func (w *world) ports(c, stack dockerapi.Container) []catalog.Port {
	best := make(map[daemon.PortKey]dockerapi.Port)
	for _, p := range stack.Ports {
		k := daemon.PortKey{Number: p.Number, Protocol: p.Protocol}
		if than, ok := best[k]; p.HostPort > 0 && w.publishedAt(p) != "" && (!ok || morePublic(p, than)) {
			best[k] = p
		}
	}
	published := make(map[daemon.PortKey]string)
	for _, p := range slices.Concat(c.Exposed, c.Ports) {
		k := daemon.PortKey{Number: p.Number, Protocol: p.Protocol}
		if at, ok := best[k]; ok {
			published[k] = w.publishedAt(at)
		} else {
			published[k] = ""
		}
	}
	list := daemon.Ports(published)
	for i, p := range list {
		list[i].Bound = bound(stack, p)
	}
	return list
}

// bound returns where the engine has published a port, the most public place; empty for
// nowhere, and where that is known already.
func bound(stack dockerapi.Container, p catalog.Port) string {
	var best dockerapi.Port
	for _, q := range stack.Ports {
		if q.Number == p.Number && q.Protocol == p.Protocol && q.HostPort > 0 && (best.HostPort == 0 || morePublic(q, best)) {
			best = q
		}
	}
	if best.HostPort == 0 {
		return ""
	}
	host := "0.0.0.0"
	if best.HostIP.IsValid() {
		host = best.HostIP.Unmap().String()
	}
	if at := daemon.HostPort(host, best.HostPort); at != p.Published {
		return at
	}
	return ""
}

// morePublic prefers every address of the host, then IPv4, then the lower one.
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

// publishedAt returns where Fairway dials a published port; empty when it cannot, as in a
// container on the engine's machine, where the address differs between set-ups.
func (w *world) publishedAt(p dockerapi.Port) string {
	host := ""
	switch {
	case w.host.Local && !w.onHost():
		return ""
	case anyAddress(p.HostIP):
		host = w.host.Name
	case p.HostIP.IsLoopback() && !w.host.Local:
		return "" // on the other machine's own loopback
	default:
		host = p.HostIP.Unmap().String()
	}
	return daemon.HostPort(host, p.HostPort)
}

// shortID is the form in which people see a container ID.
func shortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// facts returns what is known of a container; nil when it is none, or nothing is known yet.
func (w *world) facts(id string) *dockerapi.Container {
	if e := w.containers[id]; e != nil && e.known {
		return e.facts
	}
	return nil
}

// refresh translates a container, and those that depend on it, again; see translate.
func (w *world) refresh(e *entry, details bool) {
	w.translate(e, details)
	w.refreshDependents(e.facts.ID)
}

// refreshDependents translates those that see id's network stack: for Fairway's own all.
func (w *world) refreshDependents(id string) {
	if id == w.selfID {
		w.refreshAll()
		return
	}
	sharing := "container:" + id
	for _, e := range w.containers {
		if e.facts.NetworkMode == sharing {
			w.translate(e, false)
		}
	}
}

func (w *world) refreshAll() {
	for _, e := range w.containers {
		w.translate(e, false)
	}
}

// hasLabel reports whether there is a label "key" or "key=value"; always for an empty one.
func hasLabel(labels map[string]string, wanted string) bool {
	key, value, exact := strings.Cut(wanted, "=")
	has, found := labels[key]
	return wanted == "" || found && (!exact || has == value)
}

// translate makes the instance of a container, and keeps the pointer of an equal one. details
// is true when nothing waits for the result unless it changes how the container serves.
func (w *world) translate(e *entry, details bool) {
	if !e.known || e.facts.Labels[labelSwarmService] != "" || e.facts.Labels[marks.LabelLock] != "" || !hasLabel(e.facts.Labels, w.label) {
		return // labels never change, so it never was one of ours
	}
	if e.admitted(w.now()); e.admit.After(w.now()) {
		w.waiting[e.facts.ID] = true
	}
	next, g := w.instance(*e.facts, e.leaving, e.signal, e.admit), groupOf(*e.facts, w.source)
	if e.instance != nil && e.group.group == g && reflect.DeepEqual(e.instance, next) {
		return
	}
	if details && e.instance != nil && e.instance.State == next.State && slices.Equal(e.instance.Addresses, next.Addresses) && maps.Equal(e.instance.Env, next.Env) {
		w.details = true
	} else {
		w.fresh = true
	}
	with := w.groups[g]
	if with == nil {
		with = &shared{group: g}
		w.groups[g] = with
	}
	if !slices.Equal(next.Ports, with.ports) {
		with.ports = next.Ports
	}
	next.Ports = with.ports
	e.instance, e.group = next, with
}
