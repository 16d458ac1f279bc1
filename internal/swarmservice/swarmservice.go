// Package swarmservice creates, changes and removes the services of a Swarm over
// the Remote API of its managers, and waits until a change has taken effect.
package swarmservice

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"

	"fairway/internal/clock"
	"fairway/internal/dockerapi"
)

const (
	// callTimeout is the deadline of each call to a manager.
	callTimeout = 10 * time.Second
	// conflictTries is how often an update is tried while others change the service.
	conflictTries = 8
	// conflictPause is the pause before the second try; each further one is longer by it.
	conflictPause = 50 * time.Millisecond
)

// ErrNotConverged says that a service did not become what it was asked to be.
var ErrNotConverged = errors.New("not converged")

// ErrNoService says that the Swarm has no service of that name.
var ErrNoService = errors.New("no such service")

// InvalidError is a fault of the request: no manager was asked to change anything.
type InvalidError struct{ error }

// Unwrap returns the error inside.
func (e InvalidError) Unwrap() error { return e.error }

// Invalid makes an InvalidError.
func Invalid(err error) error { return InvalidError{err} }

// Swarm changes the services of one Swarm. Any goroutine may call it. Close it after use.
type Swarm struct {
	clients []*dockerapi.Client
	every   time.Duration // between two readings of Wait
}

// New returns access to the Swarm whose managers are among engines: the first that can be
// asked is asked. It does not connect.
func New(engines []dockerapi.Options) (*Swarm, error) {
	if len(engines) == 0 {
		return nil, errors.New("no Swarm: give --swarm")
	}
	clients, err := dockerapi.NewAll(engines, callTimeout)
	if err != nil {
		return nil, err
	}
	return &Swarm{clients: clients, every: time.Second}, nil
}

// Close drops the connections.
func (s *Swarm) Close() {
	for _, c := range s.clients {
		c.Close()
	}
}

// manager returns the first engine that can be asked about the Swarm.
func (s *Swarm) manager(ctx context.Context) (*dockerapi.Client, error) {
	var faults []string
	for _, c := range s.clients {
		info, err := c.Info(ctx)
		switch part := info.Swarm; {
		case err != nil:
			faults = append(faults, c.URL()+": "+err.Error())
		case part.Error != "":
			faults = append(faults, c.URL()+": "+part.Error)
		case !part.Manager:
			faults = append(faults, c.URL()+" is no manager of a Swarm (its state is "+part.State+")")
		default:
			return c, nil
		}
	}
	return nil, fmt.Errorf("no manager: %s", strings.Join(faults, "; "))
}

// Changed is a service that was created or changed.
type Changed struct {
	ID, Name   string
	Warnings   []string // Docker's
	RolledBack bool     // a rollback was asked for
}

// Create creates a service. It does not wait for its tasks.
func (s *Swarm) Create(ctx context.Context, n Spec) (Changed, error) {
	spec, err := n.spec()
	if err != nil {
		return Changed{}, InvalidError{err}
	}
	c, err := s.manager(ctx)
	if err != nil {
		return Changed{}, err
	}
	id, warnings, err := c.ServiceCreate(ctx, spec)
	if dockerapi.IsNameTaken(err) {
		return Changed{}, fmt.Errorf("there is a service %s already", n.Name)
	}
	return Changed{ID: id, Name: n.Name, Warnings: warnings}, err
}

// Update changes the service of that name or ID, anew after a change by others at the same
// moment. It does not wait for the tasks.
func (s *Swarm) Update(ctx context.Context, name string, change Change) (Changed, error) {
	if err := change.check(); err != nil {
		return Changed{}, InvalidError{err}
	}
	c, err := s.manager(ctx)
	if err != nil {
		return Changed{}, err
	}
	networks, err := change.networks(ctx, c)
	if err != nil {
		return Changed{}, err
	}
	return s.change(ctx, c, name, func(state dockerapi.ServiceState) ([]string, error) {
		spec := state.Spec
		if err := change.apply(&spec, networks); err != nil {
			return nil, InvalidError{fmt.Errorf("service %s: %w", name, err)}
		}
		return c.ServiceUpdate(ctx, state.ID, state.Version, spec)
	})
}

// Rollback gives the service of that name or ID the specification before its last change. It
// does not wait for the tasks.
func (s *Swarm) Rollback(ctx context.Context, name string) (Changed, error) {
	c, err := s.manager(ctx)
	if err != nil {
		return Changed{}, err
	}
	changed, err := s.change(ctx, c, name, func(state dockerapi.ServiceState) ([]string, error) {
		if !state.Previous {
			return nil, InvalidError{fmt.Errorf("service %s: it has not been changed, there is nothing to go back to", name)}
		}
		return c.ServiceRollback(ctx, state.ID, state.Version, state.Spec)
	})
	changed.RolledBack = true
	return changed, err
}

// change reads a service and updates it, again after each conflict with others.
func (s *Swarm) change(ctx context.Context, c *dockerapi.Client, name string, update func(dockerapi.ServiceState) ([]string, error)) (Changed, error) {
	for try := 1; ; try++ {
		state, err := c.ServiceInspect(ctx, name)
		if err != nil {
			return Changed{}, noService(name, err)
		}
		warnings, err := update(state)
		switch {
		case err == nil:
			return Changed{ID: state.ID, Name: state.Name, Warnings: warnings}, nil
		case !dockerapi.IsConflict(err):
			return Changed{}, err
		case try == conflictTries:
			return Changed{}, fmt.Errorf("service %s: others changed it each of %d times: %w", name, try, err)
		}
		if err := clock.Sleep(ctx, time.Duration(try)*conflictPause); err != nil {
			return Changed{}, err
		}
	}
}

// ScaleFrom changes the number of a service's tasks. It refuses when that is not from.
func (s *Swarm) ScaleFrom(ctx context.Context, name string, from, to uint64) error {
	c, err := s.manager(ctx)
	if err != nil {
		return err
	}
	state, err := c.ServiceInspect(ctx, name)
	if err != nil {
		return noService(name, err)
	}
	spec := state.Spec
	if spec.Mode.Replicated == nil || spec.Mode.Replicated.Replicas == nil || *spec.Mode.Replicated.Replicas != from {
		return fmt.Errorf("service %s: the number of its tasks is no longer %d", name, from)
	}
	spec.Mode.Replicated = &swarm.ReplicatedService{Replicas: &to}
	_, err = c.ServiceUpdate(ctx, state.ID, state.Version, spec)
	if dockerapi.IsConflict(err) {
		return fmt.Errorf("service %s: a concurrent change won", name)
	}
	return err
}

// Remove removes the service of that name or ID. Its tasks end afterwards.
func (s *Swarm) Remove(ctx context.Context, name string) error {
	c, err := s.manager(ctx)
	if err != nil {
		return err
	}
	return noService(name, c.ServiceRemove(ctx, name))
}

// noService turns Docker's "not found" into ErrNoService.
func noService(name string, err error) error {
	if dockerapi.IsNotFound(err) {
		return fmt.Errorf("%w: %s", ErrNoService, name)
	}
	return err
}
