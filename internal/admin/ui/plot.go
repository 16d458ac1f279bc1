package ui

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/human"
)

// plot is a picture of readings over time, made by newPlot, which is pure.
type plot struct {
	Title         string
	Width, Height int
	Lines         []plotLine
	// Levels are the horizontal lines with their text; Times those below.
	Levels, Times []tick
	// Now is the newest reading as text, of each line.
	Now   string
	Empty bool
}

// plotLine is one figure.
type plotLine struct {
	Name, Class string
	Path, Area  string
	Now         string
}

// tick is a line of the grid.
type tick struct {
	At   float64
	Text string
}

// timeRange is a range of time that can be chosen.
type timeRange struct {
	Name string
	For  time.Duration
	Step time.Duration
	Here bool
}

// timeRanges are those that can be chosen. Steps are chosen so that a plot has
// about as many points as can be told apart.
func timeRanges() []timeRange {
	return []timeRange{
		{Name: "1h", For: time.Hour, Step: 30 * time.Second},
		{Name: "6h", For: 6 * time.Hour, Step: 2 * time.Minute},
		{Name: "24h", For: 24 * time.Hour, Step: 10 * time.Minute},
		{Name: "7d", For: 7 * 24 * time.Hour, Step: time.Hour},
		{Name: "30d", For: 30 * 24 * time.Hour, Step: 4 * time.Hour},
	}
}

// chosenRange is the range that the request asks for.
func chosenRange(c *call) ([]timeRange, timeRange) {
	all := timeRanges()
	i := max(0, slices.IndexFunc(all, func(r timeRange) bool { return r.Name == c.q.Get("range") }))
	all[i].Here = true
	return all, all[i]
}

// plotOptions say what a plot shows.
type plotOptions struct {
	title         string
	width, height int
	fields        []string // names of the fields of the series
	names         []string // what to call them; nil for none
	bare          bool     // without a grid
	from, to      time.Time
}

// newPlot draws fields of a series. A gap is where nothing was read.
func newPlot(s api.Series, o plotOptions) plot {
	p := plot{Title: o.title, Width: o.width, Height: o.height, Empty: true}
	index := func(name string) int {
		return slices.IndexFunc(s.Fields, func(f api.SeriesField) bool { return f.Name == name })
	}
	most, unit := 0.0, ""
	for _, name := range o.fields {
		i := index(name)
		if i < 0 {
			continue
		}
		unit = s.Fields[i].Unit
		for _, point := range s.Points {
			if v := value(point, i); v != nil {
				most, p.Empty = max(most, *v), false
			}
		}
	}
	top := niceTop(most, unit)
	const foot = 16
	bottom, left := float64(o.height), 0.0
	if !o.bare {
		bottom, left = bottom-foot, 52
	}
	x := func(t time.Time) float64 {
		return left + (float64(o.width)-left)*float64(t.Sub(o.from))/float64(o.to.Sub(o.from))
	}
	y := func(v float64) float64 { return bottom - (bottom-6)*v/top }
	gap := 3 * stepOf(s)
	var now []string
	for n, name := range o.fields {
		i := index(name)
		if i < 0 {
			continue
		}
		line := plotLine{Class: fmt.Sprintf("l%d", n)}
		if n < len(o.names) {
			line.Name = o.names[n]
		}
		line.Path, line.Area = draw(s.Points, i, gap, x, y, bottom)
		if last := len(s.Points) - 1; last >= 0 {
			if v := value(s.Points[last], i); v != nil {
				line.Now = amount(*v, unit)
				now = append(now, line.Now)
			}
		}
		p.Lines = append(p.Lines, line)
	}
	p.Now = strings.Join(now, " / ")
	if !o.bare {
		for _, part := range []float64{0, .5, 1} {
			p.Levels = append(p.Levels, tick{round1(y(top * part)), amount(top*part, unit)})
		}
		p.Times = timeTicks(o.from, o.to, x)
	}
	return p
}

// value is what a point has for a field; nil for nothing.
func value(p api.SeriesPoint, i int) *float64 {
	if i >= len(p.Means) {
		return nil
	}
	return p.Means[i]
}

// draw makes a line and the area below it.
func draw(points []api.SeriesPoint, i int, gap time.Duration, x func(time.Time) float64, y func(float64) float64, bottom float64) (line, area string) {
	var l, a strings.Builder
	open, first, last := false, 0.0, 0.0
	var before time.Time
	closeArea := func() {
		if open {
			fmt.Fprintf(&a, "L%.1f %.1fL%.1f %.1fz", last, bottom, first, bottom)
		}
	}
	for _, p := range points {
		v := value(p, i)
		if v == nil {
			continue
		}
		px, py := x(p.At), y(*v)
		if open && p.At.Sub(before) > gap {
			closeArea()
			open = false
		}
		letter := "L"
		if !open {
			letter, first, open = "M", px, true
		}
		fmt.Fprintf(&l, "%s%.1f %.1f", letter, px, py)
		fmt.Fprintf(&a, "%s%.1f %.1f", letter, px, py)
		last, before = px, p.At
	}
	closeArea()
	return l.String(), a.String()
}

