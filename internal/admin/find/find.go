// Package find ranks what people may mean by the words that they type.
package find

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"fairway/internal/api"
)

// Item is something that can be found.
type Item struct {
	api.Found
	// More are texts that it is found by besides its name and what is said of it.
	More []string
}

// Best returns the items that have all the words of query, whether their letters are
// large or small, at most limit: first those whose name is the query, then those whose
// name or a part of it begins with it, then those that have it in their name, then the
// others; the shorter name first. What ranks the same stays in its order. Without words
// nothing is found.
func Best(query string, items iter.Seq[Item], limit int) []api.Found {
	query = strings.ToLower(strings.TrimSpace(query))
	words := strings.Fields(query)
	if len(words) == 0 {
		return nil
	}
	type ranked struct {
		api.Found
		rank int
	}
	var found []ranked
	for item := range items {
		if rank, ok := rankOf(item, query, words); ok {
			found = append(found, ranked{item.Found, rank})
		}
	}
	slices.SortStableFunc(found, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(len(a.Name), len(b.Name)))
	})
	var best []api.Found
	for _, f := range found[:min(limit, len(found))] {
		best = append(best, f.Found)
	}
	return best
}

// rankOf is the rank of an item, the best 0; false where a word is missing.
func rankOf(item Item, query string, words []string) (rank int, ok bool) {
	name := strings.ToLower(item.Name)
	texts := strings.ToLower(strings.Join(append([]string{item.Name, item.ID, item.Text}, item.More...), " "))
	for _, w := range words {
		if !strings.Contains(texts, w) {
			return 0, false
		}
	}
	parts := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("-_./@: ", r) })
	switch {
	case name == query:
		return 0, true
	case strings.HasPrefix(name, query), slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, query) }):
		return 1, true
	case strings.Contains(name, query):
		return 2, true
	}
	return 3, true
}
