// Package certificates is the source of certificates in directories: one that Fairway
// writes to when it is sent a certificate, and others that are only read. A file is a
// certificate with its chain and private key in PEM. Any other file is logged.
package certificates

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/atomicfile"
	"fairway/internal/catalog"
	"fairway/internal/discovery/poll"
	"fairway/internal/files"
)

// Name is the name of the source.
const Name = "certificates"

// MaxBytes bounds the size of one file, MaxFiles how many are kept.
const (
	MaxBytes = 1 << 20
	MaxFiles = 10_000
)

// rereadEvery bounds how late a file is seen that Put has not written.
const rereadEvery = 2 * time.Second

// ErrInvalid is why a certificate is not kept. The text holds none of the contents.
var ErrInvalid = errors.New("invalid certificate")

// Dir is a directory of certificates. One that does not exist is empty.
type Dir struct {
	Path string
	// Prefixes begin the names of files that count, in any case; none means all.
	Prefixes []string
}

// Options are what New needs. Dir is required.
type Options struct {
	// Dir is the directory that Put writes to. It is made when it is needed.
	Dir string
	// More are directories that are only read.
	More []Dir
	// May says why a certificate for some names may not be put; nil lets every one in.
	May func(names []string) error
	// Preferred are patterns, as of path.Match, for names of files that come first.
	Preferred []string
	Logger    *slog.Logger
}

// Source reads the files. All methods may be called from any goroutine.
type Source struct {
	dirs      []Dir // the first is written to
	preferred []string
	may       func(names []string) error
	log       *slog.Logger
	wake      chan struct{}
	most      int // MaxFiles, but for tests

	mu   sync.Mutex
	seen map[string]seen // by path
}

// seen is what a file was found to be when it was last read.
type seen struct {
	sum   [sha256.Size]byte
	sound bool
}

// New returns the source; it reads nothing yet.
func New(o Options) (*Source, error) {
	if o.Dir == "" {
		return nil, errors.New("certificates: a directory is required")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	for _, p := range o.Preferred {
		if _, err := filepath.Match(p, ""); err != nil {
			return nil, fmt.Errorf("certificates: pattern %q: %w", p, err)
		}
	}
	return &Source{
		dirs:      append([]Dir{{Path: o.Dir}}, o.More...),
		preferred: o.Preferred,
		may:       o.May,
		log:       o.Logger,
		wake:      make(chan struct{}, 1),
		most:      MaxFiles,
		seen:      map[string]seen{},
	}, nil
}

// Name returns the source's name.
func (s *Source) Name() string { return Name }

// Run reads the directories at once, after each Put and every two seconds.
func (s *Source) Run(ctx context.Context, out chan<- catalog.Answer) {
	poll.Run(ctx, rereadEvery, s.wake, out, func(context.Context) catalog.Answer {
		list, err := s.Read()
		return catalog.Answer{Certificates: list, Err: err, Certain: true}
	})
}

// Read returns the sound files of all directories, MaxFiles at most: the preferred ones
// first, then by directory and name. A file that was sound before stays.
func (s *Source) Read() ([]catalog.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []string
	for _, dir := range s.dirs {
		names, err := dir.names()
		if err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
		for _, name := range names {
			paths = append(paths, filepath.Join(dir.Path, name))
		}
	}
	slices.SortStableFunc(paths, func(a, b string) int { return s.rank(a) - s.rank(b) })
	list := []catalog.Certificate{}
	next := make(map[string]seen, len(paths))
	for _, file := range paths {
		now := s.read(file)
		next[file] = now
		if now.sound && len(list) < s.most {
			list = append(list, catalog.Certificate{File: file, Source: Name})
		}
	}
	s.seen = next
	return list, nil
}

// read reads a file and checks it. One that cannot be read is what it was.
func (s *Source) read(file string) seen {
	before, known := s.seen[file]
	data, err := readFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return seen{} // gone since the directory was read
	}
	if err != nil {
		if !known {
			s.log.Warn("file cannot be read and is not used", "file", file, "error", err)
		}
		return before
	}
	now := seen{sum: sha256.Sum256(data)}
	if known && before.sum == now.sum {
		return before
	}
	err = check(data)
	now.sound = err == nil || before.sound
	if err != nil {
		s.log.Warn("file is no certificate with its key and is not used", "file", file, "error", err)
	}
	return now
}

// rank is the place of the first preferred pattern that a file fits.
func (s *Source) rank(file string) int {
	for i, p := range s.preferred {
		if ok, _ := filepath.Match(p, filepath.Base(file)); ok {
			return i
		}
	}
	return len(s.preferred)
}

func (d Dir) names() ([]string, error) {
	entries, err := os.ReadDir(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || e.IsDir() {
			continue
		}
		if len(d.Prefixes) == 0 || slices.ContainsFunc(d.Prefixes, func(p string) bool {
			return strings.HasPrefix(strings.ToLower(name), p)
		}) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Names lists the certificates that were put, sorted.
func (s *Source) Names() ([]string, error) { return s.dirs[0].names() }

// Get returns the contents of a certificate that was put. They hold its key.
func (s *Source) Get(name string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return readFile(filepath.Join(s.dirs[0].Path, name))
}

// Put keeps a certificate under a name, on disk and for its owner only. The error is
// ErrInvalid when the name or the contents are at fault.
func (s *Source) Put(name string, pem []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := check(pem); err != nil {
		return err
	}
	if s.may != nil {
		if err := s.may(namesIn(pem)); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	dir := s.dirs[0].Path
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(dir, name), pem, 0o600); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	poll.Wake(s.wake)
	return nil
}

// checkName refuses names that are anything but the name of a plain file.
func checkName(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*"
	if name == "" || len(name) > 200 || name[0] == '.' || strings.Trim(name, allowed) != "" {
		return fmt.Errorf("%w: a name consists of letters, digits, dots, dashes and underscores, and begins with no dot", ErrInvalid)
	}
	return nil
}

// check reports whether data is a certificate with its key.
func check(data []byte) error {
	if len(data) > MaxBytes {
		return fmt.Errorf("%w: larger than %d bytes", ErrInvalid, MaxBytes)
	}
	if _, err := tls.X509KeyPair(data, data); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// namesIn are the names that an engine may show a sound certificate for: those of the leaf,
// with its common name where that can be one; an empty one where there is none.
func namesIn(data []byte) []string {
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return []string{""}
	}
	names := slices.Clone(pair.Leaf.DNSNames)
	for _, ip := range pair.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	if common := pair.Leaf.Subject.CommonName; len(names) == 0 || common != "" && !strings.Contains(common, " ") {
		names = append(names, common)
	}
	return names
}

// readFile reads a regular file of bounded size; of anything else nothing.
func readFile(path string) ([]byte, error) {
	data, err := files.Read(path, MaxBytes)
	if errors.Is(err, files.ErrNotRegular) {
		return nil, nil
	}
	return data, err
}
