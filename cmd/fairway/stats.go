package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"fairway/internal/app"
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

// Help implements kong.HelpProvider.
func (statsCommand) Help() string {
	return `Reads the running containers of every engine of the configuration. Engines and containers that do not answer are listed below the rest; the exit code is 1 when none answers. CPU is as in docker stats: 100% is one full CPU. With --stream and -o json each line is one report.

With --since the running Fairway answers, also for routes. It keeps the last hour in full and 30 days at lower resolution.

    fairway stats
    fairway stats go-demo --stream
    fairway stats --since 6h
    fairway stats --since 1h --by route
    fairway stats --swarm --docker ssh://ops@node2.example.com --docker ssh://ops@node3.example.com`
}

// Run prints what containers use.
func (s *statsCommand) Run(ctx context.Context, c *console, p *parser) error {
	if s.Since != 0 {
		return s.kept(ctx, c)
	}
	cfg, err := s.load(c, p)
	if err != nil {
		return err
	}
	if s.Every < 100*time.Millisecond {
		return usageError{fmt.Errorf("--every %s: at least 100ms", s.Every)}
	}
	meter, err := usage.NewMeter(app.MeterOptions(&cfg, c.environ, s.Service))
	if err != nil {
		return usageError{err}
	}
	defer meter.Close()
	report, err := meter.Read(ctx)
	if err != nil {
		return err
	}
	if !s.Stream {
		if err := c.print(report, func() { c.usage(report) }); err != nil {
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
func (s *statsCommand) verdict(c *console, r *usage.Report) error {
	if s.Service != "" && len(r.Services) == 0 {
		c.note("No container of %s runs on the engines that were asked.", s.Service)
		return errNo
	}
	if len(r.Services) == 0 && len(r.Unread) > 0 {
		return errNo
	}
	return nil
}

// usageLine prints one report of a stream.
func (c *console) usageLine(r *usage.Report) error {
	if c.format == "json" {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		_, err = c.out.Write(append(escapeJSON(line), '\n'))
		return err
	}
	c.printf("%s\n", r.At.Format(time.TimeOnly))
	c.usage(r)
	c.printf("\n")
	return nil
}

// usage prints one report: each service, and below it its containers.
func (c *console) usage(r *usage.Report) {
	if len(r.Services) > 0 {
		rows := make([][]cell, 0, len(r.Services))
		for _, s := range r.Services {
			rows = append(rows, usageRow(cell{s.Service, bold}, "", s.Usage))
			for _, u := range s.Containers {
				name := u.Name
				if c.wide() {
					name += " " + u.ID
				}
				rows = append(rows, usageRow(text("  "+name), u.Engine, u.Usage))
			}
		}
		c.table("", []string{"SERVICE / CONTAINER", "ENGINE", "CPU", "MEMORY", "LIMIT", "NET RX", "NET TX", "BLOCK READ", "BLOCK WRITE"}, rows)
	} else {
		c.note("No containers run.")
	}
	for _, u := range r.Unread {
		what := u.Engine
		if u.Container != "" {
			what += ", container " + u.Container
		}
		c.raw(c.paint(bad, "not read: ") + human.Escape(what+": "+u.Reason))
	}
}

func usageRow(name cell, engine string, u usage.Usage) []cell {
	cpu, limit := "-", "-"
	if u.CPUPercent != nil {
		cpu = fmt.Sprintf("%.2f%%", *u.CPUPercent)
	}
	if u.MemoryLimit > 0 {
		limit = human.Bytes(u.MemoryLimit)
	}
	return []cell{
		name, text(engine), text(cpu), text(human.Bytes(u.MemoryUsed)), text(limit),
		text(human.Bytes(u.NetworkReceived)), text(human.Bytes(u.NetworkSent)), text(human.Bytes(u.BlockRead)), text(human.Bytes(u.BlockWritten)),
	}
}
