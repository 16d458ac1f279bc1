package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/admin"
	"fairway/internal/api"
	"fairway/internal/dockerapi"
	"fairway/internal/fleet"
	"fairway/internal/fleet/driver"
	"fairway/internal/history"
)

// newFleet makes the fleet and the server of its documents; nothing without a
// fleet file.
func (a *App) newFleet(environ []string, metrics prometheus.Registerer) error {
	cfg := &a.cfg
	if cfg.Fleet.File == "" {
		return nil
	}
	env := environment(environ)
	log := a.log.With("part", "fleet")
	var err error
	a.fleet, err = fleet.New(fleet.Options{
		Path: cfg.Fleet.File, Documents: a.history, Records: a.history, Logger: log, Registerer: metrics, OnEnded: a.reportRollout,
		NewEngine: func(url string) (driver.Engine, error) { return dockerapi.New(dockerOptions(url, cfg, env)) },
	})
	if err != nil {
		return err
	}
	a.lifecycle.onStop("fleet", func(context.Context) error { a.fleet.Close(); return nil })
	if cfg.Fleet.Listen == Off {
		return nil
	}
	a.documents, err = fleet.NewServer(a.fleet, fleet.ServerOptions{
		Listen: cfg.Fleet.Listen, CertFile: cfg.Fleet.TLSCert, KeyFile: cfg.Fleet.TLSKey, ClientCAFile: cfg.Fleet.ClientCA, Logger: log,
	})
	if err != nil {
		return err
	}
	a.lifecycle.onStop("documents", func(context.Context) error { return a.documents.Close() })
	return nil
}

// adminFleet is what the admin API asks; nil without a fleet.
func (a *App) adminFleet() *admin.Fleet {
	if a.fleet == nil {
		return nil
	}
	d := fleetDesk{a.fleet}
	return &admin.Fleet{Documents: d, Rollouts: d, Hosts: d, Repairs: d}
}

// fleetDesk puts what the fleet says into the words of the admin API.
type fleetDesk struct{ fleet *fleet.Fleet }

// fleetError says what is told of an error of the fleet.
func fleetError(err error) error {
	if err == nil {
		return nil
	}
	code := 0
	var conflict *history.ConflictError
	var refused *driver.RefusedError
	var absent *driver.AbsentError
	switch {
	case errors.As(err, &conflict):
		code, err = http.StatusConflict, conflict // which says it all
	case errors.Is(err, fleet.ErrUnknown):
		code = http.StatusNotFound
	case errors.Is(err, fleet.ErrInvalid):
		code = http.StatusBadRequest
	case errors.Is(err, fleet.ErrBusy), errors.Is(err, fleet.ErrDrift), errors.Is(err, fleet.ErrMoved):
		code = http.StatusConflict
	case errors.As(err, &refused):
		code = http.StatusUnprocessableEntity
	case errors.As(err, &absent):
		code = http.StatusBadGateway
	case errors.Is(err, history.ErrFull):
		code = http.StatusInsufficientStorage
	case errors.Is(err, history.ErrUnavailable):
		code = http.StatusServiceUnavailable
	default:
		return err
	}
	return failure(code, err.Error())
}

// Documents lists the documents.
func (d fleetDesk) Documents() ([]api.FleetDocument, error) {
	list, err := d.fleet.List()
	if err != nil {
		return nil, fleetError(err)
	}
	out := make([]api.FleetDocument, len(list))
	for i, f := range list {
		out[i] = api.FleetDocument{
			Name: f.Newest.Document, Newest: f.Newest.Number, Released: f.Released,
			Author: f.Newest.Author, Time: f.Newest.Time.UTC(), Message: f.Newest.Message, Digest: f.Newest.Digest,
			Template: f.Template, Hosts: append([]string{}, f.Hosts...),
		}
		if f.Rollout.Number > 0 {
			p, err := d.fleet.Progress(f.Newest.Document)
			if err != nil {
				return nil, fleetError(err)
			}
			r := wireProgress(p)
			r.Hosts = nil
			out[i].Rollout = &r
		}
	}
	return out, nil
}

func wireRevision(r history.Revision, released uint64) api.FleetRevision {
	return api.FleetRevision{
		Document: r.Document, Number: r.Number, Time: r.Time.UTC(), Author: r.Author, Message: r.Message,
		Digest: r.Digest, Size: r.Size, Released: r.Number == released, Content: r.Content,
	}
}

