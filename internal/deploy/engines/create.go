package engines

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"fairway/internal/deploy/spec"
)

// created is what the engine is asked for: a container with its first network, and the other
// networks, which are connected before the start.
type created struct {
	options client.ContainerCreateOptions
	others  []attachment
}

type attachment struct {
	network  string
	settings *network.EndpointSettings
}

// container makes the engine's form of a service. Labels are those of the deploy.
func form(c types.ServiceConfig, networks types.Networks, image, name string, labels map[string]string) (created, error) {
	cfg := &container.Config{
		Hostname: c.Hostname, Domainname: c.DomainName, User: c.User, Tty: c.Tty, OpenStdin: c.StdinOpen, Image: image,
		WorkingDir: c.WorkingDir, StopSignal: c.StopSignal, Cmd: c.Command, Entrypoint: c.Entrypoint,
		Labels: map[string]string{}, ExposedPorts: network.PortSet{}, Healthcheck: health(c.HealthCheck),
	}
	maps.Copy(cfg.Labels, c.Labels)
	maps.Copy(cfg.Labels, labels)
	for _, key := range slices.Sorted(maps.Keys(c.Environment)) {
		if value := c.Environment[key]; value != nil {
			cfg.Env = append(cfg.Env, key+"="+*value)
		} // one without value and without one in this environment is not set
	}
	if c.StopGracePeriod != nil {
		seconds := int((time.Duration(*c.StopGracePeriod) + time.Second - 1) / time.Second)
		cfg.StopTimeout = &seconds
	}
	host := &container.HostConfig{
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		CapAdd:        c.CapAdd, CapDrop: c.CapDrop, DNSOptions: c.DNSOpts, DNSSearch: c.DNSSearch, ExtraHosts: c.ExtraHosts.AsList(":"),
		GroupAdd: c.GroupAdd, IpcMode: container.IpcMode(c.Ipc), PidMode: container.PidMode(c.Pid), OomScoreAdj: int(c.OomScoreAdj),
		Privileged: c.Privileged, ReadonlyRootfs: c.ReadOnly, SecurityOpt: c.SecurityOpt, UTSMode: container.UTSMode(c.Uts),
		UsernsMode: container.UsernsMode(c.UserNSMode), ShmSize: int64(c.ShmSize), Sysctls: c.Sysctls, Runtime: c.Runtime, Init: c.Init,
		CgroupnsMode: container.CgroupnsMode(c.Cgroup), Annotations: c.Annotations, Resources: resources(c), PortBindings: network.PortMap{},
		Tmpfs: map[string]string{},
	}
	if c.Logging != nil {
		host.LogConfig = container.LogConfig{Type: c.Logging.Driver, Config: c.Logging.Options}
	}
	for _, entry := range c.Tmpfs {
		where, options, _ := strings.Cut(entry, ":")
		host.Tmpfs[where] = options
	}
	for _, text := range c.DNS {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return created{}, fmt.Errorf("dns: %w", err)
		}
		host.DNS = append(host.DNS, ip)
	}
	if err := ports(c, cfg, host); err != nil {
		return created{}, err
	}
	host.Mounts = mounts(c.Volumes)
	out := created{options: client.ContainerCreateOptions{Config: cfg, HostConfig: host, Name: name}}
	return out, out.attach(c, networks)
}

func health(h *types.HealthCheckConfig) *container.HealthConfig {
	if h == nil {
		return nil
	}
	if h.Disable {
		return &container.HealthConfig{Test: []string{"NONE"}}
	}
	at := func(d *types.Duration) time.Duration {
		if d == nil {
			return 0
		}
		return time.Duration(*d)
	}
	out := &container.HealthConfig{
		Test: h.Test, Interval: at(h.Interval), Timeout: at(h.Timeout), StartPeriod: at(h.StartPeriod), StartInterval: at(h.StartInterval),
	}
	if h.Retries != nil {
		out.Retries = int(min(*h.Retries, 1<<20)) //nolint:gosec // bounded
	}
	return out
}

