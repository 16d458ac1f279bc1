package driver

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"fairway/internal/dockerapi"
)

// DefaultFile is where HAProxy's own images have their configuration.
const DefaultFile = "/usr/local/etc/haproxy/haproxy.cfg"

// Target is a container on a host that runs HAProxy with a document. Host and document
// together are unique.
type Target struct {
	// Host is the name of the host, Docker the URL of its engine.
	Host, Docker string
	// Document is the name of the document.
	Document string
	// Container is the name of the container, or Label a label "key=value", or
	// "key", that it has; one of them is set.
	Container, Label string
	// File is the path of the configuration in a container without the agent;
	// the agent knows its own.
	File string
	// Stats is the URL of HAProxy's statistics page as Fairway reaches it, for a
	// container without the agent; empty for none. StatsUser is "user:password"
	// for it, out of a file.
	Stats, StatsUser string
	// Values are what a template may use, besides "host".
	Values map[string]string
}

// Equal reports whether two targets are the same.
func (t Target) Equal(u Target) bool {
	sameValues := maps.Equal(t.Values, u.Values)
	t.Values, u.Values = nil, nil
	return sameValues && reflect.DeepEqual(t, u)
}

// matches reports whether a container is the one.
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

// find returns the ID of the container that a target names. All errors are
// *AbsentError.
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
