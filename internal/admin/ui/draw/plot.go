package draw

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/human"
)

// Plot is a picture of readings over time, in pixels.
type Plot struct {
	Title         string
	Width, Height int
	Lines         []Line
	Levels, Times []Tick // the horizontal lines, and what stands below them
	Now           string // the newest reading of each line
	Alt           string // the least, latest and greatest of each line, for those who do not see it
	Span          string // the time that it covers, such as "1h"
	Points        string // what is said of each moment under the pointer: JSON of a points
	Empty         bool   // there is no reading
}

// points are the readings of a plot as script shows them: a row for each moment, with its
// place in pixels, the time in UTC, and a text for each line.
type points struct {
	Names []string `json:"names"`
	Rows  [][]any  `json:"rows"`
}

// Line is one field of a plot.
type Line struct {
	Name, Class string // Name is empty for the only line
	Path, Area  string // of SVG
	Now         string // its newest reading
}

// Tick is a text beside a scale, with its place in pixels.
type Tick struct {
	At   float64
	Text string
}

// Range is a time that plots can cover.
type Range struct {
	Name      string
	For, Step time.Duration
	Here      bool // it is the chosen one
}

// Ranges can be chosen. A plot has about as many points as one can distinguish.
func Ranges() []Range {
	return []Range{
		{Name: "1h", For: time.Hour, Step: 30 * time.Second},
		{Name: "6h", For: 6 * time.Hour, Step: 2 * time.Minute},
		{Name: "24h", For: 24 * time.Hour, Step: 10 * time.Minute},
		{Name: "7d", For: 7 * 24 * time.Hour, Step: time.Hour},
		{Name: "30d", For: 30 * 24 * time.Hour, Step: 4 * time.Hour},
	}
}

// Choose returns the ranges and the one with a name; the first for another name.
func Choose(name string) ([]Range, Range) {
	all := Ranges()
	i := max(0, slices.IndexFunc(all, func(r Range) bool { return r.Name == name }))
	all[i].Here = true
	return all, all[i]
}

// Figure is what a plot shows.
type Figure struct {
	Title  string
	Fields []string // of the series
	Small  bool     // without a grid, for lists
}

// NewPlot draws fields of a series. A gap is where nothing was read.
func NewPlot(s api.Series, f Figure, from, to time.Time) Plot {
	p := Plot{Title: f.Title, Width: 560, Height: 150, Empty: true}
	bottom, left := 134.0, 52.0
	if f.Small {
		p.Width, p.Height = 240, 40
		bottom, left = 40, 0
	}
	index := func(name string) int {
		return slices.IndexFunc(s.Fields, func(f api.SeriesField) bool { return f.Name == name })
	}
	fields := slices.DeleteFunc(slices.Clone(f.Fields), func(name string) bool { return index(name) < 0 })
	most, unit := 0.0, ""
	for _, name := range fields {
		unit = s.Fields[index(name)].Unit
		for _, point := range s.Points {
			if v := value(point, index(name)); v != nil {
				most, p.Empty = max(most, *v), false
			}
		}
	}
	top := niceTop(most, unit)
	p.Span = human.Age(to.Sub(from).Round(time.Minute))
	x := func(t time.Time) float64 {
		return left + (float64(p.Width)-left)*float64(t.Sub(from))/float64(to.Sub(from))
	}
	y := func(v float64) float64 { return bottom - (bottom-6)*v/top }
	var now, alt []string
	for _, name := range fields {
		line := Line{Class: fmt.Sprintf("l%d", slices.Index(f.Fields, name))}
		if len(f.Fields) > 1 {
			line.Name = name
		}
		line.Path, line.Area = trace(s, index(name), x, y, bottom)
		if last := len(s.Points) - 1; last >= 0 {
			if v := value(s.Points[last], index(name)); v != nil {
				line.Now = amount(*v, unit)
				now = append(now, line.Now)
			}
		}
		if text := extent(s, index(name), unit); text != "" {
			alt = append(alt, strings.TrimSpace(line.Name+" "+text))
		}
		p.Lines = append(p.Lines, line)
	}
	p.Now, p.Alt = strings.Join(now, " / "), human.Escape(f.Title+", last "+p.Span+": "+strings.Join(alt, "; "))
	p.Points = pointsOf(s, fields, index, unit, x, to.Sub(from), f.Small)
	if !f.Small {
		for _, part := range []float64{0, .5, 1} {
			p.Levels = append(p.Levels, Tick{round1(y(top * part)), amountOf(top*part, unit, top)})
		}
		p.Times = timeTicks(from, to, x)
	}
	return p
}

