package dockerapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairway/internal/dockerapi/dockertest"
)

// TestSwarmLists reads one object of each kind, as a real manager wrote it with
// everything but the essential removed.
func TestSwarmLists(t *testing.T) {
	e := answering(map[string]string{
		"GET /services": `[{"ID":"s1","Version":{"Index":29},"CreatedAt":"2026-11-21T03:53:32.867554215Z","Spec":{"Name":"vip","Labels":{"a":"b"},
			"TaskTemplate":{"ContainerSpec":{"Image":"app:1","Env":["SECRET=canary"]}},"Mode":{"Replicated":{"Replicas":2}},"EndpointSpec":{"Mode":"vip"}},
			"Endpoint":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":18081,"PublishMode":"ingress"},{"TargetPort":70000}],
			"VirtualIPs":[{"NetworkID":"n1","Addr":"10.0.1.11/24"},{"NetworkID":"n2","Addr":""}]},"UpdateStatus":{"State":"updating"}},
			{"ID":"s2","Spec":{"Name":"all","Mode":{"Global":{}}}},{"ID":"s3","Spec":{"Mode":{"ReplicatedJob":{}}}},{"ID":"s4","Spec":{"Mode":{"GlobalJob":{}}}}]`,
		"GET /tasks": `[{"ID":"t1","Version":{"Index":47},"CreatedAt":"2026-11-21T03:53:32.5Z","Spec":{"ContainerSpec":{"Image":"app:1","Labels":{"c":"d"},"Env":["SECRET=canary"]}},
			"ServiceID":"s1","Slot":2,"NodeID":"m1","Status":{"Timestamp":"2026-11-21T03:53:34Z","State":"running","Err":"why","ContainerStatus":{"ContainerID":"c1","PID":7},
			"PortStatus":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":32768,"PublishMode":"host"},{"Protocol":"tcp","TargetPort":80,"PublishedPort":32768,"PublishMode":"host"}]}},
			"DesiredState":"shutdown","NetworksAttachments":[{"Network":{"ID":"n1","Spec":{"Name":"proxy"}},"Addresses":["10.0.1.9/24","fd00::9/64"]},
			{"Network":{"ID":"n0","Spec":{"Name":"ingress","Ingress":true}},"Addresses":["nonsense"]}]},
			{"ID":"t2","Status":{"State":"pending"},"DesiredState":"running"}]`,
		"GET /nodes": `[{"ID":"m1","Version":{"Index":40},"Spec":{"Role":"manager","Availability":"drain","Labels":{"rack":"1"}},"Description":{"Hostname":"vm","Engine":{"EngineVersion":"20.10.24","Labels":{"zone":"a"}}},
			"Status":{"State":"ready","Addr":"0.0.0.0"},"ManagerStatus":{"Leader":true,"Reachability":"reachable","Addr":"192.168.7.1:2377"}},
			{"ID":"m2","Spec":{"Role":"worker"},"Status":{"State":"down","Addr":"192.168.7.2"},"ManagerStatus":{"Reachability":"unreachable"}}]`,
		"GET /networks": `[{"Name":"ingress","Id":"n0","Driver":"overlay","Ingress":true}]`,
		"GET /info":     `{"Swarm":{"NodeID":"m1","LocalNodeState":"active","ControlAvailable":true,"Error":"no leader"}}`,
	})
	c := newClient(t, Options{URL: e.Listen(t)})
	ctx := t.Context()

	services, _, err := c.ServiceList(ctx, nil)
	same(t, err, []Service{
		{
			ID: "s1", Version: 29, Created: time.Date(2026, 11, 21, 3, 53, 32, 867554215, time.UTC), Name: "vip", Labels: map[string]string{"a": "b"}, Image: "app:1", Mode: "replicated", Replicas: 2, Updating: true,
			Ports:      []ServicePort{{Number: 80, Protocol: "tcp", Published: 18081, Mode: "ingress"}},
			VirtualIPs: []VirtualIP{{NetworkID: "n1", IP: netip.MustParseAddr("10.0.1.11")}},
		},
		{ID: "s2", Name: "all", Mode: "global"},
		{ID: "s3", Mode: "replicated-job"},
		{ID: "s4", Mode: "global-job"},
	}, services)

	tasks, _, err := c.TaskList(ctx, TaskFilter{Desired: []string{"running", "ready"}, IDs: []string{"t1"}}, nil)
	same(t, err, []Task{
		{
			ID: "t1", ServiceID: "s1", NodeID: "m1", Version: 47, Created: time.Date(2026, 11, 21, 3, 53, 32, 5e8, time.UTC), Slot: 2,
			Image: "app:1", Labels: map[string]string{"c": "d"}, State: "running", Desired: "shutdown",
			Since: time.Date(2026, 11, 21, 3, 53, 34, 0, time.UTC), Error: "why", ContainerID: "c1",
			Attachments: []TaskAttachment{
				{NetworkID: "n1", Network: "proxy", IPs: []netip.Addr{netip.MustParseAddr("10.0.1.9"), netip.MustParseAddr("fd00::9")}},
				{NetworkID: "n0", Network: "ingress", Ingress: true},
			},
			Ports: []ServicePort{{Number: 80, Protocol: "tcp", Published: 32768, Mode: "host"}},
		},
		{ID: "t2", State: "pending", Desired: "running"},
	}, tasks)

	nodes, _, err := c.NodeList(ctx, nil)
	same(t, err, []Node{
		{ID: "m1", Version: 40, Name: "vm", Role: "manager", Availability: "drain", State: "ready", Address: netip.MustParseAddr("192.168.7.1"), Leader: true, Engine: "20.10.24", Labels: map[string]string{"rack": "1"}, EngineLabels: map[string]string{"zone": "a"}},
		{ID: "m2", Role: "worker", State: "down", Address: netip.MustParseAddr("192.168.7.2"), Unreachable: true},
	}, nodes)

	networks, _, err := c.SwarmNetworkList(ctx, nil)
	same(t, err, []Network{{ID: "n0", Name: "ingress", Driver: "overlay", Ingress: true}}, networks)

	info, err := c.Info(ctx)
	same(t, err, SwarmInfo{NodeID: "m1", State: "active", Manager: true, Error: "no leader"}, info.Swarm)

	want := []string{
		"GET /services",
		"GET /tasks?filters=%7B%22desired-state%22%3A%7B%22ready%22%3Atrue%2C%22running%22%3Atrue%7D%2C%22id%22%3A%7B%22t1%22%3Atrue%7D%7D",
		"GET /nodes",
		"GET /networks?filters=%7B%22scope%22%3A%7B%22swarm%22%3Atrue%7D%7D",
		"GET /info",
	}
	if diff := cmp.Diff(want, e.Asked()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func same(t *testing.T, err error, want, got any) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("%T (-want +got):\n%s", got, diff)
	}
}

