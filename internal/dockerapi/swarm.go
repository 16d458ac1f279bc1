package dockerapi

import (
	"cmp"
	"context"
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"fairway/internal/catalog"
)

// Service is what Fairway wants to know about a Swarm service, and no more.
type Service struct {
	ID, Name string // both unique in the Swarm
	Version  uint64 // grows with each change; an update names the one it is based on
	Created  time.Time
	// Labels are those of the service itself, not of its containers. They may be nil.
	Labels map[string]string
	// Env are the variables of its containers that mean something (see catalog.Variables).
	Env   map[string]string
	Image string // the reference for its tasks, often with a digest
	// Mode is "replicated", "global", "replicated-job" or "global-job".
	Mode       string
	Replicas   uint64        // wanted, in mode replicated; 0 in the others
	Ports      []ServicePort // of its endpoint, sorted
	VirtualIPs []VirtualIP   // each stands for all tasks; none with endpoint mode dnsrr
	Updating   bool          // an update or a roll-back is under way
}

// ServicePort is a port of a service or of a task.
type ServicePort struct {
	Number   uint16 // inside the container
	Protocol string // "tcp", "udp" or "sctp"
	// Published is the port on the nodes; zero when Docker has chosen none yet.
	Published uint16
	// Mode is "host" for a port on the node of the task, "ingress" for one on every node.
	Mode string
}

// VirtualIP is the address of a service on a network.
type VirtualIP struct {
	NetworkID string
	IP        netip.Addr
}

// Task is one run of a service's container on a node.
type Task struct {
	ID, ServiceID string
	NodeID        string // empty until a node is chosen
	Version       uint64 // grows with each change of the task
	Created       time.Time
	Slot          int    // counts the tasks of a replicated service from 1; zero for a global one
	Image         string // the reference the container is created from, often with a digest
	// Labels are the container's own labels, without those Docker adds.
	Labels     map[string]string
	StopSignal string // that its service names; empty for that of the image
	// State is what the task does: new, pending, assigned, accepted, preparing, ready,
	// starting, running, complete, shutdown, failed, rejected, remove or orphaned. Docker
	// leaves it as it is when the node goes down. Desired is what it is meant to do: ready,
	// running, complete, shutdown or remove.
	State, Desired string
	// Since is when State was reported, and Error why it is not better.
	Since       time.Time
	Error       string
	ContainerID string // empty until there is a container
	// Attachments are its places on networks, in Docker's order.
	Attachments []TaskAttachment
	Ports       []ServicePort // published on its node in mode host, sorted
}

// TaskAttachment is a task's place on a network.
type TaskAttachment struct {
	NetworkID, Network string
	Ingress            bool // see Network
	// IPs is empty for networks that Docker gives no addresses on, such as host.
	IPs []netip.Addr
}

// Node is a machine of a Swarm.
type Node struct {
	ID      string
	Version uint64
	Name    string // of the host
	// Role is "manager" or "worker"; Availability "active", "pause" or "drain".
	Role, Availability string
	// State is "ready", "down", "unknown" or "disconnected".
	State string
	// Address is how the managers see it; invalid when they do not say.
	Address netip.Addr
	// Leader is true for the manager that leads, Unreachable for one it cannot reach.
	Leader, Unreachable bool
	Engine              string // its version
	// Labels are those in the Swarm, EngineLabels those of its engine. They may be nil.
	Labels, EngineLabels map[string]string
}

// Network is a network of an engine or of a Swarm.
type Network struct {
	ID   string `json:"Id"`
	Name string
	// Driver is bridge, host, null, overlay, macvlan, ipvlan or a plugin's name.
	Driver string
	// Ingress is true for the network that carries ports published on every node.
	Ingress bool
}

// TaskFilter restricts a list of tasks. The zero value does not.
type TaskFilter struct {
	Desired []string // the desired states wanted
	IDs     []string // the tasks wanted; one that does not exist is no error
}

// ServiceList returns all services. See Seen for changed. GET /services.
func (c *Client) ServiceList(ctx context.Context, seen *Seen) (list []Service, changed bool, err error) {
	return getList(ctx, c, "services", nil, seen, wireService.service)
}

