package show

import (
	"errors"
	"time"

	"fairway/internal/api"
	"fairway/internal/fleet"
	"fairway/internal/fleet/driver"
)

// Differences says how hosts differ from a revision.
func Differences(revision uint64, found []fleet.Difference) api.FleetPlan {
	return api.FleetPlan{Revision: revision, Hosts: All(found, func(h fleet.Difference) api.FleetDifference {
		return api.FleetDifference{
			Host: h.Host, Condition: string(h.Condition), Revision: h.Revision, Same: h.Same, Diff: h.Diff, Error: errorText(h.Err),
		}
	})}
}

// Check is what HAProxy on a host says of a configuration.
func Check(c fleet.Checked) api.FleetCheck {
	var refused *driver.RefusedError
	return api.FleetCheck{Host: c.Host, OK: c.Err == nil, Asked: c.Err == nil || errors.As(c.Err, &refused), Error: errorText(c.Err)}
}

// errorText is the text of an error; empty for none.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Rollout is a rollout without its hosts.
func Rollout(r fleet.Rollout) api.FleetRollout {
	return api.FleetRollout{
		Number: r.Number, Document: r.Document, Revision: r.Revision, Before: r.Before, Author: r.Author, Message: r.Message,
		Began: r.Began.UTC(), Ended: r.Ended.UTC(), Phase: string(r.Phase), Reason: r.Reason, Wave: r.Wave + 1, States: map[string]int{},
	}
}

// Progress is a rollout with its hosts.
func Progress(p fleet.Progress) api.FleetRollout {
	out := Rollout(p.Rollout)
	out.Waves, out.Note = max(p.Waves, out.Wave), p.Note
	for _, s := range p.Steps {
		step := api.FleetStep{
			Host: s.Host, Wave: s.Wave + 1, State: string(s.State), Error: s.Error, Began: s.Began.UTC(), Ended: s.Ended.UTC(), Pending: s.Pending != "",
		}
		if s.State == fleet.Waiting {
			step.Wave = 0
		}
		out.States[step.State]++
		out.Hosts = append(out.Hosts, step)
	}
	return out
}

// Host is a host of a fleet, as it was seen last.
func Host(h fleet.HostStatus) api.FleetHost {
	out := api.FleetHost{
		Host: h.Host, Document: h.Document, Condition: string(h.Condition), Error: h.Error,
		Revision: h.Revision, Released: h.Released, Contact: h.Seen.Time.UTC(), Container: h.Selector(),
		Transport: h.Seen.Transport, Version: h.Seen.Version, Old: h.Seen.Old,
	}
	if h.Condition != fleet.Unreachable && !h.Seen.Time.IsZero() {
		out.Uptime = (h.Seen.Uptime + time.Since(h.Seen.Time)).Round(time.Second).String()
	}
	if h.Reading != nil {
		out.Statistics = reading(h.Reading, h.Recent)
	}
	return out
}

func reading(r, recent *driver.Reading) *api.FleetStatistics {
	s := &api.FleetStatistics{
		Time: r.Time.UTC(), Requests: r.Requests, Failed: r.Failed, Sessions: r.Sessions, Current: r.Current,
		ConnectFailures: r.ConnectFailures, BytesIn: r.BytesIn, BytesOut: r.BytesOut,
		ServersUp: r.ServersUp, ServersDown: r.ServersDown, Down: r.Down,
	}
	if recent != nil && recent.Span > 0 {
		s.RequestRate = float64(recent.Requests) / recent.Span.Seconds()
		s.FailureRate = float64(recent.Failed) / recent.Span.Seconds()
	}
	return s
}
