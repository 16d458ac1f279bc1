// Package field holds the field lines of a message's head, in their order and spelling.
package field

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Line is one field line.
type Line struct{ Name, Value string }

// List are field lines in order. Names are compared in any case (RFC 9110, 5.1). The zero
// value is an empty list.
type List []Line

// Of makes a list of a header, sorted by name.
func Of(h http.Header) List {
	list := make(List, 0, len(h)+8)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			list = append(list, Line{name, v})
		}
	}
	return list
}

// Header makes a header of the list.
func (l List) Header() http.Header {
	h := make(http.Header, len(l))
	for i := range l {
		name := textproto.CanonicalMIMEHeaderKey(l[i].Name)
		h[name] = append(h[name], l[i].Value)
	}
	return h
}

// Same reports whether two names are those of one field.
func Same(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// Get returns the first value of a field, or nothing.
func (l List) Get(name string) string {
	for i := range l {
		if Same(l[i].Name, name) {
			return l[i].Value
		}
	}
	return ""
}

// Count is how often a field is there.
func (l List) Count(name string) (n int) {
	for i := range l {
		if Same(l[i].Name, name) {
			n++
		}
	}
	return n
}

// Has reports whether a field is there.
func (l List) Has(name string) bool {
	return slices.ContainsFunc(l, func(f Line) bool { return Same(f.Name, name) })
}

// Values are those of a field, in order; nil when it is not there.
func (l List) Values(name string) (values []string) {
	for i := range l {
		if Same(l[i].Name, name) {
			values = append(values, l[i].Value)
		}
	}
	return values
}

// Lists reports whether the lists that a field's values are hold the word, in any case
// (RFC 9110, 5.6.1).
func (l List) Lists(name, word string) bool {
	for i := range l {
		if !Same(l[i].Name, name) {
			continue
		}
		for entry := range strings.SplitSeq(l[i].Value, ",") {
			if strings.EqualFold(strings.TrimSpace(entry), word) {
				return true
			}
		}
	}
	return false
}

// Add appends a line.
func (l *List) Add(name, value string) { *l = append(*l, Line{name, value}) }

// Set makes value the only one of a field, where it was, or behind the others.
func (l *List) Set(name, value string) {
	for i := range *l {
		if Same((*l)[i].Name, name) {
			(*l)[i].Value = value
			rest := (*l)[i+1:]
			rest.Del(name)
			*l = (*l)[:i+1+len(rest)]
			return
		}
	}
	l.Add(name, value)
}

// Del deletes a field.
func (l *List) Del(name string) {
	l.DelFunc(func(have string) bool { return Same(have, name) })
}

// DelFunc deletes the fields whose names it takes.
func (l *List) DelFunc(takes func(name string) bool) {
	kept := 0
	for i := range *l {
		if takes((*l)[i].Name) {
			continue
		}
		if kept != i {
			(*l)[kept] = (*l)[i]
		}
		kept++
	}
	*l = (*l)[:kept]
}

// Clone is a list of its own.
func (l List) Clone() List { return slices.Clone(l) }
