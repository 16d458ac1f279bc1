package history

import (
	"bytes"
	"os"

	"go.etcd.io/bbolt"
)

// rescue takes over into a new file what is sound in the one that was moved
// aside. What never changes once it is written is taken from wherever it is found,
// also from pages that nothing refers to any more. Records change: of those only
// what the tree still leads to counts, so that nothing old comes back.
func (s *Store) rescue(tx *bbolt.Tx) error {
	s.state.mu.Lock()
	aside := s.state.aside
	s.state.aside = ""
	s.state.mu.Unlock()
	if aside == "" {
		return nil
	}
	data, err := os.ReadFile(aside)
	if err != nil {
		s.log.Error("history: nothing can be taken over from the damaged file", "error", err)
		return nil
	}
	found := soundValues(data)
	_, err = walkFile(aside, func(in bucket, key, stored []byte) {
		if v, _, err := parseValue(stored); err == nil && in == inRecords && v.bucket == in && bytes.Equal(v.key, key) {
			found[placeOf(v)] = value{write: v.write, bucket: in, key: bytes.Clone(key), data: bytes.Clone(v.data)}
		}
	})
	if err != nil {
		s.log.Error("history: no records can be taken over from the damaged file", "error", err)
	}
	for _, v := range found {
		if err := s.restore(tx, v); err != nil {
			return err
		}
	}
	s.log.Warn("history: taken over from the damaged file", "values", len(found))
	return nil
}

// placeOf names the place that a value belongs to.
func placeOf(v value) string { return string(v.bucket) + "\x00" + string(v.key) }

// soundValues finds the values but those of records in the bytes of a damaged
// file, the newest one for each place.
func soundValues(data []byte) map[string]value {
	found := map[string]value{}
	for at := 0; ; {
		next := bytes.Index(data[at:], []byte(magic))
		if next < 0 {
			return found
		}
		at += next
		v, length, err := parseValue(data[at:])
		if err != nil {
			at += len(magic)
			continue
		}
		if old, ok := found[placeOf(v)]; v.bucket != inRecords && (!ok || old.write <= v.write) {
			found[placeOf(v)] = v
		}
		at += length
	}
}

// restore puts a value that was found into the new file. The counters of
// entries go on behind the newest number.
func (s *Store) restore(tx *bbolt.Tx, v value) error {
	b := tx.Bucket([]byte(v.bucket))
	if b == nil || v.bucket == inStore || len(v.key) == 0 {
		return nil
	}
	if v.bucket == inEntries && numberOf(v.key) > b.Sequence() {
		if err := b.SetSequence(numberOf(v.key)); err != nil {
			return err
		}
	}
	v.key, v.data = bytes.Clone(v.key), bytes.Clone(v.data)
	return place(tx, v)
}
