//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"fairway/internal/testkit"
)

// project is a Compose project with one service that ends at once on its signal.
type project struct {
	t    *testing.T
	p    *proxy
	name string
	file string
	host string
}

func newProject(t *testing.T, p *proxy, name string) *project {
	d := &project{t: t, p: p, name: own(name), host: ownHost(name), file: filepath.Join(t.TempDir(), "compose.yml")}
	t.Cleanup(func() {
		out, err := exec.Command(lab.binary, "service", "rm", d.name+"/web", "--docker", "unix://"+lab.socket, "--fairway", "none", "--take-over").CombinedOutput()
		if err != nil {
			t.Logf("service rm: %v\n%s", err, out)
		}
	})
	return d
}

// write writes the file: slots instances of a version, whose check asks for check.
func (d *project) write(slots, version int, check string, more string) {
	d.t.Helper()
	text := fmt.Sprintf(`
name: %s
services:
  web:
    image: %s
    pull_policy: never
    command: [whoami, --name=v%d]
    stop_signal: SIGKILL  # it ends at once
    labels: {fairway.host: %s, %s: "%d"}
    healthcheck: {test: [CMD, /fairway, %s], interval: 500ms, timeout: 20s, retries: 3, start_period: 1s}
    deploy: {replicas: %d}
    networks: [lab]
%s
networks: {lab: {external: true, name: %s}}
`, d.name, lab.image, version, d.host, mark, os.Getpid(), check, slots, more, lab.network)
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

const healthy = "whoami, --check"

func (d *project) args(args ...string) *exec.Cmd {
	args = append(args, "--docker", "unix://"+lab.socket, "--fairway", "http://"+d.p.admin, "--drain-timeout", "10s")
	cmd := exec.Command(lab.binary, args...)
	cmd.Env = append(os.Environ(), "FAIRWAY_ADMIN_TOKEN_FILE="+filepath.Join(d.p.state, "admin-token"))
	return cmd
}

// deploy runs the command and returns its exit code.
func (d *project) deploy(args ...string) (code int, out string) {
	d.t.Helper()
	return d.run(append([]string{"deploy", d.file, "--settle", "1s", "--timeout", "30s"}, args...)...)
}

func (d *project) run(args ...string) (code int, out string) {
	d.t.Helper()
	text, err := d.args(args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(text)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return 0, string(text)
}

// must fails the test unless a command has the exit code.
func (d *project) must(want int, code int, out string) string {
	d.t.Helper()
	if code != want {
		d.t.Fatalf("exit code %d, want %d:\n%s", code, want, out)
	}
	return out
}

// containers are those of the service: name, state and digest, and the lock.
func (d *project) containers() []string {
	d.t.Helper()
	list, err := lab.docker.ContainerList(d.t.Context(), client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("name", d.name),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	var lines []string
	for _, c := range list.Items {
		name := strings.TrimPrefix(c.Names[0], "/")
		if i := strings.LastIndex(name, "-"); strings.Contains(name, ".fairway-") {
			name = name[:i]
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", name, c.State, c.Labels["fairway-deploy.digest"]))
	}
	return lines
}

// Deploys of a service that ends at once on its signal: no request fails, whether they go well,
// fail, are killed, or are taken back (cases 17 to 20, 30, 31, 41, 42 and 58).
func TestDeploy(t *testing.T) {
	needDocker(t)
	p := startProxy(t, proxyOptions{}).synced()
	d := newProject(t, p, "deploy")
	deploys, shapes := 1, []int{2}
	if testkit.Soaking() {
		deploys, shapes = 50, []int{1, 2}
	}
	for _, slots := range shapes {
		d.write(slots, 1000*slots, healthy, "")
		d.must(0, first(d.deploy()), "")
		p.answers(d.host, "/", "v"+strconv.Itoa(1000*slots))
		load := startLoad(t, p.listen, d.host, 300)
		began := time.Now()
		for i := range deploys {
			d.write(slots, 1000*slots+1+i, healthy, "")
			code, out := d.deploy()
			d.must(0, code, out)
		}
		t.Logf("%d slots: %d deploys in %s each", slots, deploys, (time.Since(began) / time.Duration(deploys)).Round(time.Millisecond))
		code, out := d.deploy()
		if d.must(0, code, out); !strings.Contains(out, "nothing new") {
			t.Errorf("a second time: %s", out)
		}
		load.stop()
	}
	load := startLoad(t, p.listen, d.host, 300)
	before := d.containers()
	if len(before) != 4 {
		t.Errorf("left are %q", before)
	}
	d.write(2, 3000, "nonsense", "")
	code, out := d.deploy()
	d.must(1, code, out)
	if got := d.containers(); strings.Join(got, "\n") != strings.Join(before, "\n") {
		t.Errorf("a deploy that failed left %q, not %q\n%s", got, before, out)
	}
	d.killed(func(i int) { d.write(2, 4000+i, healthy, "") })
	code, out = d.run("service", "rollback", d.name+"/web")
	d.must(0, code, out)
	ps, err := exec.Command(lab.binary, "service", "ps", d.name+"/web", "--docker", "unix://"+lab.socket).Output()
	if err != nil || strings.Count(string(ps), "running, healthy") != 2 || strings.Count(string(ps), " kept ") != 2 {
		t.Errorf("service ps: %v\n%s", err, ps)
	}
	load.stop()
}

func first(code int, _ string) int { return code }

// killed kills deploys at moments that are spread over their whole length, and goes on with them
// or takes them back in turn.
func (d *project) killed(write func(int)) {
	d.t.Helper()
	times := 2
	if testkit.Soaking() {
		times = 40
	}
	for i := range times {
		write(i)
		before := d.containers()
		cmd := d.args("deploy", d.file, "--settle", "1s", "--timeout", "30s")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			d.t.Fatal(err)
		}
		time.Sleep(200*time.Millisecond + time.Duration(i)*6*time.Second/time.Duration(times))
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if i%2 == 0 {
			code, again := d.deploy()
			d.must(0, code, out.String()+"\nkilled\n"+again)
			continue
		}
		code, again := d.run("service", "revert", d.name+"/web")
		if code == 2 && strings.Contains(again, "no deploy of") {
			continue // it was over, or had not begun
		}
		d.must(0, code, out.String()+"\nkilled\n"+again)
		if got := d.containers(); strings.Join(got, "\n") != strings.Join(before, "\n") {
			d.t.Errorf("reverted to %q, not %q\n%s\n%s", got, before, out.String(), again)
		}
	}
}

// A plan makes only reads, and says what then happens (case 10).
func TestDeployPlan(t *testing.T) {
	needDocker(t)
	p := startProxy(t, proxyOptions{}).synced()
	d := newProject(t, p, "plan")
	d.write(1, 1, healthy, "    volumes: [/var/cache]")
	code, out := d.deploy("--plan", "-o", "json")
	d.must(0, code, out)
	var plan struct {
		Services []struct{ Steps []struct{ Step string } }
	}
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &plan); err != nil || len(plan.Services) != 1 || len(plan.Services[0].Steps) < 5 {
		t.Errorf("%v: %s", err, out)
	}
	if left := d.containers(); len(left) > 0 {
		t.Errorf("a plan has made %q", left)
	}
	code, out = d.deploy("--plan", "--detailed-exitcode")
	d.must(1, code, out)
}
