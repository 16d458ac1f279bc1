//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"fairway/internal/testkit"
)

// statsConfig is the configuration of the story: a page of statistics on a port.
// HAProxy has not known its nbproc since 2.5.
func statsConfig(port int) string {
	name := "admin_stat"
	if port != 8080 {
		name = fmt.Sprintf("admin_stat_%d", port)
	}
	return fmt.Sprintf(`global
    pidfile /usr/local/haproxy/logs/127.0.0.1.pid

defaults
   timeout connect  300s
   timeout client   300s
   timeout server   300s

listen %s
    bind 0.0.0.0:%d
    mode http
    stats refresh 60s
    stats uri /haproxy
    stats auth admin:123456
    stats admin if TRUE
################################################## status end ###############################################
`, name, port)
}

// fileServer is a plain file server, BusyBox's, with the configuration of one
// name.
func fileServer(t *testing.T, content string) (s *haproxyBox, url string) {
	t.Helper()
	s = runHAProxy(t, haproxyOptions{name: "files", args: []string{"httpd", "-f", "-p", "80", "-h", "/www"}, files: map[string]string{"/www/127.0.0.1": content}})
	return s, "http://" + s.address(lab.network).String() + "/"
}

// page says what is wrong with the page of statistics; nothing when it is there.
func (h *haproxyBox) page(port int) string {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s:%d/haproxy", h.address(lab.network), port), http.NoBody)
	if err != nil {
		return err.Error()
	}
	req.SetBasicAuth("admin", "123456")
	c := http.Client{Timeout: requestTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return res.Status
	}
	return ""
}

// tells demands lines of the log in this order.
func (h *haproxyBox) tells(lines ...string) {
	h.t.Helper()
	testkit.Eventually(h.t, "the lines are in the log", func() string {
		rest := h.log()
		for _, line := range lines {
			_, after, ok := strings.Cut(rest, line)
			if !ok {
				return fmt.Sprintf("%q is missing, or comes earlier", line)
			}
			rest = after
		}
		return ""
	})
}

// running demands that the container runs, under its first process of the
// beginning.
func (h *haproxyBox) running() {
	h.t.Helper()
	if state := h.inspect().State; !state.Running {
		h.t.Errorf("the container is %s with code %d", state.Status, state.ExitCode)
	}
}

// startDemo2 starts the container of the story.
func startDemo2(t *testing.T, url, etc string, args ...string) *haproxyBox {
	t.Helper()
	h := runHAProxy(t, haproxyOptions{
		exactly: "demo2", agent: true, args: args, binds: []string{etc + ":/usr/local/haproxy/etc"}, env: []string{"VIP=127.0.0.1", "CFG_GET_URL=" + url},
	})
	h.tells("Worker ")
	return h
}

// TestFleetAgentStory is remote management as it is done by hand: a file server
// in the middle, `docker exec` of an update, `docker kill -s USR2` when it was
// one.
func TestFleetAgentStory(t *testing.T) {
	needDocker(t)
	centre, url := fileServer(t, statsConfig(8080))
	etc := t.TempDir()
	h := startDemo2(t, url, etc)
	h.tells(
		"Starting download of "+url+"127.0.0.1 to /usr/local/haproxy/etc/temp/127.0.0.1.cfg",
		"Download of configuration file /usr/local/haproxy/etc/temp/127.0.0.1.cfg: success.",
		"Configuration file /usr/local/haproxy/etc/temp/127.0.0.1.cfg is valid.",
		"the first release",
		"Cover /usr/local/haproxy/etc/127.0.0.1.cfg with /usr/local/haproxy/etc/temp/127.0.0.1.cfg: success.",
		"Worker ",
	)
	testkit.Eventually(t, "the page is on 8080", func() string { return h.page(8080) })

	if code, out := h.exec("fairway", "haproxy", "update"); code != 2 || !strings.Contains(out, "is the same, no need to update") {
		t.Errorf("nothing new: code %d\n%s", code, out)
	}
	centre.put(map[string]string{"/www/127.0.0.1": statsConfig(8181)})
	code, out := h.exec("fairway", "haproxy", "update")
	if code != 0 || !strings.Contains(out, "Backup of /usr/local/haproxy/etc/127.0.0.1.cfg to /usr/local/haproxy/etc/backup/127.0.0.1_") || !strings.Contains(out, "is updated") {
		t.Fatalf("something new: code %d\n%s", code, out)
	}
	if wrong := h.page(8080); wrong != "" {
		t.Errorf("an update alone has reloaded: %s", wrong)
	}
	begun := time.Now()
	h.kill("USR2")
	testkit.Eventually(t, "the page is on 8181", func() string { return h.page(8181) })
	t.Logf("on 8181 %s after the signal", time.Since(begun).Round(time.Millisecond))
	h.tells("Reload was asked for", "Worker ", "after the reload was asked for.")
	testkit.Eventually(t, "nothing is on 8080", func() string {
		if h.page(8080) == "" {
			return "the page is"
		}
		return ""
	})
	copies, _ := filepath.Glob(filepath.Join(etc, "backup", "127.0.0.1_*.cfg"))
	if len(copies) != 1 {
		t.Fatalf("copies: %v", copies)
	}
	if old, err := os.ReadFile(copies[0]); err != nil || string(old) != statsConfig(8080) {
		t.Errorf("the copy: %q, %v", old, err)
	}
	if code, out := h.exec("fairway", "haproxy", "status"); code != 0 {
		t.Errorf("status: code %d\n%s", code, out)
	}
}

