package series

import (
	"math"
	"slices"
)

// cells are the values of a row, in memory or on disk, and its buckets, packed.
type cells struct {
	values  []float32
	buckets []byte
}

// add puts a reading into a row of memory; with more it is added to what is there.
func (c cells) add(reading []float64, more bool) {
	for i, v := range reading[:len(c.values)] {
		switch {
		case !more || isNaN(c.values[i]):
			c.values[i] = float32(v)
		case !math.IsNaN(v):
			c.values[i] = float32(v + float64(c.values[i]))
		}
	}
	for i, v := range reading[len(c.values):] {
		if more {
			v += unpackOne(c.buckets[i])
		}
		c.buckets[i] = packOne(v)
	}
}

// A bucket is a rate in a byte: 0 for none, else leastRate * ratio^(n-1), up to 10 million
// a second. It is off by the root of the ratio at most.
const (
	leastRate = 1.0 / 4096
	ratio     = 1.1
)

func packOne(rate float64) byte {
	if !(rate > 0) {
		return 0
	}
	return byte(min(max(1+math.Round(math.Log(rate/leastRate)/math.Log(ratio)), 1), 255))
}

func unpackOne(b byte) float64 {
	if b == 0 {
		return 0
	}
	return leastRate * math.Pow(ratio, float64(b-1))
}

func unpack(packed []byte) []float64 {
	rates := make([]float64, len(packed))
	for i, b := range packed {
		rates[i] = unpackOne(b)
	}
	return rates
}

// mean makes the row of a step on disk out of rows of memory, or of finer rows:
// the mean of each field, then the largest of those that keep their peak.
type mean struct {
	g       *group
	n       uint32 // readings
	counts  []uint32
	values  []float32 // as in the file: means, then peaks
	sums    []float64
	buckets []float64 // sums
}

func newMean(g *group) *mean {
	m := &mean{
		g: g, counts: make([]uint32, len(g.Fields)), sums: make([]float64, len(g.Fields)), values: make([]float32, g.columns),
		buckets: make([]float64, g.Buckets),
	}
	for i := range m.values {
		m.values[i] = float32(math.NaN())
	}
	return m
}

// add takes a row of memory, unless nothing is known in it.
func (m *mean) add(row cells) {
	if slices.ContainsFunc(row.values, func(v float32) bool { return !isNaN(v) }) {
		m.merge(1, m.g.columnsOf(row))
	}
}

// columnsOf makes a row as in the file out of one of memory.
func (g *group) columnsOf(row cells) cells {
	values := slices.Clone(row.values)
	for i, f := range g.Fields {
		if f.Peak {
			values = append(values, row.values[i])
		}
	}
	return cells{values, slices.Clone(row.buckets)}
}

// merge takes a row of the file that was made of n readings.
func (m *mean) merge(n uint32, row cells) {
	peak := len(m.g.Fields)
	for i, f := range m.g.Fields {
		at := peak
		if f.Peak {
			peak++
			if !isNaN(row.values[at]) && !(m.values[at] >= row.values[at]) {
				m.values[at] = row.values[at]
			}
		}
		if v := row.values[i]; !isNaN(v) {
			m.counts[i] += n
			m.sums[i] += float64(v) * float64(n)
			m.values[i] = float32(m.sums[i] / float64(m.counts[i]))
		}
	}
	for i, b := range row.buckets {
		m.buckets[i] += unpackOne(b) * float64(n)
	}
	m.n += n
}

// rates are the means of the buckets.
func (m *mean) rates() []float64 {
	rates := make([]float64, len(m.buckets))
	for i, sum := range m.buckets {
		rates[i] = sum / float64(max(1, m.n))
	}
	return rates
}

func isNaN(v float32) bool { return v != v }
