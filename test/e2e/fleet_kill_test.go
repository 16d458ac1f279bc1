//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// kill9 ends Fairway as a power cut would.
func (c *centre) kill9() {
	_ = c.process.Process.Kill()
	<-c.ended
}

// TestFleetKilled kills Fairway at random moments of rollouts, good ones and others,
// and starts it again: every rollout ends, and then all hosts have the same
// revision, in the file as in what runs: the new one or the one before.
func TestFleetKilled(t *testing.T) {
	testkit.Soak(t)
	needDocker(t)
	t.Parallel()
	const rounds = 200
	server := backend(t)
	edges := threeEdges(t, edgeConfig(1, server, ""), true, false, true)
	file := fleetFile(t, edges)
	c := startCentre(t, file, "")
	state := c.state
	c.put(edgeConfig(1, server, ""))
	s := fastRollout
	s.Pause = "300ms"
	good, kills, done, reverted := 1, 0, 0, 0
	for round := range rounds {
		version := round + 2
		config := edgeConfig(version, server, "")
		bad := round%4 == 3
		if bad {
			config = edgeConfig(version, server, []string{"    bnd :81\n", "listen more\n    bind unix@/nowhere/socket\n"}[round/4%2])
		}
		c.put(config)
		c.start(s)
		for range 1 + rand.IntN(2) {
			// A rollout takes some five seconds.
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
			c.kill9()
			kills++
			c = startCentre(t, file, state)
		}
		switch r := c.end(); {
		case r.Phase == api.RolloutReverted:
			reverted++
			if !bad {
				t.Logf("round %d was reverted: %s: %s", round, r.Reason, stepsOf(r))
			}
		case bad:
			t.Fatalf("round %d: a bad revision is out: %s", round, stepsOf(r))
		default:
			done++
			good = version
		}
		want := strconv.Itoa(good)
		testkit.Eventually(t, fmt.Sprintf("round %d: all hosts have version %s", round, want), func() string {
			for _, e := range edges {
				if v, err := e.version(); v != want || !strings.Contains(e.file(), "Version "+want+"\n") {
					return fmt.Sprintf("a mixture: %s runs %q (%v)", e.host, v, err)
				}
			}
			return ""
		})
		if round%20 == 19 {
			t.Logf("%d rollouts, %d kills, %d done, %d reverted", round+1, kills, done, reverted)
		}
	}
	testkit.Figure(t, "rollouts over containers with Fairway killed at random", "%d rollouts, %d kills: %d done, %d reverted, no mixture", rounds, kills, done, reverted)
	list, err := c.client().FleetRevisions(context.Background(), edgeDocument, 1)
	if err != nil || list.Items[0].Number != uint64(rounds+1) {
		t.Errorf("%d revisions were acknowledged, the newest is %+v, %v", rounds+1, list.Items, err)
	}
}
