//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"fairway/internal/testkit"
)

// TestHealthcheckGates pins that a container with a HEALTHCHECK gets requests
// only while it is healthy.
func TestHealthcheckGates(t *testing.T) {
	needDocker(t)
	host := ownHost("health")
	p := startProxy(t, proxyOptions{}).synced()
	labels := map[string]string{"fairway.host": host, "fairway.service": own("e2e-health")}
	health := &container.HealthConfig{
		Test: []string{"CMD", "/fairway", "whoami", "--check"}, Interval: 500 * time.Millisecond, Timeout: 2 * time.Second, Retries: 1,
	}
	run(t, boxOptions{name: "plain", labels: labels})
	p.answers(host, "/", "plain")
	sick := run(t, boxOptions{name: "sick", labels: labels, health: health})
	for {
		got := p.answeredBy(10, host, "/")
		if s := sick.inspect().State.Health.Status; s == container.Healthy {
			break
		} else if got["sick"] > 0 {
			t.Fatalf("it gets requests while its health is %q: %v", s, got)
		}
	}
	p.answers(host, "/", "sick")

	direct := sick.address(lab.network).String() + ":80"
	setHealth := func(status int) {
		t.Helper()
		res, err := http.Post(fmt.Sprintf("http://%s/health?status=%d", direct, status), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	setHealth(http.StatusServiceUnavailable)
	testkit.Eventually(t, "the unhealthy instance is left out", func() string {
		if got := p.answeredBy(10, host, "/"); got["plain"] != 10 {
			return fmt.Sprint(got)
		}
		return ""
	})
	if s := sick.inspect().State.Health.Status; s != container.Unhealthy {
		t.Errorf("it is left out while its health is %q", s)
	}
	setHealth(http.StatusOK)
	p.answers(host, "/", "sick")
}

// TestNetworkConnectAndDisconnect pins that an address that comes later is used,
// and that one which goes is not.
func TestNetworkConnectAndDisconnect(t *testing.T) {
	needDocker(t)
	host := ownHost("network")
	p := startProxy(t, proxyOptions{}).synced()
	late := newNetwork(t, "late")
	b := run(t, boxOptions{name: "moving", labels: map[string]string{"fairway.host": host, "fairway.network": late}})
	testkit.Eventually(t, "a problem names the network that is missing", func() string {
		for _, x := range p.problems() {
			if strings.Contains(x.Text+x.Hint, late) {
				return ""
			}
		}
		return fmt.Sprintf("%+v", p.problems())
	})
	if status, _, _ := p.get(host, "/"); status == http.StatusOK {
		t.Error("served without the network it asks for")
	}
	connect(t, late, b)
	t.Logf("served %s after network connect", p.answers(host, "/", "moving").Round(time.Millisecond))
	if n := p.problems(); len(n) > 0 {
		t.Errorf("problems: %+v", n)
	}
	disconnect(t, late, b)
	testkit.Eventually(t, "not served without the network", func() string {
		// A request that is sent before Fairway knows goes to where nobody is any
		// more, and may wait there for long.
		if status, _, body := get(t, p.listen, host, "/", time.Second); status != http.StatusServiceUnavailable {
			return fmt.Sprintf("status %d: %.100s", status, body)
		}
		return ""
	})
}

// TestPauseLeavesRotation pins that a frozen container gets nothing new.
func TestPauseLeavesRotation(t *testing.T) {
	needDocker(t)
	host := ownHost("pause")
	p := startProxy(t, proxyOptions{}).synced()
	labels := map[string]string{"fairway.host": host, "fairway.service": own("e2e-pause")}
	run(t, boxOptions{name: "awake", labels: labels})
	p.answers(host, "/", "awake")
	b := run(t, boxOptions{name: "asleep", labels: labels})
	p.answers(host, "/", "asleep")
	if _, err := lab.docker.ContainerPause(t.Context(), b.id, client.ContainerPauseOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if got := p.answeredBy(20, host, "/"); got["awake"] != 20 {
		t.Errorf("while one is paused: %v", got)
	}
	if _, err := lab.docker.ContainerUnpause(t.Context(), b.id, client.ContainerUnpauseOptions{}); err != nil {
		t.Fatal(err)
	}
	p.answers(host, "/", "asleep")
}

// TestComposeGroups pins that containers of one Compose service are one service.
func TestComposeGroups(t *testing.T) {
	needDocker(t)
	host := ownHost("compose")
	p := startProxy(t, proxyOptions{}).synced()
	for n := 1; n <= 2; n++ {
		name := fmt.Sprintf("web%d", n)
		run(t, boxOptions{name: name, labels: map[string]string{
			"fairway.host": host, "com.docker.compose.project": own("e2e"), "com.docker.compose.service": "web",
			"com.docker.compose.container-number": fmt.Sprint(n),
		}})
		p.answers(host, "/", name)
	}
	if got := p.answeredBy(20, host, "/"); got["web1"] != 10 || got["web2"] != 10 {
		t.Errorf("20 requests are answered by %v", got)
	}
	routes := p.routes()
	if routes[own("e2e")+"-web@docker"] == nil {
		t.Errorf("no route of the Compose service in %v", keys(routes))
	}
	if n := p.problems(); len(n) > 0 {
		t.Errorf("problems: %+v", n)
	}
}

// TestFairwayInContainer runs Fairway itself as a container on a network that it
// shares with the service.
func TestFairwayInContainer(t *testing.T) {
	needDocker(t)
	host := ownHost("inside")
	shared, other := newNetwork(t, "shared"), newNetwork(t, "other")
	proxy := run(t, boxOptions{
		name: "fairway", network: shared, binds: []string{lab.socket + ":/var/run/docker.sock"},
		args: []string{"run", "--listen", ":80", "--admin.listen", "off", "--state-dir", "/state"},
	})
	run(t, boxOptions{name: "near", network: shared, labels: map[string]string{"fairway.host": host}})
	run(t, boxOptions{name: "far", network: other, labels: map[string]string{"fairway.host": ownHost("far")}})
	address := proxy.address(shared).String() + ":80"
	testkit.Eventually(t, "served over the shared network", func() string {
		status, who, body := get(t, address, host, "/", requestTimeout)
		if status == http.StatusOK && who == "near" {
			return ""
		}
		return fmt.Sprintf("status %d from %q: %.200s", status, who, body)
	})
	testkit.Eventually(t, "a service on a network that is not shared is known and not reached", func() string {
		if status, _, body := get(t, address, ownHost("far"), "/", requestTimeout); status != http.StatusServiceUnavailable {
			return fmt.Sprintf("status %d: %.100s", status, body)
		}
		return ""
	})
}

// TestRenameAndScaleToNothing pins that a route outlives its instances: 503 with
// Retry-After while the service exists, 404 when it does not.
func TestRenameAndScaleToNothing(t *testing.T) {
	needDocker(t)
	host := ownHost("nothing")
	p := startProxy(t, proxyOptions{}).synced()
	b := run(t, boxOptions{name: "only", labels: map[string]string{"fairway.host": host}})
	p.answers(host, "/", "only")
	if _, err := lab.docker.ContainerRename(t.Context(), b.id, client.ContainerRenameOptions{NewName: b.name + "-renamed"}); err != nil {
		t.Fatal(err)
	}
	p.answers(host, "/", "only")
	b.stop()
	testkit.Eventually(t, "503 while the container is stopped", func() string {
		if status, _, body := p.get(host, "/"); status != http.StatusServiceUnavailable {
			return fmt.Sprintf("status %d: %.100s", status, body)
		}
		return ""
	})
	b.remove()
	testkit.Eventually(t, "404 when it is removed", func() string {
		if status, _, body := p.get(host, "/"); status != http.StatusNotFound {
			return fmt.Sprintf("status %d: %.100s", status, body)
		}
		return ""
	})
}
