package dockerapi

import (
	"context"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// IsNotFound reports whether err says that there is no such container, network or image.
func IsNotFound(err error) bool { return cerrdefs.IsNotFound(err) }

// Ping asks for a sign of life on a connection of its own, so that its outcome is that of
// the engine and the path to it. HEAD, else GET /_ping.
func (c *Client) Ping(ctx context.Context) (err error) {
	ctx, end := c.begin(ctx, "ping", c.timeout, &err)
	defer end()
	_, err = c.probe.Ping(ctx, client.PingOptions{})
	return err
}

// Info is what an engine says about its machine.
type Info struct {
	// ID, stable over restarts, and Version are the engine's, Name is the machine's.
	ID, Name, Version string
	// Enclosed is true when the engine's networks are not the machine's (a rootless engine,
	// Docker Desktop): it reaches published ports, and no addresses of containers.
	Enclosed bool
	// CPUs is how many the machine has, Memory how many bytes; 0 when it does not say.
	CPUs   int
	Memory uint64
	// Swarm is the engine's part in a Swarm.
	Swarm SwarmInfo
}

// SwarmInfo is an engine's own part in a Swarm.
type SwarmInfo struct {
	NodeID string // empty for an engine that is in no Swarm
	State  string // "inactive", "pending", "active", "error" or "locked"
	// Manager is true when the engine can be asked about the Swarm, also while the managers
	// have no leader; Error says so then.
	Manager bool
	Error   string
}

// Info returns facts about the engine's machine. GET /info.
func (c *Client) Info(ctx context.Context) (_ Info, err error) {
	ctx, end := c.begin(ctx, "info", c.timeout, &err)
	defer end()
	r, err := c.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return Info{}, err
	}
	rootless := slices.ContainsFunc(r.Info.SecurityOptions, func(s string) bool { return s == "name=rootless" || s == "rootless" })
	swarm := r.Info.Swarm
	return Info{
		ID:       r.Info.ID,
		Name:     r.Info.Name,
		Version:  r.Info.ServerVersion,
		Enclosed: rootless || strings.HasPrefix(r.Info.OperatingSystem, "Docker Desktop"),
		CPUs:     r.Info.NCPU,
		Memory:   uint64(max(0, r.Info.MemTotal)),
		Swarm:    SwarmInfo{NodeID: swarm.NodeID, State: string(swarm.LocalNodeState), Manager: swarm.ControlAvailable, Error: swarm.Error},
	}, nil
}

// ContainerList returns the containers that run or, with all, every one. GET
// /containers/json. It does not wait for containers that are busy, and may lag a moment
// behind the event stream.
func (c *Client) ContainerList(ctx context.Context, all bool) ([]Container, error) {
	return Containers(ctx, c, all, func(found Container) Container { return found })
}

// Containers is ContainerList for callers that keep something else of each container; what
// keep does not return is not held.
func Containers[Kept any](ctx context.Context, c *Client, all bool, keep func(Container) Kept) ([]Kept, error) {
	query := url.Values{}
	if all {
		query.Set("all", "1")
	}
	list, _, err := getList(ctx, c, "containers/json", query, nil, func(s container.Summary) Kept { return keep(fromSummary(s)) })
	return list, err
}

// ContainerInspect returns one container as it is now: the engine answers when the change
// it is busy with is done. GET /containers/{id}/json.
func (c *Client) ContainerInspect(ctx context.Context, id string) (_ Container, err error) {
	ctx, end := c.begin(ctx, "inspect container", c.timeout, &err)
	defer end()
	r, err := c.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return Container{}, err
	}
	return fromInspect(r.Container), nil
}

// ImageImport makes an image from the tar archive of a file system and names it ref
// ("name:tag"). changes are Dockerfile instructions such as `ENTRYPOINT ["/app"]`. It may
// take twelve times Timeout. POST /images/create.
func (c *Client) ImageImport(ctx context.Context, ref string, archive io.Reader, changes []string) (err error) {
	ctx, end := c.begin(ctx, "import image", 12*c.timeout, &err)
	defer end()
	r, err := c.api.ImageImport(ctx, client.ImageImportSource{Source: archive, SourceName: "-"}, ref, client.ImageImportOptions{Changes: changes})
	if err != nil {
		return err
	}
	defer r.Close()
	return progress(r)
}

// ImageRemove removes the image ref and the untagged images it was made from;
// with force also when stopped containers use it. DELETE /images/{ref}.
func (c *Client) ImageRemove(ctx context.Context, ref string, force bool) (err error) {
	ctx, end := c.begin(ctx, "remove image", c.timeout, &err)
	defer end()
	_, err = c.api.ImageRemove(ctx, ref, client.ImageRemoveOptions{Force: force, PruneChildren: true})
	return err
}

// ContainerCreate creates a container and returns its ID. POST /containers/create.
func (c *Client) ContainerCreate(ctx context.Context, o client.ContainerCreateOptions) (id string, err error) {
	ctx, end := c.begin(ctx, "create container", c.timeout, &err)
	defer end()
	r, err := c.api.ContainerCreate(ctx, o)
	return r.ID, err
}

// ContainerStart starts a container. POST /containers/{id}/start.
func (c *Client) ContainerStart(ctx context.Context, id string) (err error) {
	ctx, end := c.begin(ctx, "start container", c.timeout, &err)
	defer end()
	_, err = c.api.ContainerStart(ctx, id, client.ContainerStartOptions{})
	return err
}

// ContainerStop sends the container its stop signal, kills it after grace (rounded up to
// whole seconds), and returns when it has stopped: within grace and Timeout. POST
// /containers/{id}/stop.
func (c *Client) ContainerStop(ctx context.Context, id string, grace time.Duration) (err error) {
	ctx, end := c.begin(ctx, "stop container", grace+c.timeout, &err)
	defer end()
	seconds := int((grace + time.Second - 1) / time.Second)
	_, err = c.api.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds})
	return err
}

// ContainerRemove removes a container and its anonymous volumes; with force
// also when it runs. DELETE /containers/{id}.
func (c *Client) ContainerRemove(ctx context.Context, id string, force bool) (err error) {
	ctx, end := c.begin(ctx, "remove container", c.timeout, &err)
	defer end()
	_, err = c.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: force, RemoveVolumes: true})
	return err
}

// ContainerDrop removes a container, also when it runs, and leaves its anonymous volumes. DELETE
// /containers/{id}.
func (c *Client) ContainerDrop(ctx context.Context, id string) (err error) {
	ctx, end := c.begin(ctx, "remove container", c.timeout, &err)
	defer end()
	_, err = c.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	return err
}
