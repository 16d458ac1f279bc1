package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/app"
	"fairway/internal/console"
	"fairway/internal/human"
	"fairway/internal/usage"
)

type statsCommand struct {
	Service string        `arg:"" optional:"" help:"Only the containers of this service."`
	Stream  bool          `name:"stream" help:"Print reports until interrupted."`
	Every   time.Duration `name:"every" placeholder:"DURATION" default:"2s" help:"Interval, with --stream."`
	Since   time.Duration `name:"since" placeholder:"DURATION" help:"Show the recorded history of this time from the running Fairway."`
	By      string        `name:"by" enum:"service,instance,node,route" default:"service" placeholder:"WHAT" help:"With --since: group by service, instance, node or route."`
	engineFlags
}

// Run prints what containers use.
func (s *statsCommand) Run(ctx context.Context, c *cli, p *parser) error {
	if s.Since != 0 {
		return s.kept(ctx, c)
	}
	loaded, err := c.load(s.Path, p.flags)
	if err != nil {
		return err
	}
	if s.Every < 100*time.Millisecond {
		return usageError{fmt.Errorf("--every %s: at least 100ms", s.Every)}
	}
	meter, err := usage.NewMeter(app.MeterOptions(&loaded.Config, c.env, s.Service))
	if err != nil {
		return usageError{err}
	}
	defer meter.Close()
	report, err := meter.Read(ctx)
	if err != nil {
		return err
	}
	if !s.Stream {
		if err := c.Print(report, func() { c.usage(report) }); err != nil {
			return err
		}
		return s.verdict(c, report)
	}
	for {
		if err := c.usageLine(report); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // To stop is how a stream ends.
		case <-time.After(s.Every):
		}
		if report, err = meter.Read(ctx); err != nil {
			return nil // Likewise.
		}
	}
}

// verdict is errNo when nothing could be read, or no container of the service runs.
func (s *statsCommand) verdict(c *cli, r *usage.Report) error {
	if s.Service != "" && len(r.Services) == 0 {
		c.Note("No container of %s runs on the engines that were asked.", s.Service)
		return errNo
	}
	return noIf(nil, len(r.Services) == 0 && len(r.Unread) > 0)
}

func (c *cli) usageLine(r *usage.Report) error {
	if c.Format == "json" {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		_, err = c.Out.Write(append(console.EscapeJSON(line), '\n'))
		return err
	}
	c.Printf("%s\n", r.At.Format(time.TimeOnly))
	c.usage(r)
	c.Printf("\n")
	return nil
}

// usage prints one report: each service, and below it its containers.
func (c *cli) usage(r *usage.Report) {
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
	if len(r.Services) > 0 {
		t.Print()
	} else {
		c.Note("No containers run.")
	}
	for _, u := range r.Unread {
		what := u.Engine
		if u.Container != "" {
			what += ", container " + u.Container
		}
		c.Raw(c.Paint(console.Bad, "not read: ") + human.Escape(what+": "+u.Reason))
	}
}

// keptAnswer is what stats --since prints as JSON.
type keptAnswer struct {
	Items []api.Series `json:"items"`
}

func (s *statsCommand) kept(ctx context.Context, c *cli) error {
	if s.Stream {
		return usageError{errors.New("--since and --stream exclude each other")}
	}
	if s.Since <= 0 || s.Since > 31*24*time.Hour {
		return usageError{fmt.Errorf("--since %s: up to 744h, which are 31 days", s.Since)}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	now := time.Now()
	answer, err := s.read(ctx, client, now)
	return noIf(show(c, answer, err, func(k keptAnswer) { c.kept(k.Items, now.Add(-s.Since), now) }), len(answer.Items) == 0)
}

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
func (c *cli) kept(items []api.Series, from, to time.Time) {
	if len(items) == 0 {
		c.Note("No readings.")
		return
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
			t.Add(name, f.Name, unitText(last, f.Unit), unitText(sum/float64(n), f.Unit), unitText(peak, f.Unit), console.Spark(at, values, from, to, points))
			name = console.Plain.Cell("")
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
