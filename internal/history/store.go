package history

import (
	"cmp"
	"compress/flate"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"fairway/internal/api"
	"fairway/internal/boltfile"
	"fairway/internal/metrics"
)

// Options are what Open needs. Only Dir is required.
type Options struct {
	// Dir is the state directory; it is made when it is missing.
	Dir string
	// MaxEntries is how many entries are kept; zero means 2000.
	MaxEntries int
	// MaxRevisions is how many revisions of each document are kept; zero means 1000.
	MaxRevisions int
	// Logger gets what goes wrong; nil logs nothing.
	Logger *slog.Logger
	// Metrics gets the figures of Status; nil keeps none.
	Metrics *metrics.Set
}

const (
	fileName          = "history.db"
	defaultEntries    = 2000
	maxAge            = 90 * 24 * time.Hour // of entries, but for the newest alwaysKept: a clock may jump
	defaultRevisions  = 1000
	alwaysKept        = 100
	lockTimeout       = 500 * time.Millisecond
	reopenAfter       = time.Second
	maxDocumentName   = 200
	maxDocumentLength = 64 << 20
)

// The buckets of the file.
var buckets = []bucket{inStore, inEntries, inBlobs, inDocuments, inRecords}

// bucket is the name of a bucket.
type bucket string

const (
	inStore     bucket = "store"     // "format" → 3
	inEntries   bucket = "entries"   // number → entry
	inBlobs     bucket = "blobs"     // hash → part of a table, or the content of a revision
	inDocuments bucket = "documents" // name, 0, number → revision
	inRecords   bucket = "records"   // kind, 0, name → data
)

// Store is the record in its file. All methods may be called from any goroutine.
type Store struct {
	options Options
	path    string
	log     *slog.Logger

	// open is held for reading by transactions, for writing to open, close or move it.
	open   sync.RWMutex
	db     *bbolt.DB // nil while the file cannot be used
	closed bool

	writing sync.Mutex // one write at a time; guards what follows
	encoder *flate.Writer
	last    *lastTable // the table of the newest entry, for what it shares with the next
	entries int        // how many there are
	pruned  time.Time  // when entries were last looked at for their age
	kept    []uint64   // entries that stay
	tried   time.Time  // when opening last failed

	state state
}

// Open opens the store in the directory, or makes it. The error is a fault of the
// caller: no directory, or options that make no sense.
//
// A file that is damaged is moved aside (history.db.damaged-1 and so on), the history
// begins anew, and Status says so. When the file cannot be opened for another reason,
// reads and writes fail with ErrUnavailable, and each write tries again.
func Open(o Options) (*Store, error) {
	if o.Dir == "" {
		return nil, errors.New("history: a directory is required")
	}
	if o.MaxEntries < 0 || o.MaxRevisions < 0 {
		return nil, errors.New("history: limits are not negative")
	}
	o.MaxEntries, o.MaxRevisions = cmp.Or(o.MaxEntries, defaultEntries), cmp.Or(o.MaxRevisions, defaultRevisions)
	s := &Store{options: o, path: filepath.Join(o.Dir, fileName), log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler))}
	s.encoder, _ = flate.NewWriter(nil, flate.DefaultCompression) // it fails for a level that does not exist
	s.measure(o.Metrics)
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.reopen() // Status has the error, and each write tries again
	return s, nil
}

// measure registers the figures of Status.
func (s *Store) measure(m *metrics.Set) {
	gauge := func(name, help string, value func(api.HistoryInfo) float64) {
		m.GaugeFunc(name, help, func() float64 { return value(s.Status()) })
	}
	gauge("fairway_history_entries", "Entries in the history.", func(st api.HistoryInfo) float64 { return float64(st.Entries) })
	gauge("fairway_history_bytes", "Size of the history's file.", func(st api.HistoryInfo) float64 { return float64(st.Bytes) })
	gauge("fairway_history_alarm", "1 while there is something wrong with the history, as the log and the admin API say.", func(st api.HistoryInfo) float64 {
		if st.Alarm != "" {
			return 1
		}
		return 0
	})
}

// Close closes the file after the running transactions. It may be called again.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.open.Lock()
	defer s.open.Unlock()
	s.closed = true
	if s.db == nil {
		return nil
	}
	err := s.db.Close()
	s.db = nil
	return err
}

// view runs a reading transaction.
func (s *Store) view(do func(tx *bbolt.Tx) error) error {
	err := func() error {
		s.open.RLock()
		defer s.open.RUnlock()
		if s.db == nil {
			return s.unavailable()
		}
		return boltfile.Guard(func() error { return s.db.View(do) })
	}()
	if boltfile.Panicked(err) {
		s.writing.Lock()
		defer s.writing.Unlock()
		s.damaged(err)
	}
	return err
}

// update runs a writing transaction and returns when it is on the disk. After an
// error nothing has changed. do holds writing; what it changes in the Store it changes
// last, when it has no error any more.
func (s *Store) update(do func(tx *bbolt.Tx) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	refused := false // by do, before anything was written
	err := boltfile.Guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			err := do(tx)
			if refused = err != nil; !refused {
				s.figures(tx)
			}
			return err
		})
	})
	switch {
	case err == nil:
		s.state.report(nil)
		return nil
	case boltfile.Panicked(err):
		s.damaged(err)
		return err
	case refused:
		return err
	}
	// What a transaction that failed half-way has left in memory is not trusted.
	err = diskError(err)
	s.state.report(err)
	s.log.Error("history: nothing could be written", "error", err)
	s.last = nil
	if again := s.reopen(); again != nil {
		return errors.Join(err, again)
	}
	return err
}

// about says in an error what a call was about; it is nil for nil.
func about(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("history: %s: %w", fmt.Sprintf(format, args...), err)
}

// ready opens the file when it is not open, at most once a second. It needs writing.
func (s *Store) ready() error {
	if s.db != nil {
		return nil
	}
	if s.closed || time.Since(s.tried) < reopenAfter {
		return s.unavailable()
	}
	return s.reopen()
}

func (s *Store) unavailable() error {
	if why := s.Status().Alarm; why != "" && !s.closed {
		return fmt.Errorf("%w: %s", ErrUnavailable, why)
	}
	return ErrUnavailable
}

// diskError makes ErrFull of what a full disk says. bbolt hands on the text alone
// where it cannot make the file longer.
func diskError(err error) error {
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.HasSuffix(err.Error(), full.Error()) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
	}
	return err
}

// reopen closes the file when it is open and opens it, or makes it; one that is damaged
// is moved aside before. The caller holds writing.
func (s *Store) reopen() error {
	s.open.Lock()
	defer s.open.Unlock()
	if s.db != nil {
		_ = boltfile.Guard(s.db.Close)
	}
	var err error
	if s.db, err = s.openFile(); errors.Is(err, ErrDamaged) {
		if err = s.moveAside(err); err == nil {
			s.db, err = s.openFile()
		}
	}
	if err != nil {
		s.tried = time.Now()
		s.state.report(err)
		s.log.Error("history: the file cannot be used", "file", s.path, "error", err)
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// damaged moves the file aside and begins a new one. The caller holds writing.
func (s *Store) damaged(found error) {
	s.open.Lock()
	if db := s.db; db != nil {
		// After a panic bbolt may still hold its own locks: it is not waited for.
		go func() { _ = boltfile.Guard(db.Close) }()
		s.db = nil
	}
	s.last = nil
	if err := s.moveAside(found); err != nil { // reopen tries again
		s.state.report(err)
		s.log.Error("history: the damaged file cannot be moved aside", "error", err)
	}
	s.open.Unlock()
	_ = s.reopen()
}
