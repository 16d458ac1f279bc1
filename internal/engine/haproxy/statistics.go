package haproxy

import (
	"context"
	"fmt"

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
	var config *render.Config
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
	if config == nil {
		return "", "", false
	}
	s := config.Section(r.Proxy())
	if s == nil || s.Backend == "" {
		return "", "", false
	}
	proxy = s.Backend
	if s.Route != "" {
		proxy = s.Route
	}
	if server == "BACKEND" {
		return proxy, server, true
	}
	for i := range s.Servers {
		if s.Servers[i].Name == server {
			return proxy, s.Servers[i].Endpoint, true
		}
	}
	return "", "", false // on its way out
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
	o := e.opts.Render
	o.Dir, o.AdminSocket, o.LogSocket, o.AccessLog = e.opts.Dir, e.adminSocket(), e.linesSocket(), e.opts.AccessLog != nil
	o.IPv6 = e.ipv6
	first, err := render.Render(before, nil, o)
	if err != nil {
		return "", "", fmt.Errorf("haproxy: preview: %w", err)
	}
	next, err := render.Render(after, first, o)
	if err != nil {
		return "", "", fmt.Errorf("haproxy: preview: %w", err)
	}
	return previewText(first), previewText(next), nil
}

func previewText(c *render.Config) string { return c.Shown() + c.ShownMaps() }
