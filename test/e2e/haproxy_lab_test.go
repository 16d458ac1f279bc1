//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/testkit"
)

// haproxyBox is a container with HAProxy in it.
type haproxyBox struct {
	*box
	// master asks the master of a container without the agent, through /run,
	// which is a directory of this machine; nil on another engine.
	master *socket.Master
}

// haproxyOptions say how a container with HAProxy is run.
type haproxyOptions struct {
	// name is a suffix, unique within the test; exactly is a whole name instead,
	// for those that the test is about.
	name, exactly string
	// agent runs `fairway haproxy run` as the entry point. Without it HAProxy
	// itself is process 1: haproxy -W -db -S /run/master.sock -f config, and
	// there is no fairway in the image.
	agent bool
	// args replace the arguments of the entry point.
	args []string
	env  []string
	// config is the configuration of a container without the agent, at
	// haproxyConfig.
	config string
	// files are further files, path to content.
	files   map[string]string
	binds   []string
	labels  map[string]string
	network string
	docker  *client.Client // another engine than the lab's
	image   string         // another image than that of haproxyImage
}

const (
	// haproxyConfig is where the configuration of a container without the agent
	// is: in a directory of its own, so that it can be replaced by a rename.
	haproxyConfig = "/usr/local/etc/haproxy/haproxy.cfg"
	// haproxyMaster is the master socket of a container without the agent.
	haproxyMaster = "/run/master.sock"
)

// haproxyImage makes the image, once a run and engine: Debian's haproxy with its
// libraries, BusyBox as shell, and the program where the agent is wanted.
func haproxyImage(t *testing.T, docker *client.Client, agent bool) string {
	t.Helper()
	ref := lab.image + "-haproxy"
	if agent {
		ref += "-agent"
	}
	if _, err := docker.ImageInspect(t.Context(), ref); err == nil {
		return ref
	}
	var files []string
	for _, name := range []string{"haproxy", "busybox"} {
		file, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("!!! NO HAPROXY IN CONTAINERS HERE: %v", err)
		}
		files = append(files, file)
	}
	out, err := exec.Command("ldd", files[0]).Output()
	if err != nil {
		t.Skipf("!!! NO HAPROXY IN CONTAINERS HERE: ldd: %v", err)
	}
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, strings.TrimSuffix(word, ":"))
		}
	}
	slices.Sort(files)
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeHAProxyImage(w, slices.Compact(files), agent)) }()
	changes := []string{"ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", fmt.Sprintf("LABEL %s=%d", mark, os.Getpid())}
	if agent {
		changes = append(changes, `ENTRYPOINT ["/usr/local/bin/fairway","haproxy"]`, `CMD ["run"]`)
	} else {
		changes = append(changes, fmt.Sprintf(`CMD ["haproxy","-W","-db","-S",%q,"-f",%q]`, haproxyMaster, haproxyConfig))
	}
	res, err := docker.ImageImport(t.Context(), client.ImageImportSource{Source: r, SourceName: "-"}, ref, client.ImageImportOptions{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	said, err := io.ReadAll(res)
	if err != nil || strings.Contains(string(said), `"error"`) {
		t.Fatalf("import: %v %s", err, said)
	}
	return ref
}

func writeHAProxyImage(w io.Writer, files []string, agent bool) error {
	tw := tar.NewWriter(w)
	put := func(from, name string) error {
		body, err := os.ReadFile(from)
		if err == nil {
			err = tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(body))})
		}
		if err == nil {
			_, err = tw.Write(body)
		}
		return err
	}
	for _, file := range files {
		name := file
		if filepath.Base(file) == "busybox" {
			name = "/bin/busybox"
		}
		if err := put(file, name); err != nil {
			return err
		}
	}
	if agent {
		if err := put(lab.binary, "/usr/local/bin/fairway"); err != nil {
			return err
		}
	}
	for _, applet := range []string{"sh", "cat", "cp", "mv", "rm", "ls", "mkdir", "sha256sum", "md5sum", "ps", "kill", "sleep", "wget", "nc", "httpd", "date", "sync", "chmod", "chown", "stat", "test"} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox"}); err != nil {
			return err
		}
	}
	for _, dir := range []string{"tmp/", "run/", "proc/", "sys/", "dev/", "etc/", "usr/local/etc/haproxy/", "usr/local/haproxy/logs/", "usr/local/haproxy/etc/"} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o777}); err != nil {
			return err
		}
	}
	return tw.Close()
}

