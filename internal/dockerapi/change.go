package dockerapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// The calls here are those of deploys, which replace containers by others.

// pullTimeout bounds getting an image.
const pullTimeout = 30 * time.Minute

// Managed is a container with what a deploy has to know of it besides.
type Managed struct {
	Container
	// ImageID is that of the image it was created from.
	ImageID string
	// RestartPolicy is "no", "always", "unless-stopped" or "on-failure[:N]".
	RestartPolicy string
	ExitCode      int
	// Grace is how long it has between its signal and its end.
	Grace time.Duration
}

// ContainerManaged returns one container as it is now. GET /containers/{id}/json.
func (c *Client) ContainerManaged(ctx context.Context, id string) (_ Managed, err error) {
	ctx, end := c.begin(ctx, "inspect container", c.timeout, &err)
	defer end()
	r, err := c.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return Managed{}, err
	}
	m := Managed{Container: fromInspect(r.Container), ImageID: r.Container.Image, RestartPolicy: "no", Grace: 10 * time.Second}
	if s := r.Container.State; s != nil {
		m.ExitCode = s.ExitCode
	}
	if h := r.Container.HostConfig; h != nil {
		m.RestartPolicy = policyText(h.RestartPolicy)
	}
	if cfg := r.Container.Config; cfg != nil && cfg.StopTimeout != nil {
		m.Grace = time.Duration(*cfg.StopTimeout) * time.Second
	}
	return m, nil
}

func policyText(p container.RestartPolicy) string {
	switch {
	case p.Name == "":
		return "no"
	case p.Name == container.RestartPolicyOnFailure && p.MaximumRetryCount > 0:
		return fmt.Sprintf("%s:%d", p.Name, p.MaximumRetryCount)
	}
	return string(p.Name)
}

// ParsePolicy reads a restart policy as it is written.
func ParsePolicy(text string) (container.RestartPolicy, error) {
	name, most, limited := strings.Cut(text, ":")
	p := container.RestartPolicy{Name: container.RestartPolicyMode(name)}
	known := []container.RestartPolicyMode{"", container.RestartPolicyDisabled, container.RestartPolicyAlways, container.RestartPolicyOnFailure, container.RestartPolicyUnlessStopped}
	if !slices.Contains(known, p.Name) || limited && p.Name != container.RestartPolicyOnFailure {
		return p, fmt.Errorf("restart policy %q is not one of no, always, unless-stopped, on-failure[:N]", text)
	}
	if limited {
		n, err := strconv.Atoi(most)
		if err != nil || n < 0 {
			return p, fmt.Errorf("restart policy %q: %q is no number", text, most)
		}
		p.MaximumRetryCount = n
	}
	return p, nil
}

// ContainersLabelled returns all containers with these labels, also those that do not run. GET
// /containers/json.
func (c *Client) ContainersLabelled(ctx context.Context, labels map[string]string) ([]Container, error) {
	filters := client.Filters{}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		filters.Add("label", key+"="+labels[key])
	}
	query := filtered(filters)
	query.Set("all", "1")
	list, _, err := getList(ctx, c, "containers/json", query, nil, fromSummary)
	return list, err
}

// ContainerRename gives a container another name, which nothing else may have. POST
// /containers/{id}/rename.
func (c *Client) ContainerRename(ctx context.Context, id, name string) (err error) {
	ctx, end := c.begin(ctx, "rename container", c.timeout, &err)
	defer end()
	_, err = c.api.ContainerRename(ctx, id, client.ContainerRenameOptions{NewName: name})
	return err
}

// ContainerPolicy changes the restart policy of a container. POST /containers/{id}/update.
func (c *Client) ContainerPolicy(ctx context.Context, id, policy string) (err error) {
	ctx, end := c.begin(ctx, "update container", c.timeout, &err)
	defer end()
	p, err := ParsePolicy(policy)
	if err != nil {
		return err
	}
	_, err = c.api.ContainerUpdate(ctx, id, client.ContainerUpdateOptions{RestartPolicy: &p})
	return err
}

// ContainerFiles unpacks a tar archive over the root of a container that was never started.
// PUT /containers/{id}/archive.
func (c *Client) ContainerFiles(ctx context.Context, id string, archive io.Reader) (err error) {
	ctx, end := c.begin(ctx, "write files of container", c.timeout, &err)
	defer end()
	_, err = c.api.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: archive, CopyUIDGID: true})
	return err
}

// Image is what a deploy wants to know of an image.
type Image struct {
	// ID is that of its configuration, Digests the names with the digests by which registries
	// have it.
	ID      string
	Digests []string
	// Volumes are the paths that get a volume of their own in each container.
	Volumes []string
	// Health is true where it declares a health check.
	Health bool
}

