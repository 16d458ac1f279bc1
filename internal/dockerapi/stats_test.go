package dockerapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/dockerapi/dockertest"
)

// answering is an engine that answers each call by its method and path: with a body,
// or with a status in front: "409 {…}".
func answering(answers map[string]string) *dockertest.Engine {
	e := dockertest.New(nil)
	for call, body := range answers {
		status := http.StatusOK
		if n, _ := fmt.Sscanf(body, "%d {", &status); n == 1 {
			body = body[4:]
		}
		e.Answer(call, func(*http.Request) any { return dockertest.Status{Code: status, Body: body} })
	}
	return e
}

// TestStats reads answers of engines on both versions of cgroups, of Windows'
// kind with nothing in them, and of a container that has just ended.
func TestStats(t *testing.T) {
	answers := map[string]string{
		// Docker 20.10 on cgroup v1, shortened.
		"v1": `{"read":"2026-11-21T04:00:01.5Z","preread":"0001-01-01T00:00:00Z","pids_stats":{"current":7},
			"blkio_stats":{"io_service_bytes_recursive":[{"major":8,"minor":0,"op":"Read","value":4096},{"major":8,"minor":0,"op":"Write","value":512},
				{"major":8,"minor":16,"op":"Read","value":4},{"major":8,"minor":0,"op":"Sync","value":9999},{"major":8,"minor":0,"op":"Total","value":9999}],"io_serviced_recursive":[]},
			"cpu_stats":{"cpu_usage":{"total_usage":100,"percpu_usage":[60,40]},"system_cpu_usage":1000,"throttling_data":{}},
			"precpu_stats":{"cpu_usage":{"total_usage":0}},
			"memory_stats":{"usage":5000,"max_usage":6000,"limit":8000,"stats":{"cache":2000,"total_inactive_file":1500,"inactive_file":10}},
			"networks":{"eth0":{"rx_bytes":10,"tx_bytes":20},"eth1":{"rx_bytes":1,"tx_bytes":2}}}`,
		// Docker 28 on cgroup v2, shortened.
		"v2": `{"read":"2026-11-21T04:00:02Z","pids_stats":{"current":1},
			"blkio_stats":{"io_service_bytes_recursive":[{"op":"read","value":1},{"op":"write","value":2}]},
			"cpu_stats":{"cpu_usage":{"total_usage":300},"system_cpu_usage":3000,"online_cpus":4},
			"memory_stats":{"usage":5000,"limit":8000,"stats":{"inactive_file":500}}}`,
		"cache-only": `{"read":"2026-11-21T04:00:02Z","memory_stats":{"usage":50,"limit":80,"stats":{"inactive_file":500}}}`,
		"stopped":    `{"read":"0001-01-01T00:00:00Z","cpu_stats":{},"memory_stats":{},"blkio_stats":{"io_service_bytes_recursive":null}}`,
		"gone":       ``,
	}
	want := map[string]Stats{
		"v1": {
			Read: time.Date(2026, 11, 21, 4, 0, 1, 5e8, time.UTC), CPU: CPU{Used: 100, System: 1000, Online: 2},
			MemoryUsed: 3500, MemoryLimit: 8000, NetworkReceived: 11, NetworkSent: 22, BlockRead: 4100, BlockWritten: 512, Processes: 7,
		},
		"v2": {
			Read: time.Date(2026, 11, 21, 4, 0, 2, 0, time.UTC), CPU: CPU{Used: 300, System: 3000, Online: 4},
			MemoryUsed: 4500, MemoryLimit: 8000, BlockRead: 1, BlockWritten: 2, Processes: 1,
		},
		"cache-only": {Read: time.Date(2026, 11, 21, 4, 0, 2, 0, time.UTC), MemoryUsed: 50, MemoryLimit: 80},
		"stopped":    {},
		"gone":       {},
	}
	e := dockertest.New(nil)
	for id, body := range answers {
		e.Say("GET /containers/"+id+"/stats", body)
	}
	c := newClient(t, Options{URL: e.Listen(t)})
	for id := range answers {
		got, err := c.ContainerStats(t.Context(), id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if diff := cmp.Diff(want[id], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	for _, asked := range e.Asked() {
		if _, query, _ := strings.Cut(asked, "?"); query != "one-shot=true&stream=false" {
			t.Errorf("asked for %s", asked)
		}
	}
	if _, err := c.ContainerStats(t.Context(), "nobody"); !IsNotFound(err) {
		t.Errorf("error %v", err)
	}
}

// TestStatsDeadline asks an engine that says nothing.
func TestStatsDeadline(t *testing.T) {
	e := dockertest.New(nil)
	e.Freeze()
	c := newClient(t, Options{Timeout: 50 * time.Millisecond, URL: e.Listen(t)})
	if _, err := c.ContainerStats(context.Background(), "web"); err == nil {
		t.Error("no error")
	}
}
