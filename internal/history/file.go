package history

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"fairway/internal/atomicfile"
	"fairway/internal/boltfile"
)

// format is the version of what is in the file.
const format = "2"

// openDB opens a complete file, after its pages were checked. doubt says what is wrong
// with a file that can be used all the same.
func openDB(path string) (db *bbolt.DB, doubt string, err error) {
	doubt, err = boltfile.Check(path, lockTimeout)
	if err == nil {
		err = boltfile.Guard(func() (err error) {
			if db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType}); err != nil {
				return err
			}
			return db.View(complete)
		})
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = errors.New("another process has it")
	}
	if err != nil {
		if db != nil && !boltfile.Panicked(err) {
			_ = db.Close()
		}
		return nil, "", err
	}
	return db, doubt, nil
}

// complete fails when a file is not one that create made.
func complete(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if tx.Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: there is no bucket %s in it", ErrDamaged, name)
		}
	}
	if got := string(tx.Bucket([]byte(inStore)).Get([]byte("format"))); got != format {
		return fmt.Errorf("it has format %q, and this program knows format %q", got, format)
	}
	return nil
}

// create makes the file under a temporary name, with its buckets, and gives it
// its name when all of it is on the disk.
func (s *Store) create() error {
	temporary := s.path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := boltfile.Guard(func() error {
		db, err := bbolt.Open(temporary, 0o600, &bbolt.Options{Timeout: lockTimeout})
		if err != nil {
			return err
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			for _, name := range buckets {
				if _, err := tx.CreateBucket([]byte(name)); err != nil {
					return err
				}
			}
			return tx.Bucket([]byte(inStore)).Put([]byte("format"), []byte(format))
		})
		return errors.Join(err, db.Sync(), db.Close())
	})
	if err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return atomicfile.Rename(temporary, s.path)
}

// moveAside gives a damaged file another name, so that it can be looked at. The
// history begins anew. The caller holds open for writing.
func (s *Store) moveAside(found error) {
	aside, err := boltfile.MoveAside(s.path)
	if err != nil {
		s.state.failed(fmt.Errorf("%w; moving it aside: %w", found, err))
		return
	}
	s.state.lose(fmt.Sprintf("the file was damaged (%v) and moved to %s; the history has begun anew", found, aside))
	s.log.Error("history: the file is damaged and was moved aside; the history begins anew", "error", found, "moved", aside)
}

// state is what Status answers.
type state struct {
	mu     sync.Mutex
	status Status
	// lost is the alarm of this run that does not pass by itself.
	lost string
}

func (st *state) alarm() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.status.Alarm
}

// failed raises the alarm.
func (st *state) failed(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.raise(err.Error())
}

// raise sets the alarm; the caller holds mu.
func (st *state) raise(text string) {
	if st.status.Alarm != text {
		st.status.Alarm, st.status.Since = text, time.Now()
	}
}

// written ends every alarm but that of a lost file.
func (st *state) written() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.status.Alarm != st.lost {
		st.status.Alarm, st.status.Since = st.lost, time.Now()
		if st.lost == "" {
			st.status.Since = time.Time{}
		}
	}
}

// maxAlarm is how much an alarm may say, in bytes.
const maxAlarm = 2000

// lose raises an alarm that stays for this run: something is gone. It is added to
// what was lost before.
func (st *state) lose(text string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.lost == "":
		st.lost = text
	case !strings.Contains(st.lost, text) && len(st.lost)+len(text) < maxAlarm:
		st.lost += "; " + text
	}
	st.raise(st.lost)
}

// Status says how the store is doing. It does not touch the disk.
func (s *Store) Status() Status {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.status
}

// count reads the figures of Status. The caller holds open.
func (s *Store) count() error {
	return boltfile.Guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			s.entries = tx.Bucket([]byte(inEntries)).Stats().KeyN
			s.figures(tx)
			return nil
		})
	})
}

// figures brings the figures of Status up to date.
func (s *Store) figures(tx *bbolt.Tx) {
	newest, _ := tx.Bucket([]byte(inEntries)).Cursor().Last()
	s.state.figures(s.entries, numberOf(newest), tx.Size())
}

func (st *state) figures(entries int, newest uint64, size int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.status.Entries, st.status.Newest, st.status.Bytes = entries, newest, size
}
