// Package latency counts how long requests took, in buckets that are fine enough for
// every percentile to be within 10 % of what was measured.
package latency

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// bounds are the upper bounds of the buckets in seconds; a line ends with one of Bounds.
// Each is at most 1.21 times the one before, so that the middle is within 10 % of both.
var bounds = [...]float64{
	.0001,
	.000119, .000143, .00017, .000203, .000242, .000289, .000346, .000412, .000492, .000588, .000702, .000838, .001,
	.0012, .00143, .00171, .00204, .00245, .00292, .0035, .00418, .005,
	.00595, .00707, .00841, .01,
	.012, .0144, .0173, .0208, .025,
	.0297, .0354, .042, .05,
	.0595, .0707, .0841, .1,
	.12, .144, .173, .208, .25,
	.297, .354, .42, .5,
	.595, .707, .841, 1,
	1.2, 1.44, 1.73, 2.08, 2.5,
	2.97, 3.54, 4.2, 5, 5.95, 7.07, 8.41, 10,
	12, 14.3, 17.1, 20.5, 24.5, 29.3, 35.1, 41.9, 50.2, 60,
}

// Buckets is how many there are: one for each bound, and one for what took longer.
const Buckets = len(bounds) + 1

// coarse are the bounds that metrics show.
var coarse = [...]float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}

// Bounds are the upper bounds in seconds, ascending, of the buckets that metrics show.
func Bounds() []float64 { return slices.Clone(coarse[:]) }

// Histogram is how many requests took how long, by bucket. The zero value is none.
type Histogram [Buckets]uint64

// Add counts n requests that took so long.
func (h *Histogram) Add(n uint64, took time.Duration) { h[bucket(took)] += n }

// Since is what came after before. What has less than before was begun anew.
func (h *Histogram) Since(before *Histogram) Histogram {
	came := *h
	for i, n := range before {
		if n > h[i] {
			return *h
		}
		came[i] -= n
	}
	return came
}

// Coarse are the counts by Bounds, with those above the last bound at the end.
func (h *Histogram) Coarse() []uint64 {
	counts := make([]uint64, len(coarse)+1)
	at := 0
	for i, n := range h {
		for at < len(coarse) && (i == len(bounds) || bounds[i] > coarse[at]) {
			at++
		}
		counts[at] += n
	}
	return counts
}

// Counter is a Histogram that any goroutine may add to. It takes 8 bytes for each bucket,
// from the first request on.
type Counter struct {
	buckets atomic.Pointer[[Buckets]atomic.Uint64]
}

// Add counts n requests that took so long.
func (c *Counter) Add(n uint64, took time.Duration) {
	buckets := c.buckets.Load()
	if buckets == nil {
		c.buckets.CompareAndSwap(nil, new([Buckets]atomic.Uint64))
		buckets = c.buckets.Load()
	}
	buckets[bucket(took)].Add(n)
}

// Read returns what was counted.
func (c *Counter) Read() (h Histogram) {
	if buckets := c.buckets.Load(); buckets != nil {
		for i := range buckets {
			h[i] = buckets[i].Load()
		}
	}
	return h
}

func bucket(took time.Duration) int {
	i, _ := slices.BinarySearch(bounds[:], took.Seconds())
	return i
}

// Quantile is the time in seconds within which the share q of the requests was answered,
// 0 to 1: the middle of its bucket. counts are by bucket, as in a Histogram; without
// requests it is NaN. Beyond the last bound it is that, and below the first that.
func Quantile[N uint64 | float64](counts []N, q float64) float64 {
	total, below := N(0), N(0)
	for _, n := range counts {
		total += n
	}
	if !(total > 0) {
		return math.NaN()
	}
	for i, n := range counts {
		below += n
		if n > 0 && float64(below) >= q*float64(total)*(1-1e-9) {
			return middle(i)
		}
	}
	return bounds[len(bounds)-1]
}

// middle is what stands for the times of a bucket.
func middle(i int) float64 {
	if i == 0 || i >= len(bounds) {
		return bounds[min(i, len(bounds)-1)]
	}
	return math.Sqrt(bounds[i-1] * bounds[i])
}
