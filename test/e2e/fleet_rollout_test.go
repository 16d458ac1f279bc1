//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// backend is what the edges pass requests to.
func backend(t *testing.T) string {
	t.Helper()
	b := run(t, boxOptions{name: "backend"})
	return b.address(lab.network).String()
}

// TestFleetStory is the story of remote management with Fairway in the middle: a
// container fetches its first configuration from it, and a rollout moves the page
// of statistics to another port.
func TestFleetStory(t *testing.T) {
	needDocker(t)
	const token = "0123456789abcdef-edge"
	dir := t.TempDir()
	docker := newDockerHost(t)
	for name, content := range map[string]string{
		"edge.token": token,
		"fleet.yml": "readers:\n  - {name: edge, token-file: edge.token, documents: [127.0.0.1]}\n" +
			"hosts:\n  - name: here\n    docker: " + docker.url() + "\n    containers: [{document: 127.0.0.1, name: demo2}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gateway := bridgeGateway(t)
	_, port, _ := net.SplitHostPort(freePort(t))
	c := startCentre(t, filepath.Join(dir, "fleet.yml"), "", "--fleet.listen", gateway+":"+port)
	config := filepath.Join(dir, "haproxy.cfg")
	write := func(p int) {
		if err := os.WriteFile(config, []byte(statsConfig(p)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(8080)
	if code, out, errs := c.fairway("fleet", "put", "127.0.0.1", config, "-m", "the first one"); code != 0 || !strings.Contains(out, "revision 1") || !strings.Contains(out, "released") {
		t.Fatalf("put: %d %s%s", code, out, errs)
	}
	etc := t.TempDir()
	h := startDemo2(t, fmt.Sprintf("http://edge:%s@%s:%s/haproxy/", token, gateway, port), etc)
	h.tells("Download of configuration file", "is valid.", "the first release", "Cover ", "Worker ")
	testkit.Eventually(t, "the page is on 8080", func() string { return h.page(8080) })
	if strings.Contains(h.log(), token) {
		t.Error("the token is in the log of the container")
	}
	if code, out := h.exec("fairway", "haproxy", "update"); code != 2 {
		t.Errorf("nothing new: code %d\n%s", code, out)
	}
	testkit.Eventually(t, "the host is current", func() string {
		if h := c.hosts()["here"]; h.Condition != api.FleetCurrent {
			return h.Condition + " " + h.Error
		}
		return ""
	})

	write(8181)
	if code, out, errs := c.fairway("fleet", "put", "127.0.0.1", config, "-m", "8181 instead of 8080"); code != 0 {
		t.Fatalf("put: %d %s%s", code, out, errs)
	}
	if code, out, _ := c.fairway("fleet", "plan", "127.0.0.1"); code != 0 || !strings.Contains(out, "+    bind 0.0.0.0:8181") {
		t.Errorf("plan: %d %s", code, out)
	}
	if wrong := h.page(8080); wrong != "" {
		t.Errorf("what was put is out before a rollout: %s", wrong)
	}
	code, out, errs := c.fairway("fleet", "rollout", "127.0.0.1", "--pause", "1s")
	if code != 0 || !strings.Contains(out, "done") {
		t.Fatalf("rollout: %d %s%s", code, out, errs)
	}
	t.Logf("%s%s", errs, out)
	testkit.Eventually(t, "the page is on 8181", func() string { return h.page(8181) })
	copies, _ := filepath.Glob(filepath.Join(etc, "backup", "127.0.0.1_*.cfg"))
	if len(copies) != 1 {
		t.Errorf("copies: %v", copies)
	}
	if code, out, _ := c.fairway("fleet", "status", "-o", "wide"); code != 0 || !strings.Contains(out, "current") || !strings.Contains(out, "2.6") {
		t.Errorf("status: %d %s", code, out)
	}
	if code, out, errs := c.fairway("fleet", "rollback", "127.0.0.1", "--pause", "1s"); code != 0 {
		t.Errorf("rollback: %d %s%s", code, out, errs)
	}
	testkit.Eventually(t, "the page is back on 8080", func() string { return h.page(8080) })
}

// bridgeGateway is the address of this machine on the engine's default network.
func bridgeGateway(t *testing.T) string {
	t.Helper()
	b := run(t, boxOptions{name: "gateway"})
	return b.inspect().NetworkSettings.Networks[lab.network].Gateway.String()
}

// threeEdges starts three hosts, of which those in agents have the agent.
func threeEdges(t *testing.T, config string, agents ...bool) []*edge {
	t.Helper()
	var edges []*edge
	for i, agent := range agents {
		edges = append(edges, startEdge(t, fmt.Sprintf("edge%d", i+1), config, agent))
	}
	return edges
}

// TestFleetRolloutsUnderLoad rolls out again and again over three hosts under 300
// requests a second: not one fails, and no old worker is left afterwards.
func TestFleetRolloutsUnderLoad(t *testing.T) {
	needDocker(t)
	t.Parallel()
	rounds := fleetRounds(2, 50)
	server := backend(t)
	edges := threeEdges(t, edgeConfig(1, server, ""), true, false, true)
	c := startCentre(t, fleetFile(t, edges), "")
	c.put(edgeConfig(1, server, ""))
	var loads []*load
	for _, e := range edges {
		loads = append(loads, startLoad(t, e.at(), "web.example.com", 100))
	}
	var took []time.Duration
	for i := range rounds {
		version := strconv.Itoa(i + 2)
		c.put(edgeConfig(i+2, server, ""))
		began := time.Now()
		c.start(fastRollout)
		if r := c.end(); r.Phase != api.RolloutDone || r.States["applied"] != 3 {
			t.Fatalf("rollout %d: %s %s: %s", r.Number, r.Phase, r.Reason, stepsOf(r))
		}
		took = append(took, time.Since(began))
		for _, e := range edges {
			if v, err := e.version(); v != version {
				t.Fatalf("%s runs version %q (%v), not %s", e.host, v, err, version)
			}
		}
	}
	for _, l := range loads {
		l.stop()
	}
	t.Logf("%d rollouts over 3 hosts: %s each, of which 3.6 s are pauses", rounds, quantiles(took))
	testkit.Eventually(t, "old workers are gone", func() string {
		for name, h := range c.hosts() {
			if h.Old > 0 || h.Condition != api.FleetCurrent {
				return fmt.Sprintf("%s is %s with %d old workers", name, h.Condition, h.Old)
			}
		}
		return ""
	})
	for _, e := range edges {
		if code, out := e.exec("sh", "-c", "cat /proc/[0-9]*/comm | grep -c '^haproxy$'"); code != 0 || strings.TrimSpace(out) != "2" {
			t.Errorf("%s has processes: %d %s", e.host, code, out)
		}
	}
}

// TestFleetFaultyRevisions rolls out what must not stay: it reaches the canary at
// most and is taken back within ten seconds, and the others never see it.
func TestFleetFaultyRevisions(t *testing.T) {
	needDocker(t)
	t.Parallel()
	server := backend(t)
	for _, first := range []struct {
		name   string
		agents []bool
	}{{"agent", []bool{true, false, true}}, {"shell", []bool{false, true, false}}} {
		t.Run(first.name, func(t *testing.T) {
			edges := threeEdges(t, edgeConfig(1, server, ""), first.agents...)
			c := startCentre(t, fleetFile(t, edges), "")
			c.put(edgeConfig(1, server, ""))
			// An address that somebody else in the container has.
			if code, out := edges[0].exec("sh", "-c", "httpd -p 8181 -h /tmp"); code != 0 {
				t.Fatalf("httpd: %s", out)
			}
			var loads []*load
			for _, e := range edges {
				loads = append(loads, startLoad(t, e.at(), "web.example.com", 100))
			}
			var logs []int
			for _, e := range edges[1:] {
				logs = append(logs, strings.Count(e.log(), "Loading success"))
			}
			for name, tt := range map[string]struct {
				more  string
				wants []string
				fails bool // whether requests to the canary may fail meanwhile
			}{
				"syntax":      {more: "    bnd :81\n", wants: []string{"edge1", ":20: unknown keyword 'bnd'"}},
				"bind taken":  {more: "    bind :8181\n", wants: []string{"edge1", "8181", "in use", "line 20"}},
				"bind fails":  {more: "listen more\n    bind unix@/nowhere/socket\n", wants: []string{"edge1", "/nowhere/socket", "21"}},
				"answers 503": {more: "frontend more\n    bind :82\n", wants: []string{"edge1", "% of requests fail"}, fails: true},
			} {
				config := edgeConfig(2, server, tt.more)
				if tt.fails {
					config = strings.Replace(config, server+":80", "127.0.0.1:1", 1)
				}
				c.put(config)
				began := time.Now()
				s := fastRollout
				s.Pause = "5s"
				c.start(s)
				r := c.end()
				took := time.Since(began)
				t.Logf("%s: %s after %s: %s", name, r.Phase, took.Round(time.Millisecond), r.Reason)
				if r.Phase != api.RolloutReverted {
					t.Errorf("%s: %s after %s: %s", name, r.Phase, took, stepsOf(r))
				}
				for _, want := range tt.wants {
					if !strings.Contains(r.Reason, want) {
						t.Errorf("%s: the reason does not say %q: %s", name, want, r.Reason)
					}
				}
				if r.States["waiting"] != 2 {
					t.Errorf("%s: others have seen it: %s", name, stepsOf(r))
				}
				for _, e := range edges {
					if v, err := e.version(); v != "1" || !strings.Contains(e.file(), "Version 1\n") {
						t.Errorf("%s: %s runs %q (%v)", name, e.host, v, err)
					}
				}
			}
			loads[0].halt()
			sent, failed := loads[0].sum()
			t.Logf("the canary: %d requests, %d failed while it had a revision that answers 503", sent, failed)
			for i, l := range loads[1:] {
				l.stop()
				if n := strings.Count(edges[i+1].log(), "Loading success"); n != logs[i] {
					t.Errorf("%s was reloaded", edges[i+1].host)
				}
			}
		})
	}
}

// TestFleetTroubledHosts has a black hole, a host whose commands hang, and one that
// is killed in the middle: the rollout ends in time and says what is true of each,
// and who is back is caught up.
func TestFleetTroubledHosts(t *testing.T) {
	needDocker(t)
	t.Parallel()
	server := backend(t)
	for _, way := range []string{"agent", "shell"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel() // it mostly waits
			testTroubledHosts(t, server, way == "agent")
		})
	}
}

func testTroubledHosts(t *testing.T, server string, agent bool) {
	edges := threeEdges(t, edgeConfig(1, server, ""), agent, agent, agent)
	edge2 := edges[1]
	c := startCentre(t, fleetFile(t, edges), "")
	c.put(edgeConfig(1, server, ""))
	version := 1
	// rollout puts another version out and waits for the end.
	rollout := func(what string) api.FleetRollout {
		t.Helper()
		version++
		c.put(edgeConfig(version, server, ""))
		c.start(fastRollout)
		r := c.end()
		took := r.Ended.Sub(r.Began)
		t.Logf("%s: %s after %s: %s", what, r.Phase, took.Round(time.Millisecond), stepsOf(r))
		return r
	}
	// settled demands that all hosts have a version.
	settled := func(want int) {
		t.Helper()
		took := testkit.Eventually(t, fmt.Sprintf("all hosts have version %d", want), func() string {
			for _, e := range edges {
				if v, err := e.version(); v != strconv.Itoa(want) || !strings.Contains(e.file(), "Version "+v+"\n") {
					return fmt.Sprintf("%s runs %q (%v)", e.host, v, err)
				}
				if h := c.hosts()[e.host]; h.Condition != api.FleetCurrent {
					return fmt.Sprintf("%s is %s: %s", e.host, h.Condition, h.Error)
				}
			}
			return ""
		})
		t.Logf("all hosts have version %d after another %s", want, took.Round(time.Millisecond))
	}
	// passed demands that the others have the new revision, and that it is pending for edge2;
	// reverted that they have what they had, and so shall edge2.
	passed := func(r api.FleetRollout) {
		t.Helper()
		if r.Phase != api.RolloutDone || r.States["applied"] != 2 || r.Hosts[1].State != "absent" || r.Hosts[1].Error == "" || !r.Hosts[1].Pending {
			t.Errorf("%s", pretty(r))
		}
	}
	reverted := func(r api.FleetRollout, states ...string) {
		t.Helper()
		two := r.Hosts[1]
		if r.Phase != api.RolloutReverted || r.Hosts[0].State != "returned" || r.Hosts[2].State != "waiting" ||
			!slices.Contains(states, two.State) || two.Error == "" || two.Pending != (two.State == "lost") {
			t.Errorf("%s", pretty(r))
		}
	}

	edge2.docker.freeze()
	passed(rollout("black hole"))
	if h := c.hosts()["edge2"]; h.Condition != api.FleetUnreachable || h.Error == "" {
		t.Errorf("the status of a black hole: %+v", h)
	}
	edge2.docker.thaw()
	settled(2)

	// What reads all of the configuration, before a change, and what changes it.
	reads, changes := "exec cat", "exec mv -f"
	if agent {
		reads, changes = "--content", `"apply"`
	}
	hung := make(chan struct{})
	edge2.docker.onCommand(changes, func() { <-hung })
	r := rollout("hangs")
	edge2.docker.onCommand("", nil)
	close(hung) // what hung goes on at the worst moment
	reverted(r, "lost", "returned", "refused")
	settled(2)

	// The look before a change finds the container killed.
	var once sync.Once
	edge2.docker.onCommand(reads, func() { once.Do(func() { edge2.kill("KILL") }) })
	passed(rollout("killed before"))
	edge2.docker.onCommand("", nil)
	edge2.start()
	settled(4)

	// How long a change takes is the machine's affair: where the host is done before
	// it is killed, the next one is killed sooner, and where it has not begun, later.
	for delay, had := 100*time.Millisecond, 4; ; delay /= 4 {
		once = sync.Once{}
		killed := make(chan struct{})
		edge2.docker.onCommand(changes, func() {
			once.Do(func() {
				time.AfterFunc(delay, func() {
					edge2.kill("KILL")
					close(killed)
				})
			})
		})
		r := rollout("killed in the middle")
		edge2.docker.onCommand("", nil)
		select {
		case <-killed:
		case <-time.After(10 * time.Second):
			t.Fatal("it was never changed, and so not killed")
		}
		edge2.start()
		if tooLate := r.Phase == api.RolloutDone && r.States["applied"] == 3; tooLate && delay > time.Millisecond {
			had = version
			settled(had)
			continue
		}
		if tooSoon := r.Phase == api.RolloutDone && r.States["absent"] == 1; tooSoon && delay < 5*time.Second {
			had, delay = version, 6*delay
			settled(had)
			continue
		}
		reverted(r, "lost")
		settled(had)
		return
	}
}

// TestFleetBareImage has an image with HAProxy alone: it cannot be managed, and
// Fairway says what is missing.
func TestFleetBareImage(t *testing.T) {
	needDocker(t)
	t.Parallel()
	e := startEdge(t, "edge1", edgeConfig(1, backend(t), ""), false)
	if code, out := e.exec("/bin/busybox", "rm", "-f", "/bin/sh", "/bin/busybox"); code != 0 {
		t.Fatalf("rm: %s", out)
	}
	c := startCentre(t, fleetFile(t, []*edge{e}), "")
	c.put(edgeConfig(1, "127.0.0.1", ""))
	c.put(edgeConfig(2, "127.0.0.1", ""))
	code, out, _ := c.fairway("fleet", "plan", edgeDocument)
	if code != 1 || !strings.Contains(out, "neither fairway nor a shell") {
		t.Errorf("plan: %d %s", code, out)
	}
	c.start(fastRollout)
	if r := c.end(); r.Phase != api.RolloutReverted || !strings.Contains(r.Reason, "neither fairway nor a shell") {
		t.Errorf("rollout: %s %s", r.Phase, r.Reason)
	}
	if v, err := e.version(); v != "1" {
		t.Errorf("it runs %q (%v)", v, err)
	}
}

// TestFleetEditedByHand has somebody edit a file in a container: it is told, stops a
// rollout, and is adopted or put back.
func TestFleetEditedByHand(t *testing.T) {
	needDocker(t)
	t.Parallel()
	server := backend(t)
	edges := threeEdges(t, edgeConfig(1, server, ""), true, false)
	c := startCentre(t, fleetFile(t, edges), "")
	c.put(edgeConfig(1, server, ""))
	for i, name := range []string{"/usr/local/haproxy/etc/" + edgeDocument + ".cfg", haproxyConfig} {
		edges[i].put(map[string]string{name: edgeConfig(1, server, "# by hand\n")})
	}
	code, out, _ := c.fairway("fleet", "drift", edgeDocument)
	if code != 1 || !strings.Contains(out, "edge1 was edited by hand") || !strings.Contains(out, "+# by hand") || !strings.Contains(out, "edge2 was edited by hand: the same difference as edge1") {
		t.Errorf("drift: %d %s", code, out)
	}
	c.put(edgeConfig(2, server, ""))
	if code, _, errs := c.fairway("fleet", "rollout", edgeDocument); code == 0 || !strings.Contains(errs, "edited by hand") {
		t.Errorf("rollout over what was edited: %d %s", code, errs)
	}
	if code, out, errs := c.fairway("fleet", "drift", edgeDocument, "--adopt", "edge1", "-m", "sunday"); code != 0 || !strings.Contains(out, "revision 3") {
		t.Errorf("adopt: %d %s%s", code, out, errs)
	}
	if code, out, errs := c.fairway("fleet", "rollout", edgeDocument, "--pause", "1s"); code != 0 {
		t.Errorf("rollout of what was adopted: %d %s%s", code, out, errs)
	}
	for i, name := range []string{"/usr/local/haproxy/etc/" + edgeDocument + ".cfg", haproxyConfig} {
		if file := edges[i].file(); !strings.HasSuffix(file, "# by hand\n") {
			t.Errorf("%s has %s", edges[i].host, file)
		}
		edges[i].put(map[string]string{name: "nonsense\n"})
		if code, out, errs := c.fairway("fleet", "drift", edgeDocument, "--restore", edges[i].host); code != 0 {
			t.Errorf("put back: %d %s%s", code, out, errs)
		}
		if file := edges[i].file(); !strings.HasSuffix(file, "# by hand\n") {
			t.Errorf("%s has %s", edges[i].host, file)
		}
	}
	if code, out, _ := c.fairway("fleet", "drift", edgeDocument); code != 0 {
		t.Errorf("drift after that: %d %s", code, out)
	}
}
