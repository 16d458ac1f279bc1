package history

import (
	"encoding/json"

	"go.etcd.io/bbolt"
)

// sweep removes the blobs that nothing refers to any more.
func (s *Store) sweep(tx *bbolt.Tx) error {
	used := map[key]bool{}
	entries := tx.Bucket([]byte(inEntries)).Cursor()
	for k, _ := entries.First(); k != nil; k, _ = entries.Next() {
		entry, err := s.entry(tx, numberOf(k))
		if err != nil {
			continue
		}
		if used[entry.table] {
			continue
		}
		used[entry.table] = true
		c, err := getJSON[contents](s, tx, entry.table)
		if err != nil {
			continue
		}
		used[c.Problems] = true
		for _, part := range c.Routes {
			used[part] = true
		}
		for _, part := range c.Backends {
			used[part] = true
		}
	}
	documents := tx.Bucket([]byte(inDocuments)).Cursor()
	for k, v := documents.First(); k != nil; k, v = documents.Next() {
		var stored storedRevision
		if data, err := s.read(inDocuments, k, v); err == nil && json.Unmarshal(data, &stored) == nil {
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
