package usage

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/engine/traffic"
	"fairway/internal/latency"
	"fairway/internal/route"
	"fairway/internal/series"
)

// RecorderOptions are what NewRecorder needs.
type RecorderOptions struct {
	// Store keeps what is read.
	Store *series.Store
	// Every is the time between two readings.
	Every time.Duration
	// Meter reads what containers use; nil without engines.
	Meter *Meter
	// Snapshot says which instance and service a container is; nil is nothing known.
	Snapshot func() *catalog.Snapshot
	// Traffic and Endpoints return what has come through each route and endpoint.
	Traffic   func() []traffic.Totals
	Endpoints func() []traffic.EndpointTotals
	// Table says which instance an endpoint is; nil is nothing known.
	Table func() *route.Table
	// Logger gets what cannot be read or kept.
	Logger *slog.Logger
}

// Recorder reads what containers use and what routes answer, and keeps it.
type Recorder struct {
	o RecorderOptions

	// The newest readings: what could not be read, and containers by ID, at one moment.
	unread     string
	containers map[string]Container
	at         time.Time

	earlier atomic.Pointer[map[string]time.Time] // see LastRequests

	// The newest counts, and when they were read last; nil before the first.
	counted   map[counter]answered
	countedAt time.Time
}

// NewRecorder returns a recorder.
func NewRecorder(o RecorderOptions) *Recorder { return &Recorder{o: o} }

// Run reads until ctx ends and returns nil. Slow engines delay readings of their
// containers, never those of routes.
func (r *Recorder) Run(ctx context.Context) error {
	var containers sync.WaitGroup
	defer containers.Wait()
	if r.o.Meter != nil {
		containers.Go(func() {
			r.repeat(ctx, func() {
				if report, err := r.o.Meter.Read(ctx); err == nil {
					r.keepUsage(report)
				}
			})
		})
	}
	containers.Go(func() { r.recall(ctx, time.Now()) })
	r.repeat(ctx, func() { r.keepTraffic(time.Now()) })
	return nil
}

// LastRequests is when each route had its last request before this run, as far as that was
// kept: to two minutes within 22 hours, to half an hour within 30 days. It may be called from
// any goroutine; nil is nothing known yet.
func (r *Recorder) LastRequests() map[string]time.Time {
	if found := r.earlier.Load(); found != nil {
		return *found
	}
	return nil
}

// recall reads what LastRequests returns.
func (r *Recorder) recall(ctx context.Context, now time.Time) {
	found := map[string]time.Time{}
	for _, subject := range r.o.Store.Subjects(series.Routes) {
		if ctx.Err() != nil {
			return
		}
		// Of the last 22 hours all is there in the finer steps.
		for _, span := range []time.Duration{22 * time.Hour, 31 * 24 * time.Hour} {
			kept, err := r.o.Store.Query(series.Query{Group: series.Routes, Subject: subject.Name, From: now.Add(-span), To: now})
			if err != nil {
				r.o.Logger.Warn("the last request of a route is not known", "route", subject.Name, "error", err)
				break
			}
			for _, p := range kept.Points {
				if p.Means[series.Requests] > 0 {
					found[subject.Name] = p.At
				}
			}
			if !found[subject.Name].IsZero() {
				break
			}
		}
	}
	r.earlier.Store(&found)
}