// TestSeen demands that an answer is decoded when it differs from the one
// before, and only then; and that an answer that failed was not seen.
func TestSeen(t *testing.T) {
	var mu sync.Mutex
	var answer string
	e := dockertest.New(&mu)
	e.Answer("GET /nodes", func(*http.Request) any { return answer })
	c := newClient(t, Options{URL: e.Listen(t)})
	var seen Seen
	ask := func() string {
		list, changed, err := c.NodeList(t.Context(), &seen)
		if err != nil {
			return "error"
		}
		return fmt.Sprint(len(list), changed)
	}
	var got []string
	for _, next := range []string{`[{"ID":"a"}]`, `[{"ID":"a"}]`, `[{"ID":"b"}]`, `[{"ID":"b"}]`, `[{"ID":`, `[{"ID":`, `[{"ID":"b"}]`, `[]`, `[]`, `{}`} {
		mu.Lock()
		answer = next
		mu.Unlock()
		got = append(got, ask())
	}
	want := []string{"1 true", "0 false", "1 true", "0 false", "error", "error", "1 true", "0 true", "0 false", "error"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

// TestSwarmRefusals reads the ways in which an engine says no.
func TestSwarmRefusals(t *testing.T) {
	for _, c := range []struct {
		status       int
		answer, want string
	}{
		{503, `{"message":"This node is not a swarm manager."}`, "docker list tasks: This node is not a swarm manager."},
		{403, "<html>no</html>", "docker list tasks: 403 Forbidden"},
		{404, "", "docker list tasks: 404 Not Found"},
	} {
		e := dockertest.New(nil)
		e.Answer("GET /tasks", func(*http.Request) any { return dockertest.Status{Code: c.status, Body: c.answer} })
		client := newClient(t, Options{URL: e.Listen(t)})
		if _, _, err := client.TaskList(t.Context(), TaskFilter{}, nil); err == nil || err.Error() != c.want {
			t.Errorf("error %q, want %q", err, c.want)
		}
	}
}

// TestSwarmDeadline demands that a list takes no longer than it may, even while
// another call, which may take longer, is the first to reach a silent engine.
func TestSwarmDeadline(t *testing.T) {
	silent, far := net.Pipe()
	defer far.Close()
	c, err := New(Options{URL: "unix:///x", Timeout: 5 * time.Second, Dial: func(context.Context) (net.Conn, error) { return silent, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	long, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _ = c.ContainerList(long, true) }()
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	done := make(chan error, 1)
	go func() { _, _, err := c.TaskList(ctx, TaskFilter{}, nil); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	case <-time.After(4 * time.Second):
		t.Error("the list waited for somebody else's call")
	}
}

// TestSwarmTLS lists over TLS, where the connection is made in another way.
func TestSwarmTLS(t *testing.T) {
	s := httptest.NewTLSServer(answering(map[string]string{"GET /nodes": `[{"ID":"a"}]`}))
	defer s.Close()
	c, err := New(Options{URL: "tcp://" + s.Listener.Addr().String(), Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Client certificates are files; what is tried here is the way of the list.
	trust := &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	c.way.tls = trust
	c.way.tls.ServerName = "example.com"
	if err := c.build(); err != nil {
		t.Fatal(err)
	}
	list, _, err := c.NodeList(t.Context(), nil)
	same(t, err, []Node{{ID: "a"}}, list)
}

// FuzzParseIP demands that what passes is the address before the slash, in its
// shortest form.
func FuzzParseIP(f *testing.F) {
	for _, text := range []string{"10.0.1.9/24", "fd00::1", "::ffff:10.0.0.1/96", "", "/", "1.2.3.4/x", "fe80::1%eth0/64"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ip := parseIP(text)
		before, _, _ := strings.Cut(text, "/")
		want, err := netip.ParseAddr(before)
		if ip.IsValid() != (err == nil) || ip != want.Unmap() {
			t.Errorf("%q became %v", text, ip)
		}
	})
}
