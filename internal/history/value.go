package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// A value in the file is
//
//	magic, number of the write (8 bytes), length of the bucket's name, of the key
//	(2 bytes each) and of the data (4 bytes), bucket, key, SHA-256, data
//
// with the data compressed and the sum taken of everything else. It says by
// itself what it is, so that it can be found in a file whose pages are damaged;
// of two for one place the later write counts. A place that was emptied keeps a
// value without data as long as it matters (records only).
const (
	magic      = "\xf7fwh1\xf7"
	headLength = len(magic) + 8 + 2 + 2 + 4
)

// value is one that was read.
type value struct {
	write  uint64
	bucket bucket
	key    []byte
	data   []byte // still compressed; empty: deleted
}

// appendValue encodes v.
func appendValue(b []byte, v value) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, v.write)
	b = binary.BigEndian.AppendUint16(b, uint16(len(v.bucket)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(v.key)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(v.data)))
	b = append(b, v.bucket...)
	b = append(b, v.key...)
	sum := sha256.New()
	sum.Write(b[start:])
	sum.Write(v.data)
	b = sum.Sum(b)
	return append(b, v.data...)
}

// errValue is what parseValue says of bytes that are no sound value.
var errValue = errors.New("the checksum does not fit the contents")

// parseValue decodes the value that b begins with and returns its length. The
// result refers to b.
func parseValue(b []byte) (v value, length int, err error) {
	if len(b) < headLength || string(b[:len(magic)]) != magic {
		return value{}, 0, errValue
	}
	head := b[len(magic):]
	v.write = binary.BigEndian.Uint64(head)
	name := int(binary.BigEndian.Uint16(head[8:]))
	key := int(binary.BigEndian.Uint16(head[10:]))
	size := int(binary.BigEndian.Uint32(head[12:]))
	summed := headLength + name + key
	length = summed + sha256.Size + size
	if length > len(b) {
		return value{}, 0, errValue
	}
	sum := sha256.New()
	sum.Write(b[:summed])
	sum.Write(b[summed+sha256.Size : length])
	if !bytes.Equal(sum.Sum(nil), b[summed:summed+sha256.Size]) {
		return value{}, 0, errValue
	}
	v.bucket = bucket(b[headLength : headLength+name])
	v.key = b[headLength+name : summed]
	v.data = b[summed+sha256.Size : length]
	return v, length, nil
}

// belongs says whether a stored value says of itself that it belongs under the
// key. It does not compare the checksum.
func belongs(in bucket, key, stored []byte) bool {
	name := headLength + len(in)
	return len(stored) > name+len(key) && string(stored[:len(magic)]) == magic &&
		string(stored[headLength:name]) == string(in) && bytes.Equal(stored[name:name+len(key)], key)
}

// put stores data under the key.
func (s *Store) put(tx *bbolt.Tx, in bucket, key, data []byte) error {
	return place(tx, value{bucket: in, key: key, data: s.encoder.EncodeAll(data, nil)})
}

// empty stores a mark under the key, which says that there is nothing any more.
func empty(tx *bbolt.Tx, in bucket, key []byte) error {
	return place(tx, value{bucket: in, key: key})
}

// place stores a value where it belongs, as one of this transaction.
func place(tx *bbolt.Tx, v value) error {
	v.write = uint64(tx.ID())
	return tx.Bucket([]byte(v.bucket)).Put(v.key, appendValue(nil, v))
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
	v, length, err := parseValue(stored)
	if err == nil && (length != len(stored) || v.bucket != in || !bytes.Equal(v.key, key)) {
		err = errors.New("it belongs elsewhere")
	}
	if err != nil {
		return nil, s.spoilt(in, key, err)
	}
	if len(v.data) == 0 {
		return nil, ErrNotFound
	}
	data, err := s.decoder.DecodeAll(v.data, nil)
	if err != nil {
		return nil, s.spoilt(in, key, err)
	}
	return data, nil
}

// spoilt tells of a value that is not what was written.
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
