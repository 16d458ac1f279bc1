package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPercentilesAreWithinATenth compares percentiles with those of the sorted times.
func TestPercentilesAreWithinATenth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		mean, spread := rapid.Float64Range(-8, 3).Draw(t, "mean"), rapid.Float64Range(.01, 2).Draw(t, "spread")
		var h Histogram
		times := make([]float64, rapid.IntRange(1, 500).Draw(t, "n"))
		for i := range times {
			took := time.Duration(min(max(math.Exp(mean+spread*random.NormFloat64()), .0001), 60) * float64(time.Second))
			times[i] = took.Seconds()
			h.Add(1, took)
		}
		slices.Sort(times)
		for _, q := range []float64{.5, .95, .99, 1} {
			want := times[int(math.Ceil(q*float64(len(times))))-1]
			if got := Quantile(h[:], q); math.Abs(got-want) > .1*want {
				t.Fatalf("of %d the %v quantile is %v, want %v", len(times), q, got, want)
			}
		}
	})
}

// Metrics have the buckets they always had, and each of their bounds is one of ours.
func TestCoarse(t *testing.T) {
	var h Histogram
	want := make([]uint64, len(Bounds())+1)
	for i, bound := range Bounds() {
		if !slices.Contains(bounds[:], bound) {
			t.Errorf("no bucket ends at %v", bound)
		}
		took := time.Duration(bound * float64(time.Second))
		h.Add(1, took)
		h.Add(2, took+time.Microsecond)
		want[i], want[i+1] = want[i]+1, want[i+1]+2
	}
	if got := h.Coarse(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestEdges(t *testing.T) {
	if !slices.IsSorted(bounds[:]) {
		t.Error("bounds are not sorted")
	}
	var none Histogram
	if got := Quantile(none[:], .5); !math.IsNaN(got) {
		t.Errorf("of nothing: %v", got)
	}
	var c Counter
	c.Add(1, -time.Second)
	c.Add(3, time.Hour)
	h := c.Read()
	if Quantile(h[:], .25) != .0001 || Quantile(h[:], .5) != 60 {
		t.Errorf("%v and %v", Quantile(h[:], .25), Quantile(h[:], .5))
	}
	before := h
	h.Add(2, time.Millisecond)
	if got := h.Since(&before); Quantile(got[:], .5) > .001 || got[0] != 0 {
		t.Errorf("since then: %v", got)
	}
	if got := before.Since(&h); got != before {
		t.Errorf("begun anew: %v", got)
	}
}
