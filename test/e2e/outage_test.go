//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// source returns the one source of p.
func (p *proxy) source() api.Source {
	p.t.Helper()
	list, err := p.client().Sources(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if len(list.Items) != 1 {
		p.t.Fatalf("sources: %+v", list.Items)
	}
	return list.Items[0]
}

// stale waits until the source is known not to answer.
func (p *proxy) stale() time.Duration {
	p.t.Helper()
	return testkit.Eventually(p.t, "the source is stale", func() string {
		if s := p.source(); s.State != api.SourceStale {
			return s.State
		}
		return ""
	})
}

// TestEngineUnreachable takes the engine away, changes what runs on it, and
// brings it back: no route is lost meanwhile, and the table is current within two
// seconds.
func TestEngineUnreachable(t *testing.T) {
	needDocker(t)
	away := 10 * time.Second
	if testkit.Soaking() {
		away = time.Minute
	}
	f := startFaults(t, lab.socket)
	p := startProxy(t, proxyOptions{docker: f.url()}).synced()
	boxes := map[string]*box{}
	for i := range 4 {
		name := fmt.Sprintf("keep%d", i)
		boxes[name] = run(t, boxOptions{name: name, labels: map[string]string{"fairway.host": ownHost(name)}})
		p.answers(ownHost(name), "/", name)
	}
	routes := len(p.routes())
	load := startLoad(t, p.listen, ownHost("keep0"), 50)

	f.cut()
	t.Logf("cut noticed after %s", p.stale().Round(time.Millisecond))
	gone := time.Now()
	run(t, boxOptions{name: "fresh", labels: map[string]string{"fairway.host": ownHost("fresh")}})
	boxes["keep3"].remove()
	for time.Since(gone) < away {
		for i := range 3 {
			name := fmt.Sprintf("keep%d", i)
			if got := p.answeredBy(1, ownHost(name), "/"); got[name] != 1 {
				t.Fatalf("%s after %s without the engine: %v", name, time.Since(gone), got)
			}
		}
		if n := len(p.routes()); n != routes {
			t.Fatalf("%d routes after %s without the engine, want %d", n, time.Since(gone), routes)
		}
		time.Sleep(500 * time.Millisecond)
	}

	f.listen()
	back := time.Now()
	fresh := p.answers(ownHost("fresh"), "/", "fresh")
	testkit.Eventually(t, "the removed service is gone", func() string {
		if status, _, body := p.get(ownHost("keep3"), "/"); status != http.StatusNotFound {
			return fmt.Sprintf("status %d: %.100s", status, body)
		}
		return ""
	})
	current := time.Since(back)
	load.stop()
	t.Logf("engine away for %s; back: new container served after %s, everything current after %s", away, fresh.Round(time.Millisecond), current.Round(time.Millisecond))
	if s := p.source(); s.State != api.SourceCurrent {
		t.Errorf("source is %s", s.State)
	}
}

// TestEngineStuck lets the connection to the engine stand without a byte: that
// is noticed within 15 s, and nothing is lost.
func TestEngineStuck(t *testing.T) {
	needDocker(t)
	f := startFaults(t, lab.socket)
	p := startProxy(t, proxyOptions{docker: f.url()}).synced()
	run(t, boxOptions{name: "stuck", labels: map[string]string{"fairway.host": ownHost("stuck")}})
	p.answers(ownHost("stuck"), "/", "stuck")
	f.freeze()
	noticed := p.stale()
	t.Logf("an engine that accepts and says nothing is noticed after %s", noticed.Round(time.Millisecond))
	if got := p.answeredBy(5, ownHost("stuck"), "/"); got["stuck"] != 5 {
		t.Errorf("with a stuck engine: %v", got)
	}
	f.resume()
	t.Logf("synced again after %s", testkit.Eventually(t, "the source is synced again", func() string {
		if s := p.source(); s.State != api.SourceCurrent {
			return s.State + " " + s.Error
		}
		return ""
	}).Round(time.Millisecond))
}

// TestDaemonFrozen does the same to a real daemon, one of its own, by SIGSTOP.
func TestDaemonFrozen(t *testing.T) {
	needDocker(t)
	socket, daemon := startDaemon(t)
	docker, err := client.New(client.WithHost("unix://" + socket))
	if err != nil {
		t.Fatal(err)
	}
	if err := importImage(t.Context(), docker, lab.image); err != nil {
		t.Fatal(err)
	}
	// The daemon has no bridge: its containers use the machine's network.
	_, port, _ := strings.Cut(freePort(t), ":")
	run(t, boxOptions{
		name: "frozen", network: "host", docker: docker,
		labels: map[string]string{"fairway.host": ownHost("frozen"), "fairway.port": port},
		args:   []string{"whoami", "--name=frozen", "--listen=127.0.0.1:" + port},
	})
	p := startProxy(t, proxyOptions{docker: "unix://" + socket}).synced()
	p.answers(ownHost("frozen"), "/", "frozen")
	load := startLoad(t, p.listen, ownHost("frozen"), 50)

	if err := daemon.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Signal(syscall.SIGCONT) }) // or the container could not be removed
	noticed := p.stale()
	t.Logf("SIGSTOP noticed after %s", noticed.Round(time.Millisecond))
	if err := daemon.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the source is synced again", func() string {
		if s := p.source(); s.State != api.SourceCurrent {
			return s.State + " " + s.Error
		}
		return ""
	})
	load.stop()
}

