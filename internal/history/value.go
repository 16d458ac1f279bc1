package history

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"go.etcd.io/bbolt"

	"fairway/internal/boltfile"
)

// A value in the file is the SHA-256 of its place and its data, and the data,
// compressed: a value that was changed, or is in the wrong place, is not answered.

// errValue says that the checksum of a value does not fit.
var errValue = errors.New("the checksum does not fit the contents")

func sumOf(in bucket, key, data []byte) []byte {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %d ", in, len(key))
	sum.Write(key)
	sum.Write(data)
	return sum.Sum(nil)
}

// put stores data under the key. The caller holds writing.
func (s *Store) put(tx *bbolt.Tx, in bucket, key, data []byte) error {
	stored := bytes.NewBuffer(sumOf(in, key, data))
	s.encoder.Reset(stored)
	_, err := s.encoder.Write(data)
	if err := errors.Join(err, s.encoder.Close()); err != nil {
		return err
	}
	return tx.Bucket([]byte(in)).Put(key, stored.Bytes())
}

// get returns what is stored under the key, a copy, or ErrNotFound.
func (s *Store) get(tx *bbolt.Tx, in bucket, key []byte) ([]byte, error) {
	return s.read(in, key, tx.Bucket([]byte(in)).Get(key))
}

// read checks a stored value and returns its data; ErrNotFound for nil.
func (s *Store) read(in bucket, key, stored []byte) (data []byte, err error) {
	switch {
	case stored == nil:
		return nil, ErrNotFound
	case len(stored) < sha256.Size:
		return nil, s.spoilt(in, key, errValue)
	}
	decoder := flate.NewReader(bytes.NewReader(stored[sha256.Size:]))
	data, err = io.ReadAll(io.LimitReader(decoder, maxDocumentLength+1<<20))
	if err == nil && !bytes.Equal(sumOf(in, key, data), stored[:sha256.Size]) {
		err = errValue
	}
	if err != nil {
		return nil, s.spoilt(in, key, err)
	}
	return data, nil
}

// decode is read for a value that is JSON.
func decode[T any](s *Store, in bucket, key, stored []byte) (v T, err error) {
	data, err := s.read(in, key, stored)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, s.spoilt(in, key, err)
	}
	return v, nil
}

// putJSON stores a value as JSON.
func (s *Store) putJSON(tx *bbolt.Tx, in bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.put(tx, in, key, data)
}

// backwards walks the values below a number, zero for any, from the last on.
func backwards(tx *bbolt.Tx, in bucket, prefix []byte, before uint64) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		if before == 0 {
			before = math.MaxUint64
		}
		c := tx.Bucket([]byte(in)).Cursor()
		step := c.Prev
		if k, _ := c.Seek(append(bytes.Clone(prefix), boltfile.Key(before)...)); k == nil {
			step = c.Last
		}
		k, v := step()
		for k != nil && bytes.HasPrefix(k, prefix) && yield(k, v) {
			k, v = c.Prev()
		}
	}
}

// remove takes keys out of a bucket.
func remove(b *bbolt.Bucket, keys [][]byte) error {
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// spoilt reports a value that is not what was written.
func (s *Store) spoilt(in bucket, key []byte, err error) error {
	err = fmt.Errorf("%w: %s %x: %w", ErrDamaged, in, key, err)
	s.state.lose(err.Error())
	s.log.Error("history: a value cannot be read", "error", err)
	return err
}
