package file

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/catalog"
	"fairway/internal/yamlnode"
)

// maxWeight is the largest weight of an instance, as package route has it.
const maxWeight = 256

// Parse reads the services of a file; source becomes part of their IDs. The error has all
// faults with their lines. A file must say "services:", even if there are none: an empty file
// is more likely one that is just being written.
func Parse(source string, data []byte) ([]*catalog.Service, error) {
	root, err := yamlnode.Document(data, "services")
	if err != nil {
		return nil, err
	}
	p := &parser{source: source}
	services := p.document(root)
	if err := p.Err(); err != nil {
		return nil, err
	}
	return services, nil
}

type parser struct {
	yamlnode.Reader
	source string
}

func (p *parser) document(root *yaml.Node) []*catalog.Service {
	fields := p.Fields(root, "the file", "services")
	list := fields["services"]
	if list == nil {
		if p.Err() == nil {
			p.Fault(root, `"services" is missing`)
		}
		return nil
	}
	var services []*catalog.Service
	seen := make(map[string]bool)
	for _, item := range p.Items(list, "services") {
		s := p.service(item)
		if s == nil {
			continue
		}
		if seen[s.ID] {
			p.Fault(item, "service %q is there twice", s.Name)
			continue
		}
		seen[s.ID] = true
		services = append(services, s)
	}
	slices.SortFunc(services, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return services
}

func (p *parser) service(n *yaml.Node) *catalog.Service {
	fields := p.Fields(n, "a service", "name", "labels", "instances")
	name, ok := p.Text(n, fields, "name", true)
	if !ok {
		return nil
	}
	if !catalog.IsName(name) {
		p.Fault(fields["name"], "name %q: want letters, digits, dots, dashes and underscores, beginning with a letter or digit, 128 at most", name)
		return nil
	}
	s := &catalog.Service{ID: name + "@" + p.source, Name: name, Source: p.source, OwnLabels: true}
	s.Labels = p.Texts(fields["labels"], "labels", func(key string, value *yaml.Node) (string, bool) {
		text, ok := yamlnode.Scalar(value)
		if !ok {
			p.Fault(value, "label %q: want one text", key)
		}
		return text, ok
	})
	seen := make(map[string]bool)
	for _, item := range p.Items(fields["instances"], "instances") {
		i := p.instance(item, name)
		if i == nil {
			continue
		}
		if seen[i.ID] {
			p.Fault(item, "instance %q of service %q is there twice", i.Name, name)
			continue
		}
		seen[i.ID] = true
		s.Instances = append(s.Instances, i)
	}
	slices.SortFunc(s.Instances, func(a, b *catalog.Instance) int { return strings.Compare(a.ID, b.ID) })
	return s
}

func (p *parser) instance(n *yaml.Node, service string) *catalog.Instance {
	fields := p.Fields(n, "an instance", "address", "weight", "name", "node")
	text, ok := p.Text(n, fields, "address", true)
	if !ok {
		return nil
	}
	address, err := parseAddress(text)
	if err != nil {
		p.Fault(fields["address"], "address %q: %v", text, err)
		return nil
	}
	name, _ := p.Text(n, fields, "name", false)
	if name != "" && !catalog.IsName(name) {
		p.Fault(fields["name"], "name %q: want letters, digits, dots, dashes and underscores", name)
		return nil
	}
	node, _ := p.Text(n, fields, "node", false)
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
		text, _ := p.Text(n, fields, "weight", false)
		w, err := strconv.Atoi(text)
		if err != nil || w < 1 || w > maxWeight {
			p.Fault(fields["weight"], "weight %q: want a number from 1 to %d", text, maxWeight)
		}
		i.Weight = w
	}
	return i
}

// parseAddress reads host:port. The host is an IP address without zone or a DNS name.
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
	} else if !catalog.IsHostName(host) {
		return catalog.Address{}, errors.New("the host is neither an IP address nor a DNS name")
	}
	return catalog.Address{Host: host, Port: uint16(number), Reach: catalog.ReachFixed}, nil
}
