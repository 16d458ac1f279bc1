package swarmservice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	"fairway/internal/dockerapi"
	"fairway/internal/human"
)

// Spec is a Swarm service to be created, in the words of `docker service create`.
type Spec struct {
	Name, Image string
	// Mode is "replicated" (the default) or "global".
	Mode string
	// Replicas is how many tasks a replicated service has; nil for one.
	Replicas *uint64
	// Command replaces the image's entry point, Args its command.
	Command, Args []string
	// Networks are names or IDs.
	Networks []string
	// Labels and Env are KEY=VALUE.
	Labels, Env []string
	// Publish are ports: 8080:80/udp, or
	// mode=host,target=80,published=8080,protocol=tcp.
	Publish []string
	// EndpointMode is "vip" (the default) or "dnsrr".
	EndpointMode string
	// Mounts are type=bind,source=/a,target=/b,readonly.
	Mounts []string
	// Constraints are like node.role==manager.
	Constraints []string
	// LimitCPU is in CPUs, such as 0.5; LimitMemory in bytes or with k, m or g,
	// powers of 1024. Empty for none.
	LimitCPU, LimitMemory string
	Updates
}

// Updates says how the tasks of a service are replaced when it changes. What is
// empty stays as it is, or as Docker has it.
type Updates struct {
	// Parallelism is how many tasks are replaced at once; 0 for all.
	Parallelism *uint64
	// Delay is between two steps.
	Delay *time.Duration
	// Order is "stop-first" or "start-first".
	Order string
}

// Change is what to change of a Swarm service, in the words of `docker
// service update`. The zero value changes nothing.
type Change struct {
	Image string
	// LabelsAdd and EnvAdd are KEY=VALUE and replace what is there of the same
	// key; LabelsRemove and EnvRemove are keys.
	LabelsAdd, LabelsRemove []string
	EnvAdd, EnvRemove       []string
	Replicas                *uint64
	// NetworksAdd and NetworksRemove are names or IDs. One that is attached already
	// stays as it is; one to remove that is not attached is a fault.
	NetworksAdd, NetworksRemove []string
	// PublishAdd are ports as in Spec.Publish; PublishRemove are ports in the
	// container, as 80 or 53/udp, TCP unless they say otherwise. Those to remove go
	// first, so that a port can be published anew.
	PublishAdd, PublishRemove []string
	// Force replaces the tasks even when nothing else changes.
	Force bool
	Updates
}

// spec checks everything and returns the specification, or all faults at once.
func (n Spec) spec() (swarm.ServiceSpec, error) {
	c := &swarm.ContainerSpec{Image: n.Image, Command: n.Command, Args: n.Args}
	s := swarm.ServiceSpec{
		Annotations:  swarm.Annotations{Name: n.Name, Labels: map[string]string{}},
		TaskTemplate: swarm.TaskSpec{ContainerSpec: c},
	}
	for _, name := range n.Networks {
		s.TaskTemplate.Networks = append(s.TaskTemplate.Networks, swarm.NetworkAttachmentConfig{Target: name})
	}
	if len(n.Constraints) > 0 {
		s.TaskTemplate.Placement = &swarm.Placement{Constraints: n.Constraints}
	}
	var nameless error
	if n.Name == "" || n.Image == "" {
		nameless = errors.New("a service needs a name and an image")
	}
	return s, errors.Join(nameless, n.mode(&s), addLabels(&s, n.Labels), addEnv(c, n.Env), n.endpoint(&s), n.mounts(c), n.limits(&s), n.apply(&s))
}

func (n Spec) mounts(c *swarm.ContainerSpec) error {
	var faults []error
	for _, text := range n.Mounts {
		m, err := parseMount(text)
		faults = append(faults, err)
		c.Mounts = append(c.Mounts, m)
	}
	return errors.Join(faults...)
}

