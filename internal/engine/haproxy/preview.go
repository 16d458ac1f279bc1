package haproxy

import (
	"fmt"
	"strings"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
)

// Preview returns what HAProxy would be told of two tables, one after the other: its
// configuration and maps as text, without the lines that differ in every one.
// Nothing is changed, and no file is read: users of files are left out. It may be
// called from any goroutine.
func (e *Engine) Preview(before, after *route.Table) (was, then string, err error) {
	o := e.opts.Render
	o.Dir, o.AdminSocket, o.LogSocket, o.AccessLog = e.opts.Dir, e.adminSocket(), e.linesSocket(), e.opts.AccessLog != nil
	o.Capabilities, o.IPv6 = e.Capabilities(), e.ipv6
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

func previewText(c *render.Config) string {
	var b strings.Builder
	for line := range strings.Lines(string(c.Text)) {
		if !strings.Contains(line, "proc.cfggen") {
			b.WriteString(line)
		}
	}
	for _, m := range c.Maps {
		for _, entry := range m.Entries {
			fmt.Fprintf(&b, "map %s: %s %s\n", m.Name, entry.Key, entry.Value)
		}
	}
	return b.String()
}
