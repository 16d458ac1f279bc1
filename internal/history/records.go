package history

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"
)

// PutRecord stores data on disk, in place of what was there. Neither kind nor name is
// empty or has a zero byte; together they have at most 1,000 bytes.
func (s *Store) PutRecord(kind, name string, data []byte) error {
	k, err := recordKey(kind, name)
	if err != nil {
		return err
	}
	err = s.update(func(tx *bbolt.Tx) error { return s.put(tx, inRecords, k, data) })
	return about(err, "%s %q", kind, name)
}

// DeleteRecord removes what PutRecord stored; ErrNotFound when there is nothing.
func (s *Store) DeleteRecord(kind, name string) error {
	k, err := recordKey(kind, name)
	if err != nil {
		return err
	}
	err = s.update(func(tx *bbolt.Tx) error {
		if _, err := s.get(tx, inRecords, k); errors.Is(err, ErrNotFound) {
			return err
		}
		return tx.Bucket([]byte(inRecords)).Delete(k)
	})
	return about(err, "%s %q", kind, name)
}

// Record returns what is stored under a kind and a name, or ErrNotFound.
func (s *Store) Record(kind, name string) ([]byte, error) {
	k, err := recordKey(kind, name)
	if err != nil {
		return nil, err
	}
	var data []byte
	err = s.view(func(tx *bbolt.Tx) (err error) {
		data, err = s.get(tx, inRecords, k)
		return err
	})
	return data, about(err, "%s %q", kind, name)
}

// Records returns everything of a kind, sorted by name, but for what is damaged.
func (s *Store) Records(kind string) ([]Record, error) {
	prefix, err := recordKey(kind, "x")
	if err != nil {
		return nil, err
	}
	prefix = prefix[:len(kind)+1]
	list := []Record{}
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(inRecords)).Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if data, err := s.read(inRecords, k, v); err == nil {
				list = append(list, Record{Kind: kind, Name: string(k[len(prefix):]), Data: data})
			}
		}
		return nil
	})
	return list, about(err, "%s", kind)
}

func recordKey(kind, name string) ([]byte, error) {
	if kind == "" || name == "" || len(kind)+len(name) > 1000 || strings.ContainsRune(kind, 0) || strings.ContainsRune(name, 0) {
		return nil, fmt.Errorf("history: record %.50q %.250q: kind and name are not empty, have no zero byte and at most 1000 bytes", kind, name)
	}
	return append(append([]byte(kind), 0), name...), nil
}
