package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"fairway/internal/atomicfile"
)

// format is the version of what is in the file.
const format = "1"

// openDB opens a complete file, after its pages have been looked at while nobody
// else can write to it. doubt says what is wrong with a file that can be used all
// the same.
func openDB(path string) (db *bbolt.DB, doubt string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", err
	}
	if info.Size() == 0 {
		return nil, "", fmt.Errorf("%w: it is empty", ErrDamaged) // bbolt would begin a new one in it
	}
	err = guard(func() error {
		reading, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
		if errors.Is(err, bolterrors.ErrTimeout) {
			return errors.New("another process has it")
		}
		var wrong error
		doubt, wrong = checkPages(path)
		if err != nil {
			return errors.Join(wrong, err)
		}
		return errors.Join(wrong, reading.Close())
	})
	if err != nil {
		return nil, "", err
	}
	err = guard(func() error {
		var err error
		if db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType}); err != nil {
			return err
		}
		return db.View(complete)
	})
	if err != nil {
		if db != nil && !isPanic(err) {
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
	err := guard(func() error {
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
			if err := tx.Bucket([]byte(inStore)).Put([]byte("format"), []byte(format)); err != nil {
				return err
			}
			return s.rescue(tx)
		})
		return errors.Join(err, db.Sync(), db.Close())
	})
	if err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return atomicfile.Rename(temporary, s.path)
}

// moveAside gives a damaged file another name, so that it can be looked at, and
// remembers it for rescue. The caller holds open for writing.
func (s *Store) moveAside(found error) {
	for n := 1; ; n++ {
		aside := s.path + ".damaged-" + strconv.Itoa(n)
		if _, err := os.Lstat(aside); err == nil {
			continue
		}
		if err := os.Rename(s.path, aside); err != nil {
			s.state.failed(fmt.Errorf("%w; moving it aside: %w", found, err))
			return
		}
		s.state.asideOf(found, aside)
		s.log.Error("history: the file is damaged and was moved aside", "error", found, "moved", filepath.Base(aside))
		return
	}
}

// state is what Status tells, and what was found that a rescue needs.
type state struct {
	mu     sync.Mutex
	status Status
	// lost is the alarm of this run that does not pass by itself.
	lost  string
	aside string // file to rescue from; empty when done
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

// asideOf notes that a damaged file has been moved.
func (st *state) asideOf(found error, aside string) {
	st.mu.Lock()
	st.aside = aside
	st.mu.Unlock()
	st.lose(fmt.Sprintf("the file was damaged (%v) and moved to %s", found, filepath.Base(aside)))
}

// maxAlarm is how much an alarm may say, in bytes.
const maxAlarm = 2000

// lose raises an alarm that stays for this run: something is gone. What was lost
// before is still told.
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

// count brings the figures of Status up to date. The caller holds open.
func (s *Store) count() error {
	return guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			s.figures(tx)
			return nil
		})
	})
}

// figures reads the figures of Status from a transaction.
func (s *Store) figures(tx *bbolt.Tx) {
	entries, newest := 0, uint64(0)
	c := tx.Bucket([]byte(inEntries)).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		entries, newest = entries+1, numberOf(k)
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.status.Entries, s.state.status.Newest, s.state.status.Bytes = entries, newest, tx.Size()
}
