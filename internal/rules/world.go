package rules

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/series"
)

// Metric is a thing and what is measured of it: "node.cpu".
type Metric string

// thing is what the metric is about: "node".
func (m Metric) thing() string {
	thing, _, _ := strings.Cut(string(m), ".")
	return thing
}

// subject is what an ID of the metric stands for; zero for what cannot be drained.
func (m Metric) subject(id string) catalog.Subject {
	switch m.thing() {
	case "node":
		return catalog.Subject{Node: id}
	case "service":
		return catalog.Subject{Service: id}
	case "instance":
		name, source, _ := strings.Cut(id, "@")
		return catalog.Subject{Instance: name, Source: source}
	}
	return catalog.Subject{}
}

// metricKind is how a metric is read.
type metricKind struct {
	unit unit
	// bare metrics may stand without a value; then any value above 0 counts.
	bare bool
	read func(*World) []Value
}

// kinds are the metrics there are. docs/rules.md describes each.
var kinds = map[Metric]metricKind{
	"node.cpu":           {unit: unitPercent, read: func(w *World) []Value { return w.nodes(w.node(series.CPU, 0)) }},
	"node.memory":        {unit: unitPercent, read: func(w *World) []Value { return w.nodes(w.node(series.Memory, series.Limit)) }},
	"node.down":          {unit: unitFlag, read: func(w *World) []Value { return w.nodes(nodeDown) }},
	"service.cpu":        {unit: unitPercent, read: func(w *World) []Value { return w.services(w.usage(series.CPU, false)) }},
	"service.cpu-each":   {unit: unitPercent, read: func(w *World) []Value { return w.services(w.usage(series.CPU, true)) }},
	"service.memory":     {unit: unitBytes, read: func(w *World) []Value { return w.services(w.usage(series.Memory, false)) }},
	"service.ready":      {unit: unitCount, read: func(w *World) []Value { return w.services(ready) }},
	"service.unhealthy":  {unit: unitFlag, read: func(w *World) []Value { return w.services(unhealthy) }},
	"instance.cpu":       {unit: unitPercent, read: func(w *World) []Value { return w.instances(w.instance(series.CPU, 0)) }},
	"instance.memory":    {unit: unitPercent, read: func(w *World) []Value { return w.instances(w.instance(series.Memory, series.Limit)) }},
	"instance.unhealthy": {unit: unitFlag, read: func(w *World) []Value { return w.instances(instanceUnhealthy) }},
	"route.requests":     {unit: unitRate, read: func(w *World) []Value { return w.routes(func(v []float64) float64 { return v[series.Requests] }) }},
	"route.5xx":          {unit: unitPercent, read: func(w *World) []Value { return w.routes(errorShare) }},
	"route.p50":          {unit: unitSeconds, read: func(w *World) []Value { return w.routes(quantile(0.5)) }},
	"route.p95":          {unit: unitSeconds, read: func(w *World) []Value { return w.routes(quantile(0.95)) }},
	"route.p99":          {unit: unitSeconds, read: func(w *World) []Value { return w.routes(quantile(0.99)) }},
	"source.stale":       {unit: unitSeconds, bare: true, read: (*World).stale},
}

// Metrics lists the metrics there are, sorted.
func Metrics() []Metric { return slices.Sorted(maps.Keys(kinds)) }

// NeedsReadings reports whether a metric is read off the series that are kept.
func NeedsReadings(metric string) bool {
	switch Metric(metric) {
	case "node.down", "service.ready", "service.unhealthy", "instance.unhealthy", "source.stale":
		return false
	}
	_, ok := kinds[Metric(metric)]
	return ok
}

// World is what is known at a moment.
type World struct {
	Now time.Time
	// Snapshot is the newest one, nil before the first.
	Snapshot *catalog.Snapshot
	// Sources say how the sources are doing right now.
	Sources []catalog.SourceStatus
	// Readings returns the newest readings of a group by subject; nil keeps none.
	Readings func(group string) map[string][]float64
}

// Value is what a metric is of one subject.
type Value struct {
	// Subject is the ID of the subject, Name what a person calls it.
	Subject, Name string
	// Number is in the metric's unit; NaN when it is not known.
	Number float64
}

// unknown is the number of what is not known.
func unknown() float64 { return math.NaN() }

// group returns the newest readings of a group.
func (w *World) group(name string) map[string][]float64 {
	if w.Readings == nil {
		return nil
	}
	return w.Readings(name)
}

// answers is true for a source whose part of the snapshot is how things are.
func (w *World) answers(source string) bool {
	return slices.ContainsFunc(w.Snapshot.Sources, func(s catalog.SourceStatus) bool { return s.Name == source && s.Synced && !s.Stale })
}