// extent says the least, latest and greatest reading of a field; empty for none.
func extent(s api.Series, field int, unit string) string {
	least, latest, greatest := math.Inf(1), math.NaN(), math.Inf(-1)
	for _, p := range s.Points {
		if v := value(p, field); v != nil {
			least, latest, greatest = min(least, *v), *v, max(greatest, *v)
		}
	}
	if math.IsNaN(latest) {
		return ""
	}
	return fmt.Sprintf("least %s, latest %s, greatest %s", amount(least, unit), amount(latest, unit), amount(greatest, unit))
}

// smallPoints is how many moments of a small plot have values under the pointer, about:
// pages have many of them.
const smallPoints = 60

// pointsOf is what is said of each moment. Times are in UTC, as those of the axis.
func pointsOf(s api.Series, fields []string, index func(string) int, unit string, x func(time.Time) float64, span time.Duration, small bool) string {
	format := "15:04:05"
	switch {
	case span > 24*time.Hour:
		format = "2 Jan 15:04"
	case small:
		format = "15:04"
	}
	all := points{Names: fields, Rows: [][]any{}}
	for _, p := range s.Points {
		row, known := []any{round1(x(p.At)), p.At.UTC().Format(format)}, false
		for _, name := range fields {
			text := "–"
			if v := value(p, index(name)); v != nil {
				text, known = amount(*v, unit), true
			}
			row = append(row, text)
		}
		if known {
			all.Rows = append(all.Rows, row)
		}
	}
	if step := (len(all.Rows) + smallPoints - 1) / smallPoints; small && step > 1 {
		kept := all.Rows[:0]
		for i, row := range all.Rows {
			if i%step == (len(all.Rows)-1)%step { // the newest is among them
				kept = append(kept, row)
			}
		}
		all.Rows = kept
	}
	text, _ := json.Marshal(all) // numbers and strings always encode
	return string(text)
}

// value is what a point has for a field; nil for nothing.
func value(p api.SeriesPoint, i int) *float64 {
	if i >= len(p.Means) {
		return nil
	}
	return p.Means[i]
}

// trace makes a line of a field and the area below it.
func trace(s api.Series, field int, x func(time.Time) float64, y func(float64) float64, bottom float64) (line, area string) {
	step, err := time.ParseDuration(s.Step)
	if err != nil || step <= 0 {
		step = time.Minute
	}
	part := "" // without a gap
	first, last := 0.0, 0.0
	end := func() {
		if part != "" {
			line += part
			area += part + fmt.Sprintf("L%.1f %.1fL%.1f %.1fz", last, bottom, first, bottom)
		}
	}
	var before time.Time
	for _, p := range s.Points {
		v := value(p, field)
		if v == nil {
			continue
		}
		letter := "L"
		if part == "" || p.At.Sub(before) > 3*step {
			end()
			part, letter, first = "", "M", x(p.At)
		}
		last, before = x(p.At), p.At
		part += fmt.Sprintf("%s%.1f %.1f", letter, last, y(*v))
	}
	end()
	return line, area
}

// niceTop is the top of the scale: a round number that is not lower than most.
func niceTop(most float64, unit string) float64 {
	base := 10.0
	if strings.HasPrefix(unit, "bytes") {
		base = 1024
		most = max(most, 1024) // single bytes are noise
	}
	if unit == "" {
		most = max(most, 2) // there is no half of a request
	}
	if most <= 0 {
		return 1
	}
	least, ok := map[string]float64{"percent": 1, "s": 0.0002}[unit] // of less, the scale would be zeros
	if !ok {
		least = 0.002
	}
	most = max(most, least)
	scale := math.Pow(base, math.Floor(math.Log(most)/math.Log(base)))
	for _, step := range []float64{1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 512} {
		if step*scale >= most && step <= base {
			return step * scale
		}
	}
	return base * scale
}

// amount is a reading with its unit.
func amount(v float64, unit string) string { return amountOf(v, unit, v) }

// amountOf is a number with its unit, of a scale with such a top.
func amountOf(v float64, unit string, top float64) string {
	if unit == "s" && top < 1 {
		return trim(1000*v) + " ms"
	}
	if per, ok := strings.CutPrefix(unit, "bytes"); ok {
		return human.Bytes(uint64(max(v, 0))) + per
	}
	return trim(v) + map[string]string{"percent": " %", "1/s": "/s", "s": " s"}[unit]
}

