package series

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"fairway/internal/latency"
)

// Query asks for the readings of one subject.
type Query struct {
	Group, Subject string
	// From and To bound the time; To is left out.
	From, To time.Time
	// Step is the least time between two points.
	Step time.Duration
}

// Point is what a subject was within one step.
type Point struct {
	// At is when the step began.
	At time.Time
	// Means and Peaks are in the order of the fields; NaN where nothing is known, and for
	// peaks of fields without Peak.
	Means, Peaks []float64
	// Buckets are the means of the group's buckets.
	Buckets []float64
}

// Quantile is the time in seconds within which the share q of the requests of the step was
// answered; NaN without requests, and of a group without buckets.
func (p Point) Quantile(q float64) float64 { return latency.Quantile(p.Buckets, q) }

// Result answers a query.
type Result struct {
	Fields []Field
	// Step is what was used.
	Step time.Duration
	// Points are those with readings, in the order of time.
	Points []Point
	// Whole is all of the time as one step; its values are NaN without a reading.
	Whole Point
}

// ErrUnknown says that there is no such group.
var ErrUnknown = errors.New("no such group")

// row is a row with its time.
type row struct {
	at time.Time
	n  uint32
	cells
}

// Query answers, each moment from the finest place: memory, fine ring, coarse ring.
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
	rows, until := s.recent(g, q)
	f, p, newest := g.file, (*place)(nil), int64(0)
	if f != nil && f.places[q.Subject] != nil {
		p = f.places[q.Subject]
		newest = p.newest
	}
	s.mu.Unlock() // nothing waits for the disk; a row that is written meanwhile fails its checksum
	r := Result{Fields: g.Fields, Step: s.every}
	if p != nil {
		// Where the fine ring begins for sure, in whole steps of the coarse one.
		begin := (newest-rings[0].rows)/rings[1].per + 2
		border := time.Unix(0, begin*int64(coarse))
		for ring, span := range []struct {
			step     time.Duration
			from, to time.Time
		}{{fine, later(q.From, border), until}, {coarse, q.From, earlier(until, border)}} {
			if !span.from.Before(span.to) {
				continue
			}
			r.Step = span.step
			err := f.each(p, ring, func(number int64, n uint32, found cells) {
				at := time.Unix(0, number*int64(span.step))
				// What began before the time but reaches into it counts.
				if at.Add(span.step).After(span.from) && at.Before(span.to) {
					rows = append(rows, row{at, n, found})
				}
			})
			if err != nil {
				return r, fmt.Errorf("series: %w", err)
			}
		}
	}
	natural := r.Step // of the coarsest place
	r.Step = max(q.Step, natural)
	if least := q.To.Sub(q.From) / (MaxPoints - 1); r.Step < least {
		r.Step = (least + natural - 1) / natural * natural
	}
	buckets, whole := map[int64]*mean{}, newMean(g)
	for _, row := range rows {
		at := row.at.UnixNano() / int64(r.Step)
		if buckets[at] == nil {
			buckets[at] = newMean(g)
		}
		buckets[at].merge(row.n, row.cells)
		whole.merge(row.n, row.cells)
	}
	r.Whole = whole.point(q.From)
	for _, at := range slices.Sorted(maps.Keys(buckets)) {
		r.Points = append(r.Points, buckets[at].point(time.Unix(0, at*int64(r.Step)).UTC()))
	}
	return r, nil
}

// recent returns the rows in memory within the time, and until when the disk is asked.
func (s *Store) recent(g *group, q Query) (rows []row, until time.Time) {
	sub := g.subjects[q.Subject]
	if sub == nil {
		return nil, q.To
	}
	oldest := s.oldest(sub)
	// Of a step that memory has in part, the disk has all once it is over.
	per := int64(fine / s.every)
	if step := oldest / per; g.file != nil && oldest%per != 0 && step <= sub.flushed {
		oldest = (step + 1) * per
	}
	for slot := oldest; slot <= sub.newest; slot++ {
		at := time.Unix(0, slot*int64(s.every))
		if !at.Before(q.From) && at.Before(q.To) {
			rows = append(rows, row{at, 1, g.columnsOf(s.row(g, sub, slot))})
		}
	}
	return rows, earlier(q.To, time.Unix(0, oldest*int64(s.every)))
}

func later(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }

func earlier(a, b time.Time) time.Time { return slices.MinFunc([]time.Time{a, b}, time.Time.Compare) }

// point is the mean as an answer.
func (m *mean) point(at time.Time) Point {
	p := Point{At: at, Buckets: m.rates()}
	peak := len(m.g.Fields)
	for i, f := range m.g.Fields {
		p.Means, p.Peaks = append(p.Means, float64(m.values[i])), append(p.Peaks, math.NaN())
		if f.Peak {
			p.Peaks[i] = float64(m.values[peak])
			peak++
		}
	}
	return p
}
