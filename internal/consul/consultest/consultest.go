// Package consultest starts real Consul agents for tests. scripts/lab.sh builds the program;
// a test that needs it is skipped where it is missing.
package consultest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// Program is the path of Consul, or skips the test.
func Program(t testing.TB) string {
	t.Helper()
	lab := os.Getenv("FAIRWAY_LAB")
	if cache, err := os.UserCacheDir(); lab == "" && err == nil {
		lab = filepath.Join(cache, "fairway-lab")
	}
	program := filepath.Join(lab, "consul")
	if _, err := os.Stat(program); err != nil {
		t.Skip("Consul is missing; `make lab` builds it")
	}
	return program
}

// Agent is a running agent.
type Agent struct {
	// Address is that of its API, HOST:PORT.
	Address string

	name string
	serf string
	cmd  *exec.Cmd
	done chan struct{}
	once sync.Once
}

// Start starts an agent that is a server of its own, and waits for its leader. Sessions may
// be as short as a moment.
func Start(t testing.TB) *Agent {
	t.Helper()
	a := start(t, "dev", nil, "-dev")
	a.AwaitLeader(t)
	return a
}

// Servers starts n servers that elect a leader, and waits for it.
func Servers(t testing.TB, n int) []*Agent {
	t.Helper()
	var all []*Agent
	for i := range n {
		var join []string
		for _, a := range all {
			join = append(join, "-retry-join", a.serf)
		}
		all = append(all, start(t, fmt.Sprintf("s%d", i), join, "-server", "-bootstrap-expect", fmt.Sprint(n), "-data-dir", t.TempDir()))
	}
	all[0].AwaitLeader(t)
	return all
}

func start(t testing.TB, name string, join []string, mode ...string) *Agent {
	t.Helper()
	program := Program(t)
	api, serf := testkit.FreePort(t), testkit.FreePort(t)
	a := &Agent{name: name, Address: "127.0.0.1:" + api, serf: "127.0.0.1:" + serf, done: make(chan struct{})}
	a.cmd = exec.Command(program, append(append([]string{
		"agent", "-node", name, "-bind", "127.0.0.1", "-client", "127.0.0.1",
		"-http-port", api, "-serf-lan-port", serf, "-serf-wan-port", testkit.FreePort(t), "-server-port", testkit.FreePort(t),
		"-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1", "-retry-interval", "200ms",
		"-hcl", `session_ttl_min = "100ms" performance { raft_multiplier = 1 } disable_update_check = true log_level = "warn"`,
	}, mode...), join...)...)
	var log bytes.Buffer
	a.cmd.Stdout, a.cmd.Stderr = &log, &log
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(a.done)
		_ = a.cmd.Wait()
	}()
	t.Cleanup(func() {
		a.Kill()
		if t.Failed() {
			t.Logf("consul %s: %s", name, log.Bytes()[max(0, log.Len()-4096):])
		}
	})
	return a
}

// Kill ends the agent as a power cut does, and waits until it is gone.
func (a *Agent) Kill() {
	a.once.Do(func() { _ = a.cmd.Process.Kill() })
	<-a.done
}

// Leader asks for the address of the leader's servers; empty for none.
func (a *Agent) Leader() string {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + a.Address + "/v1/status/leader")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var leader string
	_ = json.NewDecoder(resp.Body).Decode(&leader)
	return leader
}

// IsLeader reports whether the agent is the leader.
func (a *Agent) IsLeader() bool {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + a.Address + "/v1/agent/self")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var self struct {
		Stats struct {
			Consul struct {
				Leader string `json:"leader"`
			} `json:"consul"`
		}
	}
	_ = json.NewDecoder(resp.Body).Decode(&self)
	return self.Stats.Consul.Leader == "true"
}

// registered reports whether the catalog has the agent, without which it opens no session.
func (a *Agent) registered() bool {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + a.Address + "/v1/catalog/node/" + a.name)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var node struct{ Node *struct{ Node string } }
	_ = json.NewDecoder(resp.Body).Decode(&node)
	return node.Node != nil
}

// AwaitLeader waits until the agent knows a leader, which knows the agent.
func (a *Agent) AwaitLeader(t testing.TB) {
	t.Helper()
	testkit.Within(t, time.Minute, "a leader of Consul", func() bool { return a.Leader() != "" && a.registered() })
}
