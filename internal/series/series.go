// Package series keeps readings over time: of the last hour all of them in
// memory, of the last 30 days means and peaks on disk, in files whose size is
// fixed.
//
// A group holds readings of one sort, such as those of containers: a fixed list of
// fields, and a bounded number of subjects. A further subject replaces the one that
// has been silent for longest; while none is silent, it is left out.
//
// Writes are not synced. A crash loses at most the readings of the last two minutes;
// a torn row fails its checksum and is left out.
package series

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"fairway/internal/api"
	"fairway/internal/metrics"
)

const (
	// memory is how long every reading is kept.
	memory = time.Hour
	// fine and coarse are the steps of the two rings on disk, with how far they reach.
	fine       = 2 * time.Minute
	fineSpan   = 24 * time.Hour
	coarse     = 30 * time.Minute
	coarseSpan = 30 * 24 * time.Hour

	maxFields = 32
	// MaxSubject is how long the name of a subject may be, in bytes.
	MaxSubject = 200
	// MaxPoints is how many points a query answers at most.
	MaxPoints = 2000
)

// Field is one figure of a reading.
type Field struct {
	Name string
	// Unit is "percent", "bytes", "bytes/s" or "1/s"; for people.
	Unit string
	// Peak keeps the largest reading of each step on disk besides the mean.
	Peak bool
}

// Group is readings of one sort.
type Group struct {
	// Name is also that of its file: letters.
	Name string
	// Fields is the list of figures; their order is part of the file.
	Fields []Field
	// Buckets is how many counts of a histogram follow the fields. They are rates, each
	// kept in a byte, within 5 %.
	Buckets int
	// Subjects is how many things are kept at once.
	Subjects int
}

// Options are what Open needs.
type Options struct {
	// Dir is where the files are, made when missing; empty keeps nothing on disk.
	Dir    string
	Groups []Group
	// Every is how often readings come: 1 s to 1 min, a part of two minutes.
	Every time.Duration
	// Logger gets what goes wrong; nil logs nothing.
	Logger *slog.Logger
	// Metrics gets those of the store; nil keeps them private.
	Metrics *metrics.Set
}

// Reading is what one subject was at a moment.
type Reading struct {
	// Subject is unique in the group, at most 200 bytes.
	Subject string
	// Values are the figures in the order of the group's fields, NaN for unknown, and
	// behind them the buckets.
	Values []float64
}

// Store keeps readings. All methods may be called from any goroutine.
type Store struct {
	every               time.Duration
	dir                 string
	log                 *slog.Logger
	diskErrors, crowded *metrics.Counter

	mu     sync.Mutex
	groups map[string]*group
	taken  *os.File  // what keeps other processes from the files; nil without files
	tried  time.Time // when that was tried last
	closed bool
}

// group is a Group at work.
type group struct {
	Group
	columns  int // on disk
	subjects map[string]*subject
	file     *file // nil when there is none
	failed   string
}

// subject is one thing with the ring of its newest readings.
type subject struct {
	name    string
	rows    []float32 // ring of rows, each with one value for each field
	buckets []byte    // of the same rows, packed
	// newest is the slot of the newest row, in steps since 1970; older ones are behind it.
	newest  int64
	first   int64 // slot of the first row since it is known
	flushed int64 // the newest fine slot that was written to disk
}

// Open opens or makes the files. One that is damaged or of another shape begins anew.
func Open(o Options) (*Store, error) {
	if o.Every < time.Second || o.Every > time.Minute || fine%o.Every != 0 {
		return nil, fmt.Errorf("series: readings every %s: want 1s to 1m, of which two minutes are a multiple", o.Every)
	}
	s := &Store{every: o.Every, dir: o.Dir, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), groups: map[string]*group{}}
	if o.Dir != "" {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("series: %w", err)
		}
	}
	for _, def := range o.Groups {
		if def.Name == "" || len(def.Fields) == 0 || len(def.Fields) > maxFields || def.Subjects < 1 || s.groups[def.Name] != nil {
			return nil, fmt.Errorf("series: group %q: a name of its own, 1 to %d fields and at least one subject are needed", def.Name, maxFields)
		}
		s.groups[def.Name] = &group{Group: def, columns: columns(def), subjects: map[string]*subject{}}
	}
	if err := s.openFiles(); err != nil {
		return nil, errors.Join(fmt.Errorf("series: %w", err), s.Close())
	}
	s.measure(o.Metrics)
	return s, nil
}

