package render

import (
	"strings"

	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
)

// Shown is the text of the configuration as people may see it, without the marker:
// route.Masked stands in the place of what is secret.
func (c *Config) Shown() string { return quote.Masked(c.body(), route.Masked) }

// ShownFile is Text as people may see it; the lines that differ hold a secret.
func (c *Config) ShownFile() string { return c.withMarker(quote.Masked(c.body(), route.Masked)) }

// Quotable are the maps and lists of certificates that have no secrets in them.
func (c *Config) Quotable() []string {
	paths := make([]string, 0, len(c.Maps)+len(c.CertLists))
	for _, m := range c.Maps {
		if m.Name != mapUsers {
			paths = append(paths, m.Path)
		}
	}
	for _, l := range c.CertLists {
		paths = append(paths, l.Path)
	}
	return paths
}

// ShownMaps are the entries of the maps as people may see them, one a line.
func (c *Config) ShownMaps() string {
	var b strings.Builder
	for _, m := range c.Maps {
		for _, entry := range m.Entries {
			if m.Name == mapUsers {
				entry.Value = route.Masked
			}
			b.WriteString("map " + m.Name + ": " + entry.Key + " " + entry.Value + "\n")
		}
	}
	return b.String()
}
