package printer

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/console"
)

// What was kept is shown as figures and as a picture of how they went; what is not
// known leaves a gap.
func TestKeptReadings(t *testing.T) {
	from := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	number := func(v float64) *float64 { return &v }
	s := api.Series{Subject: "shop@docker", Fields: []api.SeriesField{{Name: "cpu", Unit: "percent"}, {Name: "limit", Unit: "bytes"}, {Name: "p95", Unit: "s"}}}
	for i := range 32 {
		p := api.SeriesPoint{At: from.Add(time.Duration(i) * time.Minute), Means: []*float64{number(float64(i)), nil, number(0.001 * float64(i))}, Peaks: []*float64{number(50), nil, nil}}
		if i < 8 || i > 11 {
			s.Points = append(s.Points, p)
		}
	}
	var out bytes.Buffer
	c := &Printer{Console: &console.Console{Out: &out, Err: &out}}
	c.Series([]api.Series{s}, from, from.Add(32*time.Minute))
	want := `SUBJECT      FIELD  LAST   MEAN   PEAK   OVER 32m
shop@docker  cpu    31.0%  16.4%  50.0%  ▁▁▁▁▂▂▂▂    ▄▄▄▄▅▅▅▅▆▆▆▆▇▇▇▇████
             p95    31ms   -  31ms   ▁▁▁▁▂▂▂▂    ▄▄▄▄▅▅▅▅▆▆▆▆▇▇▇▇████
`
	squeeze := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	if squeeze(out.String()) != squeeze(want) {
		t.Errorf("printed\n%s\nwant\n%s", &out, want)
	}
	out.Reset()
	c.Series(nil, from, from.Add(time.Hour))
	if out.String() != "No readings.\n" {
		t.Errorf("printed %q", &out)
	}
}