func (n Spec) mode(s *swarm.ServiceSpec) error {
	switch n.Mode {
	case "", "replicated":
		s.Mode.Replicated = &swarm.ReplicatedService{Replicas: new(uint64(1))}
		if n.Replicas != nil {
			s.Mode.Replicated.Replicas = n.Replicas
		}
	case "global":
		s.Mode.Global = &swarm.GlobalService{}
		if n.Replicas != nil {
			return errors.New("replicas: a global service has one task on each node")
		}
	default:
		return fmt.Errorf("mode %q: write replicated or global", n.Mode)
	}
	return nil
}

func (n Spec) endpoint(s *swarm.ServiceSpec) (err error) {
	s.EndpointSpec = &swarm.EndpointSpec{Mode: swarm.ResolutionMode(cmp.Or(n.EndpointMode, "vip"))}
	var fault error
	if n.EndpointMode != "" && n.EndpointMode != "vip" && n.EndpointMode != "dnsrr" {
		fault = fmt.Errorf("endpoint mode %q: write vip or dnsrr", n.EndpointMode)
	}
	s.EndpointSpec.Ports, err = parsePorts(n.Publish, s.EndpointSpec.Mode)
	return errors.Join(fault, err)
}

// parsePorts reads the ports to publish.
func parsePorts(texts []string, mode swarm.ResolutionMode) (ports []swarm.PortConfig, err error) {
	var faults []error
	for _, text := range texts {
		p, err := parsePublish(text)
		if err == nil && mode == "dnsrr" && p.PublishMode == swarm.PortConfigPublishModeIngress {
			err = fmt.Errorf("publish %q: with endpoint mode dnsrr a port can only be published with mode=host", text)
		}
		faults, ports = append(faults, err), append(ports, p)
	}
	return ports, errors.Join(faults...)
}

func (n Spec) limits(s *swarm.ServiceSpec) error {
	if n.LimitCPU == "" && n.LimitMemory == "" {
		return nil
	}
	var l swarm.Limit
	if n.LimitCPU != "" {
		cpus, err := strconv.ParseFloat(n.LimitCPU, 64)
		if err != nil || !(cpus > 0 && cpus < 1e6) {
			return fmt.Errorf("limit of CPUs %q: write a number above 0, such as 0.5", n.LimitCPU)
		}
		l.NanoCPUs = int64(cpus * 1e9)
	}
	if n.LimitMemory != "" {
		bytes, err := human.ParseBytes(n.LimitMemory)
		if err != nil {
			return fmt.Errorf("limit of memory %q: %w", n.LimitMemory, err)
		}
		l.MemoryBytes = bytes
	}
	s.TaskTemplate.Resources = &swarm.ResourceRequirements{Limits: &l}
	return nil
}

// check finds the faults that do not depend on the service.
func (c Change) check() error {
	c.NetworksRemove, c.PublishRemove = nil, nil
	return c.apply(&swarm.ServiceSpec{
		Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{}},
		TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{}},
	}, nil)
}

// networks returns the IDs of the Swarm's networks by name, when the change needs
// them.
func (c Change) networks(ctx context.Context, from *dockerapi.Client) (map[string]string, error) {
	if len(c.NetworksAdd)+len(c.NetworksRemove) == 0 {
		return nil, nil
	}
	list, _, err := from.SwarmNetworkList(ctx, nil)
	ids := make(map[string]string, len(list))
	for _, n := range list {
		ids[n.Name] = n.ID
	}
	return ids, err
}

