// Package statistics shows what the embedded engine counts in the form of HAProxy's
// statistics, for programs that read them of a Docker Flow Proxy.
package statistics

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/engine/traffic"
	"fairway/internal/route"
)

// Engine has the counters. *embedded.Engine is one.
type Engine interface {
	Traffic() []traffic.Totals
	OpenConnections() map[string]int64
	Endpoints() []traffic.EndpointStatus
}

// Tables has the live table; nil before there is one.
type Tables interface {
	Newest() *route.Table
}

// CSV has a line for each listener and each route, and one for each endpoint of the
// routes' backends. The columns are those that mean the same as in HAProxy.
type CSV struct {
	Engine Engine
	Tables Tables
}

// columns are names of HAProxy's columns (management guide, 9.1), in its order.
var columns = []string{
	"# pxname", "svname", "scur", "stot", "eresp", "status", "weight", "act",
	"hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "req_tot", "addr",
}

// Read returns the text.
func (s CSV) Read(context.Context) ([]byte, error) {
	requests := map[string][traffic.Classes]uint64{} // by route
	for _, t := range s.Engine.Traffic() {
		requests[t.Route] = t.Classes
	}
	open := s.Engine.OpenConnections()
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	line := func(cells map[string]string) {
		row := make([]string, len(columns), len(columns)+1)
		for i, c := range columns {
			row[i] = cells[strings.TrimPrefix(c, "# ")]
		}
		_ = w.Write(append(row, "")) // HAProxy ends each line with a comma
	}
	_ = w.Write(append(slices.Clone(columns), ""))
	table := s.Tables.Newest()
	if table == nil {
		table = &route.Table{}
	}
	for _, l := range table.Listeners {
		line(map[string]string{"pxname": l.Name, "svname": "FRONTEND", "scur": strconv.FormatInt(open[l.Name], 10), "status": "OPEN"})
	}
	for _, r := range table.Routes {
		total := uint64(0)
		cells := map[string]string{"pxname": r.ID, "svname": "BACKEND", "status": "UP"}
		for class := 1; class <= 5; class++ {
			n := requests[r.ID][class]
			total += n
			cells[fmt.Sprintf("hrsp_%dxx", class)] = strconv.FormatUint(n, 10)
		}
		cells["stot"], cells["req_tot"] = strconv.FormatUint(total, 10), strconv.FormatUint(total, 10)
		line(cells)
	}
	for _, st := range s.Engine.Endpoints() {
		e := cmp.Or(table.Backend(st.Backend).Endpoint(st.Endpoint), &route.Endpoint{})
		status, act := "DOWN", "0"
		if e.State == route.EndpointReady && !st.OutOfRotation {
			status, act = "UP", "1"
		}
		line(map[string]string{
			"pxname": st.Backend, "svname": cmp.Or(e.Instance, st.Endpoint), "scur": strconv.Itoa(st.InFlight),
			"stot": strconv.FormatUint(st.Requests, 10), "eresp": strconv.FormatUint(st.Failures, 10), "status": status,
			"weight": strconv.FormatFloat(st.Weight, 'f', -1, 64), "act": act, "addr": e.Address,
		})
	}
	w.Flush()
	return out.Bytes(), w.Error()
}
