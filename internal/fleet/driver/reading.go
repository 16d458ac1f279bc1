package driver

import (
	"slices"
	"time"

	"fairway/internal/engine/haproxy/socket"
)

// Reading is what one HAProxy has counted since its worker began, and what it
// holds now. Counters begin anew with each reload.
type Reading struct {
	// Time is when it was taken, by Fairway's clock, and Span how much time it
	// covers when it is the difference of two.
	Time time.Time     `json:"time"`
	Span time.Duration `json:"span,omitempty"`
	// Requests are those that came in by HTTP, Failed those of them that were
	// answered with a status from 500, by a server or by HAProxy itself.
	Requests int64 `json:"requests"`
	Failed   int64 `json:"failed"`
	// Sessions are the connections that came in, Current those that are open.
	Sessions int64 `json:"sessions"`
	Current  int64 `json:"current"`
	// ConnectFailures are the connections to servers that did not come about.
	ConnectFailures int64 `json:"connectFailures"`
	// BytesIn and BytesOut are of clients' traffic.
	BytesIn  int64 `json:"bytesIn"`
	BytesOut int64 `json:"bytesOut"`
	// ServersUp and ServersDown count the servers that get requests and those
	// that do not, maintenance included.
	ServersUp   int `json:"serversUp"`
	ServersDown int `json:"serversDown"`
	// Down are the backends that have servers and none of them up, sorted.
	Down []string `json:"down,omitempty"`
}

// newReading sums up what `show stat` says.
func newReading(now time.Time, stats socket.Stats) Reading {
	r := Reading{Time: now}
	servers := map[string]bool{}
	for i := range stats.Len() {
		switch row := stats.Row(i); row.Server() {
		case "FRONTEND":
			r.Requests += row.Number("req_tot")
			r.Failed += row.Number("hrsp_5xx")
			r.Sessions += row.Number("stot")
			r.Current += row.Number("scur")
			r.BytesIn += row.Number("bin")
			r.BytesOut += row.Number("bout")
		case "BACKEND":
			r.ConnectFailures += row.Number("econ")
			if row.Text("status") == "DOWN" && servers[row.Proxy()] {
				r.Down = append(r.Down, row.Proxy())
			}
		default:
			if row.Text("type") != "2" {
				continue // a listener of its own (option socket-stats)
			}
			servers[row.Proxy()] = true
			if up(row.Text("status")) {
				r.ServersUp++
			} else {
				r.ServersDown++
			}
		}
	}
	slices.Sort(r.Down)
	return r
}

// up reports whether a server of that status gets requests.
func up(status string) bool {
	switch status {
	case "UP", "no check", "DRAIN", "NOLB":
		return true
	default: // "UP 1/3" is on its way down and still gets some
		return len(status) > 3 && status[:3] == "UP "
	}
}

// Since is what was counted after an earlier reading; all of it when the worker
// is another one.
func (r Reading) Since(earlier *Reading) Reading {
	if earlier == nil || earlier.Requests > r.Requests || earlier.Sessions > r.Sessions || earlier.Failed > r.Failed || earlier.ConnectFailures > r.ConnectFailures {
		return r
	}
	r.Span = r.Time.Sub(earlier.Time)
	r.Requests -= earlier.Requests
	r.Failed -= earlier.Failed
	r.Sessions -= earlier.Sessions
	r.ConnectFailures -= earlier.ConnectFailures
	r.BytesIn -= earlier.BytesIn
	r.BytesOut -= earlier.BytesOut
	return r
}
