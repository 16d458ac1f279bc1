package history

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"fairway/internal/api"
	"fairway/internal/boltfile"
)

// format is the version of what is in the file.
const format = "3"

// fill makes the buckets of a new file.
func fill(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	return tx.Bucket([]byte(inStore)).Put([]byte("format"), []byte(format))
}

// takeOver reads what Status says. It fails when a file is not one that fill has filled.
func (s *Store) takeOver(tx *bbolt.Tx) error {
	for _, name := range buckets {
		if tx.Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: there is no bucket %s in it", ErrDamaged, name)
		}
	}
	if got := string(tx.Bucket([]byte(inStore)).Get([]byte("format"))); got != format {
		return fmt.Errorf("it has format %q, and this program knows format %q: move the file away to begin a new history, or run the version that wrote it", got, format)
	}
	s.entries = tx.Bucket([]byte(inEntries)).Stats().KeyN
	s.figures(tx)
	return nil
}

// openFile opens the file, or makes it.
func (s *Store) openFile() (*bbolt.DB, error) {
	if err := os.MkdirAll(s.options.Dir, 0o700); err != nil {
		return nil, err
	}
	db, doubt, err := boltfile.Open(s.path, lockTimeout, fill, func(db *bbolt.DB) error { return db.View(s.takeOver) })
	if err != nil {
		return nil, diskError(err)
	}
	if doubt != "" {
		s.state.lose(doubt)
		s.log.Error("history: the file is damaged", "error", doubt)
	}
	return db, nil
}

// moveAside gives a damaged file another name. The caller holds open for writing.
func (s *Store) moveAside(found error) error {
	aside, err := boltfile.MoveAside(s.path)
	if err != nil {
		return fmt.Errorf("%w; moving it aside: %w", found, err)
	}
	s.state.lose(fmt.Sprintf("the file was damaged (%v) and moved to %s; the history has begun anew", found, aside))
	s.log.Error("history: the file is damaged and was moved aside; the history begins anew", "error", found, "moved", aside)
	return nil
}

// state is what Status answers.
type state struct {
	mu     sync.Mutex
	status api.HistoryInfo
	// lost is the alarm of this run that does not pass by itself.
	lost string
}

// report raises the alarm; nil ends every alarm but that of what is lost.
func (st *state) report(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	text := st.lost
	if err != nil {
		text = err.Error()
	}
	st.raise(text)
}

// raise sets the alarm, or ends it when text is empty; the caller holds mu.
func (st *state) raise(text string) {
	switch text {
	case st.status.Alarm:
		return
	case "":
		st.status.Since = time.Time{}
	default:
		st.status.Since = time.Now().UTC()
	}
	st.status.Alarm = text
}

// maxAlarm is how much an alarm may say, in bytes.
const maxAlarm = 2000

// lose adds to the alarm that stays for this run: something is gone.
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
func (s *Store) Status() api.HistoryInfo {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.status
}

// figures brings the figures of Status up to date.
func (s *Store) figures(tx *bbolt.Tx) {
	newest, _ := tx.Bucket([]byte(inEntries)).Cursor().Last()
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	st := &s.state.status
	st.Entries, st.Newest, st.Bytes = s.entries, boltfile.Number(newest), tx.Size()
}
