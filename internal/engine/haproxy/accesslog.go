package haproxy

import (
	"fairway/internal/engine/traffic"
)

// logEvent adds the line of a request or connection to the access log.
func (r *readings) logEvent(e event) {
	if r.access == nil {
		return
	}
	began := traffic.Time(e.time.Add(-e.took))
	if e.connection {
		r.access.Connection(traffic.Connection{
			Time: began, Client: e.client, Listener: e.listener, Host: e.host, Proto: "TCP", TLS: e.host != "",
			Outcome: e.outcome(), Received: e.received, Bytes: e.bytes, Seconds: e.took.Seconds(),
			Route: e.route, Endpoint: e.endpoint, Attempts: e.attempts(),
		})
		return
	}
	r.access.Request(traffic.Request{
		Time: began, ID: e.id, Client: e.client, Method: e.method, Host: e.host, Path: e.path, Proto: e.proto, TLS: e.tls,
		Status: e.status, Bytes: e.bytes, Seconds: e.took.Seconds(),
		Route: e.route, Endpoint: e.endpoint, Attempts: e.attempts(), Aborted: e.aborted(), Captured: e.captured,
	})
}

// outcome reads HAProxy's termination state: who ended it, and in which phase.
func (e event) outcome() traffic.Outcome {
	who, phase := e.end[0], e.end[1]
	switch {
	case who == 'K' || who == 'D' || who == 'U':
		return traffic.Cut
	case (who == 'c' || who == 's') && phase == 'D':
		return traffic.Idle
	case phase == 'D' || who == '-' && e.server != "":
		return traffic.Closed
	case e.key == "":
		return traffic.NoRoute
	case who == 'P':
		return traffic.Refused
	case e.server == "":
		return traffic.NoEndpoint
	case who == 'S' || who == 's':
		return traffic.Unreachable
	}
	return traffic.Closed
}

// aborted is true when the answer was broken off: something ended it while data
// was passed on.
func (e event) aborted() bool { return e.end[0] != '-' && e.end[1] == 'D' && e.status >= 200 }

// attempts are the endpoints that were tried.
func (e event) attempts() int {
	if e.server == "" {
		return 0
	}
	return 1 + e.retries
}