// TaskList returns the tasks that pass the filter. See Seen for changed. GET /tasks.
func (c *Client) TaskList(ctx context.Context, f TaskFilter, seen *Seen) (list []Task, changed bool, err error) {
	var query url.Values
	filters := client.Filters{}
	if len(f.Desired) > 0 {
		query = filtered(filters.Add("desired-state", f.Desired...))
	}
	if len(f.IDs) > 0 {
		query = filtered(filters.Add("id", f.IDs...))
	}
	return getList(ctx, c, "tasks", query, seen, wireTask.task)
}

// NodeList returns all nodes. See Seen for changed. GET /nodes.
func (c *Client) NodeList(ctx context.Context, seen *Seen) (list []Node, changed bool, err error) {
	return getList(ctx, c, "nodes", nil, seen, wireNode.node)
}

// NetworkList returns all networks that an engine has. GET /networks.
func (c *Client) NetworkList(ctx context.Context) ([]Network, error) {
	list, _, err := getList(ctx, c, "networks", nil, nil, func(n Network) Network { return n })
	return list, err
}

// SwarmNetworkList returns the networks of the Swarm. See Seen for changed. GET /networks.
func (c *Client) SwarmNetworkList(ctx context.Context, seen *Seen) (list []Network, changed bool, err error) {
	return getList(ctx, c, "networks", filtered(client.Filters{}.Add("scope", "swarm")), seen, func(n Network) Network { return n })
}

// The wire types name what is decoded. Above all the environment of containers is not.

type wireMeta struct {
	ID        string
	Version   struct{ Index uint64 }
	CreatedAt string
}

type wirePort struct {
	Protocol                  string
	TargetPort, PublishedPort uint32
	PublishMode               string
}

type wireService struct {
	wireMeta
	Spec struct {
		Name   string
		Labels map[string]string
		Mode   struct {
			Replicated                       *struct{ Replicas *uint64 }
			Global, ReplicatedJob, GlobalJob *struct{}
		}
		TaskTemplate struct {
			ContainerSpec *struct {
				Image string
				Env   []string
			}
		}
		EndpointSpec *struct{ Ports []wirePort }
	}
	Endpoint struct {
		Ports      []wirePort
		VirtualIPs []struct{ NetworkID, Addr string }
	}
	UpdateStatus *struct{ State string }
}

func (w wireService) service() Service {
	s := Service{
		ID: w.ID, Version: w.Version.Index, Created: parseTime(w.CreatedAt),
		Name: w.Spec.Name, Labels: w.Spec.Labels,
	}
	if spec := w.Spec.TaskTemplate.ContainerSpec; spec != nil {
		s.Image, s.Env = spec.Image, catalog.Variables(spec.Env)
	}
	switch m := w.Spec.Mode; {
	case m.Global != nil:
		s.Mode = "global"
	case m.ReplicatedJob != nil:
		s.Mode = "replicated-job"
	case m.GlobalJob != nil:
		s.Mode = "global-job"
	default:
		s.Mode = "replicated"
		if m.Replicated != nil && m.Replicated.Replicas != nil {
			s.Replicas = *m.Replicated.Replicas
		}
	}
	ports := w.Endpoint.Ports
	if len(ports) == 0 && w.Spec.EndpointSpec != nil {
		ports = w.Spec.EndpointSpec.Ports
	}
	s.Ports = servicePorts(ports)
	for _, v := range w.Endpoint.VirtualIPs {
		if ip := parseIP(v.Addr); ip.IsValid() {
			s.VirtualIPs = append(s.VirtualIPs, VirtualIP{NetworkID: v.NetworkID, IP: ip})
		}
	}
	s.Updating = w.UpdateStatus != nil && (w.UpdateStatus.State == "updating" || w.UpdateStatus.State == "rollback_started")
	return s
}