func resources(c types.ServiceConfig) container.Resources {
	out := container.Resources{
		CPUShares: c.CPUShares, CPUPeriod: c.CPUPeriod, CPUQuota: c.CPUQuota, CpusetCpus: c.CPUSet, NanoCPUs: int64(float64(c.CPUS) * 1e9),
		Memory: int64(c.MemLimit), MemoryReservation: int64(c.MemReservation), MemorySwap: int64(c.MemSwapLimit), CgroupParent: c.CgroupParent,
		DeviceCgroupRules: c.DeviceCgroupRules,
	}
	if c.MemSwappiness > 0 {
		swappiness := int64(c.MemSwappiness)
		out.MemorySwappiness = &swappiness
	}
	if c.OomKillDisable {
		out.OomKillDisable = &c.OomKillDisable
	}
	if c.PidsLimit != 0 {
		out.PidsLimit = &c.PidsLimit
	}
	for _, d := range c.Devices {
		out.Devices = append(out.Devices, container.DeviceMapping{PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Ulimits)) {
		u := c.Ulimits[name]
		soft, hard := int64(u.Soft), int64(u.Hard)
		if u.Single != 0 {
			soft, hard = int64(u.Single), int64(u.Single)
		}
		out.Ulimits = append(out.Ulimits, &container.Ulimit{Name: name, Soft: soft, Hard: hard})
	}
	if c.Deploy == nil {
		return out
	}
	if l := c.Deploy.Resources.Limits; l != nil {
		if l.NanoCPUs > 0 {
			out.NanoCPUs = int64(float64(l.NanoCPUs) * 1e9)
		}
		if l.MemoryBytes > 0 {
			out.Memory = int64(l.MemoryBytes)
		}
		if l.Pids > 0 {
			out.PidsLimit = &l.Pids
		}
	}
	if r := c.Deploy.Resources.Reservations; r != nil && r.MemoryBytes > 0 {
		out.MemoryReservation = int64(r.MemoryBytes)
	}
	return out
}

func ports(c types.ServiceConfig, cfg *container.Config, host *container.HostConfig) error {
	for _, text := range c.Expose {
		r, err := network.ParsePortRange(text)
		if err != nil {
			return fmt.Errorf("expose: %w", err)
		}
		for p := range r.All() {
			cfg.ExposedPorts[p] = struct{}{}
		}
	}
	for _, p := range c.Ports {
		port, ok := network.PortFrom(uint16(min(p.Target, 65535)), network.IPProtocol(p.Protocol)) //nolint:gosec // bounded
		if !ok {
			return fmt.Errorf("ports: %d/%s is no port", p.Target, p.Protocol)
		}
		binding := network.PortBinding{HostPort: p.Published}
		if p.HostIP != "" {
			ip, err := netip.ParseAddr(p.HostIP)
			if err != nil {
				return fmt.Errorf("ports: %w", err)
			}
			binding.HostIP = ip
		}
		cfg.ExposedPorts[port] = struct{}{}
		host.PortBindings[port] = append(host.PortBindings[port], binding)
	}
	return nil
}

func mounts(volumes []types.ServiceVolumeConfig) (list []mount.Mount) {
	for _, v := range volumes {
		m := mount.Mount{Type: mount.Type(v.Type), Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly}
		switch {
		case v.Bind != nil && v.Type == types.VolumeTypeBind && v.Bind.Propagation != "":
			m.BindOptions = &mount.BindOptions{Propagation: mount.Propagation(v.Bind.Propagation)}
		case v.Volume != nil && v.Type == types.VolumeTypeVolume:
			m.VolumeOptions = &mount.VolumeOptions{NoCopy: v.Volume.NoCopy, Subpath: v.Volume.Subpath}
		case v.Tmpfs != nil && v.Type == types.VolumeTypeTmpfs:
			m.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: int64(v.Tmpfs.Size), Mode: os.FileMode(v.Tmpfs.Mode)}
		}
		list = append(list, m)
	}
	return list
}

// attach adds the networks, the first by priority at the creation.
func (out *created) attach(c types.ServiceConfig, networks types.Networks) error {
	if c.NetworkMode != "" {
		out.options.HostConfig.NetworkMode = container.NetworkMode(c.NetworkMode)
		return nil
	}
	for i, key := range c.NetworksByPriority() {
		settings := &network.EndpointSettings{Aliases: []string{c.Name}}
		if n := c.Networks[key]; n != nil {
			settings.Aliases = append(settings.Aliases, n.Aliases...)
			settings.DriverOpts, settings.GwPriority = n.DriverOpts, n.GatewayPriority
			for _, text := range []string{n.Ipv4Address, n.Ipv6Address} {
				ip, err := netip.ParseAddr(text)
				if text == "" {
					continue
				}
				if err != nil {
					return fmt.Errorf("networks: %w", err)
				}
				if settings.IPAMConfig == nil {
					settings.IPAMConfig = &network.EndpointIPAMConfig{}
				}
				if ip.Is4() {
					settings.IPAMConfig.IPv4Address = ip
				} else {
					settings.IPAMConfig.IPv6Address = ip
				}
			}
		}
		name := networks[key].Name
		if i == 0 {
			out.options.HostConfig.NetworkMode = container.NetworkMode(name)
			out.options.NetworkingConfig = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name: settings}}
			continue
		}
		out.others = append(out.others, attachment{name, settings})
	}
	return nil
}

// archive has the files of an instance, with the directories that they need.
func archive(files []spec.File) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{"/": true, ".": true}
	for _, f := range files {
		var missing []string
		for dir := path.Dir(f.Path); !made[dir]; dir = path.Dir(dir) {
			made[dir] = true
			missing = append(missing, dir)
		}
		for _, dir := range slices.Backward(missing) {
			_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o755})
		}
		_ = w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: strings.TrimPrefix(f.Path, "/"), Mode: f.Mode, Uid: f.UID, Gid: f.GID, Size: int64(len(f.Content)),
		})
		_, _ = w.Write(f.Content)
	}
	_ = w.Close() // into memory
	return b.Bytes()
}
