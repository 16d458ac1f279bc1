package history

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// measure registers the figures of Status.
func (s *Store) measure(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, g := range []struct {
		name, help string
		value      func(Status) float64
	}{
		{"fairway_history_entries", "Entries in the history.", func(st Status) float64 { return float64(st.Entries) }},
		{"fairway_history_bytes", "Size of the history's file.", func(st Status) float64 { return float64(st.Bytes) }},
		{"fairway_history_alarm", "1 while there is something wrong with the history, as the log and the admin API say.", func(st Status) float64 {
			if st.Alarm != "" {
				return 1
			}
			return 0
		}},
	} {
		gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, func() float64 { return g.value(s.Status()) })
		if err := r.Register(gauge); err != nil {
			return fmt.Errorf("history: %w", err)
		}
	}
	return nil
}
