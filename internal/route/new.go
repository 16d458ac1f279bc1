package route

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"fairway/internal/route/tlsoption"
)

// seal is what New keeps with a route or a backend, so that an element of many tables is made ready once. owner distinguishes
// it from copies.
type seal[T any] struct {
	owner   *T
	digest  [sha256.Size]byte
	matches []*Compiled // of routes only
}

// of says whether s is the seal of element, and not of one it was copied from.
func (s *seal[T]) of(element *T) bool { return s != nil && s.owner == element }

// New makes a table: it sorts copies of the lists, checks what must hold in every table and computes the hash. It keeps the
// digest of routes and backends with them, so that those of an earlier table cost next to nothing; they must not be written
// to any more. New must not run twice at the same time for elements that were in no table yet.
//
// The errors are faults of the caller, not of a user: IDs and names that are empty or used twice, references to nothing,
// matches that are missing or not canonical, filters and backends with values they cannot have, text that is not UTF-8.
func New(revision uint64, l []Listener, r []*Route, b []*Backend, p []Problem) (*Table, error) {
	t := &Table{
		Revision:  revision,
		Listeners: sorted(l, Listener.compare),
		Problems:  slices.DeleteFunc(sorted(p, Problem.Compare), func(p Problem) bool { return p.Code.Notice() }),
		Notices:   slices.DeleteFunc(sorted(p, Problem.Compare), func(p Problem) bool { return !p.Code.Notice() }),
	}
	var err error
	if t.Routes, err = sortElements(r, (*Route).compare, (*Route).id, (*Route).sealOnce); err != nil {
		return nil, fmt.Errorf("table: route %w", err)
	}
	if t.Backends, err = sortElements(b, (*Backend).compare, (*Backend).id, (*Backend).sealOnce); err != nil {
		return nil, fmt.Errorf("table: backend %w", err)
	}
	for i, l := range t.Listeners {
		if l.Name == "" || i > 0 && l.Name == t.Listeners[i-1].Name {
			return nil, fmt.Errorf("table: listener %s: the name is empty or used twice", excerpt(l.Name))
		}
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("table: listener %s: %w", excerpt(l.Name), err)
		}
		if len(l.Hosts) > 0 && !slices.Equal(l.Hosts, t.TLSHosts()) {
			return nil, fmt.Errorf("table: listener %s: its hosts demand other things than those of another", excerpt(l.Name))
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

// TLSHosts are the hosts with demands on handshakes, the same for all listeners.
func (t *Table) TLSHosts() []tlsoption.Host {
	for i := range t.Listeners {
		if l := &t.Listeners[i]; len(l.Hosts) > 0 {
			return l.Hosts
		}
	}
	return nil
}

// Remarks are problems and notices, as New takes them.
func (t *Table) Remarks() []Problem { return slices.Concat(t.Problems, t.Notices) }

// Route returns the route with the ID, or nil.
func (t *Table) Route(id string) *Route { return lookup(t.Routes, id, (*Route).id) }

// Backend returns the backend with the ID, or nil.
func (t *Table) Backend(id string) *Backend { return lookup(t.Backends, id, (*Backend).id) }

// Endpoint returns the endpoint with the ID; nil when there is none, or no backend.
func (b *Backend) Endpoint(id string) *Endpoint {
	i, ok := b.Index(id)
	if !ok {
		return nil
	}
	return &b.Endpoints[i]
}

// Index is the place of the endpoint with the ID; ok is false when there is none, or no backend.
func (b *Backend) Index(id string) (i int, ok bool) {
	if b == nil {
		return 0, false
	}
	return slices.BinarySearchFunc(b.Endpoints, id, func(e Endpoint, id string) int { return strings.Compare(e.ID, id) })
}

func (r *Route) id() string   { return r.ID }
func (b *Backend) id() string { return b.ID }

func (l Listener) compare(other Listener) int { return strings.Compare(l.Name, other.Name) }
func (r *Route) compare(other *Route) int     { return strings.Compare(r.ID, other.ID) }
func (b *Backend) compare(other *Backend) int { return strings.Compare(b.ID, other.ID) }

// Compare is the order of problems in a table.
func (p Problem) Compare(other Problem) int {
	return cmp.Or(
		strings.Compare(p.Service, other.Service),
		strings.Compare(p.Instance, other.Instance),
		strings.Compare(p.Route, other.Route),
		strings.Compare(p.Label, other.Label),
		strings.Compare(string(p.Code), string(other.Code)),
		strings.Compare(p.Text, other.Text),
		strings.Compare(p.Source, other.Source),
		strings.Compare(p.Hint, other.Hint),
	)
}

func lookup[T any](list []*T, id string, of func(*T) string) *T {
	i, ok := slices.BinarySearchFunc(list, id, func(e *T, id string) int { return strings.Compare(of(e), id) })
	if !ok {
		return nil
	}
	return list[i]
}

func sorted[T any](list []T, compare func(a, b T) int) []T {
	list = slices.Clone(list)
	if !slices.IsSortedFunc(list, compare) {
		slices.SortStableFunc(list, compare)
	}
	return list
}

// sortElements returns a sorted copy, with IDs checked and all elements sealed.
func sortElements[T any](list []*T, compare func(a, b *T) int, id func(*T) string, seal func(*T) error) ([]*T, error) {
	if slices.Contains(list, nil) {
		return nil, errors.New("list holds a nil")
	}
	list = sorted(list, compare)
	for i, e := range list {
		if id(e) == "" || i > 0 && compare(e, list[i-1]) == 0 {
			return nil, fmt.Errorf("%s: the ID is empty or used twice", excerpt(id(e)))
		}
		if err := seal(e); err != nil {
			return nil, fmt.Errorf("%s: %w", excerpt(id(e)), err)
		}
	}
	return list, nil
}

// sealOnce checks the route and keeps its digest and matches.
func (r *Route) sealOnce() (err error) {
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
	r.seal, err = newSeal(r, r.Text(), matches)
	return err
}

// sealOnce checks the backend and keeps its digest.
func (b *Backend) sealOnce() (err error) {
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
	b.seal, err = newSeal(b, b.Text(), nil)
	return err
}

// newSeal refuses what is not UTF-8: as JSON it would not be read back.
func newSeal[T any](owner *T, text string, matches []*Compiled) (*seal[T], error) {
	if hasForeignByte(text) {
		return nil, errors.New("a value in it is not UTF-8")
	}
	return &seal[T]{owner, sha256.Sum256([]byte(text)), matches}, nil
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

// Compiled returns the matches of the route, ready to be put to requests. It fails only for
// a route that was in no table, whose matches it has to check and make ready first.
func (r *Route) Compiled() ([]*Compiled, error) {
	if r.seal.of(r) {
		return r.seal.matches, nil
	}
	return compileMatches(r)
}

func compileMatches(r *Route) ([]*Compiled, error) {
	if len(r.Matches) == 0 {
		return nil, errors.New("there are no matches")
	}
	matches := make([]*Compiled, len(r.Matches))
	for i := range r.Matches {
		var err error
		if matches[i], err = compileMatch(&r.Matches[i]); err != nil {
			return nil, fmt.Errorf("match %d: %w", i+1, err)
		}
	}
	return matches, nil
}

func (f *Filter) fields() (n int) {
	v := reflect.ValueOf(*f)
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			n++
		}
	}
	return n
}

// sum hashes texts of listeners, digests of routes and backends, and all lengths.
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

// Encode writes the table as JSON, which Decode reads, an element at a time, so that a
// large table is never in memory a second time.
func Encode(w io.Writer, t *Table) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	raw := func(text string) error {
		_, err := io.WriteString(w, text)
		return err
	}
	steps := []error{
		raw(`{"revision":`), e.Encode(t.Revision),
		raw(`,"hash":`), e.Encode(t.Hash),
		raw(`,"listeners":`), e.Encode(t.Listeners),
		raw(`,"routes":[`), elements(raw, e, t.Routes),
		raw(`],"backends":[`), elements(raw, e, t.Backends),
		raw(`],"problems":`), e.Encode(t.Problems),
		raw(`,"notices":`), e.Encode(t.Notices),
		raw("}\n"),
	}
	if err := errors.Join(steps...); err != nil {
		return fmt.Errorf("encode table: %w", err)
	}
	return nil
}

func elements[T any](raw func(string) error, e *json.Encoder, list []*T) error {
	separator := ""
	for _, element := range list {
		if err := errors.Join(raw(separator), e.Encode(element)); err != nil {
			return err
		}
		separator = ","
	}
	return nil
}

// Decode reads a table that Encode wrote, and makes it anew with New. Another hash than
// the one that was written is an error, and so is what follows the table.
func Decode(r io.Reader) (*Table, error) {
	d := json.NewDecoder(r)
	var read Table
	if err := d.Decode(&read); err != nil {
		return nil, fmt.Errorf("decode table: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode table: something follows the table")
	}
	t, err := New(read.Revision, read.Listeners, read.Routes, read.Backends, read.Remarks())
	if err != nil {
		return nil, fmt.Errorf("decode table: %w", err)
	}
	if t.Hash != read.Hash {
		return nil, fmt.Errorf("decode table: its hash is %s, but the contents have %s", excerpt(read.Hash), t.Hash)
	}
	return t, nil
}
