package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Subject is a service, an instance or a node: one of the three is set.
type Subject struct {
	// Service is the ID of a service.
	Service string `json:"service,omitempty"`
	// Instance is a name, which one that takes its place has as well, and Source sees it.
	Instance string `json:"instance,omitempty"`
	Source   string `json:"source,omitempty"`
	// Node is the ID of a node, and NodeName what people call it.
	Node     string `json:"node,omitempty"`
	NodeName string `json:"nodeName,omitempty"`
}

// String returns the subject as one writes it: "service web@docker".
func (s Subject) String() string {
	switch {
	case s.Service != "":
		return "service " + s.Service
	case s.Instance != "":
		return "instance " + s.Instance
	case s.Node != "":
		return "node " + cmp.Or(s.NodeName, s.Node)
	}
	return ""
}

// Same reports whether two subjects are the same thing.
func (s Subject) Same(other Subject) bool {
	s.NodeName, other.NodeName = "", ""
	return s == other
}

// IsInstance reports whether the subject is this instance of a service.
func (s Subject) IsInstance(svc *Service, in *Instance) bool {
	return s.Instance != "" && s.Instance == in.Name && s.Source == cmp.Or(in.Source, svc.Source)
}

// subjects calls yield with each service, instance and node, and with its ID and name.
func (s *Snapshot) subjects(yield func(x Subject, id, name string)) {
	for _, svc := range s.Services {
		yield(Subject{Service: svc.ID}, svc.ID, svc.Name)
		for _, in := range svc.Instances {
			yield(Subject{Instance: in.Name, Source: cmp.Or(in.Source, svc.Source)}, in.ID, in.Name)
		}
	}
	for _, n := range s.Nodes {
		yield(Subject{Node: n.ID, NodeName: n.Name}, n.ID, n.Name)
	}
}

// In returns the subject with the name of its node, or ErrNoSubject.
func (s Subject) In(snapshot *Snapshot) (found Subject, err error) {
	found, err = s, fmt.Errorf("%w: %s", ErrNoSubject, s)
	snapshot.subjects(func(x Subject, _, _ string) {
		if x.Same(s) {
			found, err = x, nil
		}
	})
	return found, err
}

// ErrNoSubject is the error for a name that nothing in a snapshot has.
var ErrNoSubject = errors.New("no service, instance or node")

// isLone reports whether a service has one instance, this one: both names mean the same.
func (s *Snapshot) isLone(service, instance Subject) bool {
	return service.Service != "" && slices.ContainsFunc(s.Services, func(svc *Service) bool {
		return svc.ID == service.Service && len(svc.Instances) == 1 && instance.IsInstance(svc, svc.Instances[0])
	})
}

// ResolveSubject finds what an ID or name means; "service:", "instance:" or "node:" in front
// says which kind. A name that a service shares with its only instance means the service,
// and one that nothing has the service that it is the short name of.
// The error is ErrNoSubject, or says that the name is empty or ambiguous.
func ResolveSubject(s *Snapshot, text string) (Subject, error) {
	kind, name, found := strings.Cut(text, ":")
	if !found || !slices.Contains([]string{"service", "instance", "node"}, kind) {
		kind, name = "", text
	}
	if name == "" {
		return Subject{}, errors.New("a service, an instance or a node is needed")
	}
	var list []Subject
	s.subjects(func(x Subject, id, called string) {
		short := x.Instance != "" && len(name) >= 12 && strings.HasPrefix(id, name)
		if (id == name || called == name || short) && strings.HasPrefix(x.String(), kind) && !slices.Contains(list, x) {
			list = append(list, x)
		}
	})
	if len(list) == 0 && (kind == "" || kind == "service") {
		for _, svc := range s.ServicesNamed(name) {
			list = append(list, Subject{Service: svc.ID})
		}
	}
	switch len(list) {
	case 0:
		return Subject{}, fmt.Errorf("%w %q%s", ErrNoSubject, text, s.DidYouMean(name))
	case 1:
		return list[0], nil
	case 2:
		if s.isLone(list[0], list[1]) {
			return list[0], nil
		}
	}
	// The very ID of a service is meant before anything that is only named so.
	for _, found := range list {
		if found.Service == name {
			return found, nil
		}
	}
	var names []string
	for _, found := range list {
		names = append(names, strings.Replace(found.String(), " ", ":", 1))
	}
	return Subject{}, fmt.Errorf("%q may be %s: say which", text, strings.Join(names, " or "))
}

const (
	// LabelPrefix begins Fairway's own labels, in any case.
	LabelPrefix = "fairway."
	// FlowLabelPrefix begins the labels of Docker Flow.
	FlowLabelPrefix = "com.df."
	// ServiceLabel is the label by which instances name their service.
	ServiceLabel = LabelPrefix + "service"
)

// NoOwner owns the containers that are of no Compose project and no stack.
const NoOwner = "-"

// OwnedID is the ID of the service of a name while another owner has the name.
func OwnedID(name, owner string) string { return name + "~" + owner }

// IsLabel reports whether a label means something to Fairway: one of its own, or of a
// dialect.
func IsLabel(key string) bool {
	return HasPrefix(key, LabelPrefix) || HasPrefix(key, FlowLabelPrefix) || HasPrefix(key, TraefikPrefix) ||
		HasPrefix(key, NginxPrefix) || IsCaddyLabel(key)
}

// Labelled reports whether the service or one of its instances has a label that means
// something to Fairway.
func (s *Service) Labelled() bool {
	has := func(labels map[string]string) bool {
		return HaveLabels(labels, LabelPrefix) || HaveLabels(labels, FlowLabelPrefix)
	}
	return has(s.Labels) || slices.ContainsFunc(s.Instances, func(in *Instance) bool { return has(in.Labels) })
}

// HasPrefix reports whether a label begins with a prefix in lower case. Case and space
// around it do not count.
func HasPrefix(key, prefix string) bool {
	key = strings.TrimSpace(key)
	return len(key) >= len(prefix) && strings.EqualFold(key[:len(prefix)], prefix)
}

// HaveLabels reports whether any label begins with a prefix.
func HaveLabels(labels map[string]string, prefix string) bool {
	for key := range labels {
		if HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

const maxName = 128

// IsName reports whether s can be the name of a service or an instance, by Docker's own
// rule and 128 bytes at most. It keeps "@" and "/" out, which have a meaning in IDs.
func IsName(s string) bool {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return s != "" && len(s) <= maxName && strings.Contains(first, s[:1]) && strings.Trim(s, first+".-_") == ""
}

// IsHostName reports whether s is a DNS name, or one of a container with underscores.
func IsHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if len(label) > 63 || !IsName(label) && !strings.HasPrefix(label, "_") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return true
}

const shortID, fullID, taskID = 12, 64, 25 // lengths

// ShortID is the ID of a container at the length that people know, and any other ID as it
// is. The IDs of endpoints begin with it.
func (in *Instance) ShortID() string {
	if len(in.ID) != fullID || !isHex(in.ID) {
		return in.ID
	}
	return in.ID[:shortID]
}

// IsShortID says whether an ID is the ShortID of a container, or the ID of a task.
func IsShortID(id string) bool {
	return len(id) == shortID && isHex(id) || len(id) == taskID && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// VirtualID stands in the ID of an endpoint for the instance where that is the virtual
// address of a service.
const VirtualID = "virtual"
