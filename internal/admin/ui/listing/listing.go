// Package listing makes of what there is the part that a page shows: what was searched
// for, filtered, sorted and cut into pages, each by the address of the page, so that it
// can be kept, sent and read without script.
package listing

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// PerPage is how many things of a list a page shows.
const PerPage = 100

// maxValue bounds the values of an address, in bytes, that links of its page keep.
const maxValue = 2048

// Column is what a list can be sorted by.
type Column[T any] struct {
	Name string // in the address
	// Down is true where the first order is from the greatest to the least.
	Down    bool
	Compare func(a, b T) int
}

// By sorts by a key, the least first.
func By[T any, K cmp.Ordered](name string, key func(T) K) Column[T] {
	return Column[T]{Name: name, Compare: func(a, b T) int { return cmp.Compare(key(a), key(b)) }}
}

// Most sorts by a key, the greatest first.
func Most[T any, K cmp.Ordered](name string, key func(T) K) Column[T] {
	c := By(name, key)
	c.Down = true
	return c
}

// Text sorts by a text, whether its letters are large or small.
func Text[T any](name string, key func(T) string) Column[T] {
	return By(name, func(item T) string { return strings.ToLower(key(item)) })
}

// Order is how things are sorted, with the links to other orders.
type Order struct {
	path  string
	query url.Values
	by    string
	down  bool
	first map[string]bool // columns, and whether they begin downwards
}

// Sort sorts by the column that the query names as sort, downwards behind a minus. What
// is equal stays as it was; without such a column everything does. The items are not
// changed.
func Sort[T any](path string, query url.Values, items []T, columns ...Column[T]) ([]T, Order) {
	o := Order{path: path, query: maps.Clone(query), first: map[string]bool{}}
	name, down := strings.CutPrefix(query.Get("sort"), "-")
	sorted := slices.Clone(items)
	for _, c := range columns {
		o.first[c.Name] = c.Down
		if c.Name != name {
			continue
		}
		o.by, o.down = name, down
		slices.SortStableFunc(sorted, func(a, b T) int {
			if down {
				a, b = b, a
			}
			return c.Compare(a, b)
		})
	}
	return sorted, o
}

// Head is the heading of a column.
type Head struct {
	Link string // to the list in this order, or in the other where it is in this one
	Sort string // for aria-sort: "ascending", "descending" or "none"
}

// Head is the heading of a column.
func (o Order) Head(column string) Head {
	h, down := Head{Sort: "none"}, o.first[column]
	if o.by == column {
		h.Sort, down = "ascending", !o.down
		if o.down {
			h.Sort = "descending"
		}
	}
	order := column
	if down {
		order = "-" + column
	}
	h.Link = o.With("sort", order, "page", "")
	return h
}

// With is the link to this page with other values; an empty one is left out.
func (o Order) With(pairs ...string) string {
	values := map[string]string{}
	for name := range o.query {
		if value := o.query.Get(name); len(value) <= maxValue {
			values[name] = value
		}
	}
	for pair := range slices.Chunk(pairs, 2) {
		values[pair[0]] = pair[1]
	}
	return Link(o.path, values)
}

// Kept are the values that a search leaves as they are.
func (o Order) Kept() map[string]string {
	kept := map[string]string{}
	for name := range o.query {
		if value := o.query.Get(name); value != "" && name != "q" && name != "page" && name != "before" {
			kept[name] = value
		}
	}
	return kept
}

// Value is what the address has for a name; empty for nothing.
func (o Order) Value(name string) string { return o.query.Get(name) }

// Query is what was searched for.
func (o Order) Query() string { return o.query.Get("q") }

// Filter is which of the filters is on.
func (o Order) Filter() string { return o.query.Get("only") }

// Only is the link to the list with a filter.
func (o Order) Only(filter string) string { return o.With("only", filter, "page", "", "before", "") }

// List is a part of a longer list, with what leads to the other parts.
type List[T any] struct {
	Order
	Items           []T
	All             []T // what matches, on all pages
	From, To        int // of Matching, counted from 1
	Matching, Total int
	Previous, Next  string // links; empty for none
}

// New keeps the items that match the query's words (q) and filter (only), sorts them
// and keeps its page.
func New[T any](path string, query url.Values, items []T, matches func(item T, words []string, filter string) bool, columns ...Column[T]) List[T] {
	l := List[T]{Total: len(items)}
	words, filter := strings.Fields(strings.ToLower(query.Get("q"))), query.Get("only")
	kept := slices.DeleteFunc(slices.Clone(items), func(item T) bool { return !matches(item, words, filter) })
	kept, l.Order = Sort(path, query, kept, columns...)
	l.All, l.Matching = kept, len(kept)
	page, _ := strconv.Atoi(query.Get("page"))
	page = min(max(page, 1), max(1, (len(kept)+PerPage-1)/PerPage))
	first := (page - 1) * PerPage
	l.Items = kept[first:min(first+PerPage, len(kept))]
	l.From, l.To = first+1, first+len(l.Items)
	if page > 1 {
		l.Previous = l.at(page - 1)
	}
	if l.To < len(kept) {
		l.Next = l.at(page + 1)
	}
	return l
}

func (l List[T]) at(page int) string {
	number := ""
	if page > 1 {
		number = strconv.Itoa(page)
	}
	return l.With("page", number)
}

// Link is the link to a path with a query of what is not empty.
func Link(path string, query map[string]string) string {
	v := url.Values{}
	for name, value := range query {
		if value != "" {
			v.Set(name, value)
		}
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// Has says whether all words, of small letters, are in one of the texts.
func Has(words []string, texts ...string) bool {
	all := strings.ToLower(strings.Join(texts, " "))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(all, w) })
}

// Send answers with a list as a file of a name: as JSON, or with another format as csv
// writes it.
func Send(w http.ResponseWriter, name, format string, items any, csv func(io.Writer)) {
	h := w.Header()
	h.Set("Content-Disposition", `attachment; filename="`+name+"."+format+`"`)
	if format != "json" {
		h.Set("Content-Type", "text/csv; charset=utf-8")
		csv(w)
		return
	}
	h.Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct { // the client may have gone
		Items any `json:"items"`
	}{items})
}
