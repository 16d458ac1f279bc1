// Package metrics keeps what the parts of Fairway measure, and writes it in the text
// format of Prometheus, version 0.0.4.
package metrics

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Set is a set of families. The zero value is empty; what a nil one makes counts,
// and is not shown. All methods may be called from any goroutine.
type Set struct {
	mu         sync.Mutex
	families   []*Family // sorted by name
	collectors []func(*Scrape)
}

// Kind is the type of a family.
type Kind string

// The kinds of families.
const (
	KindCounter   Kind = "counter"
	KindGauge     Kind = "gauge"
	KindHistogram Kind = "histogram"
	KindSummary   Kind = "summary"
)

// Family is what all series of one name have in common.
type Family struct {
	name, help string
	kind       Kind
	labels     []string
	written    atomic.Int64 // bytes of the newest scrape: the next one needs as many
}

// Family registers a family whose series come from functions given to Collect. It panics
// when the name is taken: two parts of the program would count as one.
func (m *Set) Family(kind Kind, name, help string, labels ...string) *Family {
	f := &Family{name: name, help: help, kind: kind, labels: labels}
	if m == nil {
		return f
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at, taken := slices.BinarySearchFunc(m.families, name, func(f *Family, name string) int { return strings.Compare(f.name, name) })
	if taken {
		panic("metrics: " + name + " is registered twice")
	}
	m.families = slices.Insert(m.families, at, f)
	return f
}

// Collect makes every scrape call collect, which puts what it knows at that moment. No
// lock is held meanwhile, and several scrapes may call it at once.
func (m *Set) Collect(collect func(*Scrape)) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.collectors = append(m.collectors, collect)
}

// GaugeFunc registers a gauge that every scrape reads.
func (m *Set) GaugeFunc(name, help string, read func() float64) {
	f := m.Family(KindGauge, name, help)
	m.Collect(func(s *Scrape) { s.Put(f, read()) })
}

// Counter registers a counter without labels.
func (m *Set) Counter(name, help string) *Counter { return m.CounterVec(name, help).With() }

// CounterVec registers a counter for each list of label values.
func (m *Set) CounterVec(name, help string, labels ...string) *Vec[Counter] {
	return newVec(m, m.Family(KindCounter, name, help, labels...), func() *Counter { return &Counter{} }, (*Counter).put)
}

// Gauge registers a gauge without labels.
func (m *Set) Gauge(name, help string) *Gauge { return m.GaugeVec(name, help).With() }

// GaugeVec registers a gauge for each list of label values.
func (m *Set) GaugeVec(name, help string, labels ...string) *Vec[Gauge] {
	return newVec(m, m.Family(KindGauge, name, help, labels...), func() *Gauge { return &Gauge{} }, (*Gauge).put)
}

// HistogramVec registers a histogram for each list of label values; bounds are the upper
// ones of its buckets, ascending and without infinity.
func (m *Set) HistogramVec(name, help string, bounds []float64, labels ...string) *Vec[Histogram] {
	fresh := func() *Histogram { return &Histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)} }
	return newVec(m, m.Family(KindHistogram, name, help, labels...), fresh, (*Histogram).put)
}

// Counter is a number that only grows. The zero value is zero.
type Counter struct{ n atomic.Uint64 }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value is what has been counted.
func (c *Counter) Value() uint64 { return c.n.Load() }

func (c *Counter) put(o *output, labels []byte) { o.line("", labels, float64(c.n.Load())) }

// Gauge is a number that may change in any way. The zero value is zero.
type Gauge struct{ bits atomic.Uint64 }

// Set makes it v.
func (g *Gauge) Set(v float64) { g.bits.Store(math.Float64bits(v)) }

func (g *Gauge) put(o *output, labels []byte) {
	o.line("", labels, math.Float64frombits(g.bits.Load()))
}

// Histogram counts values by the bucket they are in.
type Histogram struct {
	bounds []float64

	mu     sync.Mutex
	counts []uint64 // one more than bounds: above the last
	sum    float64
}

// Observe counts a value.
func (h *Histogram) Observe(v float64) {
	bucket, _ := slices.BinarySearch(h.bounds, v)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[bucket]++
	h.sum += v
}

func (h *Histogram) put(o *output, labels []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o.histogram(labels, h.bounds, h.counts, h.sum)
}

// Vec is a family with a T for each list of label values. All methods may be called from
// any goroutine.
type Vec[T any] struct {
	family *Family
	fresh  func() *T

	mu     sync.RWMutex
	series map[string]*T // by their labels as they are written
}

func newVec[T any](m *Set, f *Family, fresh func() *T, put func(t *T, o *output, labels []byte)) *Vec[T] {
	v := &Vec[T]{family: f, fresh: fresh, series: map[string]*T{}}
	m.Collect(func(s *Scrape) {
		v.mu.RLock()
		defer v.mu.RUnlock()
		for labels, t := range v.series {
			s.scratch = append(s.scratch[:0], labels...)
			put(t, s.begin(f), s.scratch)
		}
	})
	return v
}

// With returns the T of values, which are in the order of the labels. It is shown from
// the first call on.
func (v *Vec[T]) With(values ...string) *T {
	labels := v.family.appendLabels(make([]byte, 0, 64), values)
	v.mu.RLock()
	t := v.series[string(labels)]
	v.mu.RUnlock()
	if t != nil {
		return t
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if t = v.series[string(labels)]; t == nil {
		t = v.fresh()
		v.series[string(labels)] = t
	}
	return t
}
