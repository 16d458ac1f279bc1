package socket

import (
	"net"
	"strings"
	"testing"

	"fairway/internal/testkit"
)

// From 3.1 on HAProxy lists the worker that serves on after a failed reload among
// the old ones.
func TestWorkerAfterFailedReload(t *testing.T) {
	const header = "#<PID>          <type>          <reloads>       <uptime>        <version>\n"
	p, err := parseProcesses(header + `20521           master          2 [failed: 1]   0d00h00m21s     3.2.0
# workers
# old workers
20000           worker          3               0d00h01m08s     3.2.0
21203           worker          1               0d00h00m08s     3.2.0
`)
	if err != nil || len(p.Workers) != 1 || p.Workers[0].PID != 21203 || len(p.Old) != 1 || p.Old[0].PID != 20000 {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = parseProcesses(header + `20521           master          2 [failed: 0]   0d00h00m21s     3.2.0
# workers
# old workers
21203           worker          1               0d00h00m08s     3.2.0
`)
	if err != nil || len(p.Workers) != 0 || len(p.Old) != 1 {
		t.Errorf("while one starts: %+v, %v", p, err)
	}
}

// TestRefusalQuotesNoValue: the value of a map may be the hash of a password.
func TestRefusalQuotesNoValue(t *testing.T) {
	c, err := SetMap("/d/users.map", "a1.616E6E", "sha|hunter2")
	if err != nil {
		t.Fatal(err)
	}
	_, err = judge(c, "[3]: entry not found.")
	if !Refused(err, "entry not found") || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "set map /d/users.map a1.616E6E") {
		t.Error(err)
	}
}

// TestStatsOfSections: a section that is not there is left out; another refusal is an error, not taken for
// a section without rows.
func TestStatsOfSections(t *testing.T) {
	for answer, wrong := range map[string]bool{
		"No such proxy.": false, "[3]: No such proxy.": false, "[3]: Permission denied": true, "Permission denied": true, "[3]: out of memory": true,
	} {
		ours, theirs := net.Pipe()
		s := &Session{conn: ours, timeout: testkit.Patience}
		go func() {
			defer theirs.Close()
			if _, err := theirs.Read(make([]byte, 4096)); err == nil {
				_, _ = theirs.Write([]byte(answer + "\n" + prompt))
			}
		}()
		if _, err := s.Stats(t.Context(), Servers, "gone"); (err != nil) != wrong {
			t.Errorf("%q: %v", answer, err)
		}
		s.Close()
	}
}
