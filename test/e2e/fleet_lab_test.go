//go:build e2e

package e2e

import (
	"bufio"
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
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// dockerHost is a Docker host as Fairway sees it: a socket of its own before the
// lab's engine, which breaks on command. Unlike faults it lets one direction of a
// connection end before the other, as commands with input need it.
type dockerHost struct {
	t      *testing.T
	path   string
	ln     net.Listener
	engine string

	mu     sync.Mutex
	conns  map[net.Conn]bool
	frozen chan struct{} // closed when bytes may pass again; nil while they may
	// When a command with this text in it is about to be started, meet is called
	// first; nil for never. met is set when the next command to start is one.
	text string
	meet func()
	met  bool
}

func newDockerHost(t *testing.T) *dockerHost {
	t.Helper()
	dir, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	h := &dockerHost{t: t, path: filepath.Join(dir, "s"), engine: lab.socket, conns: map[net.Conn]bool{}}
	if h.ln, err = net.Listen("unix", h.path); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := h.ln.Accept()
			if err != nil {
				return
			}
			go h.serve(c.(*net.UnixConn))
		}
	}()
	t.Cleanup(func() {
		h.thaw()
		_ = h.ln.Close()
		h.mu.Lock()
		for c := range h.conns {
			_ = c.Close()
		}
		h.mu.Unlock()
		_ = os.RemoveAll(dir)
	})
	return h
}

func (h *dockerHost) url() string { return "unix://" + h.path }

func (h *dockerHost) serve(c *net.UnixConn) {
	defer c.Close()
	e, err := net.Dial("unix", h.engine)
	if err != nil {
		return
	}
	defer e.Close()
	h.mu.Lock()
	h.conns[c], h.conns[e] = true, true
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.conns, c)
		delete(h.conns, e)
	}()
	var both sync.WaitGroup
	both.Go(func() { h.answers(c, e.(*net.UnixConn)) })
	both.Go(func() { h.asks(e.(*net.UnixConn), c) })
	both.Wait()
}

// answers passes on what the engine says.
func (h *dockerHost) answers(to, from *net.UnixConn) {
	h.copy(to, from)
	_ = to.CloseWrite()
}

func (h *dockerHost) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		h.wait()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// asks passes on requests, one by one, and what comes after the start of a command,
// which is its input.
func (h *dockerHost) asks(to, from *net.UnixConn) {
	defer to.CloseWrite() //nolint:errcheck // it may be gone
	in := bufio.NewReader(from)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.wait()
		if meet := h.meets(r, body); meet != nil {
			meet()
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		if err := r.Write(to); err != nil {
			return
		}
		if r.Header.Get("Upgrade") != "" {
			h.copy(to, in)
			return
		}
	}
}

// meets returns what is to be done before a request passes; nil for nothing.
func (h *dockerHost) meets(r *http.Request, body []byte) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.meet == nil || r.Method != http.MethodPost:
	case strings.Contains(r.URL.Path, "/containers/") && strings.HasSuffix(r.URL.Path, "/exec"):
		h.met = bytes.Contains(body, []byte(h.text))
	case h.met && strings.Contains(r.URL.Path, "/exec/") && strings.HasSuffix(r.URL.Path, "/start"):
		return h.meet
	}
	return nil
}

// onCommand has do called before a command with a text in it is started; nil ends
// that.
func (h *dockerHost) onCommand(text string, do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text, h.meet, h.met = text, do, false
}

func (h *dockerHost) wait() {
	h.mu.Lock()
	frozen := h.frozen
	h.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

// freeze makes the host a black hole.
func (h *dockerHost) freeze() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.frozen == nil {
		h.frozen = make(chan struct{})
	}
}

func (h *dockerHost) thaw() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.frozen != nil {
		close(h.frozen)
		h.frozen = nil
	}
}

// edge is a Docker host with one HAProxy.
type edge struct {
	*haproxyBox
	docker *dockerHost
	host   string
	agent  bool
}

// edgeDocument is the document of all edges.
const edgeDocument = "web"

// edgeConfig is a configuration that passes requests to a server and says which
// version it is. more is put behind it.
func edgeConfig(version int, server, more string) string {
	return fmt.Sprintf(`global
    hard-stop-after 20s
defaults
    mode http
    option idle-close-on-response
    option redispatch 1
    retries 3
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout http-request 30s
    timeout http-keep-alive 30s
listen web
    bind :80
    http-response set-header Version %d
    server s1 %s:80
listen statistics
    bind :8404
    stats uri /haproxy
%s`, version, server, more)
}

