//go:build e2e

package e2e

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// mark labels everything a run makes; its value is the run's process number.
const mark = "fairway-e2e"

// lab is what all tests share: an engine, the program, and an image of it.
var lab struct {
	missing string // why the tests cannot run; empty when they can
	socket  string
	docker  *client.Client
	binary  string
	image   string
	network string // a bridge of this run: its addresses are not given to containers of another
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		sweepDirs()
		dir, err := makeDir()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := setUp(dir); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			return 1
		}
		if lab.missing != "" {
			fmt.Printf("\n!!! END-TO-END TESTS DO NOT RUN: %s\n\n", lab.missing)
			return m.Run()
		}
		defer sweep(func(pid string) bool { return pid == strconv.Itoa(os.Getpid()) })
		return m.Run()
	}())
}

func setUp(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	lab.socket = "/var/run/docker.sock"
	if host, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		lab.socket = host
	}
	var err error
	if lab.docker, err = client.New(client.WithHost("unix://" + lab.socket)); err != nil {
		return err
	}
	ping, cancelPing := context.WithTimeout(ctx, 5*time.Second)
	defer cancelPing()
	if _, err := lab.docker.Ping(ping, client.PingOptions{}); err != nil {
		lab.missing = "no Docker Engine: " + err.Error()
		return nil
	}
	sweep(func(pid string) bool {
		_, err := os.Stat("/proc/" + pid)
		return os.IsNotExist(err)
	})
	lab.binary = filepath.Join(dir, "fairway")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", lab.binary, "../../cmd/fairway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	lab.network = own(mark)
	if _, err := lab.docker.NetworkCreate(ctx, lab.network, client.NetworkCreateOptions{
		Driver: "bridge", Labels: map[string]string{mark: strconv.Itoa(os.Getpid())},
	}); err != nil {
		return err
	}
	lab.image = fmt.Sprintf("%s:%d", mark, os.Getpid())
	return importImage(ctx, lab.docker, lab.image)
}

// importImage makes an image that holds the program and nothing else. By default
// it is a service on port 80; the entry point is the program, so that it can be
// Fairway as well.
func importImage(ctx context.Context, docker *client.Client, ref string) error {
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(func() error {
			body, err := os.ReadFile(lab.binary)
			if err != nil {
				return err
			}
			tw := tar.NewWriter(w)
			if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "fairway", Mode: 0o755, Size: int64(len(body))}); err != nil {
				return err
			}
			if _, err := tw.Write(body); err != nil {
				return err
			}
			if underHAProxy() {
				if err := addHAProxy(tw); err != nil {
					return err
				}
			}
			return tw.Close()
		}())
	}()
	changes := []string{`ENTRYPOINT ["/fairway"]`, `CMD ["whoami"]`, "EXPOSE 80", fmt.Sprintf("LABEL %s=%d", mark, os.Getpid())}
	for _, env := range engineEnviron() {
		changes = append(changes, "ENV "+env)
	}
	res, err := docker.ImageImport(ctx, client.ImageImportSource{Source: r, SourceName: "-"}, ref, client.ImageImportOptions{Changes: changes})
	if err != nil {
		return err
	}
	defer res.Close()
	out, err := io.ReadAll(res)
	if err == nil && strings.Contains(string(out), `"error"`) {
		err = fmt.Errorf("import: %s", out)
	}
	return err
}

// makeDir makes a directory that carries the number of the run. Its name is
// short: there are sockets in some.
func makeDir() (string, error) {
	return os.MkdirTemp("", fmt.Sprintf("%s-%d-", mark, os.Getpid()))
}

// sweepDirs removes the directories of killed runs, and the daemons that live in
// them.
func sweepDirs() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), mark+"-*-*"))
	for _, dir := range dirs {
		run := strings.Split(strings.TrimPrefix(filepath.Base(dir), mark+"-"), "-")[0]
		if _, err := os.Stat("/proc/" + run); err == nil {
			continue
		}
		endDaemon(dir)
		_ = os.RemoveAll(dir)
	}
}

// endDaemon ends the dockerd that lives in dir, if one does, and unmounts what
// it has left mounted there.
func endDaemon(dir string) {
	if text, err := os.ReadFile(filepath.Join(dir, "pid")); err == nil {
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(line), dir) { // not a stranger with the same number
			_ = syscall.Kill(pid, syscall.SIGCONT)
			_ = syscall.Kill(pid, syscall.SIGTERM)
			for range 100 {
				if syscall.Kill(pid, 0) != nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
	mounts, _ := os.ReadFile("/proc/mounts")
	lines := strings.Split(string(mounts), "\n")
	for _, line := range slices.Backward(lines) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
}

// sweep removes containers, networks and images of the runs that which chooses.
func sweep(which func(pid string) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	filter := make(client.Filters).Add("label", mark)
	if list, err := lab.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter}); err == nil {
		for _, c := range list.Items {
			if which(c.Labels[mark]) {
				_, _ = lab.docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true})
			}
		}
	}
	if list, err := lab.docker.NetworkList(ctx, client.NetworkListOptions{Filters: filter}); err == nil {
		for _, n := range list.Items {
			if which(n.Labels[mark]) {
				_, _ = lab.docker.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
			}
		}
	}
	if list, err := lab.docker.ImageList(ctx, client.ImageListOptions{Filters: filter}); err == nil {
		for _, i := range list.Items {
			if which(i.Labels[mark]) {
				_, _ = lab.docker.ImageRemove(ctx, i.ID, client.ImageRemoveOptions{Force: true, PruneChildren: true})
			}
		}
	}
}

