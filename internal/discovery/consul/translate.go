package consul

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/consul"
)

// maxWeight is the largest weight of an instance, as package route has it.
const maxWeight = 256

// maxID bounds the ID of an instance, which its registration chooses.
const maxID = 160

// translator makes services of the catalogue out of those of Consul.
type translator struct {
	source     string
	datacenter string // another one than the agent's; empty for that
	all        bool   // services without labels, too
	unready    bool   // a warning makes an instance unhealthy
	own        string // the owner of entries that are Fairway's own; empty for none
}

// wants reports whether a service is read, by its name and the tags of all its instances.
func (t translator) wants(name string, tags []string) bool {
	if name == "consul" || !catalog.IsName(name) {
		return false
	}
	return t.all || slices.ContainsFunc(tags, func(tag string) bool { key, _, _ := strings.Cut(tag, "="); return catalog.IsLabel(key) })
}

// service makes a service and its nodes out of all its instances. Of several instances with
// one ID the first counts.
func (t translator) service(name string, entries []consul.Entry) (*catalog.Service, []*catalog.Node) {
	s := &catalog.Service{ID: name + "@" + t.source, Name: name, Source: t.source}
	var nodes []*catalog.Node
	for i := range entries {
		e := &entries[i]
		if e.Service.Kind != "" || t.own != "" && e.Service.Meta[consul.MetaOwner] == t.own {
			continue
		}
		s.Instances = append(s.Instances, t.instance(e))
		nodes = append(nodes, t.node(e))
	}
	slices.SortStableFunc(s.Instances, func(a, b *catalog.Instance) int { return strings.Compare(a.ID, b.ID) })
	s.Instances = slices.CompactFunc(s.Instances, func(a, b *catalog.Instance) bool { return a.ID == b.ID })
	slices.SortStableFunc(nodes, func(a, b *catalog.Node) int { return strings.Compare(a.ID, b.ID) })
	return s, slices.CompactFunc(nodes, func(a, b *catalog.Node) bool { return a.ID == b.ID })
}

func (t translator) nodeID(name string) string { return safe(name) + "@" + t.source }

func (t translator) node(e *consul.Entry) *catalog.Node {
	n := &catalog.Node{ID: t.nodeID(e.Node.Node), Name: e.Node.Node, Source: t.source, State: "ready", Address: e.Node.Address}
	for _, c := range e.Checks {
		if c.CheckID == "serfHealth" && c.Status == consul.Critical {
			n.State = "down"
		}
	}
	return n
}

func (t translator) instance(e *consul.Entry) *catalog.Instance {
	id := safe(e.Node.Node + ":" + e.Service.ID)
	in := &catalog.Instance{ID: id, Name: id, Source: t.source, Node: t.nodeID(e.Node.Node), Labels: labels(e.Service)}
	in.State, in.StateReason = t.state(e.Checks)
	weight := e.Service.Weights.Passing
	if strings.HasPrefix(in.StateReason, consul.Warning) {
		weight = e.Service.Weights.Warning
	}
	if weight = min(weight, maxWeight); weight > 1 {
		in.Weight = weight
	}
	if a, ok := t.address(e); ok {
		in.Addresses = []catalog.Address{a}
	} else {
		in.State, in.StateReason = catalog.StateUnhealthy, "its address in Consul is neither an IP address nor a host name"
	}
	return in
}

// address is that of the instance, else that of its node; from another datacenter the one
// for the wide area.
func (t translator) address(e *consul.Entry) (catalog.Address, bool) {
	host, port := e.Service.Address, e.Service.Port
	if t.datacenter != "" {
		wide := e.Service.TaggedAddresses["wan"]
		host = cmp.Or(wide.Address, host, e.Node.TaggedAddresses["wan"])
		if wide.Address != "" && wide.Port > 0 {
			port = wide.Port
		}
	}
	host = cmp.Or(host, e.Node.Address)
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		host = ip.Unmap().String()
	} else if !catalog.IsHostName(host) {
		return catalog.Address{}, false
	}
	if port < 0 || port > 65535 {
		port = 0
	}
	return catalog.Address{Host: host, Port: uint16(port), Reach: catalog.ReachFixed}, true
}

// state judges all checks of an instance and its node: a maintenance first, then the worst.
func (t translator) state(checks []consul.Check) (catalog.State, string) {
	var warning string
	critical := ""
	for _, c := range checks {
		if c.Status != consul.Passing && (c.CheckID == consul.NodeMaintenance || strings.HasPrefix(c.CheckID, consul.ServiceMaintenance)) {
			return catalog.StatePaused, cmp.Or(c.Notes, "maintenance")
		}
		name := cmp.Or(c.Name, c.CheckID)
		if c.ServiceID == "" {
			name = "node: " + c.CheckID
		}
		switch {
		case c.Status == consul.Passing:
		case c.Status == consul.Warning:
			warning = cmp.Or(warning, "warning: "+name)
		case c.ServiceID == "":
			critical = cmp.Or(critical, name)
		default:
			critical = cmp.Or(critical, "critical: "+name)
		}
	}
	switch {
	case critical != "":
		return catalog.StateUnhealthy, critical
	case warning != "" && t.unready:
		return catalog.StateUnhealthy, warning
	}
	return catalog.StateReady, warning
}

// labels are those of tags in the form key=value, of equal keys the first; other tags are the
// label fairway.tags. Keys of metadata cannot have a dot.
func labels(s consul.Service) map[string]string {
	out := map[string]string{}
	var plain []string
	for _, tag := range s.Tags {
		key, value, _ := strings.Cut(tag, "=")
		switch {
		case !catalog.IsLabel(key):
			plain = append(plain, tag)
		default:
			if _, there := out[key]; !there {
				out[key] = value
			}
		}
	}
	const tagsLabel = catalog.LabelPrefix + "tags"
	if _, there := out[tagsLabel]; !there && len(plain) > 0 {
		out[tagsLabel] = strings.Join(plain, ",")
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// safe makes an ID of what a registration chose freely: other letters than those of IDs
// become dashes, and a part of the hash keeps such IDs apart.
func safe(id string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/"
	if len(id) <= maxID && strings.Trim(id, letters) == "" {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	mapped := strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters, r) {
			return r
		}
		return '-'
	}, id)
	return mapped[:min(len(mapped), maxID)] + "~" + hex.EncodeToString(sum[:4])
}
