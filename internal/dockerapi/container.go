package dockerapi

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"fairway/internal/catalog"
)

// Container is what Fairway wants to know about a container, and no more.
type Container struct {
	// ID is the full ID, Name the primary name, without the slash.
	ID, Name string
	// Image is the reference it was created from, or in a list the ID of one replaced since.
	Image  string
	Labels map[string]string // may be nil
	// Env are the variables that mean something (see catalog.Variables); a list does not have them.
	Env     map[string]string `json:",omitempty"`
	Created time.Time         // in whole seconds, as in a list
	// Status is created, running, paused, restarting, removing, exited or dead.
	Status string
	// Health is starting, healthy or unhealthy; empty without a health check.
	Health string
	// NetworkMode is "host", "none", "container:<id>", "default" or the name of a network.
	NetworkMode string
	// Attachments are the networks it is attached to, sorted by name.
	Attachments []Attachment
	// Ports are the ports in effect, exposed and published, sorted. A container that does
	// not run, or uses a network stack that is not its own, has none.
	Ports []Port

	Inspected bool      // the rest is known, which a list does not have
	Started   time.Time // for the last time; zero for never
	// Restarts is how often the engine has restarted it by its restart policy.
	Restarts int
	// Detail is why it does not run, or why its health check fails: an exit code, and the
	// last line that the check or the engine printed; else empty.
	Detail string
	// StopSignal is the signal to stop it with, as written ("SIGQUIT", "3"); empty for SIGTERM.
	StopSignal string
	// Exposed are the ports that the image or the creator declared, sorted.
	Exposed []Port
	// Variables are those of its environment that begin with SERVICE_, by which containers say
	// how they are published. Nothing else of the environment is kept.
	Variables map[string]string `json:",omitempty"`
	// Hostname is the name of its system where its creator gave it one; empty otherwise, and
	// for one with the machine's own network.
	Hostname string
}

// Attachment is a container's place on a network.
type Attachment struct {
	// Network is the network's name, NetworkID its ID.
	Network, NetworkID string
	// IPv4 and IPv6, a global one, are the addresses there; invalid for none.
	IPv4, IPv6 netip.Addr
	// Gateway is the IPv4 address of the network's way out, which for a bridge is that of
	// the engine's machine; invalid for none.
	Gateway netip.Addr
}

// Port is a port of a container, once per place where it is published.
type Port struct {
	Number   uint16 // inside the container
	Protocol string // "tcp", "udp" or "sctp"
	// HostIP, which may be missing, and HostPort are where it is published; zero for nowhere.
	HostIP   netip.Addr
	HostPort uint16
}

// fromSummary translates an entry of a list.
func fromSummary(s container.Summary) Container {
	c := Container{
		ID:          s.ID,
		Name:        primaryName(s.Names),
		Image:       s.Image,
		Labels:      s.Labels,
		Created:     time.Unix(s.Created, 0).UTC(),
		Status:      string(s.State),
		NetworkMode: s.HostConfig.NetworkMode,
	}
	c.Health = health(s.Status) // engines before API 1.52 have it there alone
	if s.Health != nil {
		c.Health = health(string(s.Health.Status))
	}
	if s.NetworkSettings != nil {
		c.Attachments = attachments(s.NetworkSettings.Networks)
	}
	for _, p := range s.Ports {
		c.Ports = append(c.Ports, Port{Number: p.PrivatePort, Protocol: p.Type, HostIP: p.IP, HostPort: p.PublicPort})
	}
	c.Ports = sortPorts(c.Ports)
	return c
}

// fromInspect translates the answer to an inspection.
func fromInspect(i container.InspectResponse) Container {
	c := Container{
		ID:        i.ID,
		Name:      strings.TrimPrefix(i.Name, "/"),
		Created:   parseTime(i.Created).Truncate(time.Second),
		Inspected: true,
		Restarts:  i.RestartCount,
	}
	if i.State != nil {
		c.Status = string(i.State.Status)
		c.Started = parseTime(i.State.StartedAt)
		c.Detail = detail(i.State)
		if i.State.Health != nil {
			c.Health = health(string(i.State.Health.Status))
		}
	}
	if i.Config != nil {
		c.Image = i.Config.Image
		c.Labels, c.Env = i.Config.Labels, catalog.Variables(i.Config.Env)
		c.StopSignal = i.Config.StopSignal
		c.Variables = variables(i.Config.Env)
		for p := range i.Config.ExposedPorts {
			c.Exposed = append(c.Exposed, Port{Number: p.Num(), Protocol: string(p.Proto())})
		}
		c.Exposed = sortPorts(c.Exposed)
	}
	if i.HostConfig != nil {
		c.NetworkMode = string(i.HostConfig.NetworkMode)
	}
	if i.Config != nil && c.NetworkMode != "host" && !strings.HasPrefix(c.NetworkMode, "container:") && !strings.HasPrefix(c.ID, i.Config.Hostname) {
		c.Hostname = i.Config.Hostname
	}
	if i.NetworkSettings != nil {
		c.Attachments = attachments(i.NetworkSettings.Networks)
		c.Ports = mappedPorts(i.NetworkSettings.Ports)
	}
	return c
}

