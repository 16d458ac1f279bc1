package console

import (
	"strings"
	"time"
)

// Spark draws values over time in so many characters, from zero to their maximum; a gap is
// empty.
func Spark(at []time.Time, values []float64, from, to time.Time, width int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	sum, n := make([]float64, width), make([]int, width)
	most := 0.0
	for i, v := range values {
		slot := int(float64(width) * float64(at[i].Sub(from)) / float64(to.Sub(from)))
		slot = min(max(slot, 0), width-1)
		sum[slot], n[slot] = sum[slot]+v, n[slot]+1
		most = max(most, v)
	}
	var b strings.Builder
	for i := range sum {
		switch {
		case n[i] == 0:
			b.WriteRune(' ')
		case most <= 0:
			b.WriteRune(levels[0])
		default:
			level := int(sum[i] / float64(n[i]) / most * float64(len(levels)))
			b.WriteRune(levels[min(max(level, 0), len(levels)-1)])
		}
	}
	return b.String()
}
