package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/deploy"
	"fairway/internal/deploy/marks"
	"fairway/internal/dockerapi"
	"fairway/internal/fleet/agent/command"
	"fairway/internal/swarmservice"
)

// Leave is the command leave.
type Leave struct {
	Container string        `arg:"" help:"Name or ID of the container."`
	Wait      bool          `name:"wait" help:"Wait until it has no requests."`
	Stop      bool          `name:"stop" help:"Wait until it has no requests, and stop it."`
	Back      bool          `name:"back" help:"Have it take requests again."`
	Fairway   []string      `name:"fairway" placeholder:"URL" help:"Admin API of a Fairway that must have seen it; none waits 10s instead. Repeatable. Default: the one of --admin."`
	Timeout   time.Duration `name:"timeout" placeholder:"DURATION" default:"30s" help:"With --wait and --stop: maximum time to wait."`
	EngineFlags
}

// Help is the detail in the help.
func (Leave) Help() string {
	return `Takes one container out before you stop it yourself: it gets nothing new and finishes what it has. Its name says so, for every Fairway that reads the engine; owner and claims of its service stay. A restart of the container ends it. The exit code is 1 when requests are left after --timeout; --stop has it run on then.

    fairway leave db --stop
    fairway leave db --wait
    fairway leave db --back`
}

// left is what leave answers.
type left struct {
	Container string `json:"container"`
	// State is "leaving", "drained", "stopped" or "serving".
	State string `json:"state"`
	// Requests are those that it is still busy with.
	Requests int `json:"requests"`
}

// Run marks the container.
func (f *Leave) Run(ctx context.Context, h *command.Host, keys Flags, connect Client) error {
	f.Wait = f.Wait || f.Stop
	if f.Timeout <= 0 || f.Wait && f.Back {
		return swarmservice.Invalid(errors.New("--timeout must be above 0, and --wait and --stop go without --back"))
	}
	t, err := open(ctx, h, keys, f.EngineFlags, f.Fairway, connect, f.Wait)
	if err != nil {
		return err
	}
	defer t.client.Close()
	list, err := t.client.ContainerList(ctx, true)
	if err != nil {
		return err
	}
	id, err := called(list, f.Container)
	if err != nil {
		return swarmservice.Invalid(fmt.Errorf("%s: %w", t.client.URL(), err))
	}
	m, err := t.client.ContainerManaged(ctx, id)
	switch {
	case err != nil:
		return err
	case m.Status != "running" && !f.Back:
		return swarmservice.Invalid(fmt.Errorf("container %s does not run", m.Name))
	}
	base, mark := marks.Read(m.Name)
	to, state := marks.Gone(m.Started).On(base), "leaving"
	if f.Back {
		to, state = base, "serving"
	}
	switch {
	case mark.Kind != marks.None && mark.Kind != marks.Leaving:
		return swarmservice.Invalid(fmt.Errorf("container %s is part of a deploy that is under way", base))
	case m.Name != to:
		if err := t.client.ContainerRename(ctx, m.ID, to); err != nil {
			return err
		}
	}
	answer := left{Container: base, State: state}
	if f.Wait {
		if answer, err = f.drained(ctx, t, m, answer); err != nil {
			return err
		}
	}
	if f.Stop && answer.State == "drained" {
		if err := errors.Join(t.client.ContainerStop(ctx, m.ID, m.Grace), t.client.ContainerRename(ctx, m.ID, base)); err != nil {
			return err
		}
		answer.State = "stopped"
	}
	if err := h.Print(answer, func() {
		h.Printf("%s: %s\n", answer.Container, answer.State)
		if answer.Requests > 0 {
			h.Note("%d requests are left after %s", answer.Requests, f.Timeout)
		} else if f.Wait && answer.State == "leaving" {
			h.Note("no Fairway confirmed within %s that it has no requests: does one of --fairway route to it?", f.Timeout)
		}
	}); err != nil {
		return err
	}
	if f.Wait && answer.State == "leaving" {
		return unwell
	}
	return nil
}

// called finds the one container with an ID, whole or as Docker prints it, or with a name, which
// may have got a mark since. Kept and failed ones are not meant.
func called(list []dockerapi.Container, text string) (id string, err error) {
	for _, c := range list {
		if c.ID == text || c.ID[:min(12, len(c.ID))] == text {
			return c.ID, nil
		}
		base, mark := marks.Read(c.Name)
		switch {
		case base != text && c.Name != text || mark.Kind == marks.Kept || mark.Kind == marks.Failed:
		case id != "":
			return "", fmt.Errorf("several containers are %s while it is deployed: name one by its ID", text)
		default:
			id = c.ID
		}
	}
	if id == "" {
		err = fmt.Errorf("no container %s", text)
	}
	return id, err
}

func (f *Leave) drained(ctx context.Context, t *target, m dockerapi.Managed, answer left) (left, error) {
	in := deploy.Instance{ID: m.ID, Mark: marks.Leaving, Known: answer.Container}
	if project, service := m.Labels["com.docker.compose.project"], m.Labels["com.docker.compose.service"]; project != "" && service != "" {
		in.Known = project + "-" + service
	}
	if own := m.Labels[catalog.ServiceLabel]; catalog.IsName(own) {
		in.Known = own
	}
	ask, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	traffic := t.traffic(deploy.Name{})
	for quiet := 0; quiet < 2; {
		n, none, err := traffic.Drained(ask, in)
		if err != nil && ask.Err() == nil {
			return answer, err
		}
		if answer.Requests = n; none {
			quiet++
		} else {
			quiet = 0
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ask.Done():
			return answer, ctx.Err()
		}
	}
	answer.State = "drained"
	return answer, nil
}
