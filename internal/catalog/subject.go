package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Subject is a service, an instance or a node: exactly one of Service, Instance
// and Node is set.
type Subject struct {
	// Service is the ID of a service.
	Service string `json:"service,omitempty"`
	// Instance is the name of an instance, and Source the name of the source that
	// sees it. An instance of the same name that takes its place is meant as well.
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

// Same reports whether two subjects are the same thing. What people call a node
// does not count.
func (s Subject) Same(other Subject) bool {
	s.NodeName, other.NodeName = "", ""
	return s == other
}

// IsInstance reports whether the subject is this instance of a service.
func (s Subject) IsInstance(svc *Service, in *Instance) bool {
	return s.Instance != "" && s.Instance == in.Name && s.Source == cmp.Or(in.Source, svc.Source)
}

// In returns the subject with the name of its node. The error wraps ErrNoSubject
// when the snapshot does not have it.
func (s Subject) In(snapshot *Snapshot) (Subject, error) {
	for _, svc := range snapshot.Services {
		if s.Service != "" && s.Service == svc.ID {
			return s, nil
		}
		for _, in := range svc.Instances {
			if s.IsInstance(svc, in) {
				return s, nil
			}
		}
	}
	for _, n := range snapshot.Nodes {
		if s.Node != "" && s.Node == n.ID {
			s.NodeName = n.Name
			return s, nil
		}
	}
	return s, fmt.Errorf("%w: %s", ErrNoSubject, s)
}

// ErrNoSubject is the error for a name that nothing in a snapshot has.
var ErrNoSubject = errors.New("no service, instance or node")

// ResolveSubject finds the service, instance or node of a name: the ID or name
// of a service, or the ID or name of an instance or node. "service:", "instance:"
// or "node:" in front says which is meant. The error is ErrNoSubject, or says
// that the name is empty or names more than one.
func ResolveSubject(s *Snapshot, text string) (Subject, error) {
	kind, name, found := strings.Cut(text, ":")
	if !found || !slices.Contains([]string{"service", "instance", "node"}, kind) {
		kind, name = "", text
	}
	if name == "" {
		return Subject{}, errors.New("a service, an instance or a node is needed")
	}
	var list []Subject
	add := func(want string, subject Subject) {
		if (kind == "" || kind == want) && !slices.Contains(list, subject) {
			list = append(list, subject)
		}
	}
	for _, svc := range s.Services {
		if svc.ID == name || svc.Name == name {
			add("service", Subject{Service: svc.ID})
		}
		for _, in := range svc.Instances {
			if in.ID == name || in.Name == name || len(name) >= 12 && strings.HasPrefix(in.ID, name) {
				add("instance", Subject{Instance: in.Name, Source: cmp.Or(in.Source, svc.Source)})
			}
		}
	}
	for _, n := range s.Nodes {
		if n.ID == name || n.Name == name {
			add("node", Subject{Node: n.ID, NodeName: n.Name})
		}
	}
	switch len(list) {
	case 0:
		return Subject{}, fmt.Errorf("%w %q", ErrNoSubject, text)
	case 1:
		return list[0], nil
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
	return Subject{}, fmt.Errorf("%q may be %s", text, strings.Join(names, " or "))
}
