package haproxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/process"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// processes are the master and the worker that serves.
func (s *site) processes() (master, worker int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	all, err := socket.NewMaster(s.engine.opts.MasterSocket, 0).Processes(ctx)
	if err != nil || len(all.Workers) == 0 {
		return 0, 0
	}
	return all.Master.PID, all.Workers[0].PID
}

// back waits until HAProxy has again exactly what the table means.
func (s *site) back() {
	s.t.Helper()
	begun := time.Now()
	testkit.Eventually(s.t, "HAProxy is back", func() bool {
		master, _ := s.processes()
		return master != 0 && len(s.differences()) == 0
	})

	s.t.Logf("back after %v", time.Since(begun).Round(time.Millisecond))
}

// TestKilled: whatever is killed comes back with the exact table.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	s.serve("b.example", startEndpoint(t, "b"))
	s.apply() // at runtime
	for i, which := range []string{"master", "worker", "master"} {
		t.Run(fmt.Sprint(i, " ", which), func(t *testing.T) {
			master, worker := s.processes()
			pid := master
			if which == "worker" {
				pid = worker
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			testkit.Eventually(t, "the end", func() bool { now, _ := s.processes(); return now != master })
			s.back()
			s.answers("a.example", "a")
			s.answers("b.example", "b")
		})
	}
}

// TestTakenOver: HAProxy outlives the engine, and the next one changes it while it
// runs. A request that is under way does not notice.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	s.serve("b.example", startEndpoint(t, "b"))
	s.apply()
	client := startSlow(t, s, "slow.example")
	s.backend("a.example", nil, startEndpoint(t, "a1"), startEndpoint(t, "a2"))
	s.apply()
	_, worker := s.processes()
	addr := s.engine.Addr("http").String()
	if err := s.engine.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.Apply(t.Context(), s.table()); err == nil {
		t.Error("an engine that has left takes a table")
	}

	s.start()
	s.remove("b.example")
	s.serve("c.example", startEndpoint(t, "c"))
	s.apply()
	if got := s.engine.Addr("http").String(); got != addr {
		t.Errorf("the listener has moved from %s to %s", addr, got)
	}
	s.answers("a.example", "a1", "a2")
	s.answers("c.example", "c")
	if status, _ := s.get("b.example"); status != 404 {
		t.Errorf("what was removed is answered with %d", status)
	}
	s.exact()
	if _, now := s.processes(); now != worker {
		t.Errorf("worker %d was replaced by %d", worker, now)
	}
	if n := s.reloads(); n != 0 {
		t.Errorf("%d starts and reloads by the second engine, want 0", n)
	}
	client()
	testkit.Eventually(t, "deletion of servers", func() bool { return s.count("fairway_haproxy_leaving_servers") == 0 })
}

// TestTakenOverElsewhere: what was changed behind the back of all engines is put
// right by the one that takes over, and so is what was half done.
func TestTakenOverElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{VerifyInterval: time.Hour})
	s.serve("a.example", startEndpoint(t, "a"))
	s.serve("b.example", startEndpoint(t, "b"))
	s.serve("c.example", startEndpoint(t, "c"))
	s.apply()
	if err := s.engine.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.meddle()
	s.start()
	s.apply()
	s.exact()
	s.answers("a.example", "a")
	s.answers("b.example", "b")
	if n := s.reloads(); n != 0 {
		t.Errorf("%d starts and reloads, want 0", n)
	}
}

// meddle changes HAProxy behind the engine's back: an entry is gone, another leads
// elsewhere, one is there twice, a server is in maintenance and another has joined.
func (s *site) meddle() {
	s.t.Helper()
	s.engine.mu.Lock() // it is not to correct the half of it
	defer s.engine.mu.Unlock()
	config := s.engine.target.Config
	session := s.session()
	do := func(c socket.Command, err error) {
		s.t.Helper()
		if err == nil {
			_, err = session.Do(s.t.Context(), c)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	for _, m := range config.Maps {
		if m.Name != "routes" {
			continue
		}
		do(socket.DelMap(m.Path, m.Entries[0].Key))
		do(socket.SetMap(m.Path, m.Entries[1].Key, "nowhere"))
		twice, err := socket.AddMap(m.Path, []socket.Entry{{Key: m.Entries[2].Key, Value: "nowhere"}})
		do(twice[0], err)
	}
	for i := range config.Sections {
		section := &config.Sections[i]
		if len(section.Servers) > 0 {
			do(socket.SetServerState(section.Name, section.Servers[0].Name, socket.StateMaint))
			do(socket.AddServer(section.Name, "stranger", section.Servers[0].Address))
			do(socket.ServerCommand(socket.EnableServer, section.Name, "stranger"))
			break
		}
	}
}

// TestDriftIsCorrected: what something else has changed is found and put right.
func TestDriftIsCorrected(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{VerifyInterval: 100 * time.Millisecond})
	s.serve("a.example", startEndpoint(t, "a"))
	s.serve("b.example", startEndpoint(t, "b"))
	s.serve("c.example", startEndpoint(t, "c"))
	s.apply()
	s.meddle()
	testkit.Eventually(t, "the correction", func() bool { return len(s.differences()) == 0 })
	s.answers("a.example", "a")
	if n := s.count("fairway_haproxy_verification_failures_total"); n == 0 {
		t.Error("no verification has failed")
	}
	if n := s.reloads(); n != 1 {
		t.Errorf("%d starts and reloads, want 1", n)
	}
}

// TestReloadedElsewhere: somebody else reloads HAProxy, which has everything then,
// as it reads the files.
func TestReloadedElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{VerifyInterval: time.Hour})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	s.serve("b.example", startEndpoint(t, "b"))
	s.apply()
	_, before := s.processes()
	if _, err := socket.NewMaster(s.engine.opts.MasterSocket, 0).Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the new worker", func() bool { _, now := s.processes(); return now != 0 && now != before })
	s.exact()
	s.serve("c.example", startEndpoint(t, "c"))
	s.apply()
	s.answers("c.example", "c")
	s.exact()
}

