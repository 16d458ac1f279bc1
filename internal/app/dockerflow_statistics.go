package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/dockerflow"
	"fairway/internal/engine/embedded"
	"fairway/internal/route"
)

// embeddedStatistics shows what the embedded engine counts in the form of HAProxy's
// statistics, for those who read them of a Docker Flow Proxy: a line for each
// listener and each route, and one for each endpoint of the routes' backends. The
// columns are those that mean the same.
type embeddedStatistics struct {
	engine  *embedded.Engine
	tables  dockerflow.Tables
	metrics prometheus.Gatherer
}

// statisticsColumns are names of HAProxy's columns (management guide, 9.1), in its
// order.
var statisticsColumns = []string{
	"# pxname", "svname", "scur", "stot", "eresp", "status", "weight", "act",
	"hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "req_tot", "addr",
}

// Statistics implements dockerflow.Statistics.
func (s embeddedStatistics) Statistics(context.Context) ([]byte, error) {
	families, err := s.metrics.Gather()
	if err != nil {
		return nil, fmt.Errorf("statistics: %w", err)
	}
	requests := map[string]map[string]uint64{} // by route and class
	open := map[string]uint64{}                // by listener
	for _, f := range families {
		for _, m := range f.GetMetric() {
			label := map[string]string{}
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			switch f.GetName() {
			case "fairway_requests_total":
				classes := requests[label["route"]]
				if classes == nil {
					classes = map[string]uint64{}
					requests[label["route"]] = classes
				}
				classes[label["code"]] += uint64(m.GetCounter().GetValue())
			case "fairway_open_connections":
				open[label["listener"]] = uint64(m.GetGauge().GetValue())
			}
		}
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	line := func(cells map[string]string) {
		row := make([]string, len(statisticsColumns), len(statisticsColumns)+1)
		for i, c := range statisticsColumns {
			row[i] = cells[strings.TrimPrefix(c, "# ")]
		}
		_ = w.Write(append(row, "")) // HAProxy ends each line with a comma
	}
	_ = w.Write(append(slices.Clone(statisticsColumns), ""))
	table := s.tables.Newest()
	if table == nil {
		table = &route.Table{}
	}
	for _, l := range table.Listeners {
		line(map[string]string{"pxname": l.Name, "svname": "FRONTEND", "scur": strconv.FormatUint(open[l.Name], 10), "status": "OPEN"})
	}
	for _, r := range table.Routes {
		total := uint64(0)
		cells := map[string]string{"pxname": r.ID, "svname": "BACKEND", "status": "UP"}
		for _, class := range []string{"1xx", "2xx", "3xx", "4xx", "5xx"} {
			n := requests[r.ID][class]
			total += n
			cells["hrsp_"+class] = strconv.FormatUint(n, 10)
		}
		cells["stot"], cells["req_tot"] = strconv.FormatUint(total, 10), strconv.FormatUint(total, 10)
		line(cells)
	}
	for _, st := range s.engine.Endpoints() {
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
