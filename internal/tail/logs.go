package tail

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
)

// maxLogs is how many instances are read at once.
const maxLogs = 32

// line is a line of an instance. An instance's name stands before it where there are several.
type line struct {
	Instance string `json:"instance"`
	api.LogLine
}

// Logs prints the newest lines of the instances that a name means: those of a service, or one
// instance by name or ID. With follow it goes on until ctx ends, which is no error, or all
// have ended.
func Logs(ctx context.Context, c *console.Console, a *api.Client, name string, lines int, follow bool) error {
	instances, err := instancesOf(ctx, a, name)
	if err != nil {
		return err
	}
	if len(instances) > maxLogs {
		return fmt.Errorf("%s has %d instances, more than the %d that are read at once: name one of them", name, len(instances), maxLogs)
	}
	p := newLogPrinter(c, instances)
	if follow {
		return ended(ctx, p.follow(ctx, a, instances, lines))
	}
	return p.newest(ctx, a, instances, lines)
}

// instancesOf are those that a name means, by name.
func instancesOf(ctx context.Context, a *api.Client, name string) (found []api.Instance, err error) {
	services, err := a.Service(ctx, name)
	if IsNotFound(err) {
		var all api.List[api.Service]
		if all, err = a.Services(ctx, api.Query{}); err != nil {
			return nil, err
		}
		for _, s := range all.Items {
			for _, in := range s.Instances {
				if in.Name == name || in.ID == name || len(name) >= 6 && len(in.ID) > len(name) && in.ID[:len(name)] == name {
					found = append(found, in)
				}
			}
		}
		if len(found) == 0 {
			return nil, &api.Error{Title: "Not Found", Status: 404, Detail: fmt.Sprintf("no service or instance %q", name)}
		}
		return found, nil
	}
	for _, s := range services.Items {
		found = append(found, s.Instances...)
	}
	if err == nil && len(found) == 0 {
		err = &api.Error{Title: "Not Found", Status: 404, Detail: "no instance of " + name + " is there"}
	}
	slices.SortFunc(found, func(a, b api.Instance) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return found, err
}

type logPrinter struct {
	c      *console.Console
	before map[string]string // by instance

	mu sync.Mutex // orders the lines of instances that are followed
}

func newLogPrinter(c *console.Console, instances []api.Instance) *logPrinter {
	p := &logPrinter{c: c, before: map[string]string{}}
	if len(instances) == 1 {
		return p
	}
	width := 0
	for _, in := range instances {
		width = max(width, utf8.RuneCountInString(human.Escape(in.Name)))
	}
	colours := []console.Colour{"36", "35", "33", "32", "34", "96", "95", "93", "92", "94"}
	for i, in := range instances {
		padding := fmt.Sprintf("%*s", width-utf8.RuneCountInString(human.Escape(in.Name)), "")
		p.before[in.Name] = c.Paint(colours[i%len(colours)], in.Name+padding+" |") + " "
	}
	return p
}

func (p *logPrinter) print(l line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.c.Format == "json" {
		printJSON(p.c, l)
		return
	}
	text := p.before[l.Instance]
	if p.c.Wide() {
		text += p.c.Paint(console.Faint, p.c.Time(l.At)) + " "
	}
	p.c.Raw(text + human.Escape(l.Text))
}

// newest prints lines that are there, by time. What cannot be read is an error in the end.
func (p *logPrinter) newest(ctx context.Context, a *api.Client, instances []api.Instance, tail int) error {
	var lines []line
	var faults []error
	for _, in := range instances {
		found, err := a.Log(ctx, in.ID, api.LogQuery{Source: in.Source, Tail: tail})
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, l := range found.Items {
			lines = append(lines, line{in.Name, l})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.At.Compare(b.At) })
	for _, l := range lines {
		p.print(l)
	}
	return errors.Join(faults...)
}

func (p *logPrinter) follow(ctx context.Context, a *api.Client, instances []api.Instance, tail int) error {
	faults := make([]error, len(instances))
	var running sync.WaitGroup
	for i, in := range instances {
		running.Go(func() {
			faults[i] = a.FollowLog(ctx, in.ID, api.LogQuery{Source: in.Source, Tail: tail}, func(l api.LogLine) { p.print(line{in.Name, l}) })
			if faults[i] != nil && ctx.Err() == nil && len(instances) > 1 { // the others go on
				p.mu.Lock()
				defer p.mu.Unlock()
				p.c.Note("%s: %v", in.Name, faults[i])
			}
		})
	}
	running.Wait()
	return errors.Join(faults...)
}
