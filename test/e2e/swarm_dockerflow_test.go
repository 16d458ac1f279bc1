//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSwarmDockerFlowByHand is the chapter in which the proxy is told by hand: it has no
// socket, one call makes it route, and one makes it stop.
func TestSwarmDockerFlowByHand(t *testing.T) {
	t.Parallel()
	s := startSwarm(t)
	s.overlay("proxy")
	s.must("service", "create", "proxy", lab.image, "--network", "proxy", "--endpoint-mode", "dnsrr", "-e", "MODE=swarm",
		"--publish", "mode=host,target=80,published=80", "--publish", "mode=host,target=8080,published=8080", "--settle", "1s",
		"--", "run", "--listen", ":80", "--dockerflow.proxy.listen", ":8080", "--admin.listen", "127.0.0.1:8081", "--state-dir", "/state")
	s.must("service", "create", "go-demo", lab.image, "--network", "proxy", "--endpoint-mode", "dnsrr", "--replicas", "2", "--settle", "0s")

	const api = "127.0.0.1:8080"
	status, _, body := getWithin(t, s.pid, api, "/v1/docker-flow-proxy/reconfigure?serviceName=go-demo&servicePath=/demo&port=80")
	var answer struct {
		Status, ServiceName string
		ServiceDest         []struct {
			Port        string
			ServicePath []string
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || answer.Status != "OK" ||
		answer.ServiceName != "go-demo" || len(answer.ServiceDest) != 1 || answer.ServiceDest[0].Port != "80" || answer.ServiceDest[0].ServicePath[0] != "/demo" {
		t.Fatalf("reconfigure: status %d, %v: %s", status, err, body)
	}
	s.answers("/demo/hello", http.StatusOK)
	if status, _, body := getWithin(t, s.pid, api, "/v1/docker-flow-proxy/config"); status != http.StatusOK || !strings.Contains(body, "go-demo") {
		t.Errorf("config: status %d: %.500s", status, body)
	}
	if status, _, body := getWithin(t, s.pid, api, "/v1/docker-flow-proxy/remove?serviceName=go-demo"); status != http.StatusOK {
		t.Errorf("remove: status %d: %s", status, body)
	}
	s.answers("/demo/hello", http.StatusNotFound)
}

// TestSwarmDockerFlowListener is the chapter in which the listener tells the proxy: one
// Fairway in place of each, which know nothing of each other but the old calls.
func TestSwarmDockerFlowListener(t *testing.T) {
	t.Parallel()
	s := startSwarm(t)
	s.overlay("proxy")
	s.overlay("go-demo")
	s.must("service", "create", "swarm-listener", lab.image, "--network", "proxy", "--endpoint-mode", "dnsrr", "--settle", "0s",
		"--mount", "type=bind,source="+s.socket+",target=/var/run/docker.sock,readonly", "--constraint", "node.role==manager",
		"-e", "DF_NOTIFY_CREATE_SERVICE_URL=http://proxy:8080/v1/docker-flow-proxy/reconfigure",
		"-e", "DF_NOTIFY_REMOVE_SERVICE_URL=http://proxy:8080/v1/docker-flow-proxy/remove",
		"--", "run", "--swarm", "--dockerflow.listener.listen", ":8080", "--admin.listen", "127.0.0.1:8081", "--state-dir", "/state")
	s.must("service", "create", "proxy", lab.image, "--network", "proxy", "--endpoint-mode", "dnsrr", "--settle", "1s",
		"-e", "MODE=swarm", "-e", "LISTENER_ADDRESS=swarm-listener", "--publish", "mode=host,target=80,published=80",
		"--", "run", "--listen", ":80", "--dockerflow.proxy.listen", ":8080", "--admin.listen", "127.0.0.1:8081", "--state-dir", "/state")
	s.must("service", "create", "go-demo-db", lab.image, "--network", "go-demo", "--endpoint-mode", "dnsrr", "--settle", "0s")
	s.must("service", "create", "go-demo", lab.image, "-e", "DB=go-demo-db", "--network", "go-demo", "--network", "proxy", "--endpoint-mode", "dnsrr",
		"--label", "com.df.notify=true", "--label", "com.df.distribute=true", "--label", "com.df.servicePath=/demo", "--label", "com.df.port=80",
		"--settle", "0s")
	took := s.answers("/demo/hello", http.StatusOK)
	t.Logf("told and served after %s", took.Round(100*time.Millisecond))
	s.must("service", "rm", "go-demo")
	took = s.answers("/demo/hello", http.StatusNotFound)
	t.Logf("removed after %s", took.Round(100*time.Millisecond))
}

// TestSwarmDockerFlowLabels is the same chapter with one Fairway that reads the labels
// from the Swarm itself.
func TestSwarmDockerFlowLabels(t *testing.T) {
	t.Parallel()
	s := startSwarm(t)
	s.overlay("proxy")
	s.proxy("proxy", "--dockerflow.labels")
	s.must("service", "create", "go-demo", lab.image, "--network", "proxy", "--endpoint-mode", "dnsrr",
		"--label", "com.df.notify=true", "--label", "com.df.distribute=true", "--label", "com.df.servicePath=/demo", "--label", "com.df.port=80",
		"--settle", "0s")
	s.answers("/demo/hello", http.StatusOK)
	s.must("service", "scale", "go-demo=3", "--settle", "1s")
	counts := map[string]int{}
	for range 30 {
		_, who, _ := s.get("/demo/hello")
		counts[who]++
	}
	if len(counts) != 3 {
		t.Errorf("answered by %v", counts)
	}
	s.must("service", "rm", "go-demo")
	s.answers("/demo/hello", http.StatusNotFound)
}
