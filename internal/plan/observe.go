package plan

import (
	"context"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/route"

	"golang.org/x/sync/errgroup"
)

const dialAtOnce = 32 // diagnoses whose endpoints are connected to

// Observe adds to diagnoses what can be seen: a connection to each endpoint that connect
// makes now, and the condition of their services.
func Observe(ctx context.Context, s *catalog.Snapshot, t *route.Table, report *condition.Report, connect func(ctx context.Context, address string) condition.Attempt, found []api.Diagnosis) {
	var running errgroup.Group
	running.SetLimit(dialAtOnce)
	for i := range found {
		running.Go(func() error {
			o := observer{diagnosis: &found[i], report: report, connect: connect}
			o.endpoints(ctx, s, t)
			o.service()
			return nil
		})
	}
	_ = running.Wait()
}

type observer struct {
	diagnosis *api.Diagnosis
	report    *condition.Report
	connect   func(ctx context.Context, address string) condition.Attempt
}

func (o *observer) add(name, outcome, text, hint string) {
	o.diagnosis.Checks = append(o.diagnosis.Checks, api.Check{Name: name, Outcome: outcome, Text: text, Hint: hint})
	o.diagnosis.Served = o.diagnosis.Served && outcome != api.CheckFailed
}

func (o *observer) endpoints(ctx context.Context, s *catalog.Snapshot, t *route.Table) {
	tried := map[string]bool{}
	for _, b := range t.Backends {
		for _, e := range b.Endpoints {
			if e.Instance != o.diagnosis.Instance || e.Source != o.diagnosis.Source || b.Service != o.diagnosis.Service || tried[e.Address] {
				continue
			}
			tried[e.Address] = true
			if attempt := o.connect(ctx, e.Address); attempt.Error != "" {
				o.add("connection", api.CheckFailed, attempt.Error+" at "+e.Address, condition.PortHint(serviceAndInstance(s, b, e)))
			} else {
				o.add("connection", api.CheckOK, "a connection to "+e.Address+" is accepted", "")
			}
			known := o.report.Endpoint(b.ID, e.ID).Reason
			if known.Code == condition.CodeCheck || known.Code == condition.CodeEjected {
				o.add("rotation", api.CheckFailed, known.Text, known.Hint)
			}
		}
	}
}

// serviceAndInstance are those of an endpoint, nil for none, with its address.
func serviceAndInstance(s *catalog.Snapshot, b *route.Backend, e route.Endpoint) (svc *catalog.Service, in *catalog.Instance, address string) {
	for _, one := range s.Services {
		if one.ID == b.Service {
			svc = one
		}
		for _, i := range one.Instances {
			if i.Name == e.Instance && i.Source == e.Source {
				in = i
			}
		}
	}
	return svc, in, e.Address
}

func (o *observer) service() {
	for _, f := range o.report.Findings {
		if f.Kind == condition.KindTable || f.Kind == condition.KindName && f.Service == o.diagnosis.Service {
			o.add(f.Reason.Code, api.CheckDoubt, f.Reason.Text, f.Reason.Hint)
		}
	}
	for _, reason := range o.report.Services[o.diagnosis.Service].Reasons {
		switch reason.Code {
		case condition.CodeHold, condition.CodeMaintenance, condition.CodeErrors, condition.CodeCertificate, condition.CodeStale:
			o.add(reason.Code, api.CheckDoubt, reason.Text, reason.Hint)
		case condition.CodeNotServed:
			o.add(reason.Code, api.CheckFailed, reason.Text, reason.Hint)
		}
	}
}
