package fleet

import (
	"strings"

	"fairway/internal/dockerapi"
)

// DefaultFile is where HAProxy's own images have their configuration.
const DefaultFile = "/usr/local/etc/haproxy/haproxy.cfg"

// Place is a container on a host that runs HAProxy with a document. Host and
// document together are unique.
type Place struct {
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

// matches tells whether a container is the one.
func (p Place) matches(c dockerapi.Container) bool {
	if p.Container != "" {
		return c.Name == p.Container || len(p.Container) >= 12 && strings.HasPrefix(c.ID, p.Container)
	}
	key, value, pair := strings.Cut(p.Label, "=")
	have, ok := c.Labels[key]
	return ok && (!pair || have == value)
}

// Selector says by what the container is chosen.
func (p Place) Selector() string {
	if p.Container != "" {
		return "the name " + p.Container
	}
	return "the label " + p.Label
}
