package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"

	"go.etcd.io/bbolt"

	"fairway/internal/route"
)

// A table is stored in parts, each under the SHA-256 of its contents: runs of
// routes and of backends, the problems, and one part that names the others.
// Where a run ends depends on the IDs of its elements alone, so that a change of
// one element makes one new run, and everything else is shared with the tables
// before and after.

// key names a blob: the SHA-256 of its contents.
type key [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (k key) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, k[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *key) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(k) {
		return fmt.Errorf("%q is no hash", text)
	}
	_, err := hex.Decode(k[:], text)
	return err
}

// contents is the part that names the others.
type contents struct {
	Listeners []route.Listener `json:"listeners"`
	Routes    []key            `json:"routes"`
	Backends  []key            `json:"backends"`
	Problems  key              `json:"problems"`
}

// run is a piece of a list of elements, with the key it is stored under.
type run[T any] struct {
	elements []*T
	key      key
}

// lastTable is a table as it was stored.
type lastTable struct {
	table    *route.Table
	key      key
	routes   []run[route.Route]
	backends []run[route.Backend]
}

// The length of a run is runMean elements on average and runMost at most.
const (
	runMean = 32
	runMost = 128
)

// putTable stores what of the table is not stored yet. The caller holds writing.
func (s *Store) putTable(tx *bbolt.Tx, t *route.Table) (*lastTable, error) {
	last := s.last
	if last == nil {
		last = &lastTable{}
	}
	l := &lastTable{table: t}
	var err error
	if l.routes, err = putRuns(s, tx, t.Routes, last.routes, func(r *route.Route) string { return r.ID }); err != nil {
		return nil, err
	}
	if l.backends, err = putRuns(s, tx, t.Backends, last.backends, func(b *route.Backend) string { return b.ID }); err != nil {
		return nil, err
	}
	c := contents{Listeners: t.Listeners, Routes: keysOf(l.routes), Backends: keysOf(l.backends)}
	if c.Problems, err = s.putPart(tx, t.Problems); err != nil {
		return nil, err
	}
	if l.key, err = s.putPart(tx, c); err != nil {
		return nil, err
	}
	return l, nil
}

func keysOf[T any](runs []run[T]) []key {
	keys := make([]key, len(runs))
	for i, r := range runs {
		keys[i] = r.key
	}
	return keys
}

// putRuns cuts the list into runs and stores those that are not among the last ones.
// Elements that did not change are the same pointers.
func putRuns[T any](s *Store, tx *bbolt.Tx, list []*T, last []run[T], id func(*T) string) ([]run[T], error) {
	known := make(map[*T]run[T], len(last))
	for _, r := range last {
		known[r.elements[0]] = r
	}
	var runs []run[T]
	for len(list) > 0 {
		n := 1
		for n < len(list) && n < runMost && !endsRun(id(list[n-1])) {
			n++
		}
		r := run[T]{elements: list[:n]}
		if old, ok := known[list[0]]; ok && slices.Equal(old.elements, r.elements) {
			r.key = old.key
		} else {
			var err error
			if r.key, err = s.putPart(tx, r.elements); err != nil {
				return nil, err
			}
		}
		runs = append(runs, r)
		list = list[n:]
	}
	return runs, nil
}

// endsRun says whether a run ends behind the element with the ID.
func endsRun(id string) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // it never fails
	return h.Sum32()%runMean == 0
}

// putPart stores a part of a table.
func (s *Store) putPart(tx *bbolt.Tx, part any) (key, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(part); err != nil {
		return key{}, err
	}
	return s.putBlob(tx, b.Bytes())
}

// putBlob stores data under its hash, unless it is stored already.
func (s *Store) putBlob(tx *bbolt.Tx, data []byte) (key, error) {
	k := key(sha256.Sum256(data))
	if _, err := s.get(tx, inBlobs, k[:]); err == nil {
		return k, nil
	} // not there, or damaged: here is a sound one
	return k, s.put(tx, inBlobs, k[:], data)
}

// part reads a part of a table.
func part[T any](s *Store, tx *bbolt.Tx, k key) (T, error) {
	v, err := decode[T](s, inBlobs, k[:], tx.Bucket([]byte(inBlobs)).Get(k[:]))
	if err != nil {
		err = fmt.Errorf("part %x: %w", k[:6], err)
	}
	return v, err
}

// table puts the table of an entry together and compares its hash.
func (s *Store) table(tx *bbolt.Tx, entry storedEntry) (*route.Table, error) {
	c, err := part[contents](s, tx, entry.Table)
	if err != nil {
		return nil, err
	}
	problems, err := part[[]route.Problem](s, tx, c.Problems)
	if err != nil {
		return nil, err
	}
	routes, err := getRuns[route.Route](s, tx, c.Routes)
	if err != nil {
		return nil, err
	}
	backends, err := getRuns[route.Backend](s, tx, c.Backends)
	if err != nil {
		return nil, err
	}
	t, err := route.New(entry.Revision, c.Listeners, routes, backends, problems)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if t.Hash != entry.Hash {
		return nil, fmt.Errorf("%w: the hash of the table is %s, and not %s", ErrDamaged, t.Hash, entry.Hash)
	}
	return t, nil
}

// getRuns reads a list of elements.
func getRuns[T any](s *Store, tx *bbolt.Tx, keys []key) ([]*T, error) {
	var list []*T
	for _, k := range keys {
		elements, err := part[[]*T](s, tx, k)
		if err != nil {
			return nil, err
		}
		list = append(list, elements...)
	}
	return list, nil
}
