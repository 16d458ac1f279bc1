package route

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// seal is what New keeps with a route or a backend, so that an element of many tables
// is made ready once: text, digest and, of a route, its matches. owner distinguishes the
// element from copies of it, which may have been changed since.
type seal[T any] struct {
	owner   *T
	text    string
	digest  [sha256.Size]byte
	matches []*compiledMatch // of routes only
}

// of says whether s is the seal of element, and not of one it was copied from.
func (s *seal[T]) of(element *T) bool { return s != nil && s.owner == element }

// New makes a table. It sorts the lists (copies of them; the arguments stay as
// they are), checks what must hold in every table and computes the hash. It keeps
// the text of routes and backends with them, so that those which were in a table
// before cost next to nothing; they must not be written to any more. New must not run
// twice at the same time for elements that were in no table yet.
//
// The errors are faults of the caller, not of a user: IDs and listener names that
// are empty or used twice, a route without matches, a reference to a backend that
// is not there, matches that are not canonical, filters with no or several fields
// set or with values they cannot have, routes of TCP listeners that are not what
// SchemeTCP says, text that is not UTF-8.
func New(revision uint64, l []Listener, r []*Route, b []*Backend, p []Problem) (*Table, error) {
	t := &Table{
		Revision:  revision,
		Listeners: sorted(l, func(a, b Listener) int { return strings.Compare(a.Name, b.Name) }),
		Problems:  sorted(p, compareProblems),
	}
	var err error
	if t.Routes, err = sortElements(r, (*Route).key, (*Route).sealOnce); err != nil {
		return nil, fmt.Errorf("table: route %w", err)
	}
	if t.Backends, err = sortElements(b, (*Backend).key, (*Backend).sealOnce); err != nil {
		return nil, fmt.Errorf("table: backend %w", err)
	}
	for i, l := range t.Listeners {
		if l.Name == "" || i > 0 && l.Name == t.Listeners[i-1].Name {
			return nil, fmt.Errorf("table: listener %s: the name is empty or used twice", excerpt(l.Name))
		}
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("table: listener %s: %w", excerpt(l.Name), err)
		}
	}
	names := t.tcpNames()
	for _, r := range t.Routes {
		backend := t.Backend(r.Backend)
		if r.Backend != "" && backend == nil {
			return nil, fmt.Errorf("table: route %s: there is no backend %s", excerpt(r.ID), excerpt(r.Backend))
		}
		if err := r.checkTCP(names, backend); err != nil {
			return nil, fmt.Errorf("table: route %s: %w", excerpt(r.ID), err)
		}
	}
	t.Hash = t.sum()
	return t, nil
}

// Route returns the route with the ID, or nil.
func (t *Table) Route(id string) *Route { return lookup(t.Routes, id, (*Route).key) }

// Backend returns the backend with the ID, or nil.
func (t *Table) Backend(id string) *Backend { return lookup(t.Backends, id, (*Backend).key) }

// Endpoint returns the endpoint with the ID; nil when there is none, or no backend.
func (b *Backend) Endpoint(id string) *Endpoint {
	if b == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(b.Endpoints, id, func(e Endpoint, id string) int { return strings.Compare(e.ID, id) })
	if !ok {
		return nil
	}
	return &b.Endpoints[i]
}

func (r *Route) key() string   { return r.ID }
func (b *Backend) key() string { return b.ID }

// lookup finds an element by its ID in a sorted list.
func lookup[T any](list []*T, id string, key func(*T) string) *T {
	i, ok := slices.BinarySearchFunc(list, id, func(e *T, id string) int {
		return strings.Compare(key(e), id)
	})
	if !ok {
		return nil
	}
	return list[i]
}

// sorted returns a sorted copy.
func sorted[T any](list []T, compare func(a, b T) int) []T {
	list = slices.Clone(list)
	if !slices.IsSortedFunc(list, compare) {
		slices.SortStableFunc(list, compare)
	}
	return list
}

// sortElements returns a sorted copy of list after it has checked the IDs and
// sealed what was not sealed.
func sortElements[T any](list []*T, key func(*T) string, seal func(*T) error) ([]*T, error) {
	if slices.Contains(list, nil) {
		return nil, errors.New("list holds a nil")
	}
	list = sorted(list, func(a, b *T) int { return strings.Compare(key(a), key(b)) })
	for i, e := range list {
		id := key(e)
		if id == "" || i > 0 && id == key(list[i-1]) {
			return nil, fmt.Errorf("%s: the ID is empty or used twice", excerpt(id))
		}
		if err := seal(e); err != nil {
			return nil, fmt.Errorf("%s: %w", excerpt(id), err)
		}
	}
	return list, nil
}

