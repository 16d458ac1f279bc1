package tail

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/console"
)

// Times are those of the zone of the console, and marked where they are in UTC.
func TestZone(t *testing.T) {
	at := time.Date(2026, 3, 3, 12, 0, 1, 0, time.UTC)
	for zone, want := range map[*time.Location][2]string{
		nil:                         {"12:00:01Z  200", "2026-03-03 12:00:01Z ready"},
		time.FixedZone("", 2*60*60): {"14:00:01  200", "2026-03-03 14:00:01 ready"},
	} {
		var out bytes.Buffer
		c := &console.Console{Out: &out, Err: &out, Format: "wide", Zone: zone}
		printRequest(c, api.Request{At: at, Status: 200})
		newLogPrinter(c, make([]api.Instance, 1)).print(line{"", api.LogLine{At: at, Text: "ready"}})
		lines := strings.Split(out.String(), "\n")
		if !strings.HasPrefix(lines[0], want[0]) || lines[1] != want[1] {
			t.Errorf("%v: %q", zone, lines)
		}
	}
}
