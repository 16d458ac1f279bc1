//go:build e2e

package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"fairway/internal/api"
)

// TestSwarmWithoutSocket runs Fairway as deploy/swarm.yml does: it has no socket and
// asks the managers over the network, of which the first one is gone. That it is a
// task itself, and which networks it is on, it learns from them.
func TestSwarmWithoutSocket(t *testing.T) {
	t.Parallel()
	s := startSwarm(t)
	s.overlay("proxy")
	s.overlay("other")
	// The way from containers to their node is there once there are any.
	s.must("service", "create", "go-demo", lab.image, "--network", "other", "--network", "proxy", "--replicas", "2",
		"--label", "fairway.path=/demo", "--label", "fairway.port=80", "--settle", "0s")
	bridge, err := s.docker.NetworkInspect(t.Context(), "docker_gwbridge", client.NetworkInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node := bridge.Network.IPAM.Config[0].Gateway.String()
	s.must("service", "create", "proxy", lab.image, "--network", "proxy", "--endpoint-mode", "dnsrr", "--mode", "global",
		"--publish", "mode=host,target=80,published=80", "--settle", "1s",
		"--", "run", "--swarm", "tcp://"+node+":1", "--swarm", "tcp://"+node+":2375", "--docker-insecure", "--listen", ":80", "--state-dir", "/state")
	took := s.answers("/demo/hello", http.StatusOK)
	t.Logf("served after %s", took.Round(time.Millisecond))
	for _, i := range ask[api.Service](s, "services", "go-demo")[0].Instances {
		for _, a := range i.Addresses {
			if reachable := a.Reach != "none"; reachable != (a.Network == "proxy") {
				t.Errorf("%s: %+v", i.Name, a)
			}
		}
	}
	if problems := ask[api.Problem](s, "problems"); len(problems) != 0 {
		t.Errorf("problems %+v", problems)
	}
}