// TestDrainingClosesIdle: an endpoint that drains is not left with idle connections,
// and what runs on it goes on.
func TestDrainingClosesIdle(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	closed := make(chan struct{}, 100)
	server := http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") }),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed <- struct{}{}
			}
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	defer func() { _ = server.Close(); <-done }()
	s.serve("a.example", l.Addr().String())
	client := startSlow(t, s, "slow.example")
	s.answers("a.example", "a")
	select {
	case <-closed:
		t.Fatal("the connection is not kept: there is nothing to test")
	case <-time.After(100 * time.Millisecond):
	}
	s.backend("a.example", func(b *route.Backend) { b.Endpoints[0].State = route.EndpointDraining }, l.Addr().String())
	slow := s.backends["slow.example"].Endpoints[0].Address
	s.backend("slow.example", func(b *route.Backend) { b.Endpoints[0].State = route.EndpointDraining }, slow)
	s.apply()
	select {
	case <-closed:
	case <-time.After(2 * time.Second): // less than render's time for idle connections
		t.Error("the idle connection stays")
	}
	client()
}

// startSlow serves a host whose answer comes in two parts, asks for it, and returns
// a function that waits for the second part.
func startSlow(t *testing.T, s *site, host string) (finish func()) {
	t.Helper()
	release := make(chan struct{})
	app := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "second")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = app.Serve(l) }()
	t.Cleanup(func() { _ = app.Close(); <-done })
	s.serve(host, l.Addr().String())
	s.apply()
	transport := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.engine.Addr("http").String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("first "))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		close(release)
		rest, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(rest, []byte("second")) {
			t.Errorf("the request that was under way ends with %q: %v", rest, err)
		}
		_ = resp.Body.Close()
	}
}

// TestOutputIsTrimmed: what HAProxy says does not fill the disk.
func TestOutputIsTrimmed(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	path := filepath.Join(s.options.Dir, fileOutput)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, maxOutput)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "an empty file", func() bool { info, err := os.Stat(path); return err == nil && info.Size() == 0 })
	if err := s.engine.reloadAnyway(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 || info.Size() > maxOutput/2 {
		t.Errorf("HAProxy goes on at %d: %v", info.Size(), err)
	}
}

// TestStopLeavesNothing: Stop ends all of HAProxy.
func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	master, worker := s.processes()
	s.stop()
	for _, pid := range []int{master, worker} {
		if p, err := os.FindProcess(pid); err == nil && p.Signal(syscall.Signal(0)) == nil {
			t.Errorf("process %d runs on", pid)
		}
	}
}

// TestStopIsBounded: Stop returns when its context ends, although a change that is
// under way holds the engine, and leaves nothing behind either.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	master, worker := s.processes()
	s.engine.mu.Lock()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- s.engine.Stop(ctx) }()
	select {
	case err := <-stopped:
		if err == nil {
			t.Error("nothing says that a change was cut off")
		}
	case <-time.After(testkit.Patience):
		t.Error("Stop waits for the change")
	}
	s.engine.mu.Unlock()
	for _, pid := range []int{master, worker} {
		testkit.Eventually(t, fmt.Sprintf("process %d is gone", pid), func() bool {
			p, err := os.FindProcess(pid)
			return err != nil || p.Signal(syscall.Signal(0)) != nil
		})
	}
}

