package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"fairway/internal/engine/haproxy/socket"
)

// Reading is what HAProxy has counted since its worker began, and what it holds now.
type Reading struct {
	// Time is when it was taken, Span how much time it covers if it is a difference.
	Time time.Time     `json:"time"`
	Span time.Duration `json:"span,omitempty"`
	// Requests came in by HTTP; Failed were answered with a status from 500.
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
	// ServersUp get requests, ServersDown do not, maintenance included.
	ServersUp   int `json:"serversUp"`
	ServersDown int `json:"serversDown"`
	// Down are the backends that have servers and none of them up, sorted.
	Down []string `json:"down,omitempty"`
}

func newReading(now time.Time, stats socket.Stats) Reading {
	r := Reading{Time: now}
	servers := map[string]bool{}
	for row := range stats.Rows() {
		switch row.Server() {
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
			switch status := row.Text("status"); { // "UP 1/3" is on its way down and still gets requests
			case strings.HasPrefix(status, "UP"), status == "no check", status == "DRAIN", status == "NOLB":
				r.ServersUp++
			default:
				r.ServersDown++
			}
		}
	}
	slices.Sort(r.Down)
	return r
}

// Since is what was counted after an earlier reading of the same worker; else all.
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

// maxStats bounds a statistics page: 10,000 backends make 7 MB.
const maxStats = 32 << 20

// read reads the statistics page.
func (t *shell) read(ctx context.Context) (Reading, error) {
	if t.target.Stats == "" {
		return Reading{}, ErrNoReading
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(t.target.Stats, ";csv")+";csv", nil)
	if err != nil {
		return Reading{}, errors.New("statistics page: the URL makes no sense")
	}
	if name, password, ok := strings.Cut(t.target.StatsUser, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	answer, err := t.pages.Do(r)
	if err != nil {
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which may hold a secret
		}
		return Reading{}, fmt.Errorf("statistics page: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Reading{}, fmt.Errorf("statistics page: %s", answer.Status)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxStats))
	if err != nil {
		return Reading{}, fmt.Errorf("statistics page: %w", err)
	}
	stats, err := socket.ParseStats(string(text))
	if err != nil {
		return Reading{}, fmt.Errorf("statistics page: %w", err)
	}
	return newReading(time.Now(), stats), nil
}