// apply changes a specification in place, or returns all faults at once. networks
// has the IDs of networks by name.
func (c Change) apply(s *swarm.ServiceSpec, networks map[string]string) error {
	container := s.TaskTemplate.ContainerSpec
	if container == nil && (c.Image != "" || len(c.EnvAdd)+len(c.EnvRemove) > 0) {
		return errors.New("the service runs no containers")
	}
	if c.Image != "" {
		container.Image = c.Image
	}
	var fixed error
	if c.Replicas != nil && s.Mode.Replicated == nil {
		fixed = errors.New("replicas: only a replicated service has a number of tasks")
	} else if c.Replicas != nil {
		s.Mode.Replicated.Replicas = c.Replicas
	}
	for _, key := range c.LabelsRemove {
		delete(s.Labels, key)
	}
	var env error
	if container != nil {
		container.Env = slices.DeleteFunc(container.Env, func(pair string) bool {
			key, _, _ := strings.Cut(pair, "=")
			return slices.Contains(c.EnvRemove, key)
		})
		env = addEnv(container, c.EnvAdd)
	}
	if c.Force {
		s.TaskTemplate.ForceUpdate++
	}
	return errors.Join(fixed, addLabels(s, c.LabelsAdd), env, c.attach(s, networks), c.publish(s), c.Updates.apply(s))
}

// attach changes the networks. What a service has is named by ID or by name,
// whichever it was made with.
func (c Change) attach(s *swarm.ServiceSpec, networks map[string]string) error {
	id := func(name string) string { return cmp.Or(networks[name], name) }
	var faults []error
	for _, name := range c.NetworksRemove {
		before := len(s.TaskTemplate.Networks)
		s.TaskTemplate.Networks = slices.DeleteFunc(s.TaskTemplate.Networks, func(n swarm.NetworkAttachmentConfig) bool {
			return id(n.Target) == id(name)
		})
		if len(s.TaskTemplate.Networks) == before {
			faults = append(faults, fmt.Errorf("network %q: the service is not attached to it", name))
		}
	}
	for _, name := range c.NetworksAdd {
		if !slices.ContainsFunc(s.TaskTemplate.Networks, func(n swarm.NetworkAttachmentConfig) bool { return id(n.Target) == id(name) }) {
			s.TaskTemplate.Networks = append(s.TaskTemplate.Networks, swarm.NetworkAttachmentConfig{Target: name})
		}
	}
	return errors.Join(faults...)
}

// publish changes the ports.
func (c Change) publish(s *swarm.ServiceSpec) error {
	if len(c.PublishAdd)+len(c.PublishRemove) == 0 {
		return nil
	}
	conf := swarm.EndpointSpec{}
	if s.EndpointSpec != nil {
		conf = *s.EndpointSpec
	}
	conf.Ports = slices.Clone(conf.Ports)
	var faults []error
	for _, text := range c.PublishRemove {
		gone, err := parsePublish(text)
		if err == nil && gone.PublishedPort != 0 {
			err = fmt.Errorf("publish %q: to remove one, name its port in the container", text)
		}
		before := len(conf.Ports)
		conf.Ports = slices.DeleteFunc(conf.Ports, func(p swarm.PortConfig) bool {
			return p.TargetPort == gone.TargetPort && cmp.Or(p.Protocol, network.TCP) == gone.Protocol
		})
		if err == nil && len(conf.Ports) == before {
			err = fmt.Errorf("publish %q: the service does not publish it", text)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	added, err := parsePorts(c.PublishAdd, conf.Mode)
	conf.Ports = append(conf.Ports, added...)
	s.EndpointSpec = &conf
	return errors.Join(append(faults, err)...)
}

// apply changes how tasks are replaced.
func (u Updates) apply(s *swarm.ServiceSpec) error {
	if u == (Updates{}) {
		return nil
	}
	// What Docker has, when a service says nothing.
	conf := swarm.UpdateConfig{Parallelism: 1}
	if s.UpdateConfig != nil {
		conf = *s.UpdateConfig
	}
	if u.Parallelism != nil {
		conf.Parallelism = *u.Parallelism
	}
	if u.Delay != nil {
		if *u.Delay < 0 {
			return errors.New("update delay: cannot be negative")
		}
		conf.Delay = *u.Delay
	}
	switch u.Order {
	case "":
	case "stop-first", "start-first":
		conf.Order = swarm.UpdateOrder(u.Order)
	default:
		return fmt.Errorf("update order %q: write start-first or stop-first", u.Order)
	}
	s.UpdateConfig = &conf
	return nil
}

func addLabels(s *swarm.ServiceSpec, pairs []string) error {
	if len(pairs) == 0 {
		return nil
	}
	labels := maps.Clone(s.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return fmt.Errorf("label %q: write KEY=VALUE", pair)
		}
		labels[key] = value
	}
	s.Labels = labels
	return nil
}

// addEnv never repeats what it was given: a value may be a secret.
func addEnv(c *swarm.ContainerSpec, pairs []string) error {
	for i, pair := range pairs {
		key, _, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return fmt.Errorf("environment variable number %d: write KEY=VALUE", i+1)
		}
		at := slices.IndexFunc(c.Env, func(have string) bool { return have == key || strings.HasPrefix(have, key+"=") })
		if at < 0 {
			c.Env = append(c.Env, pair)
		} else {
			c.Env[at] = pair
		}
	}
	return nil
}

