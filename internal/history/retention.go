package history

import (
	"slices"

	"go.etcd.io/bbolt"
)

// sweep removes the blobs that nothing refers to any more.
func (s *Store) sweep(tx *bbolt.Tx) error {
	used := map[key]bool{}
	entries := tx.Bucket([]byte(inEntries)).Cursor()
	for k, v := entries.First(); k != nil; k, v = entries.Next() {
		entry, err := decode[storedEntry](s, inEntries, k, v)
		if err != nil || used[entry.Table] {
			continue
		}
		used[entry.Table] = true
		c, err := part[contents](s, tx, entry.Table)
		if err != nil {
			continue
		}
		used[c.Problems] = true
		for _, part := range slices.Concat(c.Routes, c.Backends) {
			used[part] = true
		}
	}
	documents := tx.Bucket([]byte(inDocuments)).Cursor()
	for k, v := documents.First(); k != nil; k, v = documents.Next() {
		if stored, err := decode[storedRevision](s, inDocuments, k, v); err == nil {
			used[stored.Blob] = true
		}
	}
	blobs := tx.Bucket([]byte(inBlobs))
	var unused [][]byte
	c := blobs.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if !used[key(k)] {
			unused = append(unused, k)
		}
	}
	for _, k := range unused {
		if err := blobs.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
