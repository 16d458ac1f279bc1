package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/series"
)

// SeriesConfig is the keys below series.
type SeriesConfig struct {
	Every    time.Duration `name:"every" placeholder:"DURATION" preset:"10s" help:"How often what containers use and what routes answer is read and kept: 1s to 1m; 0s for never."`
	Subjects int           `name:"subjects" placeholder:"N" preset:"500" help:"Of how many instances, services and routes each readings are kept; of nodes a tenth. It decides how large the files are: docs/rules.md."`
}

func (v *validation) series(c *SeriesConfig) {
	if c.Every != 0 {
		v.duration("series.every", c.Every, time.Second, time.Minute)
		if c.Every >= time.Second && (2*time.Minute)%c.Every != 0 {
			v.add("series.every", c.Every.String(), "two minutes must be a multiple of it: 1s, 2s, 5s, 10s, 15s, 20s, 30s or 1m")
		}
	}
	v.number("series.subjects", c.Subjects, 10, 20_000)
}

// scribe reads what there is to be kept over time, and keeps it.
type scribe struct {
	store    *series.Store
	every    time.Duration
	meter    *Meter // nil without engines
	feed     *catalog.Feed
	gatherer prometheus.Gatherer
	log      *slog.Logger

	unread  string                    // what could not be read, said already
	before  map[string]ContainerUsage // the newest reading by container, and when it was
	at      time.Time
	traffic map[string]routeCounts // by route
	read    time.Time              // when traffic was
}

// newScribe opens the series; nil when none are to be kept.
func newScribe(cfg Config, environ []string, feed *catalog.Feed, metrics *prometheus.Registry, log *slog.Logger) (*scribe, error) {
	if cfg.Series.Every == 0 {
		return nil, nil
	}
	s := &scribe{every: cfg.Series.Every, feed: feed, gatherer: metrics, log: log}
	if len(cfg.Docker)+len(cfg.Swarm) > 0 {
		var err error
		if s.meter, err = NewMeter(cfg, environ, ""); err != nil {
			return nil, err
		}
	}
	var err error
	s.store, err = series.Open(series.Options{
		Dir: filepath.Join(cfg.StateDir, "series"), Groups: series.StandardGroups(cfg.Series.Subjects),
		Every: cfg.Series.Every, Logger: log, Registerer: metrics,
	})
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *scribe) close() {
	if s.meter != nil {
		s.meter.Close()
	}
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			s.log.Error("readings cannot be written to disk", "error", err)
		}
	}
}

// run reads until ctx ends and returns nil. Engines that are slow delay readings of
// what they run, never those of routes.
func (s *scribe) run(ctx context.Context) error {
	usage := make(chan *UsageReport)
	ask := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.readUsage(ctx, ask, usage)
	}()
	defer func() { <-done }()
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case report := <-usage:
			s.keepUsage(report)
		case <-ticker.C:
			s.keepTraffic(time.Now())
			select {
			case ask <- struct{}{}:
			default: // the engines are not done with the last round
			}
		}
	}
}

// readUsage asks the engines whenever it is told to.
func (s *scribe) readUsage(ctx context.Context, ask <-chan struct{}, out chan<- *UsageReport) {
	for {
		select {
		case <-ask:
		case <-ctx.Done():
			return
		}
		if s.meter == nil {
			continue
		}
		report, err := s.meter.Read(ctx)
		if err != nil {
			return // ctx has ended
		}
		select {
		case out <- report:
		case <-ctx.Done():
			return
		}
	}
}

// whereabouts say where a container stands in the catalogue.
type whereabouts struct {
	instance, service string
}

// places finds the containers of a snapshot, by the ID of container or task.
func places(snap *catalog.Snapshot) (list map[string]whereabouts, nodes map[string]bool) {
	list, nodes = map[string]whereabouts{}, map[string]bool{}
	if snap == nil {
		return list, nodes
	}
	for _, service := range snap.Services {
		for _, in := range service.Instances {
			list[in.ID] = whereabouts{in.Name + "@" + cmp.Or(in.Source, service.Source), service.ID}
		}
	}
	for _, n := range snap.Nodes {
		nodes[n.ID] = true
	}
	return list, nodes
}

