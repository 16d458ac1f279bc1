package dockerapi

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// IsNotFound reports whether err says that the engine has no such container,
// network or image.
func IsNotFound(err error) bool { return cerrdefs.IsNotFound(err) }

// Ping asks for a sign of life on a connection of its own, so that its
// outcome is that of the engine and the path to it, not of a connection that happened
// to be open. HEAD, else GET /_ping.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	if _, err := c.probe.Ping(ctx, client.PingOptions{}); err != nil {
		return fmt.Errorf("docker ping: %w", err)
	}
	return nil
}

// Version is what an engine says about its software.
type Version struct {
	// Engine is the version of the engine, such as "20.10.24".
	Engine string
	// API is the newest API version it speaks, such as "1.41".
	API string
}

// Version returns the versions of the engine. GET /version.
func (c *Client) Version(ctx context.Context) (Version, error) {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	v, err := c.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return Version{}, fmt.Errorf("docker version: %w", err)
	}
	return Version{Engine: v.Version, API: v.APIVersion}, nil
}

// Info is what an engine says about its machine.
type Info struct {
	// ID is the engine's own ID, stable over restarts.
	ID string
	// Name is the machine's host name.
	Name string
	// Version is the version of the engine.
	Version string
	// Enclosed is true when the engine's networks are not the machine's: a
	// rootless engine or Docker Desktop. Addresses of containers cannot be
	// reached from such a machine, published ports can.
	Enclosed bool
	// CPUs is how many the machine has, Memory how many bytes; 0 when it does not
	// say.
	CPUs   int
	Memory uint64
}

// Info returns facts about the engine's machine. GET /info.
func (c *Client) Info(ctx context.Context) (Info, error) {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	r, err := c.api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return Info{}, fmt.Errorf("docker info: %w", err)
	}
	rootless := slices.ContainsFunc(r.Info.SecurityOptions, func(s string) bool { return s == "name=rootless" || s == "rootless" })
	return Info{
		ID:       r.Info.ID,
		Name:     r.Info.Name,
		Version:  r.Info.ServerVersion,
		Enclosed: rootless || strings.HasPrefix(r.Info.OperatingSystem, "Docker Desktop"),
		CPUs:     r.Info.NCPU,
		Memory:   uint64(max(0, r.Info.MemTotal)),
	}, nil
}

// ContainerList returns all containers, the running ones only unless all is
// set. GET /containers/json. It does not wait for containers that are busy, and
// its answer may lag a moment behind the event stream.
func (c *Client) ContainerList(ctx context.Context, all bool) ([]Container, error) {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	query := url.Values{}
	if all {
		query.Set("all", "1")
	}
	answer, err := c.open(ctx, "/containers/json", query)
	if err != nil {
		return nil, fmt.Errorf("docker list containers: %w", err)
	}
	defer answer.Close()
	var list []Container
	words := intern{}
	err = eachOf(answer, func(s container.Summary) {
		one := fromSummary(s)
		one.Labels = words.labels(one.Labels)
		list = append(list, one)
	})
	if err != nil {
		return nil, fmt.Errorf("docker list containers: %w", err)
	}
	return list, nil
}

// intern holds texts that are the same in many containers of a list, as names
// and values of labels mostly are, once.
type intern map[string]string

// labels returns a copy of a map with the texts that are held.
func (in intern) labels(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	held := make(map[string]string, len(m))
	for k, v := range m {
		held[in.of(k)] = in.of(v)
	}
	return held
}

func (in intern) of(s string) string {
	held, ok := in[s]
	if !ok {
		in[s] = s
		return s
	}
	return held
}

// ContainerInspect returns one container, as it is now: the engine answers when
// the change it is busy with is done. GET /containers/{id}/json. An error that
// IsNotFound recognises says that there is no such container.
func (c *Client) ContainerInspect(ctx context.Context, id string) (Container, error) {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	r, err := c.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return Container{}, fmt.Errorf("docker inspect container: %w", err)
	}
	return fromInspect(r.Container), nil
}

// Network is a network of an engine.
type Network struct {
	ID, Name string
	// Driver is Docker's word for the kind of network: bridge, host, null,
	// overlay, macvlan, ipvlan or a plugin's name.
	Driver string
}

// NetworkList returns all networks. GET /networks.
func (c *Client) NetworkList(ctx context.Context) ([]Network, error) {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	r, err := c.api.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, fmt.Errorf("docker list networks: %w", err)
	}
	list := make([]Network, 0, len(r.Items))
	for _, n := range r.Items {
		list = append(list, Network{ID: n.ID, Name: n.Name, Driver: n.Driver})
	}
	return list, nil
}
