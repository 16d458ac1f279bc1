package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/human"
)

// keptAnswer is what stats --since prints as JSON.
type keptAnswer struct {
	Items []api.Series `json:"items"`
}

// kept prints the recorded history.
func (s *statsCommand) kept(ctx context.Context, c *console) error {
	if s.Stream {
		return usageError{errors.New("--since and --stream exclude each other")}
	}
	if s.Since <= 0 || s.Since > 31*24*time.Hour {
		return usageError{fmt.Errorf("--since %s: up to 744h, which are 31 days", s.Since)}
	}
	now := time.Now()
	answer, err := ask(c, func(a *api.Client) (keptAnswer, error) { return s.read(ctx, a, now) },
		func(k keptAnswer) { c.kept(k.Items, now.Add(-s.Since), now) })
	return noIf(err, len(answer.Items) == 0)
}

// read reads the series of every subject that is asked for.
func (s *statsCommand) read(ctx context.Context, client *api.Client, now time.Time) (keptAnswer, error) {
	answer := keptAnswer{Items: []api.Series{}}
	groups, err := client.SeriesGroups(ctx)
	if err != nil {
		return answer, err
	}
	for _, g := range groups.Items {
		if g.Name != s.By {
			continue
		}
		for _, subject := range g.Subjects {
			name, _, _ := strings.Cut(subject.Name, "@")
			if s.Service != "" && subject.Name != s.Service && name != s.Service || now.Sub(subject.Newest) > s.Since+time.Hour {
				continue
			}
			found, err := client.Series(ctx, g.Name, subject.Name, api.SeriesQuery{From: now.Add(-s.Since), To: now})
			if err != nil {
				return answer, err
			}
			if len(found.Points) > 0 {
				answer.Items = append(answer.Items, found)
			}
		}
	}
	return answer, nil
}

// kept prints series: for each subject its fields, with a chart.
func (c *console) kept(items []api.Series, from, to time.Time) {
	if len(items) == 0 {
		c.note("No readings.")
		return
	}
	var rows [][]cell
	for _, s := range items {
		name := cell{s.Subject, bold}
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
			if n == 0 {
				continue
			}
			rows = append(rows, []cell{
				name, text(f.Name), text(unitText(last, f.Unit)), text(unitText(sum/float64(n), f.Unit)), text(unitText(peak, f.Unit)),
				text(spark(at, values, from, to)),
			})
			name = text("")
		}
	}
	c.table("", []string{"SUBJECT", "FIELD", "LAST", "MEAN", "PEAK", "FROM " + human.Time(from)}, rows)
}

// unitText writes a figure for people.
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

// sparks is how wide a chart is.
const sparks = 32

// spark draws values over time, from zero to their maximum; a gap is empty.
func spark(at []time.Time, values []float64, from, to time.Time) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	var sum [sparks]float64
	var n [sparks]int
	most := 0.0
	for i, v := range values {
		slot := int(float64(sparks) * float64(at[i].Sub(from)) / float64(to.Sub(from)))
		slot = min(max(slot, 0), sparks-1)
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