// variables are those that say how a container is published; nil for none.
func variables(environ []string) (found map[string]string) {
	for _, pair := range environ {
		if key, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(key, "SERVICE_") {
			if found == nil {
				found = map[string]string{}
			}
			found[strings.Clone(key)] = strings.Clone(value)
		}
	}
	return found
}

// detail says what an engine knows of a container that does not do what it should.
func detail(s *container.State) string {
	code, said := s.ExitCode, s.Error
	switch {
	case s.Status == container.StateExited || s.Status == container.StateDead || s.Status == container.StateRestarting:
		if s.OOMKilled {
			said = "out of memory"
		}
	case s.Status == container.StateCreated && said != "": // it could not be started
	case s.Status == container.StateRunning && s.Health != nil && s.Health.Status == container.Unhealthy && len(s.Health.Log) > 0 && s.Health.Log[len(s.Health.Log)-1] != nil:
		last := s.Health.Log[len(s.Health.Log)-1]
		code, said = last.ExitCode, last.Output
	default:
		return ""
	}
	text := "exit code " + strconv.Itoa(code)
	said = strings.TrimSpace(said)
	if said = said[strings.LastIndexAny(said, "\r\n")+1:]; said == "" {
		return text
	}
	const most = 200
	if len(said) > most {
		said = said[:most] + "…"
	}
	return text + ": " + strings.ToValidUTF8(said, "")
}

// primaryName picks the name that is no link: that of a link has a second slash ("/web/db").
func primaryName(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); n != "" && !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

// health reads Docker's word, or a text such as "Up 3 minutes (health: starting)".
func health(text string) string {
	for _, word := range []container.HealthStatus{container.Starting, container.Unhealthy, container.Healthy} {
		if strings.HasSuffix(strings.TrimSuffix(text, ")"), string(word)) {
			return string(word)
		}
	}
	return ""
}

// attachments translates the networks of a container, sorted by name.
func attachments(networks map[string]*network.EndpointSettings) []Attachment {
	var list []Attachment
	for name, e := range networks {
		if e == nil {
			e = &network.EndpointSettings{}
		}
		list = append(list, Attachment{Network: name, NetworkID: e.NetworkID, IPv4: e.IPAddress.Unmap(), IPv6: e.GlobalIPv6Address, Gateway: e.Gateway.Unmap()})
	}
	slices.SortFunc(list, func(a, b Attachment) int { return cmp.Compare(a.Network, b.Network) })
	return list
}

// mappedPorts flattens a port map, where a port that is not published has no bindings.
func mappedPorts(m network.PortMap) []Port {
	var ports []Port
	for p, bindings := range m {
		bare := Port{Number: p.Num(), Protocol: string(p.Proto())}
		if len(bindings) == 0 {
			ports = append(ports, bare)
		}
		for _, b := range bindings {
			bound := bare
			// A binding without a number is one that the engine has not made yet.
			if n, err := strconv.ParseUint(b.HostPort, 10, 16); err == nil && n > 0 {
				bound.HostIP, bound.HostPort = b.HostIP, uint16(n)
			}
			ports = append(ports, bound)
		}
	}
	return sortPorts(ports)
}

// sortPorts sorts, and drops doubles and ports that cannot be (number 0, no protocol).
func sortPorts(ports []Port) []Port {
	ports = slices.DeleteFunc(ports, func(p Port) bool { return p.Number == 0 || p.Protocol == "" })
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol),
			a.HostIP.Compare(b.HostIP), cmp.Compare(a.HostPort, b.HostPort))
	})
	ports = slices.Compact(ports)
	if len(ports) == 0 {
		return nil
	}
	return ports
}

// parseTime reads Docker's times. Year one means "never", as does what cannot be read.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t.UTC()
}
