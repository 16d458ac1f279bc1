//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"fairway/internal/testkit"
)

// TestImage builds the Dockerfile around the program and runs it as deploy/compose.yml
// does: as nobody in particular, with the group of the socket, and healthy by its
// own check.
func TestImage(t *testing.T) {
	needDocker(t)
	t.Parallel()
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("no docker command to build with: ", err)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"../../Dockerfile": "Dockerfile", "../../deploy/state/.keep": "deploy/state/.keep", lab.binary: "bin/fairway"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ref := lab.image + "-built"
	build := exec.CommandContext(t.Context(), docker, "build", "--label", mark+"="+strconv.Itoa(os.Getpid()), "-t", ref, dir)
	build.Env = append(os.Environ(), "DOCKER_HOST=unix://"+lab.socket)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("docker build: %v\n%s", err, out)
	}
	info, err := os.Stat(lab.socket)
	if err != nil {
		t.Fatal(err)
	}
	group := strconv.FormatUint(uint64(info.Sys().(*syscall.Stat_t).Gid), 10)
	made, err := lab.docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name:       boxName(t, "built"),
		Config:     &container.Config{Image: ref, Labels: map[string]string{mark: strconv.Itoa(os.Getpid())}},
		HostConfig: &container.HostConfig{Binds: []string{lab.socket + ":/var/run/docker.sock:ro"}, GroupAdd: []string{group}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, docker: lab.docker, id: made.ID, name: boxName(t, "built")}
	t.Cleanup(b.remove)
	b.start()
	took := testkit.Eventually(t, "the container is healthy", func() string {
		state := b.inspect().State
		if state.Health == nil || state.Health.Status != container.Healthy {
			return string(state.Status)
		}
		return ""
	})
	t.Logf("healthy after %s", took.Round(100*time.Millisecond))
	if user := b.inspect().Config.User; user == "" || strings.HasPrefix(user, "0") {
		t.Errorf("it runs as %q", user)
	}
}
