package haproxy

import (
	"fmt"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
)

// Preview returns what HAProxy would be told of two tables, one after the other: its
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