// Revisions lists the revisions of a document, the newest first.
func (d fleetDesk) Revisions(document string, limit int) ([]api.FleetRevision, error) {
	list, err := d.fleet.Revisions(document, limit)
	if err != nil {
		return nil, fleetError(err)
	}
	released, err := d.fleet.Released(document)
	if err != nil {
		return nil, fleetError(err)
	}
	out := make([]api.FleetRevision, len(list))
	for i, r := range list {
		out[i] = wireRevision(r, released)
	}
	return out, nil
}

// Revision returns a revision with its content.
func (d fleetDesk) Revision(document string, number uint64) (api.FleetRevision, error) {
	r, err := d.fleet.Revision(document, number)
	if err != nil {
		return api.FleetRevision{}, fleetError(err)
	}
	released, err := d.fleet.Released(document)
	return wireRevision(r, released), fleetError(err)
}

// Put appends a revision.
func (d fleetDesk) Put(document string, n api.NewFleetRevision, who string) (api.FleetRevision, error) {
	r, err := d.fleet.Put(history.Draft{Document: document, Expect: n.Expect, Author: who, Message: n.Message, Content: n.Content})
	if err != nil {
		return api.FleetRevision{}, fleetError(err)
	}
	released, err := d.fleet.Released(document)
	out := wireRevision(r, released)
	out.Content = nil
	return out, fleetError(err)
}

// Diff says what differs between two revisions.
func (d fleetDesk) Diff(document string, from, to uint64) (api.FleetDiff, error) {
	a, b, diff, err := d.fleet.Diff(document, from, to)
	return api.FleetDiff{From: a, To: b, Diff: diff}, fleetError(err)
}

// Check asks HAProxy on hosts.
func (d fleetDesk) Check(ctx context.Context, document string, n api.NewFleetCheck) ([]api.FleetCheck, error) {
	content := n.Content
	if len(content) == 0 {
		r, err := d.fleet.Revision(document, n.Revision)
		if err != nil {
			return nil, fleetError(err)
		}
		content = r.Content
	}
	list, err := d.fleet.Check(ctx, document, content, n.Hosts)
	if err != nil {
		return nil, fleetError(err)
	}
	out := make([]api.FleetCheck, len(list))
	for i, c := range list {
		var refused *driver.RefusedError
		out[i] = api.FleetCheck{Host: c.Host, OK: c.Err == nil, Asked: c.Err == nil || errors.As(c.Err, &refused)}
		if c.Err != nil {
			out[i].Error = c.Err.Error()
		}
	}
	return out, nil
}

// Plan says what a rollout would change.
func (d fleetDesk) Plan(ctx context.Context, document string, revision uint64, hosts []string) (api.FleetPlan, error) {
	r, list, err := d.fleet.Plan(ctx, document, revision, hosts)
	return wirePlan(r.Number, list), fleetError(err)
}

// Drift says what was edited by hand.
func (d fleetDesk) Drift(ctx context.Context, document string, hosts []string) (api.FleetPlan, error) {
	released, err := d.fleet.Released(document)
	if err != nil {
		return api.FleetPlan{}, fleetError(err)
	}
	list, err := d.fleet.Drift(ctx, document, hosts)
	return wirePlan(released, list), fleetError(err)
}

func wirePlan(revision uint64, list []fleet.Difference) api.FleetPlan {
	p := api.FleetPlan{Revision: revision, Hosts: make([]api.FleetDifference, len(list))}
	for i, h := range list {
		p.Hosts[i] = api.FleetDifference{Host: h.Host, Condition: string(h.Condition), Revision: h.Revision, Same: h.Same, Diff: h.Diff}
		if h.Err != nil {
			p.Hosts[i].Error = h.Err.Error()
		}
	}
	return p
}

// Repair adopts what was edited on a host, or puts back what is out.
func (d fleetDesk) Repair(ctx context.Context, document string, n api.NewFleetRepair, who string) (api.FleetRepair, error) {
	out := api.FleetRepair{Host: n.Host}
	switch n.Action {
	case "adopt":
		r, err := d.fleet.Adopt(ctx, n.Host, document, n.Expect, who, n.Message)
		if err != nil {
			return out, fleetError(err)
		}
		released, err := d.fleet.Released(document)
		made := wireRevision(r, released)
		made.Content = nil
		out.Revision, out.Text = &made, fmt.Sprintf("what host %s has is revision %d now; a rollout puts it on the other hosts", n.Host, r.Number)
		return out, fleetError(err)
	case "put-back":
		out.Text = fmt.Sprintf("host %s has the revision again that is out", n.Host)
		return out, fleetError(d.fleet.PutBack(ctx, n.Host, document))
	}
	return out, fleetError(fmt.Errorf("%w: action %.50q: want adopt or put-back", fleet.ErrInvalid, n.Action))
}

