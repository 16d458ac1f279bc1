package swarmservice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// Spec is a Swarm service to be created, in the words of `docker service create`. The
// tags make it flags and arguments of the command line.
type Spec struct {
	Name         string   `arg:"" help:"Name of the service."`
	Image        string   `arg:"" help:"Image of its containers."`
	Args         []string `arg:"" optional:"" help:"Arguments in place of the image's command. Put -- before flags."`
	Mode         string   `name:"mode" enum:"replicated,global" default:"replicated" help:"replicated or global."`
	Replicas     *uint64  `name:"replicas" placeholder:"N" help:"Number of tasks. Default: 1."`
	Command      []string `name:"command" sep:"none" placeholder:"WORD" help:"Entry point in place of the image's, one word each. Repeatable."`
	Networks     []string `name:"network" sep:"none" placeholder:"NAME" help:"Network to attach it to. Repeatable."`
	Labels       []string `name:"label" short:"l" sep:"none" placeholder:"KEY=VALUE" help:"Label of the service. Repeatable."`
	Env          []string `name:"env" short:"e" sep:"none" placeholder:"KEY=VALUE" help:"Environment variable of its containers. Repeatable."`
	Publish      []string `name:"publish" short:"p" sep:"none" placeholder:"PORT" help:"Port: mode=host,target=80,published=8080, or 8080:80. Repeatable."`
	EndpointMode string   `name:"endpoint-mode" placeholder:"MODE" help:"vip or dnsrr. Default: vip."`
	Mounts       []string `name:"mount" sep:"none" placeholder:"MOUNT" help:"type=bind,source=/a,target=/b,readonly. Repeatable."`
	Constraints  []string `name:"constraint" sep:"none" placeholder:"TEXT" help:"Placement constraint, such as node.role==manager. Repeatable."`
	LimitCPU     string   `name:"limit-cpu" placeholder:"N" help:"CPU limit of a task, such as 0.5."`
	LimitMemory  string   `name:"limit-memory" placeholder:"BYTES" help:"Memory limit of a task, such as 256m."`
	Updates
}

// Updates says how the tasks of a service are replaced when it changes. What is
// empty stays as it is, or as Docker has it.
type Updates struct {
	Parallelism *uint64        `name:"update-parallelism" placeholder:"N" help:"Tasks replaced at once; 0 for all."`
	Delay       *time.Duration `name:"update-delay" placeholder:"DURATION" help:"Pause between two steps."`
	Order       string         `name:"update-order" placeholder:"ORDER" help:"start-first or stop-first."`
}

// Change is what to change of a Swarm service, in the words of `docker service update`. The
// zero value changes nothing. A network to remove that is not attached is a fault. Ports to
// remove go first, so that one can be published anew.
type Change struct {
	Image          string   `name:"image" placeholder:"IMAGE" help:"Image of its containers."`
	LabelsAdd      []string `name:"label-add" sep:"none" placeholder:"KEY=VALUE" help:"Label to add or replace. Repeatable."`
	LabelsRemove   []string `name:"label-rm" sep:"none" placeholder:"KEY" help:"Label to remove. Repeatable."`
	EnvAdd         []string `name:"env-add" sep:"none" placeholder:"KEY=VALUE" help:"Environment variable to add or replace. Repeatable."`
	EnvRemove      []string `name:"env-rm" sep:"none" placeholder:"KEY" help:"Environment variable to remove. Repeatable."`
	NetworksAdd    []string `name:"network-add" sep:"none" placeholder:"NAME" help:"Network to attach it to. Repeatable."`
	NetworksRemove []string `name:"network-rm" sep:"none" placeholder:"NAME" help:"Network to detach it from. Repeatable."`
	PublishAdd     []string `name:"publish-add" sep:"none" placeholder:"PORT" help:"Port to publish, as for service create. Repeatable."`
	PublishRemove  []string `name:"publish-rm" sep:"none" placeholder:"PORT" help:"Container port to unpublish, such as 80 or 53/udp. Repeatable."`
	Replicas       *uint64  `name:"replicas" placeholder:"N" help:"Number of tasks."`
	Force          bool     `name:"force" help:"Replace the tasks even without another change."`
	Updates
}

// spec checks everything and returns the specification, or all faults at once.
func (n Spec) spec() (swarm.ServiceSpec, error) {
	c := &swarm.ContainerSpec{Command: n.Command, Args: n.Args}
	s := swarm.ServiceSpec{
		Annotations:  swarm.Annotations{Name: n.Name, Labels: map[string]string{}},
		TaskTemplate: swarm.TaskSpec{ContainerSpec: c},
		EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionMode(cmp.Or(n.EndpointMode, "vip"))},
	}
	if len(n.Constraints) > 0 {
		s.TaskTemplate.Placement = &swarm.Placement{Constraints: n.Constraints}
	}
	var faults []error
	if n.Name == "" || n.Image == "" {
		faults = append(faults, errors.New("a service needs a name and an image"))
	}
	faults = append(faults, n.mode(&s))
	if mode := s.EndpointSpec.Mode; mode != "vip" && mode != "dnsrr" {
		faults = append(faults, fmt.Errorf("endpoint mode %q: write vip or dnsrr", mode))
	}
	// What a service can be changed in begins with nothing.
	added := Change{Image: n.Image, LabelsAdd: n.Labels, EnvAdd: n.Env, NetworksAdd: n.Networks, PublishAdd: n.Publish}
	faults = append(faults, added.apply(&s, nil))
	for _, text := range n.Mounts {
		m, err := parseMount(text)
		faults = append(faults, err)
		c.Mounts = append(c.Mounts, m)
	}
	return s, errors.Join(append(faults, n.limits(&s), n.Updates.apply(&s))...)
}

func (n Spec) mode(s *swarm.ServiceSpec) error {
	switch n.Mode {
	case "", "replicated":
		s.Mode.Replicated = &swarm.ReplicatedService{Replicas: cmp.Or(n.Replicas, new(uint64(1)))}
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

// networks returns the IDs of the Swarm's networks by name, when the change needs them.
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

// apply changes a specification in place, or returns all faults. networks has IDs by name.
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

// attach changes the networks, which a service may name by ID or by name.
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
	conf := *cmp.Or(s.EndpointSpec, &swarm.EndpointSpec{})
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
		faults = append(faults, err)
	}
	for _, text := range c.PublishAdd {
		p, err := parsePublish(text)
		if err == nil && conf.Mode == "dnsrr" && p.PublishMode == swarm.PortConfigPublishModeIngress {
			err = fmt.Errorf("publish %q: with endpoint mode dnsrr a port can only be published with mode=host", text)
		}
		faults, conf.Ports = append(faults, err), append(conf.Ports, p)
	}
	s.EndpointSpec = &conf
	return errors.Join(faults...)
}

// apply changes how tasks are replaced.
func (u Updates) apply(s *swarm.ServiceSpec) error {
	if u == (Updates{}) {
		return nil
	}
	// What Docker has, when a service says nothing.
	conf := *cmp.Or(s.UpdateConfig, &swarm.UpdateConfig{Parallelism: 1})
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
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return fmt.Errorf("label %q: write KEY=VALUE", pair)
		}
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[key] = value
	}
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

// parsePublish reads a port in Docker's short form (PUBLISHED:TARGET/PROTOCOL) or long one
// (mode=host,target=80,published=8080,protocol=tcp).
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
			n, err := strconv.ParseUint(value, 10, 16)
			switch {
			case key == "published" && value == "":
			case err != nil || n == 0:
				return fault("a port is a number from 1 to 65535")
			case key == "target":
				p.TargetPort = uint32(n)
			default:
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
