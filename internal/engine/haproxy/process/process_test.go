package process

import (
	"context"
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
	"syscall"
	"testing"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/testkit"
)

// stage is a directory with a configuration and the options to run it.
type stage struct {
	t    *testing.T
	dir  string
	port string
	Options
}

func newStage(t *testing.T) *stage {
	t.Helper()
	t.Parallel() // most of the time they wait
	b, err := binary.Find(t.Context(), "")
	if errors.Is(err, binary.ErrNotFound) {
		t.Skip("no haproxy on this machine")
	}
	if err != nil {
		t.Fatal(err)
	}
	// A socket's path must be short; that of t.TempDir is not always.
	dir, err := os.MkdirTemp("", "fairway-process-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stage{t: t, dir: dir, port: testkit.FreePort(t), Options: Options{
		Binary: b, CheckOptions: binary.CheckOptions{Files: []string{filepath.Join(dir, "haproxy.cfg")}}, MasterSocket: filepath.Join(dir, "master.sock"), LogFile: filepath.Join(dir, "haproxy.log"),
	}}
	s.write("one", "")
	return s
}

// write writes a configuration with a marker, which the answers carry, too.
func (s *stage) write(marker, more string) {
	s.t.Helper()
	text := fmt.Sprintf(`global
    set-var proc.fairway str(%[1]s)
    hard-stop-after 5s
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:%[2]s
    http-request return status 200 content-type text/plain string %[1]s
%[3]s
`, marker, s.port, more)
	if err := os.WriteFile(s.Files[0], []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) start() *Process {
	s.t.Helper()
	p, err := Start(s.t.Context(), s.Options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Stop(ctx, true); err != nil {
			s.t.Error(err)
		}
	})
	return p
}

