package engines

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"fairway/internal/dockerapi"
)

// Resolve finds out once which image a reference means, and makes no change. policy is
// "always", "missing" or "never"; empty for always, and for missing where there is a digest.
func Resolve(ctx context.Context, c *dockerapi.Client, written, policy, auth string) (Image, error) {
	named, err := reference.ParseNormalizedNamed(written)
	if err != nil || strings.HasPrefix(written, "-") {
		return Image{}, fmt.Errorf("image %q: that is no reference of an image", written)
	}
	named = reference.TagNameOnly(named)
	image := Image{Written: written, Ref: named.String()}
	_, fixed := named.(reference.Digested)
	if policy == "if_not_present" || policy == "" && fixed {
		policy = "missing"
	}
	if policy == "missing" || policy == "never" {
		found, err := c.ImageInspect(ctx, written)
		switch {
		case err == nil:
			return known(image, named, found), nil
		case !dockerapi.IsNotFound(err):
			return image, err
		case policy == "never":
			return image, fmt.Errorf("image %s is not on %s, and its pull policy is never", written, c.URL())
		}
	}
	if fixed {
		return image, nil
	}
	digest, err := c.ImageDigest(ctx, named.String(), auth)
	if err != nil {
		return image, fmt.Errorf("image %s, asked by %s: %w (an image that is only there: write pull_policy: missing, or --pull missing)", written, c.URL(), err)
	}
	image.Ref = reference.TrimNamed(named).String() + "@" + digest
	if found, err := c.ImageInspect(ctx, image.Ref); err == nil {
		image.Health, image.Volumes = found.Health, found.Volumes
	}
	return image, nil
}

// known is an image that is there: by the digest of its registry, else by its ID.
func known(image Image, named reference.Named, found dockerapi.Image) Image {
	image.Ref, image.Health, image.Volumes = found.ID, found.Health, found.Volumes
	familiar := reference.FamiliarName(named) + "@"
	for _, digest := range slices.Sorted(slices.Values(found.Digests)) {
		if strings.HasPrefix(digest, familiar) || strings.HasPrefix(digest, reference.TrimNamed(named).String()+"@") {
			image.Ref = digest
			break
		}
	}
	return image
}

// named puts the engine's names of volumes in the place of those of the files.
func named(host *container.HostConfig, volumes types.Volumes) {
	for i, m := range host.Mounts {
		if v, ok := volumes[m.Source]; ok && m.Type == "volume" {
			host.Mounts[i].Source = v.Name
		}
	}
}

func ipam(c types.IPAMConfig) (*network.IPAM, error) {
	if c.Driver == "" && len(c.Config) == 0 && len(c.Options) == 0 {
		return nil, nil //nolint:nilnil // the engine's own
	}
	out := &network.IPAM{Driver: c.Driver, Options: c.Options}
	for _, pool := range c.Config {
		var p network.IPAMConfig
		var err error
		if pool.Subnet != "" {
			if p.Subnet, err = netip.ParsePrefix(pool.Subnet); err != nil {
				return nil, err
			}
		}
		if pool.IPRange != "" {
			if p.IPRange, err = netip.ParsePrefix(pool.IPRange); err != nil {
				return nil, err
			}
		}
		if pool.Gateway != "" {
			if p.Gateway, err = netip.ParseAddr(pool.Gateway); err != nil {
				return nil, err
			}
		}
		out.Config = append(out.Config, p)
	}
	return out, nil
}
