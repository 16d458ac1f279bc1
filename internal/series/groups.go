package series

import (
	"fmt"
	"math"
)

// The groups that Fairway keeps. Subjects are the names that the catalogue and the
// table have for them: "NAME@SOURCE" for an instance, the ID of a service, a node,
// a route.
const (
	Instances = "instance"
	Services  = "service"
	Nodes     = "node"
	Routes    = "route"
)

// The fields of instances, services and nodes, which use something.
const (
	// CPU is in percent of one CPU; of a node, of the whole machine.
	CPU = iota
	// Memory is what is used, and Limit what may be, in bytes; of a node the
	// memory of the machine, of a service unknown.
	Memory
	Limit
	// Received and Sent, Read from and Written to disks, are in bytes per second.
	Received
	Sent
	Read
	Written
	// Containers is how many there are.
	Containers
)

// The fields of routes.
const (
	// Requests and Errors are per second; an error is a 5xx, or a request that was
	// broken off before there was an answer.
	Requests = iota
	Errors
	// Latency is the first of the requests per second by their time to the last
	// byte: up to each of LatencyBounds, and above the last.
	Latency
)

// LatencyBounds are the upper bounds of the fields from Latency on, in seconds.
func LatencyBounds() []float64 {
	return []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}
}

// StandardGroups are the groups that Fairway keeps, for so many instances,
// services and routes each; nodes are a tenth of that.
func StandardGroups(subjects int) []Group {
	usage := []Field{
		CPU:        {Name: "cpu", Unit: "percent", Peak: true},
		Memory:     {Name: "memory", Unit: "bytes", Peak: true},
		Limit:      {Name: "limit", Unit: "bytes"},
		Received:   {Name: "received", Unit: "bytes/s"},
		Sent:       {Name: "sent", Unit: "bytes/s"},
		Read:       {Name: "read", Unit: "bytes/s"},
		Written:    {Name: "written", Unit: "bytes/s"},
		Containers: {Name: "containers"},
	}
	traffic := []Field{{Name: "requests", Unit: "1/s", Peak: true}, {Name: "errors", Unit: "1/s", Peak: true}}
	for _, bound := range LatencyBounds() {
		traffic = append(traffic, Field{Name: fmt.Sprintf("to%gs", bound), Unit: "1/s"})
	}
	traffic = append(traffic, Field{Name: "longer", Unit: "1/s"})
	return []Group{
		{Name: Instances, Fields: usage, Subjects: subjects},
		{Name: Services, Fields: usage, Subjects: subjects},
		{Name: Nodes, Fields: usage, Subjects: max(10, subjects/10)},
		{Name: Routes, Fields: traffic, Subjects: subjects},
	}
}

// Quantile is the time in seconds within which the share q of requests was answered; NaN
// without requests. Steps are taken to be even; beyond the last bound it is that.
func Quantile(values []float64, q float64) float64 {
	bounds := LatencyBounds()
	if len(values) < Latency+len(bounds)+1 {
		return math.NaN()
	}
	counts := values[Latency : Latency+len(bounds)+1]
	total := 0.0
	for _, c := range counts {
		if c > 0 { // NaN is not
			total += c
		}
	}
	if total == 0 {
		return math.NaN()
	}
	rank, below, from := q*total, 0.0, 0.0
	for i, bound := range bounds {
		c := counts[i]
		if c > 0 {
			if below+c >= rank {
				return from + (bound-from)*(rank-below)/c
			}
			below += c
		}
		from = bound
	}
	return bounds[len(bounds)-1]
}