// startEdge starts an HAProxy with the first configuration.
func startEdge(t *testing.T, host, config string, agent bool) *edge {
	t.Helper()
	e := &edge{docker: newDockerHost(t), host: host, agent: agent}
	o := haproxyOptions{name: host, agent: agent, labels: map[string]string{"edge": boxName(t, host)}}
	if agent {
		// The file is there already; the centre that is to give it does not answer.
		o.env = []string{"VIP=" + edgeDocument, "CFG_GET_URL=http://127.0.0.1:9/", "STORAGE_DIR=/usr/local/haproxy/etc"}
		o.args = []string{"run", "--fetch-timeout", "1s", "--fetch-retries", "0"}
		o.files = map[string]string{"/usr/local/haproxy/etc/" + edgeDocument + ".cfg": config}
	} else {
		o.config = config
	}
	e.haproxyBox = runHAProxy(t, o)
	testkit.Eventually(t, host+" answers", func() string {
		_, err := e.version()
		return errText(err)
	})
	return e
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// version asks HAProxy itself, over a new connection, which version it runs.
func (e *edge) version() (string, error) {
	c := http.Client{Timeout: requestTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get("http://" + e.at() + "/")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if v := res.Header.Get("Version"); v != "" {
		return v, nil
	}
	return "", errors.New(res.Status)
}

func (e *edge) at() string { return e.address(lab.network).String() + ":80" }

// file is the configuration that is in the container now.
func (e *edge) file() string {
	e.t.Helper()
	name := haproxyConfig
	if e.agent {
		name = "/usr/local/haproxy/etc/" + edgeDocument + ".cfg"
	}
	code, out := e.exec("cat", name)
	if code != 0 {
		e.t.Fatalf("%s: %s", e.host, out)
	}
	return out
}

// fleetFile writes the fleet file for edges.
func fleetFile(t *testing.T, edges []*edge) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("hosts:\n")
	for _, e := range edges {
		fmt.Fprintf(&b, "  - name: %s\n    docker: %s\n    containers:\n      - document: %s\n        label: edge=%s\n", e.host, e.docker.url(), edgeDocument, e.name)
		if !e.agent {
			fmt.Fprintf(&b, "        stats: http://%s:8404/haproxy\n", e.address(lab.network))
		}
	}
	file := filepath.Join(t.TempDir(), "fleet.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// centre is a Fairway that manages a fleet.
type centre struct {
	*proxy
	file string
}

// startCentre starts Fairway over a fleet file; an empty state is a new one.
func startCentre(t *testing.T, file, state string, args ...string) *centre {
	t.Helper()
	services := filepath.Join(t.TempDir(), "services.yml")
	if err := os.WriteFile(services, []byte("services: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, proxyOptions{state: state, args: append([]string{"--file", services, "--fleet.file", file, "--admin.anonymous", "admin"}, args...)})
	c := &centre{proxy: p, file: file}
	testkit.Eventually(t, "the admin API answers", func() string {
		_, err := c.client().FleetHosts(t.Context(), "")
		return errText(err)
	})
	return c
}

// put appends a revision and returns its number.
func (c *centre) put(config string) uint64 {
	c.t.Helper()
	ctx := context.Background()
	list, err := c.client().FleetRevisions(ctx, edgeDocument, 1)
	var newest uint64
	if err == nil {
		newest = list.Items[0].Number
	}
	r, err := c.client().PutFleetRevision(ctx, edgeDocument, api.NewFleetRevision{Expect: newest, Content: []byte(config)})
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Number
}

// fastRollout is for hosts that answer at once.
var fastRollout = api.FleetSettings{Wave: "1", Pause: "1200ms"}

// start begins a rollout of the newest revision.
func (c *centre) start(s api.FleetSettings) api.FleetRollout {
	c.t.Helper()
	r, err := c.client().Patient(time.Minute).StartRollout(context.Background(), edgeDocument, api.NewFleetRollout{Settings: s})
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// end waits for the end of the newest rollout.
func (c *centre) end() api.FleetRollout {
	c.t.Helper()
	var r api.FleetRollout
	testkit.Within(c.t, 4*time.Minute, "the rollout ends", func() string {
		var err error
		if r, err = c.client().Rollout(context.Background(), edgeDocument); err != nil {
			return err.Error()
		}
		if r.Phase != api.RolloutDone && r.Phase != api.RolloutReverted {
			return fmt.Sprintf("%s %v %s", r.Phase, r.States, r.Note)
		}
		return ""
	})
	return r
}

// hosts are the conditions of the hosts, by name.
func (c *centre) hosts() map[string]api.FleetHost {
	c.t.Helper()
	list, err := c.client().FleetHosts(context.Background(), "")
	if err != nil {
		c.t.Fatal(err)
	}
	m := map[string]api.FleetHost{}
	for _, h := range list.Items {
		m[h.Host] = h
	}
	return m
}

// stepsOf writes how the hosts ended: "edge1 applied, edge2 refused: …".
func stepsOf(r api.FleetRollout) string {
	var all []string
	for _, h := range r.Hosts {
		line := h.Host + " " + h.State
		if h.Error != "" {
			line += ": " + h.Error
		}
		all = append(all, line)
	}
	return strings.Join(all, ", ")
}

// command runs a command against this Fairway and returns its exit code and both
// outputs.
func (c *centre) fairway(args ...string) (int, string, string) {
	c.t.Helper()
	cmd := exec.Command(lab.binary, append(args, "--admin", "http://"+c.admin)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// pretty is JSON for a log.
func pretty(v any) string {
	text, _ := json.MarshalIndent(v, "", " ")
	return string(text)
}

// fleetRounds is how many rollouts a test makes.
func fleetRounds(short, long int) int {
	if testkit.Soaking() {
		return long
	}
	return short
}
