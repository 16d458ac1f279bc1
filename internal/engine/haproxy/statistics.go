package haproxy

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

// Statistics are those of HAProxy in its own form, CSV, by the names of the table:
// sections have the ID of their backend, or of the route that is alone in them,
// servers that of their endpoint, and frontends that of their listener. Sections
// without a name in the table are left out. Names that occur more than once are a backend
// that several sections serve.
func (e *Engine) Statistics(ctx context.Context) ([]byte, error) {
	stats, err := e.Stats(ctx)
	if err != nil {
		return nil, err
	}
	config := &render.Config{}
	if l := e.live.Load(); l != nil {
		config = l.config
	}
	return stats.CSV(func(r socket.Row) (string, string, bool) { return namesOf(config, r) }), nil
}

// namesOf gives a row the names of the table.
func namesOf(config *render.Config, r socket.Row) (proxy, server string, ok bool) {
	server = r.Server()
	if server == "FRONTEND" {
		name := render.ListenerOf(r.Proxy())
		return name, server, name != ""
	}
	s := config.Section(r.Proxy())
	if s == nil || s.Backend == "" {
		return "", "", false
	}
	proxy = cmp.Or(s.Route, s.Backend)
	if server == "BACKEND" {
		return proxy, server, true
	}
	endpoint, ok := endpointOf(s, server) // none: it is on its way out
	return proxy, endpoint, ok
}

// endpointOf is the endpoint that a server of a section is.
func endpointOf(s *render.Section, server string) (id string, ok bool) {
	i := slices.IndexFunc(s.Servers, func(sv render.Server) bool { return sv.Name == server })
	if i < 0 {
		return "", false
	}
	return s.Servers[i].Endpoint, true
}

// ConfigText is the configuration that is live, without what is secret; nil before
// the first.
func (e *Engine) ConfigText() []byte {
	if l := e.live.Load(); l != nil {
		return []byte(l.config.Shown())
	}
	return nil
}

// Preview returns what HAProxy would get for two tables, one after the other: its
// configuration and maps as text, without what is secret and without the marker,
// which differs in every one. Nothing is changed, and no file is read: users of
// files are left out. It may be called from any goroutine.
func (e *Engine) Preview(before, after *route.Table) (was, then string, err error) {
	first, err := render.Render(before, nil, e.surroundings())
	if err != nil {
		return "", "", fmt.Errorf("haproxy: preview: %w", err)
	}
	next, err := render.Render(after, first, e.surroundings())
	if err != nil {
		return "", "", fmt.Errorf("haproxy: preview: %w", err)
	}
	return first.Shown() + first.ShownMaps(), next.Shown() + next.ShownMaps(), nil
}
