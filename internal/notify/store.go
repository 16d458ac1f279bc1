package notify

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"fairway/internal/boltfile"
)

const (
	fileName    = "notify.db"
	lockTimeout = 100 * time.Millisecond
)

// errTaken says that another process has the outbox.
var errTaken = errors.New("another process has it")

// The buckets of the file.
const (
	inKnown    = "known"    // kind/ID → known
	inStanding = "standing" // condition → the event that began it
	inEvents   = "events"   // number → event
	inLost     = "lost"     // channel → how many messages were given up since the last delivery
	inOutbox   = "outbox"   // channel → bucket: number → message
)

// store is the outbox in its file. Every value carries a checksum of its own. Its
// methods are called by one goroutine at a time.
type store struct {
	db     *bbolt.DB // nil while the file cannot be used
	path   string
	log    *slog.Logger
	failed string // the newest error, which is logged
	next   uint64 // number of the next event
	closed bool
}

// message is an event that waits for a channel.
type message struct {
	channel string
	number  uint64
	event   Event
}

// contents are what a file holds.
type contents struct {
	known    map[object]*known
	standing map[string]Event
	events   []Event               // oldest first
	waiting  map[string][]*message // by channel, in order
	lost     map[string]int
}

// commit is one transaction.
type commit struct {
	known    map[object]*known // nil deletes
	standing map[string]*Event // nil deletes
	events   []Event
	first    uint64         // number of the first of events
	queued   []*message     // to be delivered
	done     []*message     // delivered, or given up
	lost     map[string]int // by channel; zero deletes
	forget   []string       // channels
}

// openStore opens the file in dir, or makes it, and reads it. One that is damaged
// is moved aside. The error is one of the directory.
func openStore(dir string, log *slog.Logger) (*store, contents, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, contents{}, err
	}
	s := &store{path: filepath.Join(dir, fileName), log: log, next: 1}
	c, err := s.open()
	if err == nil {
		return s, c, nil
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, c, fmt.Errorf("%s: %w", s.path, errTaken)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, c, err
	}
	aside := s.path + ".damaged-" + strconv.FormatInt(time.Now().Unix(), 10)
	log.Error("notifications: the outbox cannot be read; what it held is not delivered", "error", err, "moved", aside)
	if err := os.Rename(s.path, aside); err != nil {
		return nil, c, err
	}
	c, err = s.open()
	return s, c, err
}

func (s *store) open() (contents, error) {
	c := contents{known: map[object]*known{}, standing: map[string]Event{}, waiting: map[string][]*message{}, lost: map[string]int{}}
	if _, err := boltfile.Check(s.path, lockTimeout); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	err := boltfile.Guard(func() error {
		db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
		if err != nil {
			return err
		}
		s.db = db
		return db.Update(func(tx *bbolt.Tx) error {
			for _, name := range []string{inKnown, inStanding, inEvents, inLost, inOutbox} {
				if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
					return err
				}
			}
			return s.read(tx, &c)
		})
	})
	if err != nil {
		s.db = nil // one that has panicked cannot be closed
	}
	return c, err
}

// read reads everything. A value that is damaged is left out.
func (s *store) read(tx *bbolt.Tx, c *contents) error {
	damaged := 0
	err := errors.Join(
		each(tx.Bucket([]byte(inKnown)), &damaged, func(key []byte, k known) { c.known[objectOf(string(key))] = &k }),
		each(tx.Bucket([]byte(inStanding)), &damaged, func(key []byte, e Event) { c.standing[string(key)] = e }),
		each(tx.Bucket([]byte(inEvents)), &damaged, func(key []byte, e Event) {
			c.events = append(c.events, e)
			s.next = max(s.next, numberOf(key)+1)
		}),
		each(tx.Bucket([]byte(inLost)), &damaged, func(key []byte, n int) { c.lost[string(key)] = n }),
	)
	outbox := tx.Bucket([]byte(inOutbox))
	err = errors.Join(err, outbox.ForEachBucket(func(name []byte) error {
		channel := string(name)
		c.waiting[channel] = nil
		return each(outbox.Bucket(name), &damaged, func(key []byte, e Event) {
			c.waiting[channel] = append(c.waiting[channel], &message{channel, numberOf(key), e})
			s.next = max(s.next, numberOf(key)+1)
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

// put writes a value with its checksum.
func put(b *bbolt.Bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, append(binary.BigEndian.AppendUint32(nil, sum(key, data)), data...))
}

func keyOf(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }
func numberOf(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

// number gives the events of a commit their numbers.
func (s *store) number(c *commit) {
	c.first = s.next
	s.next += uint64(len(c.events))
}

// write does all of a commit or nothing. When it returns nil it is on disk. A
// failure is logged when it is another one than before.
func (s *store) write(c *commit) error {
	if s.closed {
		return errors.New("the outbox is closed")
	}
	if s.db == nil {
		return errors.New("the outbox was damaged while it was in use; a restart moves it aside")
	}
	err := boltfile.Guard(func() error { return s.db.Update(c.apply) })
	if boltfile.Panicked(err) {
		s.db = nil
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

// apply makes the changes in a transaction.
func (c *commit) apply(tx *bbolt.Tx) error {
	var faults []error
	note := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	known, standing, events, lost, outbox := tx.Bucket([]byte(inKnown)), tx.Bucket([]byte(inStanding)),
		tx.Bucket([]byte(inEvents)), tx.Bucket([]byte(inLost)), tx.Bucket([]byte(inOutbox))
	for t, k := range c.known {
		if k == nil {
			note(known.Delete([]byte(t.key())))
		} else {
			note(put(known, []byte(t.key()), k))
		}
	}
	for condition, e := range c.standing {
		if e == nil {
			note(standing.Delete([]byte(condition)))
		} else {
			note(put(standing, []byte(condition), e))
		}
	}
	for i, e := range c.events {
		note(put(events, keyOf(c.first+uint64(i)), e))
	}
	newest := c.first + uint64(len(c.events))
	for k, _ := events.Cursor().First(); k != nil && numberOf(k)+keptEvents < newest; k, _ = events.Cursor().First() {
		note(events.Delete(k))
	}
	for _, m := range c.queued {
		b, err := outbox.CreateBucketIfNotExists([]byte(m.channel))
		if note(err); err == nil {
			note(put(b, keyOf(m.number), m.event))
		}
	}
	for _, m := range c.done {
		if b := outbox.Bucket([]byte(m.channel)); b != nil {
			note(b.Delete(keyOf(m.number)))
		}
	}
	for channel, n := range c.lost {
		if n == 0 {
			note(lost.Delete([]byte(channel)))
		} else {
			note(put(lost, []byte(channel), n))
		}
	}
	for _, channel := range c.forget {
		note(outbox.DeleteBucket([]byte(channel)))
		note(lost.Delete([]byte(channel)))
	}
	return errors.Join(faults...)
}

// close closes the file. It may be called again.
func (s *store) close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.db == nil {
		return nil
	}
	return boltfile.Guard(s.db.Close)
}
