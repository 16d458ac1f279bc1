package series

import "fairway/internal/latency"

// The groups that Fairway keeps. Subjects are the names that the catalogue and the
// table have for them: "NAME@SOURCE" for an instance, the ID of a service, a node,
// a route.
const (
	Instances = "instance"
	Services  = "service"
	Nodes     = "node"
	Routes    = "route"
	// Endpoints are what the endpoints of each instance answered together, by the
	// instance's name.
	Endpoints = "endpoint"
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

// The fields of routes, and of the endpoints of an instance.
const (
	// Requests and Errors are per second. An error of a route is a 5xx, or a request that
	// was broken off before there was an answer; of an endpoint, one that failed there.
	Requests = iota
	Errors
	// InFlight is how many were under way at the moment of the reading.
	InFlight
	// Latency is the first of the buckets: requests per second by their time to the last
	// byte, as latency.Quantile reads them.
	Latency
)

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
	traffic := []Field{
		Requests: {Name: "requests", Unit: "1/s", Peak: true},
		Errors:   {Name: "errors", Unit: "1/s", Peak: true},
		InFlight: {Name: "in-flight", Peak: true},
	}
	return []Group{
		{Name: Instances, Fields: usage, Subjects: subjects},
		{Name: Services, Fields: usage, Subjects: subjects},
		{Name: Nodes, Fields: usage, Subjects: max(10, subjects/10)},
		{Name: Routes, Fields: traffic, Buckets: latency.Buckets, Subjects: subjects},
		{Name: Endpoints, Fields: traffic, Buckets: latency.Buckets, Subjects: subjects},
	}
}

// Quantile is the time in seconds within which the share q of the requests of a reading was
// answered; NaN without requests.
func Quantile(values []float64, q float64) float64 {
	return latency.Quantile(values[min(Latency, len(values)):], q)
}
