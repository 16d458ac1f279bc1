package printer

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
	"fairway/internal/usage"
)

// Usage prints one report: each service, and below it its containers.
func (c *Printer) Usage(r *usage.Report) {
	t := c.Columns("SERVICE / CONTAINER", "-ENGINE", "CPU", "MEMORY", "-LIMIT", "NET RX", "NET TX", "-BLOCK READ", "-BLOCK WRITE")
	add := func(name console.Cell, engine string, u usage.Usage) {
		cpu, limit := "-", "-"
		if u.CPUPercent != nil {
			cpu = fmt.Sprintf("%.2f%%", *u.CPUPercent)
		}
		if u.MemoryLimit > 0 {
			limit = human.Bytes(u.MemoryLimit)
		}
		t.Add(name, engine, cpu, human.Bytes(u.MemoryUsed), limit,
			human.Bytes(u.NetworkReceived), human.Bytes(u.NetworkSent), human.Bytes(u.BlockRead), human.Bytes(u.BlockWritten))
	}
	for _, s := range r.Services {
		add(console.Bold.Cell(s.Service), "", s.Usage)
		for _, u := range s.Containers {
			name := "  " + u.Name
			if c.Wide() {
				name += " " + u.ID
			}
			add(console.Plain.Cell(name), u.Engine, u.Usage)
		}
	}
	if len(r.Services) > 0 || c.CSV() { // of which there is the header
		t.Print()
	}
	if len(r.Services) == 0 {
		c.Note("No containers run.")
	}
	for _, u := range r.Unread {
		what := u.Engine
		if u.Container != "" {
			what += ", container " + u.Container
		}
		if what += ": " + u.Reason; c.CSV() {
			c.Note("not read: %s", what)
			continue
		}
		c.Raw(c.Paint(console.Bad, "not read: ") + human.Escape(what))
	}
}

// Latency prints what routes answered, and below each its instances. What is not known is
// a dash.
func (c *Printer) Latency(items []api.Latency) {
	figure := func(v *float64, unit string) string {
		if v == nil {
			return "-"
		}
		return unitText(*v, unit)
	}
	t := c.Columns("ROUTE / INSTANCE", "REQUESTS", "-ERRORS", "P50", "P95", "P99", "-IN FLIGHT", "+ROUTE", "+SERVICE")
	for _, l := range items {
		name, errors := console.Bold.Cell(l.Name), console.Plain.Cell(figure(l.Errors, "1/s"))
		if l.Kind != api.SeriesRoutes {
			name = console.Plain.Cell("  " + l.Name)
		}
		if l.Errors != nil && *l.Errors > 0 {
			errors.Colour = console.Bad
		}
		t.Add(name, figure(l.Requests, "1/s"), errors, figure(l.P50, "s"), figure(l.P95, "s"), figure(l.P99, "s"), figure(l.InFlight, ""), l.Route, l.Service)
	}
	t.Print()
}

// Series prints series: for each subject its fields, with a chart.
func (c *Printer) Series(items []api.Series, from, to time.Time) {
	if len(items) == 0 {
		c.Note("No readings.")
		if !c.CSV() { // of which there is the header
			return
		}
	}
	t := c.Columns("SUBJECT", "FIELD", "LAST", "-MEAN", "PEAK", "OVER "+span(to.Sub(from)))
	points := 32
	if c.Width > 0 && c.Width < 100 {
		points = 16
	}
	for _, s := range items {
		name := console.Bold.Cell(s.Subject)
		for i, f := range s.Fields {
			sum, n, peak, last := 0.0, 0, math.Inf(-1), math.NaN()
			values := make([]float64, 0, len(s.Points))
			at := make([]time.Time, 0, len(s.Points))
			for _, p := range s.Points {
				if v := p.Means[i]; v != nil {
					sum, n, last, peak = sum+*v, n+1, *v, max(peak, *v)
					values, at = append(values, *v), append(at, p.At)
				}
				if v := p.Peaks[i]; v != nil {
					peak = max(peak, *v)
				}
			}
			if n == 0 || i > 0 && peak == 0 && !c.Wide() {
				continue // nothing is known, or nothing happened
			}
			mean := unitText(sum/float64(n), f.Unit)
			if f.Unit == "s" { // a mean of percentiles is none; --latency has those of the whole time
				mean = "-"
			}
			t.Add(name, f.Name, unitText(last, f.Unit), mean, unitText(peak, f.Unit), console.Spark(at, values, from, to, points))
			if !c.CSV() {
				name = console.Plain.Cell("")
			}
		}
	}
	t.Print()
}

// span writes a time as short as it can be: 36h, 90m.
func span(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	case d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return d.String()
}

func unitText(v float64, unit string) string {
	switch unit {
	case "percent":
		return strconv.FormatFloat(v, 'f', 1, 64) + "%"
	case "bytes":
		return human.Bytes(uint64(max(0, v)))
	case "bytes/s":
		return human.Bytes(uint64(max(0, v))) + "/s"
	case "1/s":
		return strconv.FormatFloat(v, 'f', 2, 64) + "/s"
	case "s":
		return time.Duration(v * float64(time.Second)).Round(10 * time.Microsecond).String()
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}