// keepUsage keeps what containers use: each, and together by service and node.
// Containers that no source sees count for their node alone.
func (s *scribe) keepUsage(r *UsageReport) {
	s.tellUnread(r.Unread)
	known, nodes := places(s.feed.Newest())
	now := map[string]ContainerUsage{}
	var instances, services []series.Reading
	used := map[string][][]float64{} // by machine
	for _, service := range r.Services {
		for _, c := range service.Containers {
			now[c.ID] = c
			values := s.usageValues(c, r.At)
			used[c.Engine] = append(used[c.Engine], values)
			at, ok := known[cmp.Or(c.task, c.ID)]
			if !ok {
				continue
			}
			instances = append(instances, series.Reading{Subject: subjectName(at.instance), Values: values})
			together := append([]float64(nil), values...)
			together[series.Limit] = math.NaN()
			services = append(services, series.Reading{Subject: subjectName(at.service), Values: together})
		}
	}
	s.before, s.at = now, r.At
	s.add(series.Instances, r.At, instances)
	s.add(series.Services, r.At, services)
	var machines []series.Reading
	for _, m := range r.machines {
		values := m.values(used[m.name])
		for _, id := range []string{m.node, m.source} {
			if nodes[id] {
				machines = append(machines, series.Reading{Subject: subjectName(id), Values: values})
			}
		}
	}
	s.add(series.Nodes, r.At, machines)
}

// tellUnread logs what could not be read when that is something else than before.
func (s *scribe) tellUnread(list []Unread) {
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
	if text != s.unread && len(list) > 0 {
		s.log.Warn("not everything that runs is read", "engines", engines, "containers", containers, "error", reason)
	}
	s.unread = text
}

// subjectName bounds a name as the store does.
func subjectName(name string) string { return name[:min(len(name), 200)] }

func (s *scribe) add(group string, at time.Time, readings []series.Reading) {
	if err := s.store.Add(group, at, readings); err != nil {
		s.log.Error("readings are lost", "error", err)
	}
}

