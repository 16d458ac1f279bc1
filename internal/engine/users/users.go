// Package users follows the files of users that labels name, for every engine: they are
// read below the directories that the operator allows, and again when they change. No
// file delays the loop that applies tables.
//
// For engines that check logins themselves, a Checker compares passwords with the
// hashes of a Set. A name that does not exist, or whose hash is quick to check, costs as
// much as the slowest hash of the set, so that time does not show which names exist
// where all hashes are of one kind.
package users

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/files"
	"fairway/internal/route"
)

const (
	// MaxBytes bounds the size of a file.
	MaxBytes = 4 << 20
	// lookEvery is the time between two looks at a file.
	lookEvery = time.Second
	// firstWait is how long Follow waits for files that are new, all together.
	firstWait = 500 * time.Millisecond
	// maxOpen bounds how many files are read at the same time. One that takes longer than
	// maxTurn makes room for another, unless there are maxHanging of them: each occupies
	// a thread of the system for as long as its file system does not answer.
	maxOpen    = 64
	maxTurn    = time.Second
	maxHanging = 1000
	// maxFaults is how many faults of one file are reported.
	maxFaults = 20
)

// Name is a file, and how it is read; see route.BasicAuth.
type Name struct {
	Path  string
	Clear bool
}

// NameOf returns the file of a filter; the zero name for none.
func NameOf(a *route.BasicAuth) Name {
	if a.File == "" {
		return Name{}
	}
	return Name{a.File, a.Clear}
}

// Named returns the files that a table names, each once.
func Named(t *route.Table) []Name {
	var names []Name
	seen := map[Name]bool{{}: true}
	for _, r := range t.Routes {
		for i := range r.Filters {
			a := r.Filters[i].BasicAuth
			if a == nil || seen[NameOf(a)] {
				continue
			}
			seen[NameOf(a)] = true
			names = append(names, NameOf(a))
		}
	}
	return names
}

// Content is what a file was found to hold. It is never written again.
type Content struct {
	// Users are those of the file; see Parse.
	Users []route.User
	// Faults are the lines that lock their user.
	Faults []Fault
	// Err says why the file cannot be read; then there are no users.
	Err error

	sum    [sha256.Size]byte // of the file
	logins func() *Set
}

// Logins are the users, ready to be checked; nil while the file cannot be read.
func (c *Content) Logins() *Set {
	if c.Err != nil {
		return nil
	}
	return c.logins()
}

// errUnread is what a file is before it has been read for the first time.
var errUnread = errors.New("its file system has not answered yet")

// Options are what New needs.
type Options struct {
	// Dirs are the directories below which files may be named.
	Dirs []string
	// Refuse says why the engine cannot check a hash of a known form; may be nil.
	Refuse func(hash string) string
	// Changed is called, from any goroutine, after Contents or Report say something else
	// than when Follow returned, Reported after Report says something else than before.
	Changed, Reported func()
	Logger            *slog.Logger // nil discards
}

// Store holds the files that are followed, for any goroutine.
type Store struct {
	o       Options
	open    chan struct{}
	hanging chan struct{}
	// openBelow is files.OpenBelow, but in tests of file systems that do not answer.
	openBelow func(dirs []string, path string) (*files.File, error)
	ctx       context.Context // ends with Close
	end       context.CancelFunc

	mu    sync.Mutex
	files map[Name]*File
}

// File is one file that is followed.
type File struct {
	content atomic.Pointer[Content]
	read    chan struct{} // closed after the first reading
	late    atomic.Bool   // Follow has not waited for the first reading, or it is over
	end     context.CancelFunc
}

// Content is that of the newest reading. It is never nil.
func (f *File) Content() *Content { return f.content.Load() }

