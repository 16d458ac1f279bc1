//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
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
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// nodes is a Swarm of three nodes, each a container with a dockerd in it. The
// addresses of the nodes are reachable from the test, those of overlay networks
// are not.
type nodes struct {
	t    *testing.T
	list []*node // the first has made the Swarm and is its leader
}

// node is one of them.
type node struct {
	*box        // the container that is the node
	ip   string // its address
	api  *client.Client
	id   string // in the Swarm
}

// startNodes starts a Swarm of three nodes with lab.image in each, of which the
// first so many are managers. The heartbeat is how often nodes tell the managers
// that they live: three that are missing, and a little, make a node down.
func startNodes(t *testing.T, managers int, heartbeat time.Duration) *nodes {
	t.Helper()
	needDocker(t)
	began := time.Now()
	image := nodeImage(t)
	bridge := newNetwork(t, "nodes")
	s := &nodes{t: t}
	for i := range 3 {
		s.list = append(s.list, startNode(t, image, bridge, fmt.Sprintf("n%d", i+1)))
	}
	first := s.list[0]
	loaded := make(chan error, len(s.list))
	for _, n := range s.list {
		n.answers()
		go func() { loaded <- importImage(t.Context(), n.api, lab.image) }()
	}
	if _, err := first.api.SwarmInit(t.Context(), client.SwarmInitOptions{
		ListenAddr: "0.0.0.0:2377", AdvertiseAddr: first.ip,
		Spec: swarm.Spec{Dispatcher: swarm.DispatcherConfig{HeartbeatPeriod: heartbeat}},
	}); err != nil {
		t.Fatal(err)
	}
	made, err := first.api.SwarmInspect(t.Context(), client.SwarmInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range s.list[1:] {
		token := made.Swarm.JoinTokens.Worker
		if i+1 < managers {
			token = made.Swarm.JoinTokens.Manager
		}
		if _, err := n.api.SwarmJoin(t.Context(), client.SwarmJoinOptions{
			ListenAddr: "0.0.0.0:2377", AdvertiseAddr: n.ip, RemoteAddrs: []string{first.ip + ":2377"}, JoinToken: token,
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range s.list {
		if err := <-loaded; err != nil {
			t.Fatal(err)
		}
		info, err := n.api.Info(t.Context(), client.InfoOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n.id = info.Info.Swarm.NodeID
	}
	testkit.Eventually(t, "three nodes are ready", func() string {
		for _, n := range s.list {
			if state := s.state(first, n); state != swarm.NodeStateReady {
				return fmt.Sprintf("%s is %s", n.name, state)
			}
		}
		return ""
	})
	t.Logf("a Swarm of three nodes after %s", time.Since(began).Round(10*time.Millisecond))
	return s
}

// startNode starts a container that is a node. It skips the test where such
// containers cannot be started.
func startNode(t *testing.T, image, bridge, host string) *node {
	t.Helper()
	yes := true
	res, err := lab.docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name: boxName(t, host),
		Config: &container.Config{
			Image: image, Hostname: host, Labels: map[string]string{mark: strconv.Itoa(os.Getpid())},
			// Without TLS and without saying so the daemon sleeps for a while first.
			Cmd: []string{"/node", "-H", "unix:///var/run/docker.sock", "-H", "tcp://0.0.0.0:2375", "--tls=false"},
		},
		HostConfig: &container.HostConfig{
			// What --privileged gives, but for a capability that a machine may be without.
			CapAdd: []string{"ALL"}, CapDrop: []string{"SYS_RESOURCE"}, Init: &yes,
			SecurityOpt: []string{"seccomp=unconfined", "apparmor=unconfined"}, MaskedPaths: []string{}, ReadonlyPaths: []string{},
			// No overlay file system on top of another; and a killed run leaves no volume.
			Tmpfs:       map[string]string{"/run": "", "/var/lib/docker": "exec,size=2g"},
			NetworkMode: container.NetworkMode(bridge),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{box: &box{t: t, docker: lab.docker, id: res.ID, name: boxName(t, host)}}
	t.Cleanup(n.remove)
	if _, err := lab.docker.ContainerStart(t.Context(), n.box.id, client.ContainerStartOptions{}); err != nil {
		t.Skipf("!!! NO SWARM OF CONTAINERS HERE: a node does not start: %v", err)
	}
	n.ip = n.address(bridge).String()
	if n.api, err = client.New(client.WithHost("tcp://" + n.ip + ":2375")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.api.Close() })
	return n
}

// answers waits for the node's daemon. It skips the test when that ends instead:
// then the machine has not what it needs.
func (n *node) answers() {
	n.t.Helper()
	testkit.Eventually(n.t, n.name+" answers", func() string {
		ctx, cancel := context.WithTimeout(n.t.Context(), time.Second)
		defer cancel()
		_, err := n.api.Ping(ctx, client.PingOptions{})
		if err == nil {
			return ""
		}
		if !n.inspect().State.Running {
			n.t.Skipf("!!! NO SWARM OF CONTAINERS HERE: a node's daemon has ended:\n%s", logsOf(n.docker, n.box.id))
		}
		return err.Error()
	})
}

func (n *node) kill() {
	n.t.Helper()
	if _, err := n.docker.ContainerKill(n.t.Context(), n.box.id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		n.t.Fatal(err)
	}
}

// nodeImage makes the image of a node from the machine's own programs, once a
// run. It skips the test where one is missing.
func nodeImage(t *testing.T) string {
	t.Helper()
	ref := lab.image + "-node"
	if _, err := lab.docker.ImageInspect(t.Context(), ref); err == nil {
		return ref
	}
	files, err := nodeFiles()
	if err != nil {
		t.Skipf("!!! NO SWARM OF CONTAINERS HERE: %v", err)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeNode(w, files)) }()
	res, err := lab.docker.ImageImport(t.Context(), client.ImageImportSource{Source: r, SourceName: "-"}, ref, client.ImageImportOptions{
		Changes: []string{
			// Images are there already; without this each task would try to pull first.
			"ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1",
			fmt.Sprintf("LABEL %s=%d", mark, os.Getpid()),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	out, err := io.ReadAll(res)
	if err != nil || strings.Contains(string(out), `"error"`) {
		t.Fatalf("import: %v %s", err, out)
	}
	return ref
}

// nodeFiles finds the programs of a node and the libraries they need.
func nodeFiles() ([]string, error) {
	var files []string
	for _, name := range []string{
		"dockerd", "containerd", "containerd-shim-runc-v2", "runc", "xtables-nft-multi", "docker-proxy", "docker-init", "busybox",
	} {
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	extensions, err := filepath.Glob("/usr/lib/*/xtables/*.so")
	if err != nil {
		return nil, err
	}
	files = append(files, extensions...)
	for _, file := range slices.Clone(files) {
		out, _ := exec.Command("ldd", file).Output() // it fails for those that need none
		for word := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(word, "/") {
				files = append(files, strings.TrimSuffix(word, ":"))
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// nodeScript is what a node runs. Docker mounts /sys read-only; a daemon has to
// make control groups there.
const nodeScript = `#!/bin/busybox sh
/bin/busybox mount -o remount,rw /sys
for d in /sys/fs/cgroup/*/; do /bin/busybox mount -o remount,bind,rw "$d"; done
exec dockerd "$@"
`

// writeNode writes the root file system of a node.
func writeNode(w io.Writer, files []string) error {
	tw := tar.NewWriter(w)
	put := func(name string, body []byte) error {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Mode: 0o755, Size: int64(len(body))}); err != nil {
			return err
		}
		_, err := tw.Write(body)
		return err
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if filepath.Base(file) == "busybox" {
			file = "/bin/busybox"
		}
		if err := put(file, body); err != nil {
			return err
		}
	}
	for name, body := range map[string]string{
		"node": nodeScript, "etc/passwd": "root:x:0:0:root:/:/bin/sh\n", "etc/group": "root:x:0:\n",
	} {
		if err := put(name, []byte(body)); err != nil {
			return err
		}
	}
	for _, name := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "usr/sbin/" + name, Linkname: "xtables-nft-multi"}); err != nil {
			return err
		}
	}
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "var/run", Linkname: "/run"}); err != nil {
		return err
	}
	for _, dir := range []string{"tmp/", "run/", "proc/", "sys/", "dev/", "var/lib/docker/"} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o777}); err != nil {
			return err
		}
	}
	return tw.Close()
}

func logsOf(docker *client.Client, id string) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	res, err := docker.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return []byte(err.Error())
	}
	defer res.Close()
	var text bytes.Buffer
	_, _ = stdcopy.StdCopy(&text, &text, res)
	return last(text.Bytes(), 8000)
}

