//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// proxy is a `fairway run` as a process.
type proxy struct {
	api     *api.Client // made by client, when first needed
	t       *testing.T
	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	started time.Time
	listen  string
	admin   string
	state   string
	log     string
}

// proxyOptions say how it differs from a plain `fairway run`.
type proxyOptions struct {
	docker string // URL; empty for the lab's engine
	state  string // directory; empty for a new one
	args   []string
}

// startProxy starts Fairway. It is ended with the test; its log is shown when
// the test has failed.
func startProxy(t *testing.T, o proxyOptions) *proxy {
	t.Helper()
	dir := t.TempDir()
	if o.state == "" {
		short, err := makeDir() // with HAProxy there are sockets in it
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(short) })
		o.state = filepath.Join(short, "state")
	}
	if o.docker == "" {
		o.docker = "unix://" + lab.socket
	}
	p := &proxy{t: t, listen: freePort(t), admin: freePort(t), state: o.state, log: filepath.Join(dir, "log"), ended: make(chan struct{})}
	args := append([]string{
		"run", "--docker", o.docker, "--label-files", os.TempDir(), "--listen", p.listen, "--admin.listen", p.admin, "--state-dir", p.state,
	}, o.args...)
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.process = exec.Command(lab.binary, args...)
	p.process.Stdout, p.process.Stderr = log, log
	p.process.Env = append(os.Environ(), engineEnviron()...)
	p.started = time.Now()
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.process.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop()
		endHAProxy(t, p.state)
		if text, err := os.ReadFile(p.log); err == nil && t.Failed() {
			t.Logf("log of fairway %s:\n%s", strings.Join(args, " "), last(text, 8000))
		}
	})
	return p
}

func last(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

// synced waits until every source has answered.
func (p *proxy) synced() *proxy {
	p.t.Helper()
	testkit.Eventually(p.t, "fairway is synced", func() string {
		r, err := p.client().Ready(p.t.Context())
		if err != nil {
			return err.Error()
		}
		if r.State != api.StateSynced {
			return r.State
		}
		return ""
	})
	return p
}

// stop asks it to end and waits for that.
func (p *proxy) stop() {
	_ = p.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.t.Error("fairway does not end when asked to")
		_ = p.process.Process.Kill()
		<-p.ended
	}
}

func (p *proxy) client() *api.Client {
	p.t.Helper()
	if p.api == nil {
		c, err := api.NewClient(api.ClientOptions{URL: "http://" + p.admin})
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(c.Close)
		p.api = c
	}
	return p.api
}

// command runs a command of the program against this Fairway and returns what
// it prints. Exit code 1 is an answer.
func (p *proxy) command(args ...string) []byte {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), lab.binary, append(args, "--admin", "http://"+p.admin)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		p.t.Fatalf("fairway %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return out
}

// routes returns `fairway routes -o json` with each item as the bytes it is.
func (p *proxy) routes() map[string]json.RawMessage {
	p.t.Helper()
	var list struct{ Items []json.RawMessage }
	out := p.command("routes", "-o", "json")
	if err := json.Unmarshal(out, &list); err != nil {
		// A bare array is as good.
		if err := json.Unmarshal(out, &list.Items); err != nil {
			p.t.Fatalf("routes -o json: %v\n%s", err, out)
		}
	}
	byID := map[string]json.RawMessage{}
	for _, item := range list.Items {
		var id struct{ ID string }
		if err := json.Unmarshal(item, &id); err != nil {
			p.t.Fatal(err)
		}
		byID[id.ID] = item
	}
	return byID
}

// problems returns the problems of services whose instance names have the prefix
// of this test's containers.
func (p *proxy) problems() []api.Problem {
	p.t.Helper()
	list, err := p.client().Problems(p.t.Context(), api.Query{})
	if err != nil {
		p.t.Fatal(err)
	}
	prefix := boxName(p.t, "")
	var own []api.Problem
	for _, x := range list.Items {
		if strings.HasPrefix(x.Instance, prefix) || strings.HasPrefix(x.Service, prefix) {
			own = append(own, x)
		}
	}
	return own
}

// get makes one request on a connection of its own and returns the status, the
// name of who answered, and the body.
func (p *proxy) get(host, path string) (status int, who, body string) {
	p.t.Helper()
	return get(p.t, p.listen, host, path, requestTimeout)
}

func get(t *testing.T, address, host, path string, within time.Duration) (status int, who, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	transport := &http.Transport{DisableKeepAlives: true}
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

// answers waits until a request for host is answered by the named instance.
func (p *proxy) answers(host, path, name string) time.Duration {
	p.t.Helper()
	return testkit.Eventually(p.t, fmt.Sprintf("http://%s%s answered by %s", host, path, name), func() string {
		status, who, body := p.get(host, path)
		if status == http.StatusOK && who == name {
			return ""
		}
		return fmt.Sprintf("status %d from %q: %.200s", status, who, body)
	})
}

// answeredBy makes n requests and returns how many each instance has answered;
// answers other than 200 are counted under their status.
func (p *proxy) answeredBy(n int, host, path string) map[string]int {
	p.t.Helper()
	counts := map[string]int{}
	for range n {
		status, who, _ := p.get(host, path)
		if status != http.StatusOK {
			who = fmt.Sprintf("status %d", status)
		}
		counts[who]++
	}
	return counts
}

func freePort(t *testing.T) string {
	t.Helper()
	return "127.0.0.1:" + testkit.FreePort(t)
}
