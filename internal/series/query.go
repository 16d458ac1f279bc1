package series

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Query asks for the readings of one subject.
type Query struct {
	Group, Subject string
	// From and To bound the time; To is left out.
	From, To time.Time
	// Step is the time between two points, at least what is kept and what MaxPoints
	// allows.
	Step time.Duration
}

// Point is what a subject was within one step.
type Point struct {
	// At is when the step began.
	At time.Time
	// Means are the means of the readings in the order of the fields, Peaks the
	// largest ones; NaN where nothing is known. Peaks are those of fields with
	// Peak.
	Means, Peaks []float64
}

// Result answers a query.
type Result struct {
	Fields []Field
	// Step is what was used.
	Step time.Duration
	// Points are those with readings, in the order of time.
	Points []Point
}

// ErrUnknown says that there is no such group.
var ErrUnknown = errors.New("no such group")

// Query answers. A subject of which nothing is known has no points.
func (s *Store) Query(q Query) (Result, error) {
	if !q.From.Before(q.To) || q.Step < 0 {
		return Result{}, errors.New("series: the time to begin is not before the time to end")
	}
	s.mu.Lock()
	g := s.groups[q.Group]
	if g == nil {
		s.mu.Unlock()
		return Result{}, fmt.Errorf("%w: %s", ErrUnknown, q.Group)
	}
	rows, natural, reads := s.rows(g, q)
	s.mu.Unlock()
	r := Result{Fields: g.Fields}
	for _, read := range reads { // the disk, which nothing else waits for
		more, err := read()
		if err != nil {
			return r, fmt.Errorf("series: %w", err)
		}
		rows = append(rows, more...)
	}
	r.Step = max(q.Step, natural)
	if least := q.To.Sub(q.From) / (MaxPoints - 1); r.Step < least {
		r.Step = (least + natural - 1) / natural * natural
	}
	buckets := map[int64]*mean{}
	for _, row := range rows {
		at := row.at.UnixNano() / int64(r.Step)
		if buckets[at] == nil {
			buckets[at] = newMean(g)
		}
		buckets[at].merge(row.n, row.values)
	}
	for at, m := range buckets {
		r.Points = append(r.Points, m.point(time.Unix(0, at*int64(r.Step)).UTC()))
	}
	slices.SortFunc(r.Points, func(a, b Point) int { return a.At.Compare(b.At) })
	return r, nil
}

// storedRow is a row with its time.
type storedRow struct {
	at     time.Time
	n      uint32
	values []float32
}

// rows collects the rows within the time, each moment from the finest place that has
// it: memory, the fine ring, the coarse ring. Rows on disk are left to reads, which need
// no lock: a row that is written meanwhile fails its checksum. natural is the step of
// the coarsest place.
func (s *Store) rows(g *group, q Query) (rows []storedRow, natural time.Duration, reads []func() ([]storedRow, error)) {
	natural = s.every
	until := q.To
	if sub := g.subjects[q.Subject]; sub != nil {
		oldest := max(sub.first, sub.newest-int64(s.slots())+1)
		// Of a step that memory has in part, the disk has all once it is over.
		per := int64(fine / s.every)
		if step := oldest / per; g.file != nil && oldest%per != 0 && step <= sub.flushed {
			oldest = (step + 1) * per
		}
		for slot := oldest; slot <= sub.newest; slot++ {
			at := time.Unix(0, slot*int64(s.every))
			if !at.Before(q.From) && at.Before(until) {
				rows = append(rows, storedRow{at, 1, g.columnsOf(s.row(g, sub, slot))})
			}
		}
		until = earlier(until, time.Unix(0, oldest*int64(s.every)))
	}
	if g.file == nil {
		return rows, natural, nil
	}
	f, place := g.file, g.file.places[q.Subject]
	if place == nil {
		return rows, natural, nil
	}
	p := *place
	// Where the fine ring begins for sure, in whole steps of the coarse one.
	begin := (p.newest-rings[0].rows)/rings[1].per + 2
	fineFrom := time.Unix(0, begin*int64(coarse))
	for ring, within := range []struct {
		step     time.Duration
		from, to time.Time
	}{{fine, later(q.From, fineFrom), until}, {coarse, q.From, earlier(until, fineFrom)}} {
		if !within.from.Before(within.to) {
			continue
		}
		natural = within.step
		reads = append(reads, func() (list []storedRow, err error) {
			err = f.each(&p, ring, func(number int64, n uint32, values []float32) {
				at := time.Unix(0, number*int64(within.step))
				// What began before the time but reaches into it counts.
				if at.Add(within.step).After(within.from) && at.Before(within.to) {
					list = append(list, storedRow{at, n, values})
				}
			})
			return list, err
		})
	}
	return rows, natural, reads
}

func later(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }

func earlier(a, b time.Time) time.Time { return slices.MinFunc([]time.Time{a, b}, time.Time.Compare) }

// point is the mean as an answer.
func (m *mean) point(at time.Time) Point {
	p := Point{At: at}
	peak := len(m.g.Fields)
	for i, f := range m.g.Fields {
		p.Means = append(p.Means, float64(m.values[i]))
		if f.Peak {
			p.Peaks = append(p.Peaks, float64(m.values[peak]))
			peak++
		} else {
			p.Peaks = append(p.Peaks, math.NaN())
		}
	}
	return p
}
