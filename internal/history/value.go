package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
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

// put stores data under the key.
func (s *Store) put(tx *bbolt.Tx, in bucket, key, data []byte) error {
	return tx.Bucket([]byte(in)).Put(key, s.encoder.EncodeAll(data, sumOf(in, key, data)))
}

// get returns what is stored under the key, a copy, or ErrNotFound.
func (s *Store) get(tx *bbolt.Tx, in bucket, key []byte) ([]byte, error) {
	stored := tx.Bucket([]byte(in)).Get(key)
	if stored == nil {
		return nil, ErrNotFound
	}
	return s.read(in, key, stored)
}

// read checks a stored value and returns its data.
func (s *Store) read(in bucket, key, stored []byte) ([]byte, error) {
	if len(stored) < sha256.Size {
		return nil, s.spoilt(in, key, errValue)
	}
	data, err := s.decoder.DecodeAll(stored[sha256.Size:], nil)
	if err == nil && !bytes.Equal(sumOf(in, key, data), stored[:sha256.Size]) {
		err = errValue
	}
	if err != nil {
		return nil, s.spoilt(in, key, err)
	}
	return data, nil
}

// spoilt reports a value that is not what was written.
func (s *Store) spoilt(in bucket, key []byte, err error) error {
	err = fmt.Errorf("%w: %s %x: %w", ErrDamaged, in, key, err)
	s.state.lose(err.Error())
	s.log.Error("history: a value cannot be read", "error", err)
	return err
}

// numberKey is the key of a number, in the order of numbers.
func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// numberOf is the inverse of numberKey; zero for what is none.
func numberOf(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}
