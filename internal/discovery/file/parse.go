package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/catalog"
	"fairway/internal/nearest"
)

// maxWeight is the largest weight of an instance, as package route has it.
const maxWeight = 256

// Parse reads the services of a file. source is the name of the source, which
// becomes part of the services' IDs. An unknown key, a key given twice, a
// missing or malformed value are faults; all of them are returned, joined, each
// with its line. A file must say "services:", even if there are none: an empty
// file is more likely one that is just being written.
//
// Every instance is ready, and its address is used as it is.
func Parse(source string, data []byte) ([]*catalog.Service, error) {
	var root yaml.Node
	loader := yaml.NewDecoder(bytes.NewReader(data))
	if err := loader.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New(`empty: "services" is missing`)
		}
		return nil, err
	}
	if err := loader.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document")
	}
	p := &parser{source: source}
	services := p.document(&root)
	if len(p.faults) > 0 {
		return nil, errors.Join(p.faults...)
	}
	return services, nil
}

// parser walks the tree and collects the faults.
type parser struct {
	source string
	faults []error
}

func (p *parser) fault(n *yaml.Node, format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...)))
}

func (p *parser) document(root *yaml.Node) []*catalog.Service {
	n := root
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	fields := p.fields(n, "the file", "services")
	list := fields["services"]
	if list == nil {
		if len(p.faults) == 0 {
			p.fault(n, `"services" is missing`)
		}
		return nil
	}
	var services []*catalog.Service
	seen := make(map[string]bool)
	for _, item := range p.items(list, "services") {
		s := p.service(item)
		if s == nil {
			continue
		}
		if seen[s.ID] {
			p.fault(item, "service %q is there twice", s.Name)
			continue
		}
		seen[s.ID] = true
		services = append(services, s)
	}
	slices.SortFunc(services, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return services
}

func (p *parser) service(n *yaml.Node) *catalog.Service {
	fields := p.fields(n, "a service", "name", "labels", "instances")
	if fields == nil {
		return nil
	}
	name, ok := p.text(n, fields, "name", true)
	if !ok {
		return nil
	}
	if !catalog.IsName(name) {
		p.fault(fields["name"], "name %q: want letters, digits, dots, dashes and underscores, beginning with a letter or digit, 128 at most", name)
		return nil
	}
	s := &catalog.Service{ID: name + "@" + p.source, Name: name, Source: p.source, OwnLabels: true}
	if labels := fields["labels"]; labels != nil {
		s.Labels = p.labels(labels)
	}
	seen := make(map[string]bool)
	if list := fields["instances"]; list != nil {
		for _, item := range p.items(list, "instances") {
			i := p.instance(item, name)
			if i == nil {
				continue
			}
			if seen[i.ID] {
				p.fault(item, "instance %q of service %q is there twice", i.Name, name)
				continue
			}
			seen[i.ID] = true
			s.Instances = append(s.Instances, i)
		}
	}
	slices.SortFunc(s.Instances, func(a, b *catalog.Instance) int { return strings.Compare(a.ID, b.ID) })
	return s
}

func (p *parser) instance(n *yaml.Node, service string) *catalog.Instance {
	fields := p.fields(n, "an instance", "address", "weight", "name", "node")
	if fields == nil {
		return nil
	}
	text, ok := p.text(n, fields, "address", true)
	if !ok {
		return nil
	}
	address, err := parseAddress(text)
	if err != nil {
		p.fault(fields["address"], "address %q: %v", text, err)
		return nil
	}
	name, _ := p.text(n, fields, "name", false)
	if name != "" && !catalog.IsName(name) {
		p.fault(fields["name"], "name %q: want letters, digits, dots, dashes and underscores", name)
		return nil
	}
	node, _ := p.text(n, fields, "node", false)
	i := &catalog.Instance{
		Name:      name,
		Source:    p.source,
		Node:      node,
		State:     catalog.StateReady,
		Addresses: []catalog.Address{address},
	}
	if i.Name == "" {
		i.Name = net.JoinHostPort(address.Host, strconv.Itoa(int(address.Port)))
	}
	i.ID = service + "/" + i.Name
	if fields["weight"] != nil {
		text, _ := p.text(n, fields, "weight", false)
		w, err := strconv.Atoi(text)
		if err != nil || w < 1 || w > maxWeight {
			p.fault(fields["weight"], "weight %q: want a number from 1 to %d", text, maxWeight)
		}
		i.Weight = w
	}
	return i
}

// labels reads a mapping of texts. Numbers and truth values are taken as they
// are written.
func (p *parser) labels(n *yaml.Node) map[string]string {
	pairs := p.pairs(n, "labels", func(*yaml.Node) {})
	if len(pairs) == 0 {
		return nil
	}
	labels := make(map[string]string, len(pairs))
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		if text, ok := scalar(pairs[key]); ok {
			labels[key] = text
		} else {
			p.fault(pairs[key], "label %q: want one text", key)
		}
	}
	return labels
}

