package setup_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairway/internal/acme/pebbletest"
	"fairway/internal/app"
	"fairway/internal/consul/consultest"
	"fairway/internal/testkit"
)

// TestThreeFairways: of three whole Fairways over three servers of Consul, one is killed while it
// orders, and then the leader of Consul. The other two have one certificate for each host
// between them, and no lock is left. It takes as long as a session of Consul that is lost.
func TestThreeFairways(t *testing.T) {
	testkit.Soak(t)
	agents := consultest.Servers(t, 3)
	// It takes its time to look, so that the first is killed meanwhile.
	p := pebbletest.Start(t, pebbletest.Options{Environ: []string{"PEBBLE_VA_NOSLEEP=0", "PEBBLE_VA_SLEEPTIME=4"}})
	const hosts = 3
	host := func(n int) string { return fmt.Sprintf("h%d.test", n) }
	services, address := "services:\n", backend(t)
	for n := range hosts {
		services += service(fmt.Sprint("h", n), host(n), address)
	}
	var addresses []string
	for _, a := range agents {
		addresses = append(addresses, "http://"+a.Address)
	}
	shared := func(c *app.Config) {
		c.ACME.Storage, c.ACME.Consul.Addresses, c.ACME.Challenges = "consul", addresses, []string{"http-01"}
	}
	killed := startProcess(t, p, services, addresses)
	testkit.Eventually(t, "the first holds a lock", func() bool { return len(locks(t, agents)) > 0 })
	// The second answers the challenges of all.
	two := []*fairway{startFairway(t, p, services, shared)}
	two = append(two, startOn(t, "127.0.0.1:0", "127.0.0.1:"+testkit.FreePort(t), services, shared, func(c *app.Config) {
		c.ACME.Agree, c.ACME.CA, c.ACME.CARoot = true, p.Directory, p.Root
	}))
	two[1].trust = two[0].trust
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	for _, a := range agents {
		if a.IsLeader() {
			a.Kill()
			break
		}
	}
	began, obtained, all := time.Now(), 0, 0
	for n := range hosts {
		first := two[0].await(t, host(n))
		testkit.Eventually(t, "both show one certificate", func() string {
			second, err := two[1].leaf(t, host(n))
			if err != nil {
				return err.Error()
			}
			if second.SerialNumber.Cmp(first.SerialNumber) != 0 {
				return "another one"
			}
			return ""
		})
	}
	for _, f := range two {
		o, s := f.orders(t, "obtained"), f.orders(t, "shared")
		obtained, all = obtained+o, all+o+s
	}
	testkit.Figure(t, "three Fairways, one killed with Consul's leader", "all hosts after %v, of them %d ordered after it", time.Since(began).Round(time.Second), obtained)
	if obtained > hosts || all != 2*hosts {
		t.Errorf("%d certificates for %d hosts, and %d answers", obtained, hosts, all)
	}
	testkit.Eventually(t, "no lock is left", func() string {
		return strings.Join(locks(t, agents), " ")
	})
}

// startProcess runs a Fairway that can be killed.
func startProcess(t *testing.T, p *pebble, services string, addresses []string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	binary, file := filepath.Join(dir, "fairway"), filepath.Join(dir, "services.yml")
	if out, err := exec.Command("go", "build", "-o", binary, "fairway/cmd/fairway").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	write(t, file, []byte(services))
	cmd := exec.Command(binary, "run", "--file", file, "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0", "--admin.listen", "off", "--state-dir", filepath.Join(dir, "s"),
		"--acme.agree", "--acme.ca", p.Directory, "--acme.ca-root", p.Root, "--acme.challenges", "http-01", "--acme.storage", "consul", "--acme.consul.addresses", strings.Join(addresses, ","))
	var log bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "DOCKER_HOST=unix://"+filepath.Join(dir, "none")), &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended
		if t.Failed() {
			t.Logf("the first: %s", log.String())
		}
	})
	return cmd
}

// locks are the keys that a session holds; of the first agent that answers.
func locks(t *testing.T, agents []*consultest.Agent) (held []string) {
	t.Helper()
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, a := range agents {
		resp, err := client.Get("http://" + a.Address + "/v1/kv/fairway/acme?recurse=true")
		if err != nil {
			continue
		}
		var keys []struct{ Key, Session string }
		err = json.NewDecoder(resp.Body).Decode(&keys)
		_ = resp.Body.Close()
		for _, k := range keys {
			if k.Session != "" {
				held = append(held, k.Key)
			}
		}
		if err == nil {
			return held
		}
	}
	return held
}

// orders is how many orders have ended so.
func (f *fairway) orders(t *testing.T, result string) int {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(f.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`fairway_acme_orders_total\{action="obtain",result="` + result + `"\} (\d+)`).FindSubmatch(data)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}
