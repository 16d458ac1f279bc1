package dockerapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/client"
)

// transfer is how many times Timeout a call may take that moves an image.
const transfer = 12

// ImageImport makes an image from the tar archive of a file system and names it
// ref ("name:tag"). changes are Dockerfile instructions such as
// `ENTRYPOINT ["/app"]`, `ENV`, `EXPOSE`, `HEALTHCHECK` or `LABEL`. It may take
// twelve times Timeout. POST /images/create.
func (c *Client) ImageImport(ctx context.Context, ref string, archive io.Reader, changes []string) error {
	ctx, cancel := c.call(ctx, transfer)
	defer cancel()
	r, err := c.api.ImageImport(ctx, client.ImageImportSource{Source: archive, SourceName: "-"}, ref,
		client.ImageImportOptions{Changes: changes})
	if err != nil {
		return fmt.Errorf("docker import image: %w", err)
	}
	defer r.Close()
	if err := readProgress(r); err != nil {
		return fmt.Errorf("docker import image: %w", err)
	}
	return nil
}

// ImageLoad adds the images of an archive made by `docker save`. It may take
// twelve times Timeout. POST /images/load.
func (c *Client) ImageLoad(ctx context.Context, archive io.Reader) error {
	ctx, cancel := c.call(ctx, transfer)
	defer cancel()
	r, err := c.api.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("docker load image: %w", err)
	}
	defer r.Close()
	if err := readProgress(r); err != nil {
		return fmt.Errorf("docker load image: %w", err)
	}
	return nil
}

// readProgress reads a stream of progress messages to its end. The engine says
// 200 first and reports a failure in the stream.
func readProgress(r io.Reader) error {
	d := json.NewDecoder(r)
	for {
		var m struct {
			Error string `json:"error"`
		}
		switch err := d.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read progress: %w", err)
		case m.Error != "":
			return errors.New(m.Error)
		}
	}
}

// ImageRemove removes the image ref and the untagged images it was made from;
// with force also when stopped containers use it. DELETE /images/{ref}.
func (c *Client) ImageRemove(ctx context.Context, ref string, force bool) error {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	if _, err := c.api.ImageRemove(ctx, ref, client.ImageRemoveOptions{Force: force, PruneChildren: true}); err != nil {
		return fmt.Errorf("docker remove image: %w", err)
	}
	return nil
}

// ContainerCreate creates a container and returns its ID. POST
// /containers/create.
func (c *Client) ContainerCreate(ctx context.Context, o client.ContainerCreateOptions) (string, error) {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	r, err := c.api.ContainerCreate(ctx, o)
	if err != nil {
		return "", fmt.Errorf("docker create container: %w", err)
	}
	return r.ID, nil
}

// ContainerStart starts a container. POST /containers/{id}/start.
func (c *Client) ContainerStart(ctx context.Context, id string) error {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	if _, err := c.api.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("docker start container: %w", err)
	}
	return nil
}

// ContainerStop sends the container its stop signal, waits for grace (rounded
// up to whole seconds), kills it if it still runs, and returns when it has
// stopped: within grace and Timeout. POST /containers/{id}/stop.
func (c *Client) ContainerStop(ctx context.Context, id string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+c.timeout)
	defer cancel()
	seconds := int((grace + time.Second - 1) / time.Second)
	if _, err := c.api.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds}); err != nil {
		return fmt.Errorf("docker stop container: %w", err)
	}
	return nil
}

// ContainerRemove removes a container and its anonymous volumes; with force
// also when it runs. DELETE /containers/{id}.
func (c *Client) ContainerRemove(ctx context.Context, id string, force bool) error {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	if _, err := c.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: force, RemoveVolumes: true}); err != nil {
		return fmt.Errorf("docker remove container: %w", err)
	}
	return nil
}