// answers asks over a new connection and demands the marker.
func (s *stage) answers(want string) {
	s.t.Helper()
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get("http://127.0.0.1:" + s.port + "/")
	if err != nil {
		s.t.Error(err)
		return
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != want {
		s.t.Errorf("answer %q, want %q", body, want)
	}
}

func isGone(t *testing.T, p *Process) {
	t.Helper()
	select {
	case <-p.Gone():
	case <-time.After(20 * time.Second):
		t.Fatal("its end is not seen")
	}
}

func TestStartReloadStop(t *testing.T) {
	s := newStage(t)
	p := s.start()
	s.answers("one")
	if got, err := p.Marker(t.Context()); err != nil || got != "one" {
		t.Errorf("marker %q, %v", got, err)
	}
	first, err := p.Worker(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.write("two", "")
	got, err := p.Reload(t.Context(), "two")
	if err != nil || got.PID == first.PID {
		t.Fatalf("reload: %+v, %v; the first worker is %d", got, err, first.PID)
	}
	s.answers("two")
	if len(p.Pids(t.Context())) < 2 || p.Pids(t.Context())[0] != p.Pid() {
		t.Errorf("processes %v, master %d", p.Pids(t.Context()), p.Pid())
	}
	if p.Err() != nil {
		t.Errorf("it runs, and still %v", p.Err())
	}
	if err := p.Stop(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	isGone(t, p)
	if err := p.Stop(t.Context(), true); err != nil {
		t.Errorf("a second stop: %v", err)
	}
	if _, err := p.Reload(t.Context(), ""); err == nil {
		t.Error("a reload of one that is gone is no error")
	}
}

func TestReloadProof(t *testing.T) {
	s := newStage(t)
	p := s.start()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.write("two", "")
	go func() {
		for m, _ := p.Marker(ctx); m != "two" && ctx.Err() == nil; m, _ = p.Marker(ctx) {
			time.Sleep(look)
		}
		time.Sleep(500 * time.Millisecond) // time enough to look at it
		cancel()
	}()
	_, err := p.Reload(ctx, "three")
	if !errors.Is(err, ErrUnproven) || !strings.Contains(err.Error(), `"two" instead of "three"`) {
		t.Errorf("another marker: %v", err)
	}
	done, err := p.Reload(t.Context(), "two")
	if err != nil || done.PID == 0 || done.Reloads != 0 {
		t.Errorf("%+v, %v", done, err)
	}
}

// A configuration that HAProxy refuses: its words, the old worker serves on, and
// the next one is taken.
func TestReloadRefused(t *testing.T) {
	s := newStage(t)
	p := s.start()
	for range 2 { // a second failure is told from the first
		s.write("two", "frontend other\n    nonsense here")
		_, err := p.Reload(t.Context(), "two")
		var failed *FailedError
		if !errors.As(err, &failed) || len(failed.Alerts) != 1 || failed.Alerts[0].Line != 13 || !strings.Contains(err.Error(), "haproxy.cfg:13: unknown keyword 'nonsense' in 'frontend' section") {
			t.Errorf("a mistake: %v", err)
		}
		s.answers("one")
	}
	s.write("three", "")
	if _, err := p.Reload(t.Context(), "three"); err != nil {
		t.Errorf("after it: %v", err)
	}
	s.answers("three")
}

func TestReloadTakenBind(t *testing.T) {
	s := newStage(t)
	p := s.start()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.write("two", "frontend other\n    bind "+l.Addr().String())
	_, err = p.Reload(t.Context(), "two")
	var failed *FailedError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "cannot bind socket (Address already in use) for ["+l.Addr().String()+"]") {
		t.Errorf("a taken address: %v", err)
	}
	s.answers("one")
	l.Close()
	if _, err := p.Reload(t.Context(), "two"); err != nil {
		t.Errorf("free again: %v", err)
	}
}

func TestReloadsOneByOne(t *testing.T) {
	s := newStage(t)
	p := s.start()
	const n = 5
	var wg sync.WaitGroup
	workers := make(chan int, n)
	for range n {
		wg.Go(func() {
			got, err := p.Reload(t.Context(), "one")
			if err != nil {
				t.Error(err)
			}
			workers <- got.PID
		})
	}
	wg.Wait()
	close(workers)
	seen := map[int]bool{}
	for pid := range workers {
		if seen[pid] {
			t.Errorf("two reloads were proven by one worker, %d", pid)
		}
		seen[pid] = true
	}
	all, err := p.Master().Processes(t.Context())
	if err != nil || all.Master.Reloads != n {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestStartFails(t *testing.T) {
	s := newStage(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for more, want := range map[string]string{
		"frontend other\n    nonsense here":             "haproxy.cfg:13: unknown keyword 'nonsense'",
		"frontend other\n    bind " + l.Addr().String(): "Address already in use",
	} {
		s.write("one", more)
		p, err := Start(t.Context(), s.Options)
		var failed *FailedError
		if !errors.As(err, &failed) || failed.What != "start" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", more, p, err)
		}
	}
	s.write("one", "")
	long := s.Options
	long.MasterSocket = "/tmp/" + strings.Repeat("x", 100)
	if _, err := Start(t.Context(), long); err == nil || !strings.Contains(err.Error(), "shorter directory") {
		t.Errorf("a long path: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, s.Options); err == nil {
		t.Error("a context that has ended is no error")
	}
	if _, err := Attach(t.Context(), s.Options); !errors.Is(err, ErrGone) {
		t.Errorf("something runs after failed starts: %v", err)
	}
}

// A start that is asked to reload before HAProxy has answered: the request waits
// for the answer. The proof is that it survives, which it does not when it gets
// the signal at that moment.
func TestReloadAtStart(t *testing.T) {
	s := newStage(t)
	// A thousand sections take HAProxy a while to read.
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "backend b%d\n    server s 127.0.0.1:1\n", i)
	}
	s.write("one", many.String())
	for range 3 {
		p := s.start()
		if _, err := p.Reload(t.Context(), "one"); err != nil {
			t.Error(err)
		}
		s.answers("one")
		if err := p.Stop(t.Context(), true); err != nil {
			t.Error(err)
		}
	}
}

func TestWorkerKilled(t *testing.T) {
	s := newStage(t)
	p := s.start()
	w, err := p.Worker(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(w.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	isGone(t, p)
	if err := p.Err(); !errors.Is(err, ErrGone) {
		t.Errorf("its end: %v", err)
	}
	again := s.start()
	s.answers("one")
	if again.Pid() == p.Pid() {
		t.Error("the same process")
	}
}

func TestMasterKilled(t *testing.T) {
	s := newStage(t)
	p := s.start()
	begun := time.Now()
	if err := syscall.Kill(p.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	isGone(t, p)
	s.start()
	s.answers("one")
	t.Logf("serving again after %s", time.Since(begun).Round(time.Millisecond))
}

// A reload in the middle of which the master is killed ends with the truth.
func TestMasterKilledDuringReload(t *testing.T) {
	s := newStage(t)
	p := s.start()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.write("two", "")
	go func() {
		for m, _ := p.Marker(ctx); m != "two" && ctx.Err() == nil; m, _ = p.Marker(ctx) {
			time.Sleep(look)
		}
		_ = syscall.Kill(p.Pid(), syscall.SIGKILL)
	}()
	_, err := p.Reload(ctx, "three")
	if !errors.Is(err, ErrGone) {
		t.Errorf("reload: %v", err)
	}
}

func TestAttach(t *testing.T) {
	s := newStage(t)
	if _, err := Attach(t.Context(), s.Options); !errors.Is(err, ErrGone) {
		t.Errorf("nobody there: %v", err)
	}
	first := s.start()
	p, err := Attach(t.Context(), Options{MasterSocket: s.MasterSocket, LogFile: s.LogFile, CheckOptions: s.CheckOptions})
	if err != nil {
		t.Fatal(err)
	}
	if p.Pid() != first.Pid() {
		t.Errorf("process %d, want %d", p.Pid(), first.Pid())
	}
	s.write("two", "")
	if _, err := p.Reload(t.Context(), "two"); err != nil {
		t.Error(err)
	}
	s.write("three", "nonsense here")
	if _, err := p.Reload(t.Context(), "three"); err == nil || !strings.Contains(err.Error(), "haproxy.cfg:12: unknown keyword 'nonsense'") {
		t.Errorf("a mistake: %v", err)
	}
	if p.Err() != nil {
		t.Error(p.Err())
	}
	if err := p.Stop(t.Context(), true); err != nil {
		t.Error(err)
	}
	isGone(t, p)
	isGone(t, first)
}

// While HAProxy reads its files in a reload nobody answers at its socket: who
// attaches then waits, and nobody starts a second one.
func TestAttachDuringReload(t *testing.T) {
	s := newStage(t)
	var many strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&many, "backend b%d\n    server s 127.0.0.1:1\n", i)
	}
	s.write("one", many.String())
	first := s.start()
	refused := 0
	for range 3 {
		if _, err := first.Master().Reload(t.Context()); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Log(err)
		}
		for range 20 {
			if _, err := listenerOf(t.Context(), s.MasterSocket); err != nil {
				refused++
				break
			}
		}
		p, err := Attach(t.Context(), s.Options)
		if err != nil {
			t.Fatal(err)
		}
		if p.Pid() != first.Pid() {
			t.Errorf("process %d, want %d", p.Pid(), first.Pid())
		}
		p.Detach()
		if _, err := Start(t.Context(), s.Options); err == nil || !strings.Contains(err.Error(), "runs already") {
			t.Errorf("a second one: %v", err)
		}
	}
	t.Logf("%d times nobody answered at first", refused)
}

func TestNoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.sock")
	if pid, known := noted(path); pid != 0 || known {
		t.Errorf("nothing noted: %d, %v", pid, known)
	}
	if err := note(path, os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if pid, known := noted(path); pid != os.Getpid() || !known {
		t.Errorf("this process: %d, %v", pid, known)
	}
	born, _ := birth(os.Getpid())
	for _, text := range []string{"", "x", "0 1", "-1 1", fmt.Sprint(os.Getpid()), fmt.Sprintf("%d %s1", os.Getpid(), born), "999999999 1"} {
		if err := os.WriteFile(path+".pid", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, known := noted(path); pid != 0 || !known {
			t.Errorf("%q: %d, %v", text, pid, known)
		}
	}
}

func TestAttachedIsSeenToEnd(t *testing.T) {
	s := newStage(t)
	first := s.start()
	p, err := Attach(t.Context(), s.Options)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	isGone(t, p)
}

func TestOldWorkersAndHardStop(t *testing.T) {
	s := newStage(t)
	backend, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	s.port = testkit.FreePort(t)
	text := fmt.Sprintf("global\n set-var proc.fairway str(one)\ndefaults\n mode tcp\n timeout connect 1s\n timeout client 1m\n timeout server 1m\nlisten a\n bind 127.0.0.1:%s\n server s %s\n", s.port, backend.Addr())
	if err := os.WriteFile(s.Files[0], []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := s.start()
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := backend.Accept(); err != nil {
		t.Fatal(err)
	}
	before, err := p.Worker(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Reload(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	all, err := p.Master().Processes(t.Context())
	if err != nil || len(all.Old) != 1 || all.Old[0].PID != before.PID {
		t.Errorf("old workers %+v, %v; want %d", all.Old, err, before.PID)
	}
	// The connection keeps a graceful stop from ending; the context ends it.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx, false); err != nil {
		t.Error(err)
	}
	isGone(t, p)
}

func TestOutput(t *testing.T) {
	s := newStage(t)
	kept, err := os.OpenFile(s.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	s.Output = struct{ io.Writer }{kept} // no file, which HAProxy would get itself
	p := s.start()
	s.write("two", "nonsense here")
	_, err = p.Reload(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "unknown keyword 'nonsense'") {
		t.Errorf("a mistake: %v", err)
	}
	if text, err := os.ReadFile(s.LogFile); !strings.Contains(strings.ToLower(string(text)), "new worker") {
		t.Errorf("written: %q, %v", text, err)
	}
}

// HAProxy serves on when the program that started it is killed, and the next one
// takes it over.
func TestOutlives(t *testing.T) {
	if dir := os.Getenv("PROCESS_TEST_DIR"); dir != "" {
		b, err := binary.Find(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Binary: b, CheckOptions: binary.CheckOptions{Files: []string{filepath.Join(dir, "haproxy.cfg")}}, MasterSocket: filepath.Join(dir, "master.sock"), LogFile: filepath.Join(dir, "haproxy.log")}
		if _, err := Start(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	s := newStage(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestOutlives$")
	cmd.Env = append(os.Environ(), "PROCESS_TEST_DIR="+s.dir)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%v\n%s", err, out)
	}
	s.answers("one")
	p, err := Attach(t.Context(), s.Options)
	if err != nil {
		t.Fatal(err)
	}
	s.write("two", "")
	if _, err := p.Reload(t.Context(), "two"); err != nil {
		t.Error(err)
	}
	s.answers("two")
	if err := p.Stop(t.Context(), true); err != nil {
		t.Error(err)
	}
	isGone(t, p)
}
