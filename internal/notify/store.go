package notify

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"fairway/internal/boltfile"
)

const (
	fileName    = "notify.db"
	lockTimeout = 100 * time.Millisecond
)

// The buckets of the file.
const (
	inKnown    = "known"    // kind/ID → known
	inStanding = "standing" // condition → the event that began it
	inEvents   = "events"   // number → event
	inLost     = "lost"     // channel → how many messages were given up since the last delivery
	inOutbox   = "outbox"   // channel → bucket: number → message
)

// outboxOf is the bucket of a channel in inOutbox.
func outboxOf(channel string) string { return inOutbox + "/" + channel }

// store is the outbox in its file, for one goroutine at a time. Values have checksums.
type store struct {
	db       *bbolt.DB
	path     string
	log      *slog.Logger
	unusable error  // why nothing can be written any more
	failed   string // the newest error, which is logged
	next     uint64 // number of the next event
}

// message is an event that waits for a channel.
type message struct {
	number uint64
	event  Event
}

// contents are what a file holds.
type contents struct {
	known    map[string]*known
	standing map[string]Event
	events   []Event               // oldest first
	waiting  map[string][]*message // by channel, in order
	lost     map[string]int
}

// changes are one transaction.
type changes []change

type change struct {
	bucket, key string
	value       any // nil removes what is there
}

// set puts a value under a key of a bucket; nil removes what is there.
func set[T any](tx *changes, bucket, key string, value *T) {
	c := change{bucket: bucket, key: key}
	if value != nil {
		c.value = value
	}
	*tx = append(*tx, c)
}

// openStore opens or makes the file in dir and reads it; a damaged one is moved aside.
func openStore(dir string, log *slog.Logger) (*store, contents, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, contents{}, err
	}
	s := &store{path: filepath.Join(dir, fileName), log: log, next: 1}
	c, err := s.open()
	if !errors.Is(err, boltfile.ErrDamaged) {
		return s, c, err
	}
	aside, moveErr := boltfile.MoveAside(s.path)
	log.Error("notifications: the outbox cannot be read; what it held is not delivered", "error", err, "moved", aside)
	if moveErr != nil {
		return nil, c, moveErr
	}
	c, err = s.open()
	return s, c, err
}

func (s *store) open() (c contents, err error) {
	c = contents{known: map[string]*known{}, standing: map[string]Event{}, waiting: map[string][]*message{}, lost: map[string]int{}}
	s.db, _, err = boltfile.Open(s.path, lockTimeout, fill, func(db *bbolt.DB) error {
		return db.Update(func(tx *bbolt.Tx) error { return errors.Join(fill(tx), s.read(tx, &c)) })
	})
	return c, err
}

// fill makes the buckets that are not there.
func fill(tx *bbolt.Tx) error {
	for _, name := range []string{inKnown, inStanding, inEvents, inLost, inOutbox} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return nil
}

// read reads everything. A value that is damaged is left out.
func (s *store) read(tx *bbolt.Tx, c *contents) error {
	damaged := 0
	err := errors.Join(
		each(tx.Bucket([]byte(inKnown)), &damaged, func(key []byte, k known) { c.known[string(key)] = &k }),
		each(tx.Bucket([]byte(inStanding)), &damaged, func(key []byte, e Event) { c.standing[string(key)] = e }),
		each(tx.Bucket([]byte(inEvents)), &damaged, func(key []byte, e Event) {
			c.events = append(c.events, e)
			s.next = max(s.next, boltfile.Number(key)+1)
		}),
		each(tx.Bucket([]byte(inLost)), &damaged, func(key []byte, n int) { c.lost[string(key)] = n }),
	)
	outbox := tx.Bucket([]byte(inOutbox))
	err = errors.Join(err, outbox.ForEachBucket(func(name []byte) error {
		channel := string(name)
		return each(outbox.Bucket(name), &damaged, func(key []byte, e Event) {
			c.waiting[channel] = append(c.waiting[channel], &message{boltfile.Number(key), e})
			s.next = max(s.next, boltfile.Number(key)+1)
		})
	}))
	if damaged > 0 {
		s.log.Error("notifications: values in the outbox are damaged and left out", "count", damaged)
	}
	return err
}

// each reads the values of a bucket in the order of their keys.
func each[T any](b *bbolt.Bucket, damaged *int, do func(key []byte, v T)) error {
	return b.ForEach(func(k, data []byte) error {
		var v T
		if len(data) < 4 || binary.BigEndian.Uint32(data) != sum(k, data[4:]) || json.Unmarshal(data[4:], &v) != nil {
			*damaged++
			return nil
		}
		do(k, v)
		return nil
	})
}

func sum(key, data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, data)
}

// write makes all changes on disk, or none. Another failure than before is logged.
func (s *store) write(list changes) error {
	if s.unusable != nil {
		return s.unusable
	}
	err := boltfile.Guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error { return s.apply(tx, list) })
	})
	if boltfile.Panicked(err) {
		s.unusable = errors.New("the outbox was damaged while it was in use; a restart moves it aside")
	}
	switch {
	case err == nil:
		s.failed = ""
	case err.Error() != s.failed:
		s.failed = err.Error()
		s.log.Error("notifications: the outbox cannot be written; they do not survive a restart now", "file", s.path, "error", err)
	}
	return err
}

// apply makes the changes in a transaction, and drops the events that are too many.
func (s *store) apply(tx *bbolt.Tx, list changes) error {
	for _, c := range list {
		if err := c.apply(tx); err != nil {
			return err
		}
	}
	events := tx.Bucket([]byte(inEvents))
	for k, _ := events.Cursor().First(); k != nil && boltfile.Number(k)+keptEvents < s.next; k, _ = events.Cursor().First() {
		if err := events.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

func (c change) apply(tx *bbolt.Tx) error {
	name, channel, nested := strings.Cut(c.bucket, "/")
	b := tx.Bucket([]byte(name))
	if nested {
		var err error
		if b, err = b.CreateBucketIfNotExists([]byte(channel)); err != nil {
			return err
		}
	}
	key := []byte(c.key)
	if c.value == nil {
		return b.Delete(key)
	}
	data, err := json.Marshal(c.value)
	if err != nil {
		return err
	}
	return b.Put(key, append(binary.BigEndian.AppendUint32(nil, sum(key, data)), data...))
}

// close closes the file. It may be called again.
func (s *store) close() error {
	if s.unusable != nil {
		return nil
	}
	s.unusable = errors.New("the outbox is closed")
	return boltfile.Guard(s.db.Close)
}
