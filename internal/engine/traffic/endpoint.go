package traffic

import (
	"time"

	"fairway/internal/latency"
)

// EndpointStatus is how an endpoint is doing at one moment.
type EndpointStatus struct {
	// Backend and Endpoint are the IDs in the table.
	Backend, Endpoint string
	// InFlight is the number of requests and connections that are there now.
	InFlight int
	// Ejected is true while it is out because requests to it failed.
	Ejected bool
	// OutOfRotation is true while it is not picked although the table says that it is
	// ready: its active checks have not passed.
	OutOfRotation bool
	// Health is Passing or Failing, as the last active check went; empty: none was made.
	Health string
	// Reason is why the newest active check failed; empty for one that passed.
	Reason string
	// Requests and Failures count since the endpoint is known.
	Requests, Failures uint64
	// Weight is the effective weight: the table's, or less during slow start.
	Weight float64
}

// EndpointTotals are the requests that an endpoint answered since it is known.
type EndpointTotals struct {
	// Backend and Endpoint are the IDs in the table.
	Backend, Endpoint string
	// Requests and Failures are as in EndpointStatus, and InFlight is.
	Requests, Failures uint64
	InFlight           int
	// Took are requests by the time from their header to the last byte of the answer, of
	// those that the endpoint was the last to be asked.
	Took latency.Histogram
}

// The values of EndpointStatus.Health.
const (
	Passing = "passing"
	Failing = "failing"
)

// Drained says how an endpoint has left that had requests.
type Drained struct {
	// Backend and Endpoint are the IDs in the table, Service that of the backend's
	// service, and Instance the name of the instance.
	Backend, Endpoint, Service, Instance string
	// Requests is how many it was busy with when it left rotation for good, and
	// Failed how many of these it did not answer.
	Requests int64
	Failed   uint64
	// Took is how long it was until the last of them was over.
	Took time.Duration
}
