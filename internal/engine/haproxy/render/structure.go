package render

import (
	"crypto/sha256"
	"encoding/hex"
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
	h := sha256.New()
	for _, p := range s.Parts {
		h.Write([]byte(p.Name))
		h.Write([]byte{0})
		h.Write([]byte(p.Digest))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// Changes says what is different from the structure before, one sentence without
// a full stop for each part, sorted: "listener https is new". None: no reload is
// needed.
func (s Structure) Changes(before Structure) []string {
	var changes []string
	i, j := 0, 0
	for i < len(before.Parts) || j < len(s.Parts) {
		switch {
		case j == len(s.Parts) || i < len(before.Parts) && before.Parts[i].Name < s.Parts[j].Name:
			changes = append(changes, before.Parts[i].Name+" is gone")
			i++
		case i == len(before.Parts) || s.Parts[j].Name < before.Parts[i].Name:
			changes = append(changes, s.Parts[j].Name+" is new")
			j++
		default:
			if before.Parts[i].Digest != s.Parts[j].Digest {
				changes = append(changes, s.Parts[j].Name+" has changed")
			}
			i++
			j++
		}
	}
	slices.Sort(changes)
	return changes
}

// newPart makes a part of a piece of text.
func newPart(name, text string) Part {
	sum := sha256.Sum256([]byte(text))
	return Part{Name: name, Digest: hex.EncodeToString(sum[:8])}
}

// findSection looks a section up by its name in a list sorted by name.
func findSection(sections []Section, name string) (int, bool) {
	return slices.BinarySearchFunc(sections, name, func(s Section, name string) int {
		return strings.Compare(s.Name, name)
	})
}