// Start begins a rollout.
func (d fleetDesk) Start(ctx context.Context, document string, n api.NewFleetRollout, who string) (api.FleetRollout, error) {
	settings, err := fleetSettings(n.Settings)
	if err != nil {
		return api.FleetRollout{}, fleetError(fmt.Errorf("%w: %w", fleet.ErrInvalid, err))
	}
	if _, err := d.fleet.Start(ctx, fleet.Order{
		Document: document, Revision: n.Revision, Expect: n.Expect, Hosts: n.Hosts, Author: who, Message: n.Message, Settings: settings,
	}); err != nil {
		return api.FleetRollout{}, fleetError(err)
	}
	return d.Rollout(document)
}

// fleetSettings reads the texts of settings.
func fleetSettings(s api.FleetSettings) (fleet.Settings, error) {
	out := fleet.Settings{Canary: s.Canary, Overwrite: s.Overwrite, AllowDown: s.AllowDown}
	if s.Wave != "" {
		var err error
		if out.Wave, err = fleet.ParseShare(s.Wave); err != nil {
			return out, fmt.Errorf("wave %q: %w", s.Wave, err)
		}
	}
	if s.Pause != "" {
		d, err := time.ParseDuration(s.Pause)
		if err != nil || d <= 0 {
			return out, fmt.Errorf("pause %q: want a duration such as 30s", s.Pause)
		}
		out.Pause = d
	}
	return out, nil
}

// Stop ends a rollout.
func (d fleetDesk) Stop(document, who string) error { return fleetError(d.fleet.Stop(document, who)) }

// Rollout returns the newest rollout.
func (d fleetDesk) Rollout(document string) (api.FleetRollout, error) {
	p, err := d.fleet.Progress(document)
	if err != nil {
		return api.FleetRollout{}, fleetError(err)
	}
	return wireProgress(p), nil
}

// Rollouts lists those that have ended.
func (d fleetDesk) Rollouts(document string) ([]api.FleetRollout, error) {
	list, err := d.fleet.Ended(document)
	if err != nil {
		return nil, fleetError(err)
	}
	out := make([]api.FleetRollout, len(list))
	for i, e := range list {
		out[i] = wireRollout(e.Rollout)
		for state, n := range e.States {
			out[i].States[string(state)] = n
		}
	}
	return out, nil
}

func wireRollout(r fleet.Rollout) api.FleetRollout {
	return api.FleetRollout{
		Number: r.Number, Document: r.Document, Revision: r.Revision, Before: r.Before, Author: r.Author, Message: r.Message,
		Began: r.Began.UTC(), Ended: r.Ended.UTC(), Phase: string(r.Phase), Reason: r.Reason, Wave: r.Wave + 1, States: map[string]int{},
	}
}

func wireProgress(p fleet.Progress) api.FleetRollout {
	out := wireRollout(p.Rollout)
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

// Hosts says how the hosts are.
func (d fleetDesk) Hosts(document string) ([]api.FleetHost, error) {
	list, err := d.fleet.Status(document)
	if err != nil {
		return nil, fleetError(err)
	}
	out := make([]api.FleetHost, len(list))
	for i, h := range list {
		out[i] = api.FleetHost{
			Host: h.Host, Document: h.Document, Condition: string(h.Condition), Error: h.Error,
			Revision: h.Revision, Released: h.Released, Contact: h.Seen.Time.UTC(), Container: h.Selector(),
			Transport: h.Seen.Transport, Version: h.Seen.Version, Old: h.Seen.Old,
		}
		if h.Condition != fleet.Unreachable && !h.Seen.Time.IsZero() {
			out[i].Uptime = (h.Seen.Uptime + time.Since(h.Seen.Time)).Round(time.Second).String()
		}
		if h.Reading != nil {
			out[i].Statistics = wireReading(h.Reading, h.Recent)
		}
	}
	return out, nil
}

func wireReading(r, recent *driver.Reading) *api.FleetStatistics {
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
