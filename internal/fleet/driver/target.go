package driver

import (
	"context"
	"fmt"
	"strings"

	"fairway/internal/dockerapi"
)

// DefaultFile is where HAProxy's own images have their configuration.
const DefaultFile = "/usr/local/etc/haproxy/haproxy.cfg"

// Target is a container on a host that runs HAProxy with a document.
type Target struct {
	// Host is the name of the host, Docker the URL of its engine.
	Host, Docker string
	// Document is the name of the document.
	Document string
	// Container is a name, or Label a label "key=value" or "key"; one of them is set.
	Container, Label string
	// File is the path of the configuration; the agent knows its own.
	File string
	// Stats is the URL of HAProxy's statistics page, for a container without the agent, and
	// StatsUser "user:password" for it; empty for none.
	Stats, StatsUser string
	// Values are what a template may use, besides "host".
	Values map[string]string
}

func (t Target) matches(c dockerapi.Container) bool {
	if t.Container != "" {
		return c.Name == t.Container || len(t.Container) >= 12 && strings.HasPrefix(c.ID, t.Container)
	}
	key, value, pair := strings.Cut(t.Label, "=")
	have, ok := c.Labels[key]
	return ok && (!pair || have == value)
}

// Selector says by what the container is chosen.
func (t Target) Selector() string {
	if t.Container != "" {
		return "the name " + t.Container
	}
	return "the label " + t.Label
}

// find returns the ID of the container of a target, or an *AbsentError.
func find(ctx context.Context, engine Engine, t Target) (id string, _ error) {
	list, err := engine.ContainerList(ctx, true)
	if err != nil {
		return "", &AbsentError{err}
	}
	var found, running []dockerapi.Container
	for _, c := range list {
		if !t.matches(c) {
			continue
		}
		found = append(found, c)
		if c.Status == "running" {
			running = append(running, c)
		}
	}
	switch {
	case len(running) == 1:
		return running[0].ID, nil
	case len(running) > 1:
		return "", &AbsentError{fmt.Errorf("%d containers that run have %s; name one", len(running), t.Selector())}
	case len(found) > 0:
		return "", &AbsentError{fmt.Errorf("container %s is %s", found[0].Name, found[0].Status)}
	default:
		return "", &AbsentError{fmt.Errorf("no container has %s", t.Selector())}
	}
}
