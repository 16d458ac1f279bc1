package dockerapi

import (
	"context"
	"encoding/json"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// IsConflict reports whether err says that a service was changed since it was read. A name
// that is taken is no conflict.
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
	// Spec holds the environment of its containers, too: it is for changing and sending
	// back, never for printing.
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
