//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"fairway/internal/testkit"
)

// TestLabelToFirstAnswer measures how long it takes from a container that runs,
// with nothing but one label, to the first 200 through Fairway. The figures are
// logged; the only thing asserted about time is that it works at all.
//
// Two clocks are read: the engine's StartedAt, which is before the program in
// the container listens, and the return of the start call, which is what
// somebody at a terminal sees.
func TestLabelToFirstAnswer(t *testing.T) {
	needDocker(t)
	p := startProxy(t, proxyOptions{}).synced()
	var sinceStarted, sinceReturned []time.Duration
	runs := 10
	if testkit.Soaking() {
		runs = 50
	}
	for i := range runs {
		host, name := ownHost(fmt.Sprintf("a%d", i)), fmt.Sprintf("a%d", i)
		b := create(t, boxOptions{name: name, labels: map[string]string{"fairway.host": host}})
		b.start()
		returned := time.Now()
		for {
			status, who, body := p.get(host, "/")
			if status == http.StatusOK && who == name {
				break
			}
			if time.Since(returned) > testkit.Patience {
				t.Fatalf("%s: status %d from %q: %s", host, status, who, body)
			}
			time.Sleep(time.Millisecond)
		}
		now := time.Now()
		started, err := time.Parse(time.RFC3339Nano, b.inspect().State.StartedAt)
		if err != nil {
			t.Fatal(err)
		}
		sinceStarted = append(sinceStarted, now.Sub(started))
		sinceReturned = append(sinceReturned, max(0, now.Sub(returned)))
		b.remove()
	}
	t.Logf("first 200, %d runs, since the engine's StartedAt:      %s", len(sinceStarted), quantiles(sinceStarted))
	t.Logf("first 200, %d runs, since the start call has returned: %s", len(sinceReturned), quantiles(sinceReturned))
	t.Log("target: p50 at most 100ms, p99 at most 250ms")
}

// patient are the arguments of an application under load.
func patient(name string) []string {
	return []string{"whoami", "--name=" + name, "--lame-duck=" + lameDuck}
}

// TestStopUnderLoad stops and starts the instances of a service one after the
// other while requests run; no request may fail.
func TestStopUnderLoad(t *testing.T) {
	needDocker(t)
	cycles := 6 // each instance twice
	if testkit.Soaking() {
		cycles = 50
	}
	host := ownHost("stop")
	p := startProxy(t, proxyOptions{}).synced()
	labels := map[string]string{"fairway.host": host, "fairway.service": own("e2e-stop")}
	var boxes []*box
	for i := range 3 {
		name := fmt.Sprintf("stop%d", i)
		boxes = append(boxes, run(t, boxOptions{name: name, labels: labels, args: patient(name)}))
		p.answers(host, "/", name)
	}
	load := startLoad(t, p.listen, host, 200)
	var back []time.Duration
	for cycle := range cycles {
		i := cycle % len(boxes)
		boxes[i].stop()
		boxes[i].start()
		back = append(back, p.answers(host, "/", fmt.Sprintf("stop%d", i)))
		if _, failed := load.sum(); failed > 0 {
			t.Errorf("a request has failed by cycle %d", cycle)
			break
		}
	}
	load.stop()
	t.Logf("%d stop/start cycles, 3 instances, 200 requests/s; back in rotation: %s", cycles, quantiles(back))
}

// TestRemoveUnderLoad replaces every container of a service by a new one, as a
// deployment does: start the new one, stop and remove the old one.
func TestRemoveUnderLoad(t *testing.T) {
	needDocker(t)
	rounds := 4
	if testkit.Soaking() {
		rounds = 30
	}
	host := ownHost("deploy")
	p := startProxy(t, proxyOptions{}).synced()
	labels := map[string]string{"fairway.host": host, "fairway.service": own("e2e-deploy")}
	current := run(t, boxOptions{name: "v0", labels: labels, args: patient("v0")})
	p.answers(host, "/", "v0")
	load := startLoad(t, p.listen, host, 200)
	for round := range rounds {
		name := fmt.Sprintf("v%d", round+1)
		next := run(t, boxOptions{name: name, labels: labels, args: patient(name)})
		p.answers(host, "/", name)
		current.stop()
		current.remove()
		current = next
	}
	load.stop()
}

// TestKillIsSurvived kills an instance without any warning. What it was busy
// with is lost, but whatever was not yet sent to it goes elsewhere, and after a
// moment nobody notices any more.
func TestKillIsSurvived(t *testing.T) {
	needDocker(t)
	host := ownHost("kill")
	p := startProxy(t, proxyOptions{}).synced()
	labels := map[string]string{"fairway.host": host, "fairway.service": own("e2e-kill")}
	var boxes []*box
	for i := range 3 {
		name := fmt.Sprintf("kill%d", i)
		boxes = append(boxes, run(t, boxOptions{name: name, labels: labels, args: patient(name)}))
		p.answers(host, "/", name)
	}
	if _, err := lab.docker.ContainerKill(t.Context(), boxes[0].id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	load := startLoad(t, p.listen, host, 200)
	time.Sleep(2 * time.Second)
	load.stop()
	if n := load.answered["kill0"]; n > 0 {
		t.Errorf("%d answers from a container that is dead", n)
	}
}