// measure makes the metrics.
func (s *Store) measure(m *metrics.Set) {
	s.diskErrors = m.Counter("fairway_series_disk_errors_total", "Readings that could not be written to disk.")
	s.crowded = m.Counter("fairway_series_left_out_total", "Readings of subjects for which there was no room.")
	subjects := m.Family(metrics.KindGauge, "fairway_series_subjects", "Subjects whose readings are in memory, by group.", "group")
	m.Collect(func(scrape *metrics.Scrape) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for name, g := range s.groups {
			scrape.Put(subjects, float64(len(g.subjects)), name)
		}
	})
}

// openEvery is the time between two tries to open files that another process has.
const openEvery = 10 * time.Second

// openFiles opens the files. While another process has them, it tries again later.
func (s *Store) openFiles() error {
	now := time.Now()
	if s.dir == "" || s.taken != nil || s.closed || now.Sub(s.tried) < openEvery {
		return nil
	}
	s.tried = now
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if lock(f) != nil {
		s.log.Info("readings are in memory only while another process has the files", "dir", s.dir)
		return f.Close()
	}
	s.taken = f
	for _, g := range s.groups {
		if g.file, err = openFile(s.dir, g, s.log); err != nil {
			return err
		}
	}
	return nil
}

// FileSize is the size of a group's file in bytes.
func FileSize(g Group) int64 { return headSize + int64(g.Subjects)*subjectSize(g) }

// columns is how many values a row on disk has.
func columns(g Group) int {
	n := len(g.Fields)
	for _, f := range g.Fields {
		if f.Peak {
			n++
		}
	}
	return n
}

// Close writes what is not on disk and closes the files. It may be called again.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var faults []error
	for _, g := range s.groups {
		if g.file == nil {
			continue
		}
		for _, sub := range g.subjects {
			s.flush(g, sub, sub.newest+1, true)
		}
		faults = append(faults, g.file.f.Close())
		g.file = nil
	}
	if s.taken != nil {
		faults = append(faults, s.taken.Close())
		s.taken = nil
	}
	s.closed = true
	return errors.Join(faults...)
}

// slots is how many readings of a subject are in memory.
func (s *Store) slots() int { return int(memory / s.every) }

// Add adds up the readings of one moment by subject; older than the newest are left out.
func (s *Store) Add(name string, at time.Time, readings []Reading) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[name]
	if g == nil {
		return fmt.Errorf("series: no group %q", name)
	}
	if err := s.openFiles(); err != nil {
		g.note(s, err)
	}
	slot := at.UnixNano() / int64(s.every)
	touched := map[string]bool{}
	for _, r := range readings {
		if len(r.Values) != len(g.Fields)+g.Buckets || r.Subject == "" || len(r.Subject) > MaxSubject {
			return fmt.Errorf("series: group %q: a reading has %d values and a subject of %d bytes", name, len(r.Values), len(r.Subject))
		}
		sub := s.subject(g, r.Subject, slot)
		if sub == nil {
			continue
		}
		row := s.advance(g, sub, slot)
		if row.values == nil {
			continue
		}
		row.add(r.Values, touched[r.Subject])
		touched[r.Subject] = true
	}
	return nil
}

// silent is how many readings a subject misses before another may replace it.
const silent = 3

// subject finds a subject, or makes it; nil when there is no room.
func (s *Store) subject(g *group, name string, slot int64) *subject {
	if sub := g.subjects[name]; sub != nil {
		return sub
	}
	if len(g.subjects) >= g.Subjects {
		var oldest *subject
		for _, sub := range g.subjects {
			if oldest == nil || sub.newest < oldest.newest || sub.newest == oldest.newest && sub.name < oldest.name {
				oldest = sub
			}
		}
		if oldest.newest >= slot-silent {
			s.crowded.Inc()
			return nil
		}
		s.flush(g, oldest, oldest.newest+1, true)
		delete(g.subjects, oldest.name)
	}
	sub := &subject{
		name: name, rows: make([]float32, s.slots()*len(g.Fields)), buckets: make([]byte, s.slots()*g.Buckets),
		newest: slot - 1, first: slot, flushed: slot*int64(s.every)/int64(fine) - 1,
	}
	for i := range sub.rows {
		sub.rows[i] = float32(math.NaN())
	}
	g.subjects[name] = sub
	return sub
}

