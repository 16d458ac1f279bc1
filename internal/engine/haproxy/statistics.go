package haproxy

import (
	"context"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
)

// Statistics are those of HAProxy in its own form, CSV, by the names of the table:
// sections have the ID of their backend, or of the route that is alone in them,
// servers that of their endpoint, and frontends that of their listener. Sections
// that are of nobody are left out. Names that occur more than once are a backend
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
		name := listenerName(r.Proxy())
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