// runHAProxy starts a container with HAProxy that is removed at the end of the
// test. Its log is shown when the test has failed.
func runHAProxy(t *testing.T, o haproxyOptions) *haproxyBox {
	t.Helper()
	needDocker(t)
	if o.docker == nil {
		o.docker = lab.docker
	}
	if o.image == "" {
		o.image = haproxyImage(t, o.docker, o.agent)
	}
	labels := map[string]string{mark: strconv.Itoa(os.Getpid())}
	for k, v := range o.labels {
		labels[k] = v
	}
	name := o.exactly
	if name == "" {
		name = boxName(t, o.name)
	}
	h := &haproxyBox{box: &box{t: t, docker: o.docker, name: name}}
	if !o.agent && o.docker == lab.docker {
		dir, err := makeDir()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		o.binds = append(o.binds, dir+":"+path.Dir(haproxyMaster))
		h.master = socket.NewMaster(filepath.Join(dir, path.Base(haproxyMaster)), 0)
	}
	if o.docker == lab.docker && o.network == "" {
		o.network = lab.network
	}
	res, err := o.docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name:       name,
		Config:     &container.Config{Image: o.image, Cmd: o.args, Env: o.env, Labels: labels},
		HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(o.network), Binds: o.binds},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.id = res.ID
	t.Cleanup(h.remove)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, h.log())
		}
	})
	files := map[string]string{}
	for name, content := range o.files {
		files[name] = content
	}
	if o.config != "" {
		files[haproxyConfig] = o.config
	}
	h.put(files)
	h.start()
	return h
}

// put writes files into the container, which need not run. It is the test's own
// hand, not a way that the product may use.
func (h *haproxyBox) put(files map[string]string) {
	h.t.Helper()
	if len(files) == 0 {
		return
	}
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	for name, content := range files {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path.Clean(name), "/"), Mode: 0o644, Size: int64(len(content)), ModTime: time.Now()}); err != nil {
			h.t.Fatal(err)
		}
		if _, err := io.WriteString(tw, content); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.docker.CopyToContainer(h.t.Context(), h.id, client.CopyToContainerOptions{DestinationPath: "/", Content: &archive}); err != nil {
		h.t.Fatal(err)
	}
}

// exec is `docker exec`: the exit code, and what was written to both outputs.
func (h *haproxyBox) exec(args ...string) (int, string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	made, err := h.docker.ExecCreate(ctx, h.id, client.ExecCreateOptions{Cmd: args, AttachStdout: true, AttachStderr: true})
	if err != nil {
		h.t.Fatal(err)
	}
	attached, err := h.docker.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	defer attached.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, attached.Reader); err != nil {
		h.t.Fatal(err)
	}
	res, err := h.docker.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	return res.ExitCode, out.String()
}

// kill is `docker kill -s`.
func (h *haproxyBox) kill(signal string) {
	h.t.Helper()
	if _, err := h.docker.ContainerKill(h.t.Context(), h.id, client.ContainerKillOptions{Signal: signal}); err != nil {
		h.t.Fatal(err)
	}
}

// log is what the container has written so far.
func (h *haproxyBox) log() string { return string(logsOf(h.docker, h.id)) }

// answerIs says how the answer of a URL, over a new connection, differs from what
// is wanted; nothing when it does not.
func answerIs(url, want string) string {
	c := http.Client{Timeout: requestTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get(url)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != want {
		return fmt.Sprintf("%d %q %v", res.StatusCode, body, err)
	}
	return ""
}

// TestHAProxyImage starts HAProxy as process 1 and reloads it.
func TestHAProxyImage(t *testing.T) {
	needDocker(t)
	t.Parallel()
	const config = "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\nfrontend a\n bind :80\n http-request return status 200 content-type text/plain string ANSWER\n"
	h := runHAProxy(t, haproxyOptions{name: "plain", config: strings.ReplaceAll(config, "ANSWER", "one")})
	url := "http://" + h.address(lab.network).String() + "/"
	testkit.Eventually(t, "it answers", func() string { return answerIs(url, "one") })
	h.put(map[string]string{haproxyConfig: strings.ReplaceAll(config, "ANSWER", "two")})
	if code, out := h.exec("haproxy", "-c", "-W", "-f", haproxyConfig); code != 0 {
		t.Errorf("check: %d %s", code, out)
	}
	if all, err := h.master.Processes(t.Context()); err != nil || len(all.Workers) != 1 {
		t.Errorf("its master says %+v, %v", all, err)
	}
	h.kill("USR2")
	testkit.Eventually(t, "it answers anew", func() string { return answerIs(url, "two") })
}
