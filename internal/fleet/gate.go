package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fairway/internal/fleet/driver"
)

// gateTime is how long the gate observes a host of which it has no reading.
const gateTime = 5 * time.Second

// gate asks the hosts of the wave what they count, and notes what is worse. It reports
// whether that was the last time in the pause.
func (r *run) gate(ctx context.Context) (last bool) {
	m := r.moment("")
	members := slices.DeleteFunc(m.Steps, func(s Step) bool { return s.State != Applied || s.Wave != m.Rollout.Wave })
	answers := make([]answer, len(members))
	var asking errgroup.Group
	asking.SetLimit(r.f.limits.concurrency)
	for i, step := range members {
		asking.Go(func() error {
			answers[i] = r.ask(ctx, step)
			return nil
		})
	}
	_ = asking.Wait()
	if ctx.Err() != nil {
		return false // Fairway ends
	}
	return r.judge(members, answers, m.Now)
}

type answer struct {
	reading driver.Reading
	worse   string
	blind   bool // HAProxy cannot be asked
	err     error
}

func (r *run) ask(ctx context.Context, step Step) answer {
	t := r.f.target(step.Host, r.document)
	if t == nil {
		return answer{err: errRemoved}
	}
	reading, err := t.read(ctx)
	if errors.Is(err, driver.ErrNoReading) || err != nil && step.Baseline == nil {
		// Without statistics, that it still runs with this file must do.
		ctx, cancel := context.WithTimeout(ctx, gateTime)
		defer cancel()
		if err := t.acquire(ctx); err != nil {
			return answer{err: err}
		}
		defer t.release()
		seen, err := t.observe(ctx, false)
		if err == nil && seen.Digest != step.Want {
			return answer{blind: true, worse: "the configuration was changed from outside"}
		}
		return answer{blind: true, err: err}
	}
	if err != nil {
		return answer{err: err}
	}
	var before driver.Reading
	if step.Baseline != nil {
		before = *step.Baseline
	}
	return answer{reading: reading, worse: Worse(before, reading, r.settings.AllowDown)}
}

// judge sums up answers, asked for from began on. It reports whether all hosts answered
// after the pause.
func (r *run) judge(members []Step, answers []answer, began time.Time) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var requests, failed int64
	blind, silent := 0, 0
	for i, a := range answers {
		host := members[i].Host
		requests, failed = requests+a.reading.Requests, failed+a.reading.Failed
		if a.blind {
			blind++
		}
		if a.err == nil {
			delete(r.silent, host)
		} else {
			silent++
			if r.silent[host].IsZero() {
				r.silent[host] = began
			}
			if time.Since(r.silent[host]) >= r.f.limits.lost {
				a.worse = fmt.Sprintf("contact is lost since the change: %v", a.err)
			}
		}
		if a.worse != "" && r.newest.Worse == "" {
			r.newest.Worse = host + ": " + a.worse
		}
	}
	r.note = fmt.Sprintf("requests since the change: %d, of which failed: %d", requests, failed)
	if blind > 0 {
		r.note += fmt.Sprintf("; %d of %d hosts have no statistics to judge by", blind, len(members))
	}
	if silent == 0 {
		r.newest.Seen = began
	}
	return !r.newest.Seen.Before(r.newest.Settled.Add(r.settings.Pause))
}

// The gate stops a rollout when more requests, or connections to servers, fail than
// did before: at least leastFailures, more than worseFactor times the part of all that
// failed before, and more than worsePart of all on top of it.
const (
	leastFailures = 5
	worseFactor   = 2
	worsePart     = 0.01
)

// Worse says what is worse in the counts after a change than in those before, of any
// time; empty for nothing. allowDown lets backends lose their last server.
func Worse(before, after driver.Reading, allowDown bool) string {
	if was, is, bad := exceeded(before.Failed, before.Requests, after.Failed, after.Requests); bad {
		return fmt.Sprintf("%.1f %% of requests fail, %.1f %% did before (%d of %d answered with a status from 500)",
			100*is, 100*was, after.Failed, after.Requests)
	}
	// Sessions stand for what TCP brings, requests for what HTTP brings.
	if was, is, bad := exceeded(before.ConnectFailures, max(before.Requests, before.Sessions), after.ConnectFailures, max(after.Requests, after.Sessions)); bad {
		return fmt.Sprintf("%d connections to servers failed among %d requests (%.1f %%, before %.1f %%)",
			after.ConnectFailures, max(after.Requests, after.Sessions), 100*is, 100*was)
	}
	for _, backend := range after.Down {
		if !allowDown && !slices.Contains(before.Down, backend) {
			return fmt.Sprintf("backend %s has no server up, which was not so before", backend)
		}
	}
	return ""
}

func exceeded(failedBefore, allBefore, failed, all int64) (was, is float64, bad bool) {
	if allBefore > 0 {
		was = float64(failedBefore) / float64(allBefore)
	}
	is = min(1, float64(failed)/float64(max(all, 1)))
	return was, is, failed >= leastFailures && is > was*worseFactor && is > was+worsePart
}