// advance makes slot the newest of a subject and returns its row; one without values when
// it is older. What has left the memory is on disk before.
func (s *Store) advance(g *group, sub *subject, slot int64) cells {
	if slot < sub.newest {
		return cells{}
	}
	s.flush(g, sub, slot, false)
	slots := int64(s.slots())
	if slot-sub.newest > slots {
		sub.newest = slot - slots
	}
	for sub.newest < slot {
		sub.newest++
		row := s.row(g, sub, sub.newest)
		for i := range row.values {
			row.values[i] = float32(math.NaN())
		}
		clear(row.buckets)
	}
	return s.row(g, sub, slot)
}

// row is where a slot of a subject is in memory.
func (s *Store) row(g *group, sub *subject, slot int64) cells {
	part := func(n int) (from, to int) {
		from = int(slot%int64(s.slots())) * n
		return from, from + n
	}
	from, to := part(len(g.Fields))
	first, end := part(g.Buckets)
	return cells{sub.rows[from:to], sub.buckets[first:end]}
}

// oldest is the oldest slot of a subject in memory.
func (s *Store) oldest(sub *subject) int64 {
	return max(sub.first, sub.newest-int64(s.slots())+1)
}

// flush writes the fine steps that are over at slot; with now the current one, too.
func (s *Store) flush(g *group, sub *subject, slot int64, now bool) {
	if g.file == nil {
		return
	}
	per := int64(fine / s.every)
	over := slot * int64(s.every) / int64(fine) // the fine step that slot is in
	if now {
		over++
	}
	oldest := s.oldest(sub)
	for step := max(sub.flushed+1, oldest*int64(s.every)/int64(fine)); step < over && step*per <= sub.newest; step++ {
		m := newMean(g)
		for i := max(step*per, oldest); i < (step+1)*per && i <= sub.newest; i++ {
			m.add(s.row(g, sub, i))
		}
		if m.n > 0 {
			g.note(s, g.file.write(sub.name, step, m))
		}
		if !now || step < over-1 {
			sub.flushed = step
		}
	}
}

// note logs an error that is another one than before.
func (g *group) note(s *Store, err error) {
	if err == nil {
		g.failed = ""
		return
	}
	s.diskErrors.Inc()
	if g.failed != err.Error() {
		g.failed = err.Error()
		s.log.Error("readings cannot be written to disk; those of the last hour are in memory", "group", g.Name, "error", err)
	}
}

// Subjects lists the subjects of a group, in memory and on disk, sorted by name.
func (s *Store) Subjects(name string) []api.SeriesSubject {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[name]
	if g == nil {
		return nil
	}
	newest := map[string]time.Time{}
	if g.file != nil {
		for name, p := range g.file.places {
			newest[name] = time.Unix(p.newest*int64(fine/time.Second), 0).UTC()
		}
	}
	for name, sub := range g.subjects {
		newest[name] = time.Unix(0, sub.newest*int64(s.every)).UTC()
	}
	list := make([]api.SeriesSubject, 0, len(newest))
	for _, name := range slices.Sorted(maps.Keys(newest)) {
		list = append(list, api.SeriesSubject{Name: name, Newest: newest[name]})
	}
	return list
}

// Groups lists the groups, sorted by name.
func (s *Store) Groups() []Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Group
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		list = append(list, s.groups[name].Group)
	}
	return list
}

// Newest returns the newest reading of each subject that is not older than age; the
// buckets are behind the fields.
func (s *Store) Newest(name string, now time.Time, age time.Duration) map[string][]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[name]
	if g == nil {
		return nil
	}
	found := map[string][]float64{}
	for name, sub := range g.subjects {
		if now.Sub(time.Unix(0, sub.newest*int64(s.every))) > age {
			continue
		}
		row := s.row(g, sub, sub.newest)
		values := make([]float64, len(row.values), len(row.values)+g.Buckets)
		for i, v := range row.values {
			values[i] = float64(v)
		}
		found[name] = append(values, unpack(row.buckets)...)
	}
	return found
}
