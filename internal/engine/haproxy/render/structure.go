package render

import (
	"slices"
	"strings"
)

// Structure is what cannot be changed without a reload, in parts that have names
// for people. Parts are sorted by name.
type Structure struct {
	Parts []Part `json:"parts"`
}

// Part is a piece of the configuration's text.
type Part struct {
	// Name says in words what it is: "listener https", "rules of route shop/api".
	Name string `json:"name"`
	// Digest identifies the text.
	Digest string `json:"digest"`
}

// Hash identifies the structure: 16 hexadecimal digits.
func (s Structure) Hash() string {
	var all strings.Builder
	for _, p := range s.Parts {
		all.WriteString(p.Name + "\x00" + p.Digest + "\x00")
	}
	return hashed(all.String(), 16)
}

// Changes says what is different from the structure before, one sentence without
// a full stop for each part, sorted: "listener https is new". None: no reload is
// needed.
func (s Structure) Changes(before Structure) []string {
	gone := make(map[string]string, len(before.Parts))
	for _, p := range before.Parts {
		gone[p.Name] = p.Digest
	}
	var changes []string
	for _, p := range s.Parts {
		switch digest, known := gone[p.Name]; {
		case !known:
			changes = append(changes, p.Name+" is new")
		case digest != p.Digest:
			changes = append(changes, p.Name+" has changed")
		}
		delete(gone, p.Name)
	}
	for name := range gone {
		changes = append(changes, name+" is gone")
	}
	slices.Sort(changes)
	return changes
}

func newPart(name, text string) Part { return Part{Name: name, Digest: hashed(text, 16)} }
