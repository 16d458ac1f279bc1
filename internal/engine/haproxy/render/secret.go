package render

import (
	"strings"

	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
)

// Values that are secret by their place (see package route) stand between marks until
// the text is whole, so that it can be shown without them. No value has the marks in it:
// quoted writes control characters out, and lines that people write lose them.
const secretBegin, secretEnd = "\x02", "\x03"

var withoutMarks = strings.NewReplacer(secretBegin, "", secretEnd, "")

func secret(words string) string { return secretBegin + withoutMarks.Replace(words) + secretEnd }

// secretLine marks all of a line that people wrote but its first word.
func secretLine(line string) string {
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return withoutMarks.Replace(line)
	}
	return withoutMarks.Replace(line[:end]) + " " + secret(line[end+1:])
}

// secretQuery is the path of a check as one word, with its query marked as secret.
func secretQuery(path string) string {
	word := quote.Word(path)
	path, query, ok := strings.Cut(word, "?")
	if !ok {
		return word
	}
	return path + "?" + secret(strings.TrimSuffix(query, `"`)) + `"`
}

// plain is the text as HAProxy gets it.
func plain(marked string) string { return withoutMarks.Replace(marked) }

// masked is the text as people may see it.
func masked(marked string) string {
	var b strings.Builder
	for {
		front, rest, ok := strings.Cut(marked, secretBegin)
		b.WriteString(front)
		if !ok {
			return b.String()
		}
		b.WriteString(route.Masked)
		_, marked, _ = strings.Cut(rest, secretEnd)
	}
}

// Shown is the text of the configuration as people may see it, without the marker:
// route.Masked stands in the place of what is secret.
func (c *Config) Shown() string { return masked(c.body()) }

// ShownFile is Text as people may see it; the lines that differ hold a secret.
func (c *Config) ShownFile() string { return c.withMarker(masked(c.body())) }

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
