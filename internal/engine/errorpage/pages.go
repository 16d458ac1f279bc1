package errorpage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"fairway/internal/files"
)

// DefaultSet is the set of pages for routes that name none, and for requests that no route
// takes. Off names none: the page is Fairway's own.
const (
	DefaultSet = "default"
	Off        = "off"
)

// MaxPage bounds a page, in bytes, maxPages the files of a directory; every is how often
// they are read. An engine may take less: see Open.
const (
	MaxPage  = 64 << 10
	maxPages = 1000
	every    = 5 * time.Second
)

// Source is a configured set of pages.
type Source struct{ Name, Dir string }

// Set are the pages of a set by what they are for: "404", "5xx" or "default".
type Set map[string]string

// fileName is what the files of a set are called.
var fileName = regexp.MustCompile(`^(default|[45]xx|[45][0-9][0-9])\.html$`)

// ReadSet reads the pages of a directory.
func ReadSet(dir string) (Set, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	entries, err := d.ReadDir(maxPages + 1)
	_ = d.Close()
	if err != nil && !errors.Is(err, io.EOF) { // the end is where there is no file
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if len(entries) > maxPages {
		return nil, fmt.Errorf("%s: there are more than %d files", dir, maxPages)
	}
	set := Set{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".html" {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if !fileName.MatchString(e.Name()) {
			return nil, fmt.Errorf("%s: pages are called 404.html, 4xx.html, 5xx.html or default.html", path)
		}
		text, err := files.Read(path, MaxPage)
		if err != nil {
			return nil, err
		}
		if !utf8.Valid(text) {
			return nil, fmt.Errorf("%s: it is not UTF-8", path)
		}
		set[strings.TrimSuffix(e.Name(), ".html")] = string(text)
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%s: there is no page; write default.html", dir)
	}
	return set, nil
}

// Page is the page of a set for a status; false when it has none.
func (s Set) Page(status int) (page string, ok bool) {
	for _, name := range []string{strconv.Itoa(status), strconv.Itoa(status/100) + "xx", "default"} {
		if page, ok = s[name]; ok {
			return page, true
		}
	}
	return "", false
}

// Store holds the pages of all sets. A nil one has none. Any goroutine may use it.
type Store struct {
	sources []Source
	takes   func(page string) error // nil: every page
	log     *slog.Logger
	sets    atomic.Pointer[map[string]Set]

	mu      sync.Mutex
	changed []func()
}

// Open reads all sets. takes says what is wrong with a page that the engine cannot send; nil
// for one that can send all of MaxPage.
func Open(sources []Source, takes func(page string) error, log *slog.Logger) (*Store, error) {
	s := &Store{sources: sources, takes: takes, log: log}
	sets, err := s.read(nil)
	s.sets.Store(&sets)
	return s, err
}

// Fixed is a store of these sets, which are not read from anywhere.
func Fixed(sets map[string]Set) *Store {
	s := &Store{}
	s.sets.Store(&sets)
	return s
}

// read reads all sets; of one that cannot be read the pages before stay.
func (s *Store) read(before map[string]Set) (map[string]Set, error) {
	sets := map[string]Set{}
	var faults []error
	for _, from := range s.sources {
		set, err := ReadSet(from.Dir)
		if err == nil {
			err = s.check(set)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("error pages %s: %w", from.Name, err))
			set = before[from.Name]
		}
		if set != nil {
			sets[from.Name] = set
		}
	}
	return sets, errors.Join(faults...)
}

// check returns what is wrong with the first page that the engine cannot send.
func (s *Store) check(set Set) error {
	if s.takes == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err := s.takes(set[name]); err != nil {
			return fmt.Errorf("%s.html: %w", name, err)
		}
	}
	return nil
}

// OnChange has a function called after other pages have been read.
func (s *Store) OnChange(changed func()) {
	if s != nil {
		s.mu.Lock()
		s.changed = append(s.changed, changed)
		s.mu.Unlock()
	}
}

// Run reads the pages again and again until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		before := s.Sets()
		sets, err := s.read(before)
		if text := fmt.Sprint(err); err != nil && text != said {
			s.log.Error("error pages cannot be used, and stay as they were", "error", err)
			said = text
		} else if err == nil {
			said = ""
		}
		if maps.EqualFunc(before, sets, func(a, b Set) bool { return maps.Equal(a, b) }) {
			continue
		}
		s.sets.Store(&sets)
		s.log.Info("error pages were reread")
		s.mu.Lock()
		changed := slices.Clone(s.changed)
		s.mu.Unlock()
		for _, f := range changed {
			f()
		}
	}
}

// Sets are the pages by set; not to be written to.
func (s *Store) Sets() map[string]Set {
	if s == nil {
		return nil
	}
	return *s.sets.Load()
}

// pageFor is the page of a set, of DefaultSet for none; false where it is Fairway's own.
func (s *Store) pageFor(set string, status int) (page string, ok bool) {
	if set == "" {
		set = DefaultSet
	}
	return s.Sets()[set].Page(status)
}

// placeholder is what stands for a value in a page.
var placeholder = regexp.MustCompile(`\{(status|reason|host|request_id)\}`)

// BodyOf is Body with the page of a set, for requests to a host.
func (a Answer) BodyOf(f Form, s *Store, set, host string) []byte {
	page, own := s.pageFor(set, a.Status)
	if f != HTML || !own || a.Code == CodeMaintenance {
		return a.Body(f)
	}
	var b bytes.Buffer
	b.WriteString(placeholder.ReplaceAllStringFunc(page, func(p string) string {
		return html.EscapeString(map[string]string{
			"{status}": strconv.Itoa(a.Status), "{reason}": http.StatusText(a.Status), "{host}": host, "{request_id}": a.ID,
		}[p])
	}))
	b.WriteString(Aside + html.EscapeString(a.said()) + AsideEnd)
	return b.Bytes()
}

// Aside and AsideEnd stand around the sentence behind a page of the operator: a comment, for
// those who look for the cause.
const Aside, AsideEnd = "\n<!-- ", " -->\n"
