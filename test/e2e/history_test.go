//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// TestCommandsSurviveKill kills Fairway at any moment after it has acknowledged a
// command, many times: the next one has every command, and obeys it from the first
// request on; the history has every entry that was told of.
func TestCommandsSurviveKill(t *testing.T) {
	needDocker(t)
	rounds := 15
	if testkit.Soaking() {
		rounds = 200
	}
	host := ownHost("kill")
	file := filepath.Join(t.TempDir(), "services.yml")
	text := fmt.Sprintf("services:\n  - name: kill\n    labels: {fairway.host: %s}\n    instances: [", host)
	for n := 1; n <= 2; n++ {
		b := run(t, boxOptions{name: fmt.Sprint("kill", n)})
		text += fmt.Sprintf("{name: kill-%d, address: \"%s:80\"}, ", n, b.address(lab.network))
	}
	if err := os.WriteFile(file, []byte(strings.TrimSuffix(text, ", ")+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	drained, entry := 0, uint64(0)
	for round := range rounds {
		p := startProxy(t, proxyOptions{state: state, args: []string{"--file", file, "--admin.anonymous", "operator"}}).synced()
		testkit.Eventually(t, "it serves", func() string {
			if status, _, body := p.get(host, "/"); status != http.StatusOK {
				return body
			}
			return ""
		})
		if drained > 0 {
			if got := p.answeredBy(10, host, "/"); got[fmt.Sprint("kill", drained)] != 0 {
				t.Fatalf("round %d: the drained instance answers: %v", round, got)
			}
			list, err := p.client().Commands(t.Context())
			if err != nil || len(list.Items) != 1 || list.Items[0].Instance != fmt.Sprint("kill-", drained) {
				t.Fatalf("round %d: commands %+v, %v", round, list.Items, err)
			}
			past, err := p.client().Entry(t.Context(), entry)
			if err != nil || past.Command == "" {
				t.Fatalf("round %d: entry %d, which was told of: %+v, %v", round, entry, past, err)
			}
			if _, err := p.client().TakeBack(t.Context(), fmt.Sprint("drain:kill-", drained), ""); err != nil {
				t.Fatal(err)
			}
		}
		drained = 1 + round%2
		given, err := p.client().Give(t.Context(), api.NewCommand{Kind: api.CommandDrain, Subject: fmt.Sprint("kill-", drained), Message: "kill test"})
		if err != nil || given.Entry <= entry {
			t.Fatalf("round %d: %+v after entry %d, %v", round, given, entry, err)
		}
		entry = given.Entry
		time.Sleep(rand.N(30 * time.Millisecond))
		if err := p.process.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-p.ended
	}
}
