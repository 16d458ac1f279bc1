package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/testkit"
)

// named serves what resolvers of others ask for, on port 53 of a loopback address where that
// may be bound: some read no port.
func named(t *testing.T, services ...string) (address string, feed *catalog.Feed) {
	t.Helper()
	for i := range 50 {
		address = fmt.Sprintf("127.9.%d.%d:53", os.Getpid()%250, i+1)
		s, err := New(Options{Listen: []string{address}, Feed: &catalog.Feed{}, Local: func() []netip.Prefix { return local }})
		if err == nil {
			s.Close()
			break
		}
		if os.Geteuid() != 0 {
			t.Skip("port 53 of loopback: run the tests as root")
		}
	}
	_, _ = serve(t, func(o *Options) {
		o.Listen, feed = []string{address}, o.Feed
		o.Feed.Publish(snapshot(services...))
	})
	return address, feed
}

// Go's own resolver: both families in one go, what does not fit over TCP, and names that are
// not there at once (cases 13, 14, 15, 41).
func TestGoResolver(t *testing.T) {
	s := shop()
	for i := range 100 {
		in := &catalog.Instance{ID: fmt.Sprint("big", i), Name: fmt.Sprint("big-", i), Source: "docker", State: catalog.StateReady, Addresses: []catalog.Address{{Host: fmt.Sprintf("172.18.1.%d", i+1), Network: "shop", Reach: catalog.ReachBridge}}}
		if i == 0 {
			s.Services = append(s.Services, &catalog.Service{ID: "big@docker", Name: "big", Source: "docker"})
		}
		last := s.Services[len(s.Services)-1]
		last.Instances = append(last.Instances, in)
	}
	_, address := serve(t, func(o *Options) { o.Feed.Publish(s) })
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	for name, want := range map[string]int{"res.docker.": 1, "six.docker.": 2, "big.docker.": 100} {
		if got, err := r.LookupHost(t.Context(), name); err != nil || len(got) != want {
			t.Errorf("%s: %d addresses, %v", name, len(got), err)
		}
	}
	_, list, err := r.LookupSRV(t.Context(), "res", "tcp", "docker.")
	if err == nil {
		_, list, err = r.LookupSRV(t.Context(), "", "", "_res._tcp.docker.")
	}
	if err != nil || len(list) != 1 || list[0].Port != 80 {
		t.Errorf("SRV: %v, %v", list, err)
	}
	_, err = r.LookupHost(t.Context(), "nope.docker.")
	if e, ok := err.(*net.DNSError); !ok || !e.IsNotFound {
		t.Errorf("not there: %v", err)
	}
	if list, err := r.LookupAddr(t.Context(), "172.17.0.2"); err != nil || !slices.Equal(list, []string{"res-1.docker."}) {
		t.Errorf("the name of an address: %v, %v", list, err)
	}
}

// The C library of most distributions, with a resolv.conf of its own: it asks for A and AAAA at
// once, of one of which there is no data, and completes names by a search list.
func TestGlibc(t *testing.T) {
	for _, program := range []string{"getent", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("no " + program + ": apt-get install libc-bin util-linux")
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("a resolv.conf of one process: run the tests as root")
	}
	address, _ := named(t, "res=172.17.0.2", "six=172.18.0.40,fd00:18::40", "web.shop=172.18.0.9")
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	host, _, _ := net.SplitHostPort(address)
	if err := os.WriteFile(conf, []byte("nameserver "+host+"\nsearch docker\noptions timeout:1 attempts:2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `mount --bind "$0" /etc/resolv.conf && for name; do echo "$name: $(getent ahosts "$name" | awk '$2 == "STREAM" {print $1}' | sort | tr '\n' ' ')"; done`
	began := time.Now()
	out, err := exec.CommandContext(t.Context(), "unshare", append([]string{"-m", "sh", "-c", script, conf}, "res.docker", "res", "six.docker", "web.shop", "nope.docker")...).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "unshare") || strings.Contains(string(out), "mount") {
			t.Skipf("no mounts of its own here: %s", out)
		}
		t.Fatalf("%v: %s", err, out)
	}
	want := "res.docker: 172.17.0.2 \nres: 172.17.0.2 \nsix.docker: 172.18.0.40 fd00:18::40 \nweb.shop: 172.18.0.9 \nnope.docker: \n"
	if string(out) != want || time.Since(began) > testkit.Patience {
		t.Errorf("in %s:\n%s", time.Since(began), out)
	}
}

// started runs a program until the test ends.
func started(t *testing.T, program string, args ...string) *testkit.Log {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("no %s: apt-get install %s", program, program)
	}
	log := &testkit.Log{}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return log
}

// endpoint answers with its own address, at a loopback address and a port that others may have, too.
func endpoint(t *testing.T, host, port string) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, host) }))
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
}

// get asks a proxy; empty for no answer of an endpoint.
func get(address string) string {
	c := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + address)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1000))
	if r.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// Others that look names up while they run go where the service goes.
func TestProxiesFollow(t *testing.T) {
	for name, config := range map[string]struct {
		text string
		args []string
	}{
		"nginx": {
			"daemon off; master_process off; error_log stderr; pid DIR/pid; events {}\nhttp { access_log off; resolver DNS; server { listen FRONT; location / { set $to web.docker; proxy_pass http://$to:PORT; } } }",
			[]string{"-p", "DIR", "-c", "FILE"},
		},
		"haproxy": {
			"global\n  log stderr local0\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 2s\n  timeout server 2s\nresolvers names\n  nameserver fairway DNS\n  accepted_payload_size 1232\n  hold valid 200ms\n  hold nx 200ms\n  hold obsolete 200ms\n  timeout resolve 200ms\n  timeout retry 200ms\nfrontend f\n  bind FRONT\n  default_backend b\nbackend b\n  server-template w 3 _web._tcp.docker resolvers names resolve-prefer ipv4 init-addr none\n",
			[]string{"-db", "-f", "FILE"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, front, port := t.TempDir(), "127.0.0.1:"+testkit.FreePort(t), testkit.FreePort(t)
			endpoint(t, "127.0.0.1", port)
			endpoint(t, "127.0.0.2", port)
			var feed *catalog.Feed
			at := func(host string) *catalog.Snapshot {
				s := snapshot("web=" + host)
				in := s.Services[0].Instances[0]
				in.Ports, in.Addresses[0].Reach = nil, catalog.ReachFixed
				_, _ = fmt.Sscan(port, &in.Addresses[0].Port)
				return s
			}
			_, address := serve(t, func(o *Options) {
				feed, o.Settings.TTL = o.Feed, time.Second
				feed.Publish(at("127.0.0.1"))
			})
			fill := strings.NewReplacer("DIR", dir, "FRONT", front, "DNS", address, "PORT", port, "FILE", filepath.Join(dir, "conf"))
			if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(fill.Replace(config.text)), 0o644); err != nil {
				t.Fatal(err)
			}
			var args []string
			for _, a := range config.args {
				args = append(args, fill.Replace(a))
			}
			log := started(t, name, args...)
			defer func() {
				if t.Failed() {
					t.Log(log)
				}
			}()
			testkit.Eventually(t, "it finds the service", func() bool { return get(front) == "127.0.0.1" })
			feed.Publish(at("127.0.0.2"))
			took := testkit.Eventually(t, "it follows the service", func() bool { return get(front) == "127.0.0.2" })
			testkit.Figure(t, name+" follows a service", "%s", took.Round(10*time.Millisecond))
		})
	}
}
