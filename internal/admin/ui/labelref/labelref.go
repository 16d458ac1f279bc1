// Package labelref reads the reference of labels: which of them a label is, and what is
// code in its text.
package labelref

import "strings"

// Means says whether a label, of a named route or not, is the one of this name.
func Means(label, name string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(label), "fairway.")
	key := strings.TrimPrefix(name, "fairway.")
	fits := func(s string) bool { return s == key || strings.HasSuffix(key, ".") && strings.HasPrefix(s, key) }
	_, behind, _ := strings.Cut(rest, ".") // the name of a route
	return ok && (fits(rest) || fits(behind))
}

// Part is a part of a text, which may be code.
type Part struct {
	Code bool
	Text string
}

// Parts parts a text at its backquotes.
func Parts(text string) (all []Part) {
	for i, part := range strings.Split(text, "`") {
		if part != "" {
			all = append(all, Part{i%2 == 1, part})
		}
	}
	return all
}