// New returns a store that follows nothing.
func New(o Options) *Store {
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Reported == nil {
		o.Reported = func() {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		o: o, open: make(chan struct{}, maxOpen), hanging: make(chan struct{}, maxHanging),
		openBelow: files.OpenBelow, files: map[Name]*File{},
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// Close ends the following. It does not wait for a reading that hangs.
func (s *Store) Close() { s.end() }

// Follow follows these files, too, and returns when all of them have been read once,
// or after half a second.
func (s *Store) Follow(names []Name) {
	timer := time.NewTimer(firstWait)
	defer timer.Stop()
	fresh := s.begin(names)
	for i, f := range fresh {
		select {
		case <-f.read:
			continue
		case <-timer.C:
			s.o.Reported() // that they are late
		case <-s.ctx.Done():
		}
		for _, f := range fresh[i:] {
			f.late.Store(true)
		}
		return
	}
}

func (s *Store) begin(names []Name) (fresh []*File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if s.files[name] != nil {
			continue
		}
		f := &File{read: make(chan struct{})}
		f.content.Store(&Content{Err: errUnread})
		var ctx context.Context
		ctx, f.end = context.WithCancel(s.ctx)
		s.files[name] = f
		fresh = append(fresh, f)
		go s.follow(ctx, name, f)
	}
	return fresh
}

// Keep forgets the files that are not among these.
func (s *Store) Keep(names []Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range s.files {
		if !slices.Contains(names, name) {
			f.end()
			delete(s.files, name)
		}
	}
}

// File returns a file that is followed; nil for another one.
func (s *Store) File(name Name) *File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[name]
}

// Contents returns what all files are known to hold at this moment.
func (s *Store) Contents() map[Name]*Content {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[Name]*Content, len(s.files))
	for name, f := range s.files {
		all[name] = f.Content()
	}
	return all
}

// Report says why the file of a filter cannot be read, or which of its lines lock their
// user. Both are empty for a file that is sound, is not known yet, or is not named.
func (s *Store) Report(a *route.BasicAuth) (unreadable string, faults []string) {
	f := s.File(NameOf(a))
	if f == nil {
		return "", nil
	}
	c := f.Content()
	if c.Err != nil {
		return c.Err.Error(), nil
	}
	for i, fault := range c.Faults {
		if i == maxFaults {
			return "", append(faults, fmt.Sprintf("%d more lines lock their user", len(c.Faults)-i))
		}
		faults = append(faults, fault.String())
	}
	return "", faults
}

func (s *Store) follow(ctx context.Context, name Name, f *File) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var stamp files.Stamp
	for first := true; ; first = false {
		release, ok := s.turn(ctx)
		if !ok {
			return
		}
		before := f.Content()
		now := s.look(name, &stamp, before)
		release()
		if ctx.Err() != nil {
			return
		}
		f.content.Store(now)
		if first {
			close(f.read)
		}
		if now != before {
			s.report(name, now, first)
			s.o.Reported()
			if f.late.Swap(true) {
				s.o.Changed()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// turn waits until a file may be read, and returns what is to be called afterwards.
func (s *Store) turn(ctx context.Context) (release func(), ok bool) {
	select {
	case s.open <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	place, moved := s.open, make(chan struct{})
	late := time.AfterFunc(maxTurn, func() {
		defer close(moved)
		select {
		case s.hanging <- struct{}{}:
			<-place
			place = s.hanging
		default:
		}
	})
	return func() {
		if !late.Stop() {
			<-moved
		}
		<-place
	}, true
}

// look returns what is in a file, or before; stamp is that of the last reading.
func (s *Store) look(name Name, stamp *files.Stamp, before *Content) *Content {
	data, err := s.read(name, stamp, before.Err == nil)
	switch {
	case err != nil && before.Err != nil && err.Error() == before.Err.Error():
		return before
	case err != nil:
		return &Content{Err: err}
	case data == nil:
		return before
	}
	now := &Content{sum: sha256.Sum256(data)}
	if before.Err == nil && now.sum == before.sum {
		return before
	}
	now.Users, now.Faults = Parse(data, name.Clear, s.o.Refuse)
	now.logins = sync.OnceValue(func() *Set { return NewSet(now.Users) })
	return now
}

// read returns the contents; nil when they are certain to be unchanged.
func (s *Store) read(name Name, stamp *files.Stamp, known bool) ([]byte, error) {
	f, err := s.openBelow(s.o.Dirs, name.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if known && stamp.Holds(f.Stamp) {
		return nil, nil
	}
	*stamp = f.Stamp
	data, err := f.Read(MaxBytes)
	if data == nil && err == nil {
		data = []byte{}
	}
	return data, err
}

func (s *Store) report(name Name, c *Content, first bool) {
	switch {
	case c.Err != nil:
		s.o.Logger.Error("user file cannot be read, its routes answer 503", "file", name.Path, "error", c.Err)
	case len(c.Faults) > 0:
		s.o.Logger.Warn("user file has lines that lock their user", "file", name.Path, "lines", len(c.Faults), "first", c.Faults[0].String())
	case !first:
		s.o.Logger.Info("user file reread", "file", name.Path, "users", len(c.Users))
	}
}