// ImageInspect returns an image that is there. GET /images/{ref}/json.
func (c *Client) ImageInspect(ctx context.Context, ref string) (_ Image, err error) {
	ctx, end := c.begin(ctx, "inspect image", c.timeout, &err)
	defer end()
	r, err := c.api.ImageInspect(ctx, ref)
	if err != nil {
		return Image{}, err
	}
	i := Image{ID: r.ID, Digests: r.RepoDigests}
	if r.Config != nil {
		i.Volumes = slices.Sorted(maps.Keys(r.Config.Volumes))
	}
	if r.Config != nil && r.Config.Healthcheck != nil {
		test := r.Config.Healthcheck.Test
		i.Health = len(test) > 0 && test[0] != "NONE"
	}
	return i, nil
}

// ImageDigest asks the registry of an image for its digest; auth is the header of the engine's
// API with credentials, or empty. GET /distribution/{ref}/json.
func (c *Client) ImageDigest(ctx context.Context, ref, auth string) (_ string, err error) {
	ctx, end := c.begin(ctx, "ask the registry", 3*c.timeout, &err)
	defer end()
	r, err := c.api.DistributionInspect(ctx, ref, client.DistributionInspectOptions{EncodedRegistryAuth: auth})
	return r.Descriptor.Digest.String(), err
}

// ImagePull gets an image from its registry. It may take half an hour. POST /images/create.
func (c *Client) ImagePull(ctx context.Context, ref, auth string) (err error) {
	ctx, end := c.begin(ctx, "pull "+ref, pullTimeout, &err)
	defer end()
	r, err := c.api.ImagePull(ctx, ref, client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer r.Close()
	return progress(r)
}

// progress reads messages of progress to their end, and returns the failure among them: the
// engine says 200 first.
func progress(r io.Reader) error {
	d := json.NewDecoder(r)
	for {
		var m struct {
			Error string `json:"error"`
		}
		switch err := d.Decode(&m); {
		case err == io.EOF: //nolint:errorlint // as the decoder returns it
			return nil
		case err != nil:
			return fmt.Errorf("read progress: %w", err)
		case m.Error != "":
			return fmt.Errorf("%s", m.Error)
		}
	}
}

// NetworkDriver returns the kind of a network by its name. GET /networks/{name}.
func (c *Client) NetworkDriver(ctx context.Context, name string) (_ string, err error) {
	ctx, end := c.begin(ctx, "inspect network", c.timeout, &err)
	defer end()
	r, err := c.api.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if err != nil {
		return "", err
	}
	return r.Network.Driver, nil
}

// NewNetwork is a network to be made.
type NewNetwork struct {
	Name, Driver         string
	Options, Labels      map[string]string
	Internal, Attachable bool
	IPv6                 *bool
	IPAM                 *network.IPAM
}

// NetworkCreate makes a network. POST /networks/create.
func (c *Client) NetworkCreate(ctx context.Context, n NewNetwork) (err error) {
	ctx, end := c.begin(ctx, "create network", c.timeout, &err)
	defer end()
	_, err = c.api.NetworkCreate(ctx, n.Name, client.NetworkCreateOptions{
		Driver: n.Driver, Options: n.Options, Labels: n.Labels, Internal: n.Internal, Attachable: n.Attachable, EnableIPv6: n.IPv6, IPAM: n.IPAM,
	})
	return err
}

// VolumeExists reports whether there is a volume. GET /volumes/{name}.
func (c *Client) VolumeExists(ctx context.Context, name string) (_ bool, err error) {
	ctx, end := c.begin(ctx, "inspect volume", c.timeout, &err)
	defer end()
	if _, err = c.api.VolumeInspect(ctx, name, client.VolumeInspectOptions{}); IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// VolumeCreate makes a volume. POST /volumes/create.
func (c *Client) VolumeCreate(ctx context.Context, name, driver string, options, labels map[string]string) (err error) {
	ctx, end := c.begin(ctx, "create volume", c.timeout, &err)
	defer end()
	_, err = c.api.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, Driver: driver, DriverOpts: options, Labels: labels})
	return err
}

// NetworkConnect puts a container on a network. POST /networks/{name}/connect.
func (c *Client) NetworkConnect(ctx context.Context, name, id string, settings *network.EndpointSettings) (err error) {
	ctx, end := c.begin(ctx, "connect to network", c.timeout, &err)
	defer end()
	_, err = c.api.NetworkConnect(ctx, name, client.NetworkConnectOptions{Container: id, EndpointConfig: settings})
	return err
}