func stepOf(s api.Series) time.Duration {
	d, err := time.ParseDuration(s.Step)
	if err != nil || d <= 0 {
		return time.Minute
	}
	return d
}

// niceTop is the top of the scale: a round number that is not lower than most.
func niceTop(most float64, unit string) float64 {
	base := 10.0
	if strings.HasPrefix(unit, "bytes") {
		base = 1024
		most = max(most, 1024) // single bytes are noise
	}
	if most <= 0 {
		return 1
	}
	scale := math.Pow(base, math.Floor(math.Log(most)/math.Log(base)))
	for _, step := range []float64{1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 512} {
		if step*scale >= most && step <= base {
			return step * scale
		}
	}
	return base * scale
}

// amount is a reading with its unit.
func amount(v float64, unit string) string {
	switch unit {
	case "percent":
		return trim(v) + " %"
	case "bytes":
		return human.Bytes(uint64(max(v, 0)))
	case "bytes/s":
		return human.Bytes(uint64(max(v, 0))) + "/s"
	case "1/s":
		return trim(v) + "/s"
	case "s":
		return trim(v) + " s"
	}
	return trim(v)
}

// trim writes a number with three digits at most.
func trim(v float64) string {
	digits := 0
	if math.Abs(v) < 10 {
		digits = 1
	}
	if math.Abs(v) < 1 {
		digits = 2
	}
	text := fmt.Sprintf("%.*f", digits, v)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func round1(v float64) float64 { return math.Round(10*v) / 10 }

// halfTick is half of the width of a time.
const halfTick = 18

// timeTicks are about six points of time, on the hour, day or what fits.
func timeTicks(from, to time.Time, x func(time.Time) float64) []tick {
	steps := []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, time.Hour, 4 * time.Hour, 24 * time.Hour, 5 * 24 * time.Hour}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if to.Sub(from)/s <= 8 {
			step = s
			break
		}
	}
	format := "15:04"
	if step >= 24*time.Hour {
		format = "2 Jan"
	}
	var ticks []tick
	for t := from.UTC().Truncate(step).Add(step); t.Before(to); t = t.Add(step) {
		if at := x(t); at < x(to)-halfTick { // what stands at the edge would be cut
			ticks = append(ticks, tick{round1(at), t.UTC().Format(format)})
		}
	}
	return ticks
}

// Of what has been kept for no longer than shortly there are fewPoints at most in
// the step of an hour; fineStep tells more.
const (
	shortly   = 10 * time.Minute
	fewPoints = 20
	fineStep  = 5 * time.Second
)

// plotsOf reads one subject and draws it; none where there are no readings.
func plotsOf(c *call, group, subject string, r timeRange, all ...plotOptions) []plot {
	to := c.now
	from := to.Add(-r.For)
	found, err := c.ask.Series(c, group, subject, api.SeriesQuery{From: from, To: to, Step: r.Step})
	if err != nil {
		return nil // nothing is kept, or not of this; the page does without
	}
	least := shortly
	if r.For == time.Hour && len(found.Points) > 0 && len(found.Points) < fewPoints {
		// What has only begun to be kept is shown as fine as it is.
		if finer, err := c.ask.Series(c, group, subject, api.SeriesQuery{From: to.Add(-shortly), To: to, Step: fineStep}); err == nil && len(finer.Points) > 0 {
			found, least = finer, 5*time.Minute
		}
	}
	if r.For == time.Hour && len(found.Points) > 0 {
		// What is kept may be less than an hour; an empty picture says nothing.
		kept := max(least, to.Sub(found.Points[0].At)*11/10)
		from = to.Add(-min(time.Hour, kept))
	}
	var plots []plot
	for _, o := range all {
		o.from, o.to = from, to
		if p := newPlot(found, o); !p.Empty {
			plots = append(plots, p)
		}
	}
	return plots
}

// usagePlots are what a node, service or instance uses.
func usagePlots() []plotOptions {
	const w, h = 560, 150
	return []plotOptions{
		{title: "CPU", width: w, height: h, fields: []string{"cpu"}},
		{title: "Memory", width: w, height: h, fields: []string{"memory"}},
		{title: "Network", width: w, height: h, fields: []string{"received", "sent"}, names: []string{"received", "sent"}},
		{title: "Disk", width: w, height: h, fields: []string{"read", "written"}, names: []string{"read", "written"}},
	}
}

// routePlot is what a route answered.
func routePlot(title string) plotOptions {
	return plotOptions{title: title, width: 560, height: 150, fields: []string{"requests", "errors"}, names: []string{"requests", "errors"}}
}

// smallPlots are CPU and memory without a grid, for lists.
func smallPlots() []plotOptions {
	return []plotOptions{
		{title: "CPU", width: 240, height: 40, fields: []string{"cpu"}, bare: true},
		{title: "Memory", width: 240, height: 40, fields: []string{"memory"}, bare: true},
	}
}
