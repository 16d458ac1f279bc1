package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/app"
	"fairway/internal/console"
	"fairway/internal/usage"
)

type statsCommand struct {
	Service string        `arg:"" optional:"" help:"Only the containers of this service."`
	Stream  bool          `name:"stream" help:"Print reports until interrupted."`
	Every   time.Duration `name:"every" placeholder:"DURATION" default:"2s" help:"Interval, with --stream."`
	Since   time.Duration `name:"since" placeholder:"DURATION" help:"Show the recorded history of this time from the running Fairway."`
	By      string        `name:"by" enum:"service,instance,node,route,endpoint" default:"service" placeholder:"WHAT" help:"With --since: group by service, instance, node, route or endpoint (what the endpoints of an instance answered)."`
	Latency bool          `name:"latency" help:"Show p50, p95 and p99 of each route and its instances, of the last hour or of --since."`
	engineFlags
}

// Run prints what containers use.
func (s *statsCommand) Run(ctx context.Context, c *cli, p *parser) error {
	if s.Since != 0 || s.Latency {
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
		if err := c.Print(report, func() { c.Usage(report) }); err != nil {
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
	c.Usage(r)
	c.Printf("\n")
	return nil
}

// keptAnswer is what stats --since prints as JSON.
type keptAnswer struct {
	Items []api.Series `json:"items"`
}

func (s *statsCommand) kept(ctx context.Context, c *cli) error {
	if s.Stream {
		return usageError{errors.New("--stream goes with neither --since nor --latency")}
	}
	if s.Since < 0 || s.Since > 31*24*time.Hour {
		return usageError{fmt.Errorf("--since %s: up to 744h, which are 31 days", s.Since)}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if s.Latency {
		found, err := client.Latency(ctx, s.Service, s.Since)
		return noIf(list(c, found, err, orNote(c, "No routes.", c.Latency)), len(found.Items) == 0)
	}
	now := time.Now()
	answer, err := s.read(ctx, client, now)
	return noIf(show(c, answer, err, func(k keptAnswer) { c.Series(k.Items, now.Add(-s.Since), now) }), len(answer.Items) == 0)
}

// subjects are those that the service means: by ID or name, else as the API finds services.
func (s *statsCommand) subjects(ctx context.Context, client *api.Client, all []api.SeriesSubject) map[string]bool {
	wanted := map[string]bool{}
	for _, subject := range all {
		if name, _, _ := strings.Cut(subject.Name, "@"); s.Service == name || s.Service == subject.Name {
			wanted[subject.Name] = true
		}
	}
	if len(wanted) == 0 && s.Service != "" {
		found, _ := client.Service(ctx, s.Service) // what is not found has no series either
		for _, svc := range found.Items {
			wanted[svc.ID] = true
		}
	}
	return wanted
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
		wanted := s.subjects(ctx, client, g.Subjects)
		for _, subject := range g.Subjects {
			if s.Service != "" && !wanted[subject.Name] || now.Sub(subject.Newest) > s.Since+time.Hour {
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