// TestDrainLimit: a connection that is passed through ends some time after its
// endpoint began to drain, and that of another endpoint goes on.
func TestDrainLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{DrainLimit: 100 * time.Millisecond})
	s.listeners = append(s.listeners,
		route.Listener{Name: "one", Address: "127.0.0.1:0", TCP: true}, route.Listener{Name: "two", Address: "127.0.0.1:0", TCP: true})
	echo := func(name string) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
			}
		}()
		t.Cleanup(func() { _ = l.Close(); <-done })
		s.backend(name, func(b *route.Backend) { b.Scheme = route.SchemeTCP }, l.Addr().String())
		s.route(name, "", func(r *route.Route) {
			r.Matches[0].Host = route.Host{Kind: route.HostAny}
			r.Matches[0].Conditions = []route.Condition{{Kind: route.ConditionListener, Values: []string{name}}}
		})
	}
	echo("one")
	echo("two")
	s.apply()
	says := func(c net.Conn) bool {
		_ = c.SetDeadline(time.Now().Add(2 * time.Second))
		_, err := c.Write([]byte("x"))
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		return err == nil
	}
	dial := func(name string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", s.engine.Addr(name).String())
		if err != nil || !says(c) {
			t.Fatalf("a connection to %s: %v", name, err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	conn, other := dial("one"), dial("two")
	b := *s.backends["one"]
	b.Endpoints = []route.Endpoint{b.Endpoints[0]}
	b.Endpoints[0].State = route.EndpointDraining
	s.backends["one"] = &b
	s.apply()
	if !says(conn) {
		t.Error("the connection ends at once")
	}
	testkit.Eventually(t, "the end of the connection", func() bool { return !says(conn) })
	if !says(other) {
		t.Error("the connection to another endpoint has ended")
	}
}

// TestElsewhere: a HAProxy that Fairway does not run is neither started nor ended, and
// otherwise served alike.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	program := needHAProxy(t)
	dir, err := os.MkdirTemp("", "fairway")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := newSite(t, Options{
		Dir: filepath.Join(dir, "files"), MasterSocket: filepath.Join(dir, "m.sock"), AdminSocket: filepath.Join(dir, "a.sock"),
	})
	s.serve("a.example", startEndpoint(t, "a"))
	table := s.table()
	err = s.engine.Apply(t.Context(), table)
	if err == nil || !strings.Contains(err.Error(), "start it as `haproxy -W") {
		t.Fatalf("without HAProxy: %v", err)
	}
	start := func() *process.Process {
		t.Helper()
		p, err := process.Start(t.Context(), process.Options{
			Binary: program, MasterSocket: s.options.MasterSocket,
			CheckOptions: binary.CheckOptions{Files: []string{filepath.Join(dir, "files", "haproxy.cfg")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Stop(context.Background(), true) })
		return p
	}
	haproxy := start()
	if err := s.engine.Apply(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	s.answers("a.example", "a")
	s.serve("b.example", startEndpoint(t, "b"))
	s.apply()
	s.answers("b.example", "b")
	s.exact()
	if n := s.reloads(); n != 0 {
		t.Errorf("%d starts and reloads, want 0", n)
	}
	if err := haproxy.Stop(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	haproxy = start()
	s.back()
	s.serve("c.example", startEndpoint(t, "c"))
	testkit.Eventually(t, "HAProxy is taken over again", func() bool { return s.engine.Apply(t.Context(), s.table()) == nil })
	s.answers("c.example", "c")
	s.exact()
	s.stop()
	select {
	case <-haproxy.Gone():
		t.Error("HAProxy was ended")
	default:
	}
}

// TestStateDirectoryRemoved: HAProxy serves on and rests when Fairway has ended and
// somebody has removed the directory with its sockets.
func TestStateDirectoryRemoved(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	s.answers("a.example", "a")
	master, _ := s.processes()
	addr := s.engine.Addr("http").String()
	cli, err := net.Dial("unix", s.engine.opts.AdminSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	_ = cli.SetDeadline(time.Now().Add(testkit.Patience))
	answers := bufio.NewReader(cli)
	if _, err := io.WriteString(cli, "prompt\nset timeout cli 1h\n"); err != nil {
		t.Fatal(err)
	}
	// worked is how many tasks HAProxy has had something to do for.
	worked := func() (n int) {
		if _, err := io.WriteString(cli, "show activity\n"); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := answers.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Sscanf(line, "tasksw: %d", &n); err == nil {
				return n
			}
		}
	}
	if err := s.engine.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(master, syscall.SIGKILL) })
	if err := os.RemoveAll(s.options.Dir); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "a.example"
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 {
			t.Errorf("HAProxy answers %s", res.Status)
		}
		_ = res.Body.Close()
	}
	// What connects without a pause does so thousands of times a second, however slow
	// the machine; what rests has this test's questions and a few timers.
	const watched = 2 * time.Second
	before, begun := worked(), time.Now()
	for time.Since(begun) < watched {
		time.Sleep(watched / 10)
		worked()
	}
	if n := worked() - before; n > 2000 {
		t.Errorf("HAProxy ran %d tasks in %v though there is nothing to do", n, watched)
	}
}