// trim writes a number with three digits at most.
func trim(v float64) string {
	if math.Abs(v) >= 10 {
		return fmt.Sprintf("%.0f", v)
	}
	digits := 1
	switch {
	case math.Abs(v) < 0.1:
		digits = 3
	case math.Abs(v) < 1:
		digits = 2
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.*f", digits, v), "0"), ".")
}

func round1(v float64) float64 { return math.Round(10*v) / 10 }

// timeTicks are about six points of time, on the hour, day or what fits.
func timeTicks(from, to time.Time, x func(time.Time) float64) []Tick {
	steps := []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, time.Hour, 4 * time.Hour, 24 * time.Hour, 5 * 24 * time.Hour}
	step := steps[slices.IndexFunc(steps, func(s time.Duration) bool { return to.Sub(from)/s <= 8 })] // each range has one
	format := "15:04"
	if step >= 24*time.Hour {
		format = "2 Jan"
	}
	var ticks []Tick
	for t := from.UTC().Truncate(step).Add(step); t.Before(to); t = t.Add(step) {
		if at := x(t); at < x(to)-18 { // half of the width of a time, which the edge would cut
			ticks = append(ticks, Tick{round1(at), t.UTC().Format(format)})
		}
	}
	return ticks
}

// What has been kept for shortly at most has fewPoints in an hour; fineStep tells more.
const (
	shortly   = 10 * time.Minute
	fewPoints = 20
	fineStep  = 5 * time.Second
)

// Reader reads series: the client of the API.
type Reader interface {
	Series(ctx context.Context, group, subject string, q api.SeriesQuery) (api.Series, error)
}

// Subject is what readings are of.
type Subject struct{ Group, Name string }

// Plots reads one subject up to now and draws it; none where there are no readings.
func Plots(ctx context.Context, ask Reader, now time.Time, of Subject, r Range, all ...Figure) []Plot {
	to := now
	from := to.Add(-r.For)
	found, err := ask.Series(ctx, of.Group, of.Name, api.SeriesQuery{From: from, To: to, Step: r.Step})
	if err != nil {
		return nil // nothing is kept, or not of this
	}
	if n := len(found.Points); r.For == time.Hour && n > 0 {
		// What has only begun to be kept is shown as fine as it is, not as an empty
		// picture.
		least := shortly
		if n < fewPoints {
			finer, _ := ask.Series(ctx, of.Group, of.Name, api.SeriesQuery{From: to.Add(-shortly), To: to, Step: fineStep})
			if len(finer.Points) > 0 {
				found, least = finer, 5*time.Minute
			}
		}
		from = to.Add(-min(time.Hour, max(least, to.Sub(found.Points[0].At)*11/10)))
	}
	var plots []Plot
	for _, f := range all {
		if p := NewPlot(found, f, from, to); !p.Empty {
			plots = append(plots, p)
		}
	}
	return plots
}

// Usage is what a node, service or instance uses.
func Usage() []Figure {
	return []Figure{
		{Title: "CPU", Fields: []string{"cpu"}},
		{Title: "Memory", Fields: []string{"memory"}},
		{Title: "Network", Fields: []string{"received", "sent"}},
		{Title: "Disk", Fields: []string{"read", "written"}},
	}
}

// SmallUsage is CPU and memory, for lists.
func SmallUsage() []Figure {
	return []Figure{{Title: "CPU", Fields: []string{"cpu"}, Small: true}, {Title: "Memory", Fields: []string{"memory"}, Small: true}}
}

// Answers are what a route or an instance answered; what names it where there are several.
func Answers(what string) []Figure {
	if what != "" {
		what += " "
	}
	return []Figure{
		{Title: what + "requests", Fields: []string{"requests", "errors"}},
		{Title: what + "latency", Fields: []string{"p50", "p95", "p99"}},
		{Title: what + "in flight", Fields: []string{"in-flight"}},
	}
}

// SmallAnswers is the latency and the requests, for lists.
func SmallAnswers() []Figure {
	return []Figure{{Title: "p95", Fields: []string{"p95"}, Small: true}, {Title: "Requests", Fields: []string{"requests"}, Small: true}}
}

// SmallInstance draws small what an instance answered and used, by NAME@SOURCE.
func SmallInstance(ctx context.Context, ask Reader, now time.Time, name string, r Range) []Plot {
	answers := Plots(ctx, ask, now, Subject{api.SeriesEndpoints, name}, r, SmallAnswers()...)
	return append(answers, Plots(ctx, ask, now, Subject{api.SeriesInstances, name}, r, SmallUsage()...)...)
}

// Titled is the first plot with a title; an empty one for none.
func Titled(plots []Plot, title string) Plot {
	for _, p := range plots {
		if p.Title == title {
			return p
		}
	}
	return Plot{Empty: true}
}
