//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"fairway/internal/testkit"
)

// swarmLab is a Swarm of one node: a dockerd of the test's own in a network
// namespace of its own, so that the machine's networks stay as they are.
type swarmLab struct {
	t      *testing.T
	socket string
	docker *client.Client
	pid    int // of the daemon; its network namespace is the node's
}

// startSwarm starts a Swarm with lab.image in it. It ends with the test.
func startSwarm(t *testing.T) *swarmLab {
	t.Helper()
	needDocker(t)
	if os.Geteuid() != 0 {
		t.Skip("a Swarm of the test's own needs root")
	}
	for _, program := range []string{"dockerd", "ip", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("no Swarm to start: ", err)
		}
	}
	dir, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	s := &swarmLab{t: t, socket: filepath.Join(dir, "docker.sock")}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("sh", "-c", `ip link set lo up && exec dockerd "$@"`, "sh",
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		// Also for the containers of its own network, and for nobody else.
		"--host", "unix://"+s.socket, "--host", "tcp://0.0.0.0:2375", "--tls=false")
	// Images are there already; without this each task would try to pull first.
	cmd.Env = append(os.Environ(), "DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1")
	cmd.Stdout, cmd.Stderr = log, log
	// Unshare, not clone: then mounts do not spread to the machine either.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		s.empty()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("log of dockerd:\n%s", last(text, 4000))
		}
		endDaemon(dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("left behind: %v", err)
		}
	})
	if s.docker, err = client.New(client.WithHost("unix://" + s.socket)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the daemon answers", func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.docker.Ping(ctx, client.PingOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	if _, err := s.docker.SwarmInit(t.Context(), client.SwarmInitOptions{ListenAddr: "127.0.0.1:2377", AdvertiseAddr: "127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	if err := importImage(t.Context(), s.docker, lab.image); err != nil {
		t.Fatal(err)
	}
	return s
}

// empty removes all services, so that the daemon leaves no containers running.
func (s *swarmLab) empty() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	services, err := s.docker.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return
	}
	for _, service := range services.Items {
		_, _ = s.docker.ServiceRemove(ctx, service.ID, client.ServiceRemoveOptions{})
	}
	for ctx.Err() == nil {
		list, err := s.docker.ContainerList(ctx, client.ContainerListOptions{})
		if err != nil || len(list.Items) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// overlay makes an overlay network, as `docker network create -d overlay` does.
func (s *swarmLab) overlay(name string) {
	s.t.Helper()
	if _, err := s.docker.NetworkCreate(s.t.Context(), name, client.NetworkCreateOptions{Driver: "overlay"}); err != nil {
		s.t.Fatal(err)
	}
}

// fairway runs a command of the program against the Swarm and returns what it
// prints and its exit code.
func (s *swarmLab) fairway(args ...string) (out string, code int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), lab.binary, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+s.socket, "FAIRWAY_SWARM=local")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	s.t.Logf("fairway %s: %d\n%s%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), last(stdout.Bytes(), 2000), stderr.String())
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// must is fairway for what must work.
func (s *swarmLab) must(args ...string) string {
	s.t.Helper()
	out, code := s.fairway(args...)
	if code != 0 {
		s.t.Fatalf("fairway %s: exit code %d", strings.Join(args, " "), code)
	}
	return out
}

// proxy starts Fairway as a service on the network, with port 80 of the node, and
// waits until it answers: a task runs before it listens.
func (s *swarmLab) proxy(network string, args ...string) {
	s.t.Helper()
	s.must(append([]string{
		"service", "create", "proxy", lab.image, "--network", network, "--endpoint-mode", "dnsrr",
		"--publish", "mode=host,target=80,published=80",
		"--mount", "type=bind,source=" + s.socket + ",target=/var/run/docker.sock,readonly", "--settle", "1s",
		"--", "run", "--swarm", "--listen", ":80", "--state-dir", "/state",
	}, args...)...)
	testkit.Eventually(s.t, "the proxy answers", func() string {
		conn, err := within(s.inside("proxy"))(s.t.Context(), "tcp", "127.0.0.1:8080")
		if err != nil {
			return err.Error()
		}
		_ = conn.Close()
		return ""
	})
}

// tasks returns the tasks of a service that run and shall.
func (s *swarmLab) tasks(service string) []swarm.Task {
	s.t.Helper()
	list, err := s.docker.TaskList(s.t.Context(), client.TaskListOptions{
		Filters: make(client.Filters).Add("service", service).Add("desired-state", "running"),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var running []swarm.Task
	for _, task := range list.Items {
		if task.Status.State == swarm.TaskStateRunning {
			running = append(running, task)
		}
	}
	return running
}

// address returns a task's address on a network.
func (s *swarmLab) address(task swarm.Task, network string) string {
	s.t.Helper()
	for _, a := range task.NetworksAttachments {
		if a.Network.Spec.Name == network && len(a.Addresses) > 0 {
			return a.Addresses[0].Addr().String()
		}
	}
	s.t.Fatalf("task %s has no address on %s", task.ID, network)
	return ""
}

// inside returns the process of a service's only task, for its network namespace.
func (s *swarmLab) inside(service string) int {
	s.t.Helper()
	tasks := s.tasks(service)
	if len(tasks) != 1 || tasks[0].Status.ContainerStatus == nil {
		s.t.Fatalf("%s has %d tasks", service, len(tasks))
	}
	return tasks[0].Status.ContainerStatus.PID
}

// within returns a way to make connections from the network namespace of a
// process.
func within(pid int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		type dialled struct {
			conn net.Conn
			err  error
		}
		done := make(chan dialled, 1)
		go func() {
			runtime.LockOSThread() // for good: the thread ends with the goroutine
			conn, err := func() (net.Conn, error) {
				ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
				if err != nil {
					return nil, err
				}
				defer ns.Close()
				if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
					return nil, fmt.Errorf("setns: %w", err)
				}
				return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, address)
			}()
			done <- dialled{conn, err}
		}()
		d := <-done
		return d.conn, d.err
	}
}

// get makes one request to the node on a connection of its own, from outside.
func (s *swarmLab) get(path string) (status int, who, body string) {
	s.t.Helper()
	return getWithin(s.t, s.pid, "127.0.0.1:80", path)
}

func getWithin(t *testing.T, pid int, address, path string) (status int, who, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: within(pid)}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return 0, "", err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, "", err.Error()
	}
	return res.StatusCode, res.Header.Get("Whoami"), string(text)
}

// answers waits until a path is answered with a status.
func (s *swarmLab) answers(path string, status int) time.Duration {
	s.t.Helper()
	return testkit.Eventually(s.t, fmt.Sprintf("%s answered with %d", path, status), func() string {
		got, _, body := s.get(path)
		if got == status {
			return ""
		}
		return fmt.Sprintf("status %d: %.200s", got, body)
	})
}

// ask runs a command against the Fairway that is the service proxy, and decodes
// the items it prints.
func ask[Item any](s *swarmLab, args ...string) []Item {
	s.t.Helper()
	enter := append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", s.inside("proxy")), lab.binary}, args...)
	cmd := exec.CommandContext(s.t.Context(), "nsenter", append(enter, "-o", "json", "--admin", "http://127.0.0.1:8080")...)
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		s.t.Fatalf("fairway %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	var list struct{ Items []Item }
	if err := json.Unmarshal(out, &list); err != nil {
		s.t.Fatalf("fairway %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return list.Items
}
