package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"fairway/internal/route"
)

// storedEntry is an entry as it is written.
type storedEntry struct {
	Entry
	Table key `json:"table"`
}

// Append records that the table went live at this time because of cause. The
// entry is on the disk when it returns. Old entries are removed by the way, see
// Options.
func (s *Store) Append(t *route.Table, at time.Time, cause Cause) (Entry, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	var (
		entry   Entry
		stored  *lastTable
		removed int
		size    int64
	)
	err := s.updateLocked(func(tx *bbolt.Tx) error {
		entries := tx.Bucket([]byte(inEntries))
		before := s.newestTable(tx)
		number, err := entries.NextSequence()
		if err != nil {
			return err
		}
		entry = Entry{Number: number, Time: at.UTC(), Cause: cause, Revision: t.Revision, Hash: t.Hash}
		entry.Routes, entry.Backends = changed(before, t)
		if stored, err = s.putTable(tx, t); err != nil {
			return err
		}
		entry.table = stored.key
		data, err := json.Marshal(storedEntry{Entry: entry, Table: stored.key})
		if err != nil {
			return err
		}
		if err := s.put(tx, inEntries, numberKey(number), data); err != nil {
			return err
		}
		removed, err = s.prune(tx, s.entries+1)
		size = tx.Size()
		return err
	})
	if err != nil {
		return Entry{}, fmt.Errorf("history: entry: %w", err)
	}
	s.last = stored
	s.entries += 1 - removed
	s.state.figures(s.entries, entry.Number, size)
	return entry, nil
}

// newestTable returns the table of the newest entry, or nil when there is none
// or when it cannot be read. The caller holds writing.
func (s *Store) newestTable(tx *bbolt.Tx) *route.Table {
	if s.last != nil {
		return s.last.table
	}
	last, _ := tx.Bucket([]byte(inEntries)).Cursor().Last()
	if last == nil {
		return nil
	}
	entry, err := s.entry(tx, numberOf(last))
	if err != nil {
		return nil
	}
	table, err := s.table(tx, entry)
	if err != nil {
		return nil
	}
	return table
}

// changed counts what differs between two tables.
func changed(old, new *route.Table) (routes, backends Counts) {
	changes := route.Diff(old, new)
	return count(changes.Routes), count(changes.Backends)
}

func count(changes []route.Change) (c Counts) {
	for _, change := range changes {
		switch change.Kind {
		case route.Added:
			c.Added++
		case route.Removed:
			c.Removed++
		case route.Changed:
			c.Changed++
		}
	}
	return c
}

// entry reads an entry.
func (s *Store) entry(tx *bbolt.Tx, number uint64) (Entry, error) {
	data, err := s.get(tx, inEntries, numberKey(number))
	if err != nil {
		return Entry{}, err
	}
	var stored storedEntry
	if err := json.Unmarshal(data, &stored); err != nil {
		return Entry{}, s.spoilt(inEntries, numberKey(number), err)
	}
	stored.table = stored.Table
	return stored.Entry, nil
}

// Entries returns at most limit entries with a number below before, the newest
// first. Zero for before begins at the newest, zero for limit means all. An entry
// that is damaged is left out; Status has the alarm.
func (s *Store) Entries(before uint64, limit int) ([]Entry, error) {
	list := []Entry{}
	err := s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(inEntries)).Cursor()
		var k []byte
		if before == 0 {
			k, _ = c.Last()
		} else if k, _ = c.Seek(numberKey(before)); k == nil {
			k, _ = c.Last()
		} else {
			k, _ = c.Prev()
		}
		for ; k != nil && (limit == 0 || len(list) < limit); k, _ = c.Prev() {
			entry, err := s.entry(tx, numberOf(k))
			if errors.Is(err, ErrDamaged) {
				continue
			}
			if err != nil {
				return err
			}
			list = append(list, entry)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("history: entries: %w", err)
	}
	return list, nil
}

// Entry returns the entry of the number, or the newest one for zero, with its
// table, whose contents are those of the table that was recorded, byte by byte.
func (s *Store) Entry(number uint64) (Recorded, error) {
	var r Recorded
	err := s.view(func(tx *bbolt.Tx) error {
		if number == 0 {
			last, _ := tx.Bucket([]byte(inEntries)).Cursor().Last()
			number = numberOf(last)
		}
		var err error
		if r.Entry, err = s.entry(tx, number); err != nil {
			return err
		}
		r.Table, err = s.table(tx, r.Entry)
		return err
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("history: entry %d: %w", number, err)
	}
	return r, nil
}

// Keep names the entries that are not removed, regardless of their age; it replaces
// those that were named before. It lasts as long as the store is open.
func (s *Store) Keep(numbers ...uint64) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.kept = map[uint64]bool{}
	for _, n := range numbers {
		s.kept[n] = true
	}
}

// Old entries are removed together, because what only they need has to be found out of
// all entries: when there are pruneSlack more than MaxEntries, and for their age once in
// ageEvery.
const (
	pruneSlack = 50
	ageEvery   = time.Hour
)

// prune removes the entries that are too many or too old, and the parts of
// tables that no entry needs any more. have is how many there are. It looks at as many
// entries as it removes. The caller holds writing.
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
	k, _ := c.First()
	for n := 0; k != nil && n < have-alwaysKept; n++ {
		if n >= surplus {
			// A damaged one goes with its neighbours.
			if entry, err := s.entry(tx, numberOf(k)); err == nil && entry.Time.After(limit) {
				break
			}
		}
		if !s.kept[numberOf(k)] {
			old = append(old, k)
		}
		k, _ = c.Next()
	}
	for _, k := range old {
		if err := entries.Delete(k); err != nil {
			return 0, err
		}
	}
	if len(old) == 0 {
		return 0, nil
	}
	return len(old), s.sweep(tx)
}