// own makes a name that no other run on the same engine has: two runs may share
// an engine, and each Fairway sees what the other has started.
func own(name string) string { return fmt.Sprintf("%s-%d", name, os.Getpid()) }

// ownHost is the same for a host.
func ownHost(name string) string { return own(name) + ".localhost" }

// needDocker skips the test when there is no engine.
func needDocker(t *testing.T) {
	t.Helper()
	if lab.missing != "" {
		t.Skip(lab.missing)
	}
}

// box is a container.
type box struct {
	t      *testing.T
	docker *client.Client
	id     string
	name   string
}

// boxOptions say how a container differs from `docker run -d IMAGE`.
type boxOptions struct {
	name    string // a suffix; unique within the test
	labels  map[string]string
	args    []string // instead of "whoami"
	network string   // a network's name instead of the lab's
	binds   []string
	health  *container.HealthConfig
	docker  *client.Client // another engine than the lab's
	image   string
}

// boxName makes a container name out of the test's.
func boxName(t *testing.T, suffix string) string {
	name := strings.NewReplacer("/", "-", " ", "-", "_", "-").Replace(t.Name())
	return fmt.Sprintf("%s-%d-%s-%s", mark, os.Getpid(), name, suffix)
}

// create makes a container that is removed at the end of the test.
func create(t *testing.T, o boxOptions) *box {
	t.Helper()
	if o.docker == nil {
		o.docker = lab.docker
		if o.network == "" {
			o.network = lab.network
		}
	}
	if o.image == "" {
		o.image = lab.image
	}
	if o.args == nil {
		o.args = []string{"whoami", "--name=" + o.name}
	}
	labels := map[string]string{mark: strconv.Itoa(os.Getpid())}
	for k, v := range o.labels {
		labels[k] = v
	}
	b := &box{t: t, docker: o.docker, name: boxName(t, o.name)}
	res, err := o.docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name:       b.name,
		Config:     &container.Config{Image: o.image, Cmd: o.args, Labels: labels, Healthcheck: o.health},
		HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(o.network), Binds: o.binds},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.id = res.ID
	t.Cleanup(b.remove)
	return b
}

// run makes a container and starts it.
func run(t *testing.T, o boxOptions) *box {
	t.Helper()
	b := create(t, o)
	b.start()
	return b
}

func (b *box) start() {
	b.t.Helper()
	if _, err := b.docker.ContainerStart(b.t.Context(), b.id, client.ContainerStartOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// stop is `docker stop`.
func (b *box) stop() {
	b.t.Helper()
	if _, err := b.docker.ContainerStop(b.t.Context(), b.id, client.ContainerStopOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, _ = b.docker.ContainerRemove(ctx, b.id, client.ContainerRemoveOptions{Force: true})
}

func (b *box) inspect() container.InspectResponse {
	b.t.Helper()
	res, err := b.docker.ContainerInspect(b.t.Context(), b.id, client.ContainerInspectOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return res.Container
}

// address is the container's address on a network.
func (b *box) address(network string) netip.Addr {
	b.t.Helper()
	n := b.inspect().NetworkSettings.Networks[network]
	if n == nil || !n.IPAddress.IsValid() {
		b.t.Fatalf("%s has no address on %s", b.name, network)
	}
	return n.IPAddress
}

// newNetwork makes a bridge network that is removed at the end of the test.
func newNetwork(t *testing.T, suffix string) string {
	t.Helper()
	name := boxName(t, suffix)
	_, err := lab.docker.NetworkCreate(t.Context(), name, client.NetworkCreateOptions{
		Driver: "bridge", Labels: map[string]string{mark: strconv.Itoa(os.Getpid())},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = lab.docker.NetworkRemove(context.Background(), name, client.NetworkRemoveOptions{})
	})
	return name
}

func connect(t *testing.T, network string, b *box) {
	t.Helper()
	if _, err := lab.docker.NetworkConnect(t.Context(), network, client.NetworkConnectOptions{Container: b.id}); err != nil {
		t.Fatal(err)
	}
}

func disconnect(t *testing.T, network string, b *box) {
	t.Helper()
	if _, err := lab.docker.NetworkDisconnect(t.Context(), network, client.NetworkDisconnectOptions{Container: b.id}); err != nil {
		t.Fatal(err)
	}
}
