package history

import (
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"fairway/internal/boltfile"
	"fairway/internal/route"
	"fairway/internal/route/diff"
)

// storedEntry is an entry as it is written.
type storedEntry struct {
	Entry
	Table key `json:"table"`
}

// Append records on disk that the table went live, and why, and removes old entries.
func (s *Store) Append(t *route.Table, at time.Time, cause Cause) (Entry, error) {
	var entry storedEntry
	err := s.update(func(tx *bbolt.Tx) error {
		before := s.newestTable(tx)
		number, err := tx.Bucket([]byte(inEntries)).NextSequence()
		if err != nil {
			return err
		}
		stored, err := s.putTable(tx, t)
		if err != nil {
			return err
		}
		entry = storedEntry{Entry{Number: number, Time: at.UTC(), Cause: cause, Revision: t.Revision, Hash: t.Hash}, stored.key}
		changes := diff.Tables(before, t)
		entry.Routes, entry.Backends = count(changes.Routes), count(changes.Backends)
		if err := s.putJSON(tx, inEntries, boltfile.Key(number), entry); err != nil {
			return err
		}
		removed, err := s.prune(tx, s.entries+1)
		if err != nil {
			return err
		}
		s.last, s.entries = stored, s.entries+1-removed
		return nil
	})
	return entry.Entry, about(err, "entry")
}

// newestTable is that of the newest entry, nil where it cannot be read. It needs writing.
func (s *Store) newestTable(tx *bbolt.Tx) *route.Table {
	if s.last != nil {
		return s.last.table
	}
	k, v := tx.Bucket([]byte(inEntries)).Cursor().Last()
	entry, err := decode[storedEntry](s, inEntries, k, v)
	if err != nil {
		return nil
	}
	table, err := s.table(tx, entry)
	if err != nil {
		return nil
	}
	return table
}

func count(changes []diff.Change) (c Counts) {
	for _, change := range changes {
		switch change.Kind {
		case diff.Added:
			c.Added++
		case diff.Removed:
			c.Removed++
		case diff.Changed:
			c.Changed++
		}
	}
	return c
}

// Entries returns at most limit sound entries below before (0: all), the newest first.
func (s *Store) Entries(before uint64, limit int) ([]Entry, error) {
	list := []Entry{}
	err := s.view(func(tx *bbolt.Tx) error {
		for k, v := range backwards(tx, inEntries, nil, before) {
			if entry, err := decode[storedEntry](s, inEntries, k, v); err == nil {
				list = append(list, entry.Entry)
			}
			if len(list) == limit && limit > 0 {
				break
			}
		}
		return nil
	})
	return list, about(err, "entries")
}

// Entry returns an entry, the newest for zero, with its table as it was recorded.
func (s *Store) Entry(number uint64) (Recorded, error) {
	var r Recorded
	err := s.view(func(tx *bbolt.Tx) error {
		entries := tx.Bucket([]byte(inEntries))
		if number == 0 {
			last, _ := entries.Cursor().Last()
			number = boltfile.Number(last)
		}
		entry, err := decode[storedEntry](s, inEntries, boltfile.Key(number), entries.Get(boltfile.Key(number)))
		if err != nil {
			return err
		}
		r.Entry = entry.Entry
		r.Table, err = s.table(tx, entry)
		return err
	})
	return r, about(err, "entry %d", number)
}

// Keep names the entries that stay, in place of those before, while the store is open.
func (s *Store) Keep(numbers ...uint64) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.kept = numbers
}

// Removing reads all entries: after pruneSlack too many, and for their age each ageEvery.
const (
	pruneSlack = 50
	ageEvery   = time.Hour
)

// prune removes entries that are too many or too old, with their parts; have is how many.
func (s *Store) prune(tx *bbolt.Tx, have int) (removed int, _ error) {
	surplus := 0
	if have > s.options.MaxEntries+pruneSlack {
		surplus = have - s.options.MaxEntries
	}
	byAge := time.Since(s.pruned) >= ageEvery
	if surplus == 0 && !byAge {
		return 0, nil
	}
	s.pruned = time.Now()
	limit := s.pruned.Add(-maxAge)
	entries := tx.Bucket([]byte(inEntries))
	var old [][]byte
	c := entries.Cursor()
	k, v := c.First()
	for n := 0; k != nil && n < have-alwaysKept; n++ {
		if n >= surplus {
			// A damaged one goes with its neighbours.
			if entry, err := decode[storedEntry](s, inEntries, k, v); err == nil && entry.Time.After(limit) {
				break
			}
		}
		if !slices.Contains(s.kept, boltfile.Number(k)) {
			old = append(old, k)
		}
		k, v = c.Next()
	}
	if len(old) == 0 {
		return 0, nil
	}
	if err := remove(entries, old); err != nil {
		return 0, err
	}
	return len(old), s.sweep(tx)
}

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
	return remove(blobs, unused)
}
