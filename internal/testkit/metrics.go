package testkit

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics reads metrics as Prometheus' own library does: the values of counters and
// gauges, and the counts of histograms. A key is the name without "fairway_", and the
// values of the labels after blanks.
func Metrics(t testing.TB, m interface{ Write(io.Writer) error }) map[string]float64 {
	t.Helper()
	var text bytes.Buffer
	if err := m.Write(&text); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&text)
	if err != nil {
		t.Fatal(err)
	}
	figures := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			key := strings.TrimPrefix(name, "fairway_")
			for _, l := range m.Label {
				key += " " + l.GetValue()
			}
			figures[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return figures
}
