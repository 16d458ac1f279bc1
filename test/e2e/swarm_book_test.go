//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"fairway/internal/api"
	"fairway/internal/testkit"
	"fairway/internal/usage"
)

// TestSwarmBook goes through what people learn a Swarm with: a database that only
// its service reaches, a service that only the proxy reaches, five tasks that get
// their shares, and the life of services over the Remote API, all by commands of
// the program.
func TestSwarmBook(t *testing.T) {
	t.Parallel()
	s := startSwarm(t)
	s.overlay("proxy")
	s.overlay("go-demo")
	s.must("service", "create", "go-demo-db", lab.image, "--network", "go-demo", "--endpoint-mode", "dnsrr", "--settle", "0s",
		"--", "whoami", "--name", "db")
	s.proxy("proxy")
	s.answers("/demo/hello", http.StatusNotFound)
	s.must("service", "create", "go-demo", lab.image, "-e", "DB=go-demo-db", "--network", "go-demo", "--network", "proxy", "--endpoint-mode", "dnsrr",
		"--label", "fairway.path=/demo", "--label", "fairway.port=80", "--settle", "0s")
	t.Logf("/demo/hello answers %s after the service runs", s.answers("/demo/hello", http.StatusOK).Round(time.Millisecond))
	if status, _, _ := s.get("/hello"); status != http.StatusNotFound {
		t.Errorf("/hello answered with %d", status)
	}

	t.Run("the database is reached by its service alone", func(t *testing.T) {
		db := s.address(s.tasks("go-demo-db")[0], "go-demo") + ":80"
		if status, who, body := getWithin(t, s.inside("go-demo"), db, "/"); status != http.StatusOK || who != "db" {
			t.Errorf("from go-demo: status %d from %q: %s", status, who, body)
		}
		for name, pid := range map[string]int{"outside": s.pid, "the proxy": s.inside("proxy")} {
			if status, _, _ := getWithin(t, pid, db, "/"); status != 0 {
				t.Errorf("from %s: status %d", name, status)
			}
		}
	})

	t.Run("five tasks get their shares", func(t *testing.T) {
		s.must("service", "scale", "go-demo=5", "--settle", "1s")
		// A task runs before the table that has it is live.
		testkit.Eventually(t, "five requests go to five tasks", func() string {
			seen := map[string]bool{}
			for range 5 {
				_, who, _ := s.get("/demo/hello")
				seen[who] = true
			}
			if len(seen) != 5 {
				return fmt.Sprintf("%d tasks", len(seen))
			}
			return ""
		})
		counts := map[string]int{}
		for range 50 {
			status, who, body := s.get("/demo/hello")
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, body)
			}
			counts[who]++
		}
		for who, n := range counts {
			if n < 9 || n > 11 { // a server that joins late in the first round is one behind
				t.Errorf("%s answered %d of 50 requests", who, n)
			}
		}
		if len(counts) != 5 {
			t.Errorf("%d tasks answered: %v", len(counts), counts)
		}
	})

	t.Run("nodes and tasks can be looked at", func(t *testing.T) {
		nodes := ask[api.Node](s, "nodes")
		if len(nodes) != 1 || nodes[0].Role != "manager" || nodes[0].Availability != "active" || nodes[0].State != "ready" ||
			nodes[0].Engine == "" || nodes[0].Instances != 7 {
			t.Errorf("nodes %+v", nodes)
		}
		services := ask[api.Service](s, "services", "go-demo")
		if len(services) != 1 || services[0].ID != "go-demo@swarm" || len(services[0].Instances) != 5 {
			t.Fatalf("services %+v", services)
		}
		for _, i := range services[0].Instances {
			if i.State != "ready" || i.Node != nodes[0].ID || time.Since(i.Started) > 10*time.Minute {
				t.Errorf("instance %+v", i)
			}
		}
	})

	t.Run("every container has its stats", func(t *testing.T) {
		var report usage.Report
		if err := json.Unmarshal([]byte(s.must("stats", "-o", "json")), &report); err != nil {
			t.Fatal(err)
		}
		containers := map[string]int{}
		for _, service := range report.Services {
			containers[service.Service] = len(service.Containers)
			for _, c := range service.Containers {
				if c.CPUPercent == nil || c.MemoryUsed == 0 || c.MemoryLimit == 0 || c.NetworkReceived == 0 {
					t.Errorf("%s uses %+v", c.Name, c.Usage)
				}
			}
		}
		if containers["go-demo"] != 5 || containers["go-demo-db"] != 1 || containers["proxy"] != 1 || len(report.Unread) != 0 {
			t.Errorf("containers %v, unread %+v", containers, report.Unread)
		}
	})

	t.Run("a service is updated", func(t *testing.T) {
		s.must("service", "update", "go-demo", "--label-add", "fairway.path=/demo2", "--settle", "0s")
		s.answers("/demo2/hello", http.StatusOK)
		s.answers("/demo/hello", http.StatusNotFound)
		before := s.tasks("go-demo")
		s.must("service", "update", "go-demo", "--force", "--replicas", "2", "--update-order", "start-first", "--update-parallelism", "0", "--settle", "1s")
		for _, task := range s.tasks("go-demo") {
			for _, old := range before {
				if task.ID == old.ID {
					t.Errorf("task %s was not replaced", task.ID)
				}
			}
		}
		if n := len(s.tasks("go-demo")); n != 2 {
			t.Errorf("%d tasks", n)
		}
		s.answers("/demo2/hello", http.StatusOK)
	})

	t.Run("what cannot run is told", func(t *testing.T) {
		if out, code := s.fairway("service", "create", "never", "fairway-e2e-no-such-image:1", "--timeout", "3s"); code != 1 || !strings.Contains(out, "not converged") {
			t.Errorf("code %d: %s", code, out)
		}
		if _, code := s.fairway("service", "create", "go-demo", lab.image); code != 4 {
			t.Errorf("a name that is taken: code %d", code)
		}
		s.must("service", "rm", "never")
	})

	t.Run("changes at the same moment are all made", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if _, code := s.fairway("service", "update", "go-demo", "--label-add", fmt.Sprintf("example.l%d=x", i), "--detach"); code != 0 {
					t.Errorf("label %d: code %d", i, code)
				}
			})
		}
		wg.Wait()
		state, err := s.docker.ServiceInspect(t.Context(), "go-demo", client.ServiceInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if state.Service.Spec.Labels[fmt.Sprintf("example.l%d", i)] != "x" {
				t.Errorf("label %d is not there: %v", i, state.Service.Spec.Labels)
			}
		}
	})

	t.Run("a service is removed", func(t *testing.T) {
		s.must("service", "rm", "go-demo")
		s.answers("/demo2/hello", http.StatusNotFound)
		if _, code := s.fairway("service", "rm", "go-demo"); code != 1 {
			t.Errorf("removed twice: code %d", code)
		}
	})
}
