package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/dockerapi/dockertest"
	"fairway/internal/usage"
)

// countingEngine is a Docker Engine with two containers, which use a tenth of a
// CPU, and returns its URL.
func countingEngine(t *testing.T) string {
	t.Helper()
	d := dockertest.New(nil)
	d.Say("GET /info", `{"ID":"e1","Name":"edge1","Swarm":{"LocalNodeState":"inactive"}}`)
	d.Say("GET /containers/json", `[{"Id":"aa","Names":["/web-1"],"State":"running","Labels":{"fairway.service":"web"}},
		{"Id":"bb","Names":["/lone"],"State":"running"}]`)
	reads := map[string]int{}
	d.Answer("GET /containers/{id}/stats", func(r *http.Request) any {
		reads[r.PathValue("id")]++
		n := reads[r.PathValue("id")]
		return fmt.Sprintf(`{"read":"2026-11-21T04:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":%d},"system_cpu_usage":%d,"online_cpus":2},
			"memory_stats":{"usage":1572864,"limit":1073741824},"networks":{"eth0":{"rx_bytes":2048,"tx_bytes":10}}}`, n*50, n*1000)
	})
	return d.Listen(t)
}

// The table shows each service, and below it its containers.
func TestStats(t *testing.T) {
	t.Chdir(t.TempDir())
	url := countingEngine(t)
	code, stdout, stderr := runAt(t, nil, "stats", "--docker", url)
	want := `SERVICE / CONTAINER  ENGINE  CPU     MEMORY  LIMIT  NET RX  NET TX  BLOCK READ  BLOCK WRITE
lone                         10.00%  1.5MiB  -      2KiB    10B     0B          0B
  lone               edge1   10.00%  1.5MiB  1GiB   2KiB    10B     0B          0B
web                          10.00%  1.5MiB  -      2KiB    10B     0B          0B
  web-1              edge1   10.00%  1.5MiB  1GiB   2KiB    10B     0B          0B
`
	if diff := cmp.Diff(want, stdout); code != exitOK || stderr != "" || diff != "" {
		t.Errorf("code %d, stderr %q (-want +got):\n%s", code, stderr, diff)
	}
	code, _, stderr = runAt(t, nil, "stats", "nothing", "--docker", url)
	if code != exitNo || !strings.Contains(stderr, "No container of nothing runs") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

// stopAfter ends a context with the second line that is written.
type stopAfter struct {
	bytes.Buffer
	stop context.CancelFunc
}

func (s *stopAfter) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if bytes.Count(s.Bytes(), []byte("\n")) == 2 {
		s.stop()
	}
	return n, err
}

// A stream in JSON is one report a line, until it is stopped.
func TestStatsStream(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &stopAfter{stop: stop}
	var errs bytes.Buffer
	code := run(ctx, []string{"stats", "web", "--docker", countingEngine(t), "--stream", "--every", "100ms", "-o", "json"}, out, &errs, nil)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if code != exitOK || errs.Len() != 0 || len(lines) != 2 {
		t.Fatalf("code %d, stderr %q, stdout %s", code, errs.String(), out.String())
	}
	for _, line := range lines {
		var r usage.Report
		if err := json.Unmarshal([]byte(line), &r); err != nil || len(r.Services) != 1 || *r.Services[0].CPUPercent != 10 {
			t.Errorf("%v: %s", err, line)
		}
	}
}