type wireTask struct {
	wireMeta
	ServiceID, NodeID, DesiredState string
	Slot                            int
	Spec                            struct {
		ContainerSpec *struct {
			Image, StopSignal string
			Labels            map[string]string
		}
	}
	Status struct {
		State, Timestamp, Err string
		ContainerStatus       *struct{ ContainerID string }
		PortStatus            struct{ Ports []wirePort }
	}
	NetworksAttachments []struct {
		Network struct {
			ID   string
			Spec struct {
				Name    string
				Ingress bool
			}
		}
		Addresses []string
	}
}

func (w wireTask) task() Task {
	t := Task{
		ID: w.ID, ServiceID: w.ServiceID, NodeID: w.NodeID, Version: w.Version.Index,
		Created: parseTime(w.CreatedAt), Slot: w.Slot,
		State: w.Status.State, Desired: w.DesiredState, Since: parseTime(w.Status.Timestamp), Error: w.Status.Err,
		Ports: servicePorts(w.Status.PortStatus.Ports),
	}
	if spec := w.Spec.ContainerSpec; spec != nil {
		t.Image, t.Labels, t.StopSignal = spec.Image, spec.Labels, spec.StopSignal
	}
	if status := w.Status.ContainerStatus; status != nil {
		t.ContainerID = status.ContainerID
	}
	for _, a := range w.NetworksAttachments {
		at := TaskAttachment{NetworkID: a.Network.ID, Network: a.Network.Spec.Name, Ingress: a.Network.Spec.Ingress}
		for _, text := range a.Addresses {
			if ip := parseIP(text); ip.IsValid() {
				at.IPs = append(at.IPs, ip)
			}
		}
		t.Attachments = append(t.Attachments, at)
	}
	return t
}

type wireNode struct {
	wireMeta
	Spec struct {
		Role, Availability string
		Labels             map[string]string
	}
	Description struct {
		Hostname string
		Engine   struct {
			EngineVersion string
			Labels        map[string]string
		}
	}
	Status        struct{ State, Addr string }
	ManagerStatus *struct {
		Leader             bool
		Reachability, Addr string
	}
}

func (w wireNode) node() Node {
	n := Node{
		ID: w.ID, Version: w.Version.Index, Name: w.Description.Hostname,
		Role: w.Spec.Role, Availability: w.Spec.Availability, State: w.Status.State,
		Address: parseIP(w.Status.Addr), Engine: w.Description.Engine.EngineVersion,
		Labels: w.Spec.Labels, EngineLabels: w.Description.Engine.Labels,
	}
	if m := w.ManagerStatus; m != nil {
		n.Leader, n.Unreachable = m.Leader, m.Reachability == "unreachable"
		// A manager may see itself at 0.0.0.0; the others know better.
		if at, err := netip.ParseAddrPort(m.Addr); err == nil && (!n.Address.IsValid() || n.Address.IsUnspecified()) {
			n.Address = at.Addr().Unmap()
		}
	}
	return n
}

// servicePorts translates and sorts ports. It drops what cannot be one, and doubles, which
// Docker writes for IPv4 and IPv6.
func servicePorts(wire []wirePort) []ServicePort {
	var ports []ServicePort
	for _, p := range wire {
		if p.TargetPort < 1 || p.TargetPort > 65535 || p.PublishedPort > 65535 {
			continue
		}
		ports = append(ports, ServicePort{
			Number: uint16(p.TargetPort), Protocol: cmp.Or(p.Protocol, "tcp"),
			Published: uint16(p.PublishedPort), Mode: cmp.Or(p.PublishMode, "ingress"),
		})
	}
	slices.SortFunc(ports, func(a, b ServicePort) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Protocol, b.Protocol),
			strings.Compare(a.Mode, b.Mode), cmp.Compare(a.Published, b.Published))
	})
	return slices.Compact(ports)
}

// parseIP reads an address, which may carry the length of a prefix; invalid for none.
func parseIP(text string) netip.Addr {
	host, _, _ := strings.Cut(text, "/")
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap()
}

// IsConflict reports whether err says that a service was changed since it was read.
func IsConflict(err error) bool {
	// The status depends on the version of Docker (400, 409 or 500), the words do not.
	return err != nil && strings.Contains(err.Error(), "update out of sequence")
}