// usageValues are the fields of a container. Rates need a reading before.
func (s *scribe) usageValues(c ContainerUsage, at time.Time) []float64 {
	nan := math.NaN()
	v := make([]float64, series.Containers+1)
	v[series.CPU], v[series.Memory], v[series.Limit], v[series.Containers] = nan, float64(c.MemoryUsed), float64(c.MemoryLimit), 1
	if c.CPUPercent != nil {
		v[series.CPU] = *c.CPUPercent
	}
	before, ok := s.before[c.ID]
	rate := func(then, now uint64) float64 {
		if passed := at.Sub(s.at).Seconds(); ok && now >= then && passed > 0 {
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

// routeCounts are the counters of a route.
type routeCounts struct {
	requests, errors float64
	within           []float64 // requests up to each of the bounds of series, then all
}

// readTraffic reads the counters that every engine keeps.
func readTraffic(gatherer prometheus.Gatherer) (map[string]routeCounts, error) {
	families, err := gatherer.Gather()
	counts := map[string]routeCounts{}
	for _, f := range families {
		switch f.GetName() {
		case "fairway_requests_total":
			for _, m := range f.GetMetric() {
				route, code := labelOf(m, "route"), labelOf(m, "code")
				c := counts[route]
				c.requests += m.GetCounter().GetValue()
				if code == "5xx" || code == "none" {
					c.errors += m.GetCounter().GetValue()
				}
				counts[route] = c
			}
		case "fairway_request_duration_seconds":
			for _, m := range f.GetMetric() {
				c := counts[labelOf(m, "route")]
				c.within = within(m.GetHistogram())
				counts[labelOf(m, "route")] = c
			}
		}
	}
	if len(families) > 0 {
		err = nil // one that cannot be read is no reason to leave out the others
	}
	return counts, err
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// within brings a histogram to the bounds of series.
func within(h *dto.Histogram) []float64 {
	bounds := series.LatencyBounds()
	counts := make([]float64, len(bounds)+1)
	for i, bound := range bounds {
		for _, b := range h.GetBucket() {
			if b.GetUpperBound() <= bound*(1+1e-9) {
				counts[i] = max(counts[i], float64(b.GetCumulativeCount()))
			}
		}
	}
	counts[len(bounds)] = float64(h.GetSampleCount())
	return counts
}

// keepTraffic keeps what went through the routes since the last time.
func (s *scribe) keepTraffic(at time.Time) {
	counts, err := readTraffic(s.gatherer)
	if err != nil {
		s.log.Error("figures of routes cannot be read", "error", err)
		return
	}
	passed := at.Sub(s.read).Seconds()
	var readings []series.Reading
	for route, now := range counts {
		before, ok := s.traffic[route]
		if s.traffic == nil || route == "" || passed <= 0 {
			continue
		}
		if !ok || now.requests < before.requests {
			before = routeCounts{} // it is new, or counts from the beginning
		}
		readings = append(readings, series.Reading{Subject: subjectName(route), Values: now.rates(before, passed)})
	}
	s.traffic, s.read = counts, at
	s.add(series.Routes, at, readings)
}

// rates are the fields of a route.
func (c routeCounts) rates(before routeCounts, seconds float64) []float64 {
	values := make([]float64, series.Latency+len(series.LatencyBounds())+1)
	values[series.Requests] = max(0, c.requests-before.requests) / seconds
	values[series.Errors] = max(0, c.errors-before.errors) / seconds
	below := 0.0
	for i, n := range c.within {
		if before.within != nil {
			n -= before.within[i]
		}
		values[series.Latency+i] = max(0, n-below) / seconds
		below = max(below, n)
	}
	return values
}

// seriesView shows the series to the admin API.
type seriesView struct{ store *series.Store }

// latencies are the fields that stand for the counts of a route.
var latencies = []struct {
	name string
	q    float64
}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}}

func seriesFields(g string, fields []series.Field) []api.SeriesField {
	var list []api.SeriesField
	for i, f := range fields {
		if g != series.Routes || i < series.Latency {
			list = append(list, api.SeriesField{Name: f.Name, Unit: f.Unit})
		}
	}
	if g == series.Routes {
		for _, l := range latencies {
			list = append(list, api.SeriesField{Name: l.name, Unit: "s"})
		}
	}
	return list
}

// Groups lists what is kept.
func (v seriesView) Groups() []api.SeriesGroup {
	list := []api.SeriesGroup{}
	for _, g := range v.store.Groups() {
		group := api.SeriesGroup{Name: g.Name, Fields: seriesFields(g.Name, g.Fields), Subjects: []api.SeriesSubject{}}
		for _, s := range v.store.Subjects(g.Name) {
			group.Subjects = append(group.Subjects, api.SeriesSubject{Name: s.Name, Newest: s.Newest})
		}
		list = append(list, group)
	}
	return list
}

// Query answers for one subject.
func (v seriesView) Query(group, subject string, q api.SeriesQuery) (api.Series, error) {
	found, err := v.store.Query(series.Query{Group: group, Subject: subject, From: q.From, To: q.To, Step: q.Step})
	switch {
	case errors.Is(err, series.ErrUnknown):
		return api.Series{}, &api.Error{Type: "about:blank", Title: http.StatusText(http.StatusNotFound), Status: http.StatusNotFound, Detail: fmt.Sprintf("no group %q of readings", group)}
	case err != nil:
		return api.Series{}, err
	}
	s := api.Series{Group: group, Subject: subject, Fields: seriesFields(group, found.Fields), Step: found.Step.String(), Points: []api.SeriesPoint{}}
	for _, p := range found.Points {
		means, peaks := p.Means, p.Peaks
		if group == series.Routes {
			means, peaks = append([]float64(nil), p.Means[:series.Latency]...), append([]float64(nil), p.Peaks[:series.Latency]...)
			for _, l := range latencies {
				means, peaks = append(means, series.Quantile(p.Means, l.q)), append(peaks, math.NaN())
			}
		}
		s.Points = append(s.Points, api.SeriesPoint{At: p.At, Means: known(means), Peaks: known(peaks)})
	}
	return s, nil
}

// known makes numbers that are not known nil, as JSON wants it.
func known(values []float64) []*float64 {
	list := make([]*float64, len(values))
	for i, v := range values {
		if !math.IsNaN(v) {
			list[i] = &v
		}
	}
	return list
}