// share is a part of a whole in percent; a part alone when whole is 0.
func share(values []float64, part, whole int) float64 {
	switch {
	case values == nil:
		return unknown()
	case whole == 0:
		return values[part]
	case !(values[whole] > 0):
		return unknown()
	}
	return 100 * values[part] / values[whole]
}

func (w *World) nodes(read func(*catalog.Node) float64) []Value {
	var list []Value
	for _, n := range w.Snapshot.Nodes {
		v := Value{n.ID, n.Name, unknown()}
		if w.answers(n.Source) {
			v.Number = read(n)
		}
		list = append(list, v)
	}
	return list
}

func (w *World) node(part, whole int) func(*catalog.Node) float64 {
	readings := w.group(series.Nodes)
	return func(n *catalog.Node) float64 { return share(readings[n.ID], part, whole) }
}

func nodeDown(n *catalog.Node) float64 {
	switch n.State {
	case "down":
		return 1
	case "ready":
		return 0
	}
	return unknown()
}

func (w *World) services(read func(*catalog.Service) float64) []Value {
	var list []Value
	for _, s := range w.Snapshot.Services {
		v := Value{s.ID, s.Name, unknown()}
		if w.answers(s.Source) {
			v.Number = read(s)
		}
		list = append(list, v)
	}
	return list
}

// usage reads what a service uses, or each of its containers on average.
func (w *World) usage(field int, each bool) func(*catalog.Service) float64 {
	readings := w.group(series.Services)
	return func(s *catalog.Service) float64 {
		values := readings[s.ID]
		if values == nil || each && !(values[series.Containers] > 0) {
			return unknown()
		}
		if each {
			return values[field] / values[series.Containers]
		}
		return values[field]
	}
}

func ready(s *catalog.Service) float64 {
	n := 0
	for _, in := range s.Instances {
		if in.State == catalog.StateReady {
			n++
		}
	}
	return float64(n)
}

// unhealthy is a service with an unhealthy instance, or fewer ready ones than it wants.
func unhealthy(s *catalog.Service) float64 {
	sick := slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return in.State == catalog.StateUnhealthy })
	if sick || s.Replicas != nil && int(ready(s)) < *s.Replicas {
		return 1
	}
	return 0
}

func (w *World) instances(read func(*catalog.Service, *catalog.Instance) float64) []Value {
	var list []Value
	places := map[string]int{} // of subjects in list
	for _, s := range w.Snapshot.Services {
		for _, in := range s.Instances {
			v := Value{instanceID(s, in), in.Name, unknown()}
			if w.answers(cmp.Or(in.Source, s.Source)) {
				v.Number = read(s, in)
			}
			// During a deployment two may have one name: the larger number counts.
			i, twice := places[v.Subject]
			switch {
			case !twice:
				places[v.Subject] = len(list)
				list = append(list, v)
			case math.IsNaN(list[i].Number) || v.Number > list[i].Number:
				list[i] = v
			}
		}
	}
	return list
}

// instanceID names an instance as the series do; its successor has the same name.
func instanceID(s *catalog.Service, in *catalog.Instance) string {
	return in.Name + "@" + cmp.Or(in.Source, s.Source)
}

func (w *World) instance(part, whole int) func(*catalog.Service, *catalog.Instance) float64 {
	readings := w.group(series.Instances)
	return func(s *catalog.Service, in *catalog.Instance) float64 {
		return share(readings[instanceID(s, in)], part, whole)
	}
}

func instanceUnhealthy(_ *catalog.Service, in *catalog.Instance) float64 {
	switch in.State {
	case catalog.StateUnhealthy:
		return 1
	case catalog.StateReady:
		return 0
	}
	return unknown()
}

func (w *World) routes(read func([]float64) float64) []Value {
	var list []Value
	for id, values := range w.group(series.Routes) {
		list = append(list, Value{id, id, read(values)})
	}
	slices.SortFunc(list, func(a, b Value) int { return strings.Compare(a.Subject, b.Subject) })
	return list
}

// errorShare is 0 without requests.
func errorShare(v []float64) float64 {
	if v[series.Requests] == 0 {
		return 0
	}
	return 100 * v[series.Errors] / v[series.Requests]
}

func quantile(q float64) func([]float64) float64 {
	return func(v []float64) float64 { return series.Quantile(v, q) }
}

// stale is for how long each source has not answered; a day where it never has.
func (w *World) stale() []Value {
	var list []Value
	for _, s := range w.Sources {
		v := Value{s.Name, s.Name, 0}
		switch {
		case s.Stale && s.LastSuccess.IsZero():
			v.Number = (24 * time.Hour).Seconds()
		case s.Stale:
			v.Number = max(0.001, w.Now.Sub(s.LastSuccess).Seconds())
		case !s.Synced:
			v.Number = unknown()
		}
		list = append(list, v)
	}
	return list
}