// IsNameTaken reports whether err says that there is a service of that name.
func IsNameTaken(err error) bool {
	return cerrdefs.IsConflict(err) && !IsConflict(err)
}

// ServiceState is a Swarm service with all that was asked of it, which an update repeats.
type ServiceState struct {
	Service
	// Spec holds the environment of its containers: never print it.
	Spec swarm.ServiceSpec
	// Update is how the newest update is doing: updating, paused, completed,
	// rollback_started, rollback_paused or rollback_completed; empty when there was none or
	// it changed no task. UpdateMessage is why.
	Update, UpdateMessage string
	// Previous tells that there is a specification to go back to.
	Previous bool
}

// ServiceInspect returns one service by name or ID. GET /services/{id}.
func (c *Client) ServiceInspect(ctx context.Context, id string) (_ ServiceState, err error) {
	ctx, end := c.begin(ctx, "inspect service", c.timeout, &err)
	defer end()
	r, err := c.api.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
	if err != nil {
		return ServiceState{}, err
	}
	var wire wireService
	if err := json.Unmarshal(r.Raw, &wire); err != nil {
		return ServiceState{}, err
	}
	state := ServiceState{Service: wire.service(), Spec: r.Service.Spec, Previous: r.Service.PreviousSpec != nil}
	if u := r.Service.UpdateStatus; u != nil {
		state.Update, state.UpdateMessage = string(u.State), u.Message
	}
	return state, nil
}

// ServiceCreate creates a service and returns its ID and what Docker warns of. POST
// /services/create.
func (c *Client) ServiceCreate(ctx context.Context, spec swarm.ServiceSpec) (id string, warnings []string, err error) {
	ctx, end := c.begin(ctx, "create service", c.timeout, &err)
	defer end()
	r, err := c.api.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: spec})
	return r.ID, r.Warnings, err
}

// ServiceUpdate replaces the specification of a service that was read at version, and
// returns what Docker warns of. After a conflict (see IsConflict) read it again. POST
// /services/{id}/update.
func (c *Client) ServiceUpdate(ctx context.Context, id string, version uint64, spec swarm.ServiceSpec) (warnings []string, err error) {
	return c.serviceUpdate(ctx, id, client.ServiceUpdateOptions{
		Version: swarm.Version{Index: version}, Spec: spec, RegistryAuthFrom: swarm.RegistryAuthFromSpec,
	})
}

// ServiceRollback gives a service that was read at version with spec its previous
// specification back, as ServiceUpdate does. POST /services/{id}/update.
func (c *Client) ServiceRollback(ctx context.Context, id string, version uint64, spec swarm.ServiceSpec) (warnings []string, err error) {
	return c.serviceUpdate(ctx, id, client.ServiceUpdateOptions{
		Version: swarm.Version{Index: version}, Spec: spec, RegistryAuthFrom: swarm.RegistryAuthFromPreviousSpec, Rollback: "previous",
	})
}

func (c *Client) serviceUpdate(ctx context.Context, id string, o client.ServiceUpdateOptions) (warnings []string, err error) {
	ctx, end := c.begin(ctx, "update service", c.timeout, &err)
	defer end()
	r, err := c.api.ServiceUpdate(ctx, id, o)
	return r.Warnings, err
}

// ServiceRemove removes a service by name or ID. DELETE /services/{id}.
func (c *Client) ServiceRemove(ctx context.Context, id string) (err error) {
	ctx, end := c.begin(ctx, "remove service", c.timeout, &err)
	defer end()
	_, err = c.api.ServiceRemove(ctx, id, client.ServiceRemoveOptions{})
	return err
}

// ServiceTasks returns all tasks of services that Docker still has. GET /tasks.
func (c *Client) ServiceTasks(ctx context.Context, ids ...string) ([]Task, error) {
	list, _, err := getList(ctx, c, "tasks", filtered(client.Filters{}.Add("service", ids...)), nil, wireTask.task)
	return list, err
}