// sealOnce checks the route and keeps its text, digest and matches.
func (r *Route) sealOnce() error {
	if r.seal.of(r) {
		return nil
	}
	for i, f := range r.Filters {
		if n := f.fields(); n != 1 {
			return fmt.Errorf("filter %d has %d fields set, not one", i+1, n)
		}
		if err := f.check(); err != nil {
			return fmt.Errorf("filter %d: %w", i+1, err)
		}
	}
	matches, err := compileMatches(r)
	if err != nil {
		return err
	}
	s, err := sealText[Route](r.Text())
	if err != nil {
		return err
	}
	s.owner, s.matches = r, matches
	r.seal = s
	return nil
}

// sealOnce checks the backend and keeps its text and digest.
func (b *Backend) sealOnce() error {
	if b.seal.of(b) {
		return nil
	}
	if err := b.check(); err != nil {
		return err
	}
	for i, e := range b.Endpoints {
		if i > 0 && e.ID <= b.Endpoints[i-1].ID {
			return fmt.Errorf("endpoint %s: the IDs are not sorted or used twice", excerpt(e.ID))
		}
	}
	s, err := sealText[Backend](b.Text())
	if err != nil {
		return err
	}
	s.owner = b
	b.seal = s
	return nil
}

// sealText makes a seal of a text. What is not UTF-8 could not be written as JSON
// and read back.
func sealText[T any](text string) (*seal[T], error) {
	if hasForeignByte(text) {
		return nil, errors.New("a value in it is not UTF-8")
	}
	return &seal[T]{text: text, digest: sha256.Sum256([]byte(text))}, nil
}

// hasForeignByte says whether a canonical text quotes a byte that is not UTF-8.
// Backslashes are in such a text only where they begin an escape.
func hasForeignByte(text string) bool {
	for i := 0; i+2 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if text[i+1] == 'x' && text[i+2] >= '8' {
			return true
		}
		i++
	}
	return false
}

// compileMatches makes the matches of a route ready.
func compileMatches(r *Route) ([]*compiledMatch, error) {
	if len(r.Matches) == 0 {
		return nil, errors.New("there are no matches")
	}
	matches := make([]*compiledMatch, len(r.Matches))
	for i := range r.Matches {
		var err error
		if matches[i], err = compileMatch(&r.Matches[i]); err != nil {
			return nil, fmt.Errorf("match %d: %w", i+1, err)
		}
	}
	return matches, nil
}

// fields counts the fields that are set.
func (f *Filter) fields() int {
	n := 0
	for _, set := range []bool{
		f.IPAllow != nil, f.Methods != nil, f.RequireTLS != nil, f.RequireClientCert != nil, f.RateLimit != nil,
		f.MaxBody != nil, f.RedirectHTTPS != nil, f.Redirect != nil, f.BasicAuth != nil, f.StripPrefix != nil,
		f.AddPrefix != nil, f.RewritePath != nil, f.RequestHeaders != nil, f.ResponseHeaders != nil,
		f.Compress != nil, f.Snippet != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

// sum computes the hash: of the texts of the listeners and the digests of routes
// and backends, each list behind its length.
func (t *Table) sum() string {
	h := sha256.New()
	fmt.Fprintln(h, "listeners", len(t.Listeners))
	for _, l := range t.Listeners {
		h.Write([]byte(l.Text()))
	}
	fmt.Fprintln(h, "routes", len(t.Routes))
	for _, r := range t.Routes {
		h.Write(r.seal.digest[:])
	}
	fmt.Fprintln(h, "backends", len(t.Backends))
	for _, b := range t.Backends {
		h.Write(b.seal.digest[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// compareProblems is the order of problems in a table.
func compareProblems(a, b Problem) int {
	return cmp.Or(
		strings.Compare(a.Service, b.Service),
		strings.Compare(a.Instance, b.Instance),
		strings.Compare(a.Route, b.Route),
		strings.Compare(a.Label, b.Label),
		strings.Compare(string(a.Code), string(b.Code)),
		strings.Compare(a.Text, b.Text),
		strings.Compare(a.Source, b.Source),
		strings.Compare(a.Hint, b.Hint),
	)
}
