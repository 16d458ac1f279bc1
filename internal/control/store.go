package control

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fairway/internal/atomicfile"
	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/feed"
	"fairway/internal/route"
)

// LastGood is what a run leaves behind for the next one: the newest table that
// every engine took, and the snapshot it was compiled from.
type LastGood struct {
	// Table is nil where only the snapshot can be used.
	Table    *route.Table
	Snapshot *catalog.Snapshot
	// Compiled is what the snapshot was compiled to where that is not Table: claims
	// are handed down from it. Nil when it is Table.
	Compiled *route.Table
}

// Store keeps the last good table in one file, which is replaced as a whole. It begins
// with a line that holds the format and the SHA-256 of the rest.
type Store struct {
	path   string
	log    *slog.Logger
	newest feed.Feed[LastGood] // what Put takes
}

const (
	lastGoodFile   = "last-good.json"
	lastGoodHeader = "fairway last-good 1 sha256:"
	headerSize     = len(lastGoodHeader) + 2*sha256.Size + 1
)

// OpenStore makes dir when it is missing, readable by its owner only.
func OpenStore(dir string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s := &Store{path: filepath.Join(dir, lastGoodFile), log: cmp.Or(log, slog.New(slog.DiscardHandler))}
	if err := atomicfile.Sweep(s.path); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return s, nil
}

// Load returns what the last run left, or nil. A damaged file is moved aside, and an error.
// Of a file whose table cannot be used, such as one of another version, there is the
// snapshot, beside the error.
func (s *Store) Load() (*LastGood, error) {
	data, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("last good table: %w", err)
	}
	lg, err := decodeLastGood(data)
	switch {
	case err == nil:
		return lg, nil
	case lg != nil:
		return lg, fmt.Errorf("last good table: %w", err)
	}
	aside := s.path + ".damaged"
	if mvErr := os.Rename(s.path, aside); mvErr != nil {
		return nil, fmt.Errorf("last good table: %w; moving it aside: %w", err, mvErr)
	}
	return nil, fmt.Errorf("last good table: %w (moved to %s)", err, aside)
}

// Put takes what is to be written next, in place of what was not written yet.
func (s *Store) Put(lg *LastGood) { s.newest.Publish(lg) }

// start writes in the background until stop is called, which returns after the last write.
func (s *Store) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// run writes what Put takes until ctx ends, and then what is left. After a write it
// rests for twenty times as long, and for a second at least.
func (s *Store) run(ctx context.Context) {
	var tried *LastGood
	for {
		lg, err := s.newest.Next(ctx, tried)
		if err != nil {
			return
		}
		start := time.Now()
		if err := s.save(lg); err != nil {
			s.log.Error("last good table was not written", "error", err)
		}
		tried = lg
		_ = clock.Sleep(ctx, max(time.Second, 20*time.Since(start)))
	}
}

func (s *Store) save(lg *LastGood) error {
	return atomicfile.WriteFunc(s.path, 0o600, func(f *os.File) error { return encodeLastGood(f, lg) })
}

// encodeLastGood streams lg behind a header that is filled in at the end, when
// the sum is known.
func encodeLastGood(f *os.File, lg *LastGood) error {
	if _, err := f.Write(bytes.Repeat([]byte{' '}, headerSize)); err != nil {
		return err
	}
	sum := sha256.New()
	// The services come one by one, so that they are never in memory a second time.
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<16)
	e := json.NewEncoder(w)
	rest := *lg.Snapshot
	rest.Services = nil
	write := func(text string) error { _, err := w.WriteString(text); return err }
	if err := errors.Join(
		write(`{"table":`), route.Encode(w, lg.Table),
		write(`,"snapshot":`), e.Encode(rest),
		write(`,"services":[`),
	); err != nil {
		return err
	}
	separator := ""
	for _, s := range lg.Snapshot.Services {
		if err := errors.Join(write(separator), e.Encode(s)); err != nil {
			return err
		}
		separator = ","
	}
	if err := write("]"); err != nil {
		return err
	}
	if lg.Compiled != nil {
		if err := errors.Join(write(`,"compiled":`), route.Encode(w, lg.Compiled)); err != nil {
			return err
		}
	}
	if err := errors.Join(write("}\n"), w.Flush()); err != nil {
		return err
	}
	header := lastGoodHeader + hex.EncodeToString(sum.Sum(nil)) + "\n"
	_, err := f.WriteAt([]byte(header), 0)
	return err
}

// decodeLastGood is the inverse of encodeLastGood and checks the sum. Where the sum
// is right and only a table cannot be used, it returns the snapshot and the error.
func decodeLastGood(data []byte) (*LastGood, error) {
	if len(data) < headerSize || !bytes.HasPrefix(data, []byte(lastGoodHeader)) {
		return nil, errors.New("not a last-good file of this format")
	}
	want := string(data[len(lastGoodHeader) : headerSize-1])
	body := data[headerSize:]
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != want {
		return nil, errors.New("the checksum does not fit the contents")
	}
	var parts struct {
		Table    json.RawMessage    `json:"table"`
		Snapshot *catalog.Snapshot  `json:"snapshot"`
		Services []*catalog.Service `json:"services"`
		Compiled json.RawMessage    `json:"compiled"`
	}
	if err := json.Unmarshal(body, &parts); err != nil {
		return nil, err
	}
	if parts.Snapshot == nil {
		return nil, errors.New("there is no snapshot in it")
	}
	parts.Snapshot.Services = parts.Services
	lg := &LastGood{Snapshot: parts.Snapshot}
	table, err := route.Decode(bytes.NewReader(parts.Table))
	if err == nil && len(parts.Compiled) > 0 {
		lg.Compiled, err = route.Decode(bytes.NewReader(parts.Compiled))
	}
	if err != nil {
		lg.Compiled = nil
		return lg, err
	}
	lg.Table = table
	return lg, nil
}