// TestFleetAgentRefuses: what HAProxy does not take stays out, and what somebody
// broke by hand is put back.
func TestFleetAgentRefuses(t *testing.T) {
	needDocker(t)
	t.Parallel()
	centre, url := fileServer(t, statsConfig(8080))
	etc := t.TempDir()
	h := startDemo2(t, url, etc)
	broken := strings.Replace(statsConfig(8181), "stats uri", "status uri", 1)
	centre.put(map[string]string{"/www/127.0.0.1": broken})
	if code, out := h.exec("fairway", "haproxy", "update"); code != 1 || !strings.Contains(out, "127.0.0.1.cfg:13: unknown keyword 'status' in 'listen' section") {
		t.Errorf("a mistake: code %d\n%s", code, out)
	}
	// An address that another process of the container has.
	if code, out := h.exec("sh", "-c", "httpd -p 8181 -h /tmp"); code != 0 {
		t.Fatalf("httpd: %s", out)
	}
	centre.put(map[string]string{"/www/127.0.0.1": statsConfig(8181)})
	if code, out := h.exec("fairway", "haproxy", "update"); code != 1 || !strings.Contains(out, "0.0.0.0:8181 (line 10, listen admin_stat_8181): in use by httpd") {
		t.Errorf("a taken address: code %d\n%s", code, out)
	}
	centre.put(map[string]string{"/www/127.0.0.1": ""})
	if code, out := h.exec("fairway", "haproxy", "update"); code != 1 || !strings.Contains(out, "is empty") {
		t.Errorf("nothing: code %d\n%s", code, out)
	}
	if wrong := h.page(8080); wrong != "" {
		t.Errorf("the page: %s", wrong)
	}
	// By hand, past every check.
	for i, content := range []string{broken, statsConfig(8181)} {
		if err := os.WriteFile(filepath.Join(etc, "127.0.0.1.cfg"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		h.kill("HUP")
		testkit.Eventually(t, "the file is put back", func() string {
			if n := strings.Count(h.log(), "what was there before runs again"); n != i+1 {
				return fmt.Sprintf("told %d times", n)
			}
			now, err := os.ReadFile(filepath.Join(etc, "127.0.0.1.cfg"))
			if err != nil || string(now) != statsConfig(8080) {
				return fmt.Sprintf("%q, %v", now, err)
			}
			return ""
		})
		testkit.Eventually(t, "the page is there", func() string { return h.page(8080) })
	}
	h.tells("unknown keyword 'status'", "what was there before runs again", "0.0.0.0:8181 (line 10, listen admin_stat_8181): in use by httpd", "what was there before runs again")
	h.running()
}

// TestFleetAgentFirstProcess: signals at the worst moments, orphans, ends of
// HAProxy, a stop, and a start without the centre.
func TestFleetAgentFirstProcess(t *testing.T) {
	needDocker(t)
	t.Parallel()
	centre, url := fileServer(t, statsConfig(8080))
	// Once it is gone, the server of another test may have its address.
	centre.put(map[string]string{"/www/first/127.0.0.1": statsConfig(8080)})
	h := runHAProxy(t, haproxyOptions{name: "first", agent: true, env: []string{"VIP=127.0.0.1", "CFG_GET_URL=" + url + "first/"}})
	// From the first moment on; each would kill HAProxy 2.6 if it came too early.
	for range 30 {
		h.kill("USR2")
		time.Sleep(10 * time.Millisecond)
	}
	testkit.Eventually(t, "the page is there", func() string { return h.page(8080) })
	h.running()

	for range 5 {
		if code, out := h.exec("sh", "-c", "(sleep 0.2; exit 3) & (sleep 0.3) &"); code != 0 {
			t.Fatal(out)
		}
	}
	testkit.Eventually(t, "orphans are reaped", func() string {
		_, out := h.exec("ps", "-o", "pid,stat,comm")
		if strings.Contains(out, " Z") || strings.Contains(out, "sleep") {
			return out
		}
		return ""
	})

	for _, which := range []string{"worker", "master"} {
		_, out := h.exec("fairway", "haproxy", "status", "-o", "json")
		_, rest, _ := strings.Cut(out, `"worker": `)
		number, _, _ := strings.Cut(rest, ",")
		pid, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(out)
		}
		if which == "master" {
			_, out := h.exec("sh", "-c", "cat /proc/"+number+"/stat")
			_, rest, _ := strings.Cut(out, ") ")
			if pid, err = strconv.Atoi(strings.Fields(rest)[1]); err != nil {
				t.Fatal(out)
			}
		}
		begun := time.Now()
		if code, out := h.exec("kill", "-9", strconv.Itoa(pid)); code != 0 {
			t.Fatal(out)
		}
		testkit.Eventually(t, "another worker serves", func() string {
			code, out := h.exec("fairway", "haproxy", "status", "-o", "json")
			if code != 0 || strings.Contains(out, `"worker": `+number+",") {
				return out
			}
			return h.page(8080)
		})
		t.Logf("after the end of the %s it serves again within %s", which, time.Since(begun).Round(10*time.Millisecond))
	}
	h.running()

	begun := time.Now()
	h.stop()
	if state := h.inspect().State; state.ExitCode != 0 {
		t.Errorf("stopped with code %d", state.ExitCode)
	}
	t.Logf("stopped after %s", time.Since(begun).Round(10*time.Millisecond))
	centre.kill("KILL")
	h.start()
	h.tells("Going on with /usr/local/haproxy/etc/127.0.0.1.cfg as it is.")
	testkit.Eventually(t, "the page is there without the centre", func() string { return h.page(8080) })
}

// TestFleetAgentFollows: it fetches by itself, and applies what it is given.
func TestFleetAgentFollows(t *testing.T) {
	needDocker(t)
	t.Parallel()
	centre, url := fileServer(t, statsConfig(8080))
	h := startDemo2(t, url, t.TempDir(), "run", "--follow", "--interval", "200ms")
	for i := range 5 {
		port := 8181 + i
		begun := time.Now()
		centre.put(map[string]string{"/www/127.0.0.1": statsConfig(port)})
		testkit.Eventually(t, "the page has moved", func() string { return h.page(port) })
		t.Logf("on %d after %s", port, time.Since(begun).Round(time.Millisecond))
	}
	centre.put(map[string]string{"/www/127.0.0.1": "nonsense\n"})
	h.tells("unknown keyword 'nonsense'")
	if wrong := h.page(8185); wrong != "" {
		t.Error(wrong)
	}
}

// TestFleetAgentImage builds deploy/haproxy/Dockerfile on top of an image with
// HAProxy and runs it as nobody in particular.
func TestFleetAgentImage(t *testing.T) {
	needDocker(t)
	t.Parallel()
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("no docker command to build with: ", err)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"../../deploy/haproxy/Dockerfile": "deploy/haproxy/Dockerfile", lab.binary: "bin/fairway"} {
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
	ref := lab.image + "-agent-built"
	build := exec.CommandContext(t.Context(), docker, "build", "--label", mark+"="+strconv.Itoa(os.Getpid()), "--build-arg", "BASE="+haproxyImage(t, lab.docker, false),
		"-t", ref, "-f", filepath.Join(dir, "deploy/haproxy/Dockerfile"), dir)
	build.Env = append(os.Environ(), "DOCKER_HOST=unix://"+lab.socket)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("docker build: %v\n%s", err, out)
	}
	_, url := fileServer(t, statsConfig(8080))
	h := runHAProxy(t, haproxyOptions{name: "built", agent: true, image: ref, env: []string{"VIP=127.0.0.1", "CFG_GET_URL=" + url}})
	testkit.Eventually(t, "the page is there", func() string { return h.page(8080) })
	took := testkit.Eventually(t, "the container is healthy", func() string {
		if state := h.inspect().State; state.Health == nil || string(state.Health.Status) != "healthy" {
			return string(state.Status)
		}
		return ""
	})
	t.Logf("healthy after %s", took.Round(100*time.Millisecond))
	if user := h.inspect().Config.User; user != "99:99" {
		t.Errorf("it runs as %q", user)
	}
	if _, err := lab.docker.ContainerStop(t.Context(), h.id, client.ContainerStopOptions{}); err != nil {
		t.Error(err)
	}
}