// repeat does something at each interval until ctx ends.
func (r *Recorder) repeat(ctx context.Context, do func()) {
	ticker := time.NewTicker(r.o.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}

// keepUsage keeps what containers use: each, and together by service and node.
// Containers that no source sees count for their node alone.
func (r *Recorder) keepUsage(report *Report) {
	r.logUnread(report.Unread)
	type owner struct{ instance, service string }
	owners, nodes := map[string]owner{}, map[string]bool{}
	if snap := r.o.Snapshot(); snap != nil {
		for _, s := range snap.Services {
			for _, in := range s.Instances {
				owners[in.ID] = owner{in.Name + "@" + cmp.Or(in.Source, s.Source), s.ID}
			}
		}
		for _, n := range snap.Nodes {
			nodes[n.ID] = true
		}
	}
	now := map[string]Container{}
	var instances, services, machines []series.Reading
	used := map[string][][]float64{} // by machine
	for _, service := range report.Services {
		for _, c := range service.Containers {
			now[c.ID] = c
			values := r.values(c, report.At)
			used[c.Engine] = append(used[c.Engine], values)
			of, ok := owners[cmp.Or(c.task, c.ID)]
			if !ok {
				continue
			}
			instances = append(instances, reading(of.instance, values))
			values = slices.Clone(values)
			values[series.Limit] = math.NaN()
			services = append(services, reading(of.service, values))
		}
	}
	for _, m := range report.machines {
		for _, id := range []string{m.node, m.source} {
			if nodes[id] {
				machines = append(machines, reading(id, m.values(used[m.name])))
			}
		}
	}
	r.containers, r.at = now, report.At
	r.add(series.Instances, report.At, instances)
	r.add(series.Services, report.At, services)
	r.add(series.Nodes, report.At, machines)
}

// logUnread logs what could not be read when that has changed.
func (r *Recorder) logUnread(list []Unread) {
	engines, containers, reason := []string{}, 0, ""
	for _, u := range list {
		if u.Container == "" {
			engines = append(engines, u.Engine)
		} else {
			containers++
		}
		reason = cmp.Or(reason, u.Reason)
	}
	text := fmt.Sprint(engines, containers > 0)
	if text != r.unread && len(list) > 0 {
		r.o.Logger.Warn("not everything that runs is read", "engines", engines, "containers", containers, "error", reason)
	}
	r.unread = text
}

// reading bounds the name of the subject as the store does.
func reading(subject string, values []float64) series.Reading {
	return series.Reading{Subject: subject[:min(len(subject), series.MaxSubject)], Values: values}
}

func (r *Recorder) add(group string, at time.Time, readings []series.Reading) {
	if err := r.o.Store.Add(group, at, readings); err != nil {
		r.o.Logger.Error("readings are lost", "error", err)
	}
}

// values are the fields of a container. Rates need a reading before.
func (r *Recorder) values(c Container, at time.Time) []float64 {
	nan := math.NaN()
	v := make([]float64, series.Containers+1)
	v[series.CPU], v[series.Memory], v[series.Limit], v[series.Containers] = nan, float64(c.MemoryUsed), float64(c.MemoryLimit), 1
	if c.CPUPercent != nil {
		v[series.CPU] = *c.CPUPercent
	}
	before, ok := r.containers[c.ID]
	rate := func(then, now uint64) float64 {
		if passed := at.Sub(r.at).Seconds(); ok && now >= then && passed > 0 {
			return float64(now-then) / passed
		}
		return nan
	}
	v[series.Received] = rate(before.NetworkReceived, c.NetworkReceived)
	v[series.Sent] = rate(before.NetworkSent, c.NetworkSent)
	v[series.Read] = rate(before.BlockRead, c.BlockRead)
	v[series.Written] = rate(before.BlockWritten, c.BlockWritten)
	return v
}

// values adds up what the containers of a machine use.
func (m machine) values(containers [][]float64) []float64 {
	sum := make([]float64, series.Containers+1)
	for _, v := range containers {
		for i := range sum {
			if !math.IsNaN(v[i]) {
				sum[i] += v[i]
			}
		}
	}
	sum[series.CPU] /= float64(max(1, m.cpus))
	sum[series.Limit] = math.NaN()
	if m.memory > 0 {
		sum[series.Limit] = float64(m.memory)
	}
	return sum
}

// keepTraffic keeps what went through the routes, and what the endpoints of each instance
// answered, since the last time.
func (r *Recorder) keepTraffic(at time.Time) {
	now := map[counter]answered{}
	table := r.o.Table()
	if table == nil {
		table = &route.Table{}
	}
	instances, inFlight := instancesOf(table), map[string]int{} // by backend
	for _, t := range r.o.Endpoints() {
		inFlight[t.Backend] += t.InFlight
		now[counter{series.Endpoints, t.Backend, t.Endpoint}] = answered{
			instances[[2]string{t.Backend, t.Endpoint}], at, t.Requests, t.Failures, t.InFlight, t.Took,
		}
	}
	for _, t := range r.o.Traffic() {
		if t.Route == "" {
			continue
		}
		a := answered{t.Route, at, t.Requests(), t.Errors(), 0, t.Took}
		if found := table.Route(t.Route); found != nil {
			a.inFlight = inFlight[found.Backend]
		}
		now[counter{group: series.Routes, id: t.Route}] = a
	}
	readings := map[string][]series.Reading{series.Routes: nil, series.Endpoints: nil}
	for key, a := range now {
		before, known := r.counted[key]
		if !known {
			before.at = r.countedAt
		}
		if passed := at.Sub(before.at).Seconds(); r.counted != nil && a.subject != "" && passed > 0 {
			readings[key.group] = append(readings[key.group], reading(a.subject, a.rates(before, passed)))
		}
	}
	// What was not reported this time, and is still there, is compared with the time before.
	for key, before := range r.counted {
		if _, reported := now[key]; !reported && (table.Route(key.id) != nil || instances[[2]string{key.backend, key.id}] != "") {
			now[key] = before
		}
	}
	r.counted, r.countedAt = now, at
	for group, list := range readings {
		r.add(group, at, list)
	}
}

// instancesOf names the instance of each endpoint, by the IDs of backend and endpoint, as
// the series of instances do.
func instancesOf(table *route.Table) map[[2]string]string {
	names := map[[2]string]string{}
	for _, b := range table.Backends {
		for _, e := range b.Endpoints {
			names[[2]string{b.ID, e.ID}] = e.Instance + "@" + e.Source
		}
	}
	return names
}

// counter is what an engine counts: a route, or an endpoint of a backend. The endpoints of
// an instance begin anew one by one, and are added up by the store.
type counter struct{ group, backend, id string }

// answered is what a route or an endpoint has answered since it is known.
type answered struct {
	subject          string // of its readings; empty for an endpoint that the table has no longer
	at               time.Time
	requests, errors uint64
	inFlight         int
	took             latency.Histogram
}

// rates are the fields and buckets of what was answered since before. What has less than
// before was begun anew.
func (a *answered) rates(before answered, seconds float64) []float64 {
	if a.requests < before.requests {
		before = answered{}
	}
	values := make([]float64, series.Latency, series.Latency+latency.Buckets)
	rate := func(before, now uint64) float64 { return max(0, float64(now)-float64(before)) / seconds }
	values[series.Requests] = rate(before.requests, a.requests)
	values[series.Errors] = rate(before.errors, a.errors)
	values[series.InFlight] = float64(a.inFlight)
	for i, n := range a.took {
		values = append(values, rate(before.took[i], n))
	}
	return values
}