// text returns the value of a field; ok is false when it has none, which is a
// fault if it is required.
func (p *parser) text(parent *yaml.Node, fields map[string]*yaml.Node, key string, required bool) (text string, ok bool) {
	n := fields[key]
	if n == nil {
		if required {
			p.fault(parent, "%q is missing", key)
		}
		return "", false
	}
	if text, ok = scalar(n); !ok || text == "" {
		p.fault(n, "%q: want one text", key)
		return "", false
	}
	return text, true
}

// scalar returns a plain value as it is written; nothing counts as "".
func scalar(n *yaml.Node) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		return "", false
	case n.Tag == "!!null":
		return "", true
	default:
		return n.Value, true
	}
}

// items returns the items of a list; nothing counts as an empty one.
func (p *parser) items(n *yaml.Node, what string) []*yaml.Node {
	if text, ok := scalar(n); ok && text == "" && n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		p.fault(n, "%s: want a list", what)
		return nil
	}
	return n.Content
}

// fields returns the values of a mapping with the given keys; nil when it is
// none.
func (p *parser) fields(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	return p.pairs(n, what, func(key *yaml.Node) {
		switch near := nearest.Word(key.Value, known); {
		case slices.Contains(known, key.Value):
		case near != "":
			p.fault(key, "%s has no key %q (did you mean %q?)", what, key.Value, near)
		default:
			p.fault(key, "%s has no key %q, only %s", what, key.Value, strings.Join(known, ", "))
		}
	})
}

// pairs returns a mapping, after showing each key to check; nil when n is none. Aliases are refused rather than
// followed: a few lines of them can stand for any amount of text.
func (p *parser) pairs(n *yaml.Node, what string, check func(key *yaml.Node)) map[string]*yaml.Node {
	if n.Kind != yaml.MappingNode {
		p.fault(n, "%s: want a mapping", what)
		return nil
	}
	pairs := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name, ok := scalar(key)
		switch {
		case !ok || name == "":
			p.fault(key, "%s: want a plain key", what)
		case pairs[name] != nil:
			p.fault(key, "%s: key %q is there twice", what, name)
		case value.Kind == yaml.AliasNode || name == "<<":
			p.fault(value, "%s: aliases are not followed, write it out", what)
		default:
			check(key)
			pairs[name] = value
		}
	}
	return pairs
}

// parseAddress reads host:port. The host is an IP address without zone or a
// DNS name.
func parseAddress(s string) (catalog.Address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return catalog.Address{}, errors.New("want host:port")
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return catalog.Address{}, errors.New("the port must be a number from 1 to 65535")
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		host = ip.Unmap().String()
	} else if !isHostName(host) {
		return catalog.Address{}, errors.New("the host is neither an IP address nor a DNS name")
	}
	return catalog.Address{Host: host, Port: uint16(number), Reach: catalog.ReachFixed}, nil
}

// isHostName tells whether s is a DNS name; underscores are let through since
// container networks use them.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if len(label) > 63 || !catalog.IsName(label) && !strings.HasPrefix(label, "_") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return true
}