// startDaemon starts a dockerd that shares nothing with the lab's.
func startDaemon(t *testing.T) (socket string, daemon *os.Process) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a daemon of the test's own needs root")
	}
	path, err := exec.LookPath("dockerd")
	if err != nil {
		t.Skip("no dockerd to start: ", err)
	}
	dir, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "docker.sock")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path,
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"--host", "unix://"+socket, "--containerd-namespace", mark, "--containerd-plugins-namespace", mark+"-plugins",
		// The machine's bridge, left as it is: with none the daemon would remove it.
		"--bridge=docker0", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("log of dockerd:\n%s", last(text, 4000))
		}
		endDaemon(dir) // what it has left mounted
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("left behind: %v", err)
		}
	})
	docker, err := client.New(client.WithHost("unix://" + socket))
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "a daemon of the test's own answers", func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := docker.Ping(ctx, client.PingOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	return socket, cmd.Process
}

// TestRestartWithoutEngine restarts Fairway while the engine is down: the last
// good table serves within a second.
func TestRestartWithoutEngine(t *testing.T) {
	needDocker(t)
	f := startFaults(t, lab.socket)
	first := startProxy(t, proxyOptions{docker: f.url()}).synced()
	for i := range 3 {
		name := fmt.Sprintf("warm%d", i)
		run(t, boxOptions{name: name, labels: map[string]string{"fairway.host": ownHost(name)}})
		first.answers(ownHost(name), "/", name)
	}
	first.stop()
	f.cut()
	p := startProxy(t, proxyOptions{docker: f.url(), state: first.state})
	for i := range 3 {
		name := fmt.Sprintf("warm%d", i)
		p.answers(ownHost(name), "/", name)
	}
	served := time.Since(p.started)
	t.Logf("restarted with the engine down: served after %s", served.Round(time.Millisecond))
	// HAProxy may have served before Fairway itself was up.
	testkit.Eventually(t, "/ready says "+api.StateRestored, func() string {
		r, err := p.client().Ready(t.Context())
		if err != nil {
			return err.Error()
		}
		if r.State != api.StateRestored {
			return r.State
		}
		return ""
	})
	f.listen()
	p.synced()
	if got := p.answeredBy(3, ownHost("warm0"), "/"); got["warm0"] != 3 {
		t.Errorf("after the engine is back: %v", got)
	}
}