// parsePublish reads a port, in Docker's short form (PUBLISHED:TARGET/PROTOCOL) or
// long one (mode=host,target=80,published=8080,protocol=tcp).
func parsePublish(text string) (swarm.PortConfig, error) {
	p := swarm.PortConfig{Protocol: network.TCP, PublishMode: swarm.PortConfigPublishModeIngress}
	fault := func(why string) (swarm.PortConfig, error) {
		return p, fmt.Errorf("publish %q: %s", text, why)
	}
	fields := map[string]string{}
	if strings.Contains(text, "=") {
		for field := range strings.SplitSeq(text, ",") {
			key, value, _ := strings.Cut(field, "=")
			fields[key] = value
		}
	} else {
		ports, protocol, _ := strings.Cut(text, "/")
		published, target, both := strings.Cut(ports, ":")
		if !both {
			published, target = "", ports
		}
		fields["published"], fields["target"], fields["protocol"] = published, target, protocol
	}
	for key, value := range fields {
		switch key {
		case "mode":
			if value != "host" && value != "ingress" {
				return fault("mode is host or ingress")
			}
			p.PublishMode = swarm.PortConfigPublishMode(value)
		case "protocol":
			if value != "" && value != "tcp" && value != "udp" && value != "sctp" {
				return fault("the protocol is tcp, udp or sctp")
			}
			p.Protocol = network.IPProtocol(cmp.Or(value, "tcp"))
		case "target", "published":
			if key == "published" && value == "" {
				continue
			}
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil || n == 0 {
				return fault("a port is a number from 1 to 65535")
			}
			if key == "target" {
				p.TargetPort = uint32(n)
			} else {
				p.PublishedPort = uint32(n)
			}
		default:
			return fault(fmt.Sprintf("%q means nothing; write mode=host,target=80,published=8080 or 8080:80", key))
		}
	}
	if p.TargetPort == 0 {
		return fault("target, the port in the container, is missing")
	}
	return p, nil
}

// parseMount reads type=bind,source=/a,target=/b,readonly.
func parseMount(text string) (mount.Mount, error) {
	m := mount.Mount{Type: mount.TypeVolume}
	fault := func(why string) (mount.Mount, error) { return m, fmt.Errorf("mount %q: %s", text, why) }
	for field := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch key {
		case "type":
			if value != "bind" && value != "volume" && value != "tmpfs" {
				return fault("the type is bind, volume or tmpfs")
			}
			m.Type = mount.Type(value)
		case "source", "src":
			m.Source = value
		case "target", "dst", "destination":
			m.Target = value
		case "readonly", "ro":
			if value != "" && value != "true" && value != "false" {
				return fault("readonly is true or false")
			}
			m.ReadOnly = value != "false"
		default:
			return fault(fmt.Sprintf("%q means nothing; write type, source, target or readonly", key))
		}
	}
	if !strings.HasPrefix(m.Target, "/") {
		return fault("target, an absolute path in the container, is missing")
	}
	if m.Type == mount.TypeBind && !strings.HasPrefix(m.Source, "/") {
		return fault("source, an absolute path on the node, is missing")
	}
	return m, nil
}