// state is what a manager says of a node; what the call says when it fails.
func (s *nodes) state(manager, of *node) swarm.NodeState {
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
	defer cancel()
	list, err := manager.api.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return swarm.NodeState(err.Error())
	}
	for _, n := range list.Items {
		if n.ID == of.id {
			return n.Status.State
		}
	}
	return "missing"
}

// drain keeps tasks away from a node.
func (s *nodes) drain(manager, which *node) {
	s.t.Helper()
	res, err := manager.api.NodeInspect(s.t.Context(), which.id, client.NodeInspectOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	spec := res.Node.Spec
	spec.Availability = swarm.NodeAvailabilityDrain
	if _, err := manager.api.NodeUpdate(s.t.Context(), which.id, client.NodeUpdateOptions{Version: res.Node.Version, Spec: spec}); err != nil {
		s.t.Fatal(err)
	}
}

// proxy runs Fairway as a container on a node, on an attachable overlay network,
// with the APIs of the given nodes and that of its own.
func (s *nodes) proxy(on *node, overlay string, ask ...*node) *proxy {
	s.t.Helper()
	const token = "the-token-of-the-end-to-end-tests"
	args := []string{
		"run", "--listen", ":80", "--admin.listen", ":8080", "--admin.insecure", "--admin.allowed-hosts", on.ip, "--admin.token-file", "/token", "--state-dir", "/state", "--docker-insecure",
	}
	for _, n := range ask {
		args = append(args, "--swarm", "tcp://"+n.ip+":2375")
	}
	args = append(args, "--swarm", "unix:///var/run/docker.sock")
	web, admin := network.MustParsePort("80/tcp"), network.MustParsePort("8080/tcp")
	publish := func(port string) []network.PortBinding {
		return []network.PortBinding{{HostIP: netip.IPv4Unspecified(), HostPort: port}}
	}
	res, err := on.api.ContainerCreate(s.t.Context(), client.ContainerCreateOptions{
		Name:   "fairway",
		Config: &container.Config{Image: lab.image, Cmd: args, ExposedPorts: network.PortSet{web: {}, admin: {}}},
		HostConfig: &container.HostConfig{
			NetworkMode:  container.NetworkMode(overlay),
			Binds:        []string{"/var/run/docker.sock:/var/run/docker.sock:ro"},
			PortBindings: network.PortMap{web: publish("8000"), admin: publish("8001")},
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var files bytes.Buffer
	tw := tar.NewWriter(&files)
	_ = tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "token", Mode: 0o600, Size: int64(len(token))})
	_, _ = io.WriteString(tw, token)
	_ = tw.Close()
	if _, err := on.api.CopyToContainer(s.t.Context(), res.ID, client.CopyToContainerOptions{DestinationPath: "/", Content: &files}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := on.api.ContainerStart(s.t.Context(), res.ID, client.ContainerStartOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("log of fairway %s:\n%s", strings.Join(args, " "), logsOf(on.api, res.ID))
		}
	})
	p := &proxy{t: s.t, listen: on.ip + ":8000", admin: on.ip + ":8001"}
	if p.api, err = api.NewClient(api.ClientOptions{URL: "http://" + p.admin, Token: token, Timeout: 2 * time.Second}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.api.Close)
	return p.synced()
}
