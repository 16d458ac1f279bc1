package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/fleet/agent/report"
	"fairway/internal/testkit"
)

// output is a log that can be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// stage is an agent, its centre and its directories.
type stage struct {
	*Agent
	t    *testing.T
	log  *output
	port string

	mu      sync.Mutex
	content string // what the control server has; empty for an answer of 503
	asked   int
}

// newStage starts a centre that is a plain file server: no ETag, no waiting.
func newStage(t *testing.T, change func(*Options)) *stage {
	t.Helper()
	if _, err := binary.Find(t.Context(), ""); errors.Is(err, binary.ErrNotFound) {
		t.Skip("no haproxy on this machine")
	}
	s := &stage{t: t, log: &output{}, port: testkit.FreePort(t)}
	centre := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		if s.content == "" || r.URL.Path != "/haproxy/127.0.0.1" {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, s.content)
	}))
	t.Cleanup(centre.Close)
	// The path of a socket must be short.
	dir, err := os.MkdirTemp("", "fairway-agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o := Options{
		Name: "127.0.0.1", URL: centre.URL + "/haproxy/", Dir: filepath.Join(dir, "etc"), RunDir: filepath.Join(dir, "run"), Keep: 3,
		Timeout: 5 * time.Second, Client: centre.Client(), Grace: time.Second, Interval: 20 * time.Millisecond, Log: s.log, Output: s.log,
	}
	if change != nil {
		change(&o)
	}
	if s.Agent, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return s
}

// config is a configuration that answers with a word; more goes behind it.
func (s *stage) config(answer, more string) string {
	return fmt.Sprintf(`global
    hard-stop-after 5s
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend web
    bind 127.0.0.1:%s
    http-request return status 200 content-type text/plain string %s
%s`, s.port, answer, more)
}

// centre puts a content there.
func (s *stage) centre(content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content = content
}

func (s *stage) answer() string {
	c := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get("http://127.0.0.1:" + s.port)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

// answers waits for an answer.
func (s *stage) answers(want string) {
	s.t.Helper()
	s.eventually("the answer "+want, func() bool { return s.answer() == want })
}

// logs waits for a text in the log.
func (s *stage) logs(want string) {
	s.t.Helper()
	s.eventually("the line "+want, func() bool { return strings.Contains(s.log.String(), want) })
}

func (s *stage) eventually(what string, is func() bool) {
	s.t.Helper()
	testkit.Eventually(s.t, what, func() string {
		if !is() {
			return "the log: " + s.log.String()
		}
		return ""
	})
}

// run runs the agent; stop ends it and returns its error.
func (s *stage) run() (signals chan os.Signal, stop func() error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	signals = make(chan os.Signal, 1)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, signals) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			select {
			case err = <-done:
			case <-time.After(20 * time.Second):
				err = errors.New("it does not end")
			}
		})
		return err
	}
	s.t.Cleanup(func() { _ = stop() })
	return signals, stop
}

func (s *stage) backups() []string {
	names, _ := filepath.Glob(filepath.Join(s.dir("backup"), "*"))
	return names
}

func (s *stage) inPlace(want string) {
	s.t.Helper()
	if got, err := os.ReadFile(s.current()); err != nil || string(got) != want {
		s.t.Errorf("in place: %q, %v; want %q", got, err, want)
	}
}

func TestNew(t *testing.T) {
	dir := t.TempDir()
	good := Options{Name: "192.168.1.100", Dir: dir, RunDir: dir}
	for _, name := range []string{"192.168.1.100", "2001:db8::1", "::1", "edge-1.example_com"} {
		o := good
		o.Name = name
		if _, err := New(t.Context(), o); err != nil && !errors.Is(err, binary.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"": "VIP is not set", "../etc": "is not the name", "a/b": "is not the name", ".hidden": "is not the name", "-f": "is not the name",
		"a b": "is not the name", "a\nb": "is not the name", strings.Repeat("a", 129): "is not the name", "é": "is not the name",
	} {
		o := good
		o.Name = name
		if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	o := good
	o.Dir = "etc"
	if _, err := New(t.Context(), o); err == nil {
		t.Error("a relative directory is taken")
	}
	o = good
	o.HAProxy = filepath.Join(dir, "none")
	if _, err := New(t.Context(), o); !errors.Is(err, binary.ErrNotFound) {
		t.Errorf("no program: %v", err)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	update := func(want bool, reason string) {
		t.Helper()
		got, err := s.Update(t.Context())
		if got != want || (err == nil) != (reason == "") || err != nil && !strings.Contains(err.Error(), reason) {
			t.Errorf("changed %v, %v; want %v, %q", got, err, want, reason)
		}
		if reason != "" && !strings.Contains(s.log.String(), reason) {
			t.Errorf("the log does not say %q", reason)
		}
	}
	update(false, "the control server answers 503")
	one := s.config("one", "")
	s.centre(one)
	update(true, "")
	s.inPlace(one)
	update(false, "")
	if len(s.backups()) != 0 {
		t.Errorf("copies of nothing: %v", s.backups())
	}
	s.centre(s.config("two", "    nonsense here\n"))
	update(false, "127.0.0.1.cfg:11: unknown keyword 'nonsense' in 'frontend' section")
	s.inPlace(one)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.centre(s.config("two", "    bind "+l.Addr().String()+"\n"))
	update(false, fmt.Sprintf("%s (line 11, frontend web): in use by agent.test (process %d)", l.Addr(), os.Getpid()))
	s.inPlace(one)
	for i := range 6 { // all within a second or two: the copies have numbers
		s.centre(s.config(fmt.Sprintf("w%d", i), ""))
		update(true, "")
	}
	names := s.backups()
	if len(names) != 3 {
		t.Errorf("copies: %v", names)
	}
	var last string
	for _, name := range names {
		content, _ := os.ReadFile(name)
		_, last, _ = strings.Cut(string(content), "string ")
		if last == "one\n" || last == "w0\n" || last == "w1\n" {
			t.Errorf("%s is %s, which is too old", name, last)
		}
	}
	log := s.log.String()
	at := 0
	for _, line := range []string{
		"Starting download of ", "Download of configuration file " + s.temp() + ": success.", "Configuration file " + s.temp() + " is valid.",
		"is not there yet: the first release", "Cover " + s.current() + " with " + s.temp() + ": success.", s.current() + " is updated.",
		"The configuration file 127.0.0.1.cfg is the same", "Backup of " + s.current() + " to " + s.dir("backup"),
	} {
		next := strings.Index(log[at:], line)
		if next < 0 {
			t.Fatalf("the log does not say %q, or too early:\n%s", line, log)
		}
		at += next
	}
}

// Several updates at once: what is in place is whole at any moment.
func TestUpdatesAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	padding := strings.Repeat("# padding\n", 20000)
	s.centre(s.config("one", padding))
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for i := range 3 {
				s.centre(s.config(fmt.Sprintf("w%d", i), padding))
				if _, err := s.Update(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	stop := make(chan struct{})
	go func() { wg.Wait(); close(stop) }()
	for {
		if content, err := read(s.current()); err != nil || content != nil && !strings.HasSuffix(string(content), padding) {
			t.Fatalf("%d bytes, %v", len(content), err)
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.centre(s.config("one", ""))
	signals, stop := s.run()
	s.answers("one")
	s.logs("Worker ")
	status, err := s.Status(t.Context(), true)
	if err != nil || status.Digest != report.Digest([]byte(s.config("one", ""))) || status.Running != status.Digest || status.Worker == 0 || string(status.Content) != s.config("one", "") {
		t.Errorf("status %+v, %v", status, err)
	}
	stats, err := s.Statistics(t.Context())
	if err != nil || !strings.Contains(stats.Info, "Version: ") || !strings.Contains(stats.Stat, "web,FRONTEND") {
		t.Errorf("statistics %+v, %v", stats, err)
	}

	s.centre(s.config("two", ""))
	if _, err := s.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.answer() != "one" {
		t.Error("an update alone has reloaded")
	}
	signals <- syscall.SIGUSR2
	s.answers("two")

	// A file that somebody broke by hand: the one before comes back.
	if err := os.WriteFile(s.current(), []byte(s.config("three", "    nonsense here\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	signals <- syscall.SIGHUP
	s.logs("127.0.0.1.cfg:11: unknown keyword 'nonsense' in 'frontend' section; what was there before runs again")
	s.inPlace(s.config("two", ""))
	s.answers("two")

	if err := stop(); err != nil {
		t.Error(err)
	}
	if status, err := s.Status(t.Context(), false); err != nil || status.Worker != 0 || status.Trouble == "" {
		t.Errorf("status afterwards %+v, %v", status, err)
	}
}

// The control server does not answer: HAProxy runs with what is in place, and with what
// ran last when that is broken. Without either there is nothing to run.
func TestRunWithoutCentre(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	if err := s.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no configuration to run with") {
		t.Errorf("nothing there: %v", err)
	}
	if err := os.WriteFile(s.current(), []byte(s.config("one", "")), 0o640); err != nil {
		t.Fatal(err)
	}
	_, stop := s.run()
	s.answers("one")
	s.logs("Going on with " + s.current() + " as it is.")
	s.logs("Worker ")
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(s.current(), []byte("broken"), 0o640); err != nil {
		t.Fatal(err)
	}
	_, stop = s.run()
	s.answers("one")
	s.logs("Going back to the last configuration that ran.")
	if info, err := os.Stat(s.current()); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRunStartsAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.centre(s.config("one", ""))
	s.run()
	s.logs("Worker ")
	for range 2 {
		before, err := s.Status(t.Context(), false)
		if err != nil || before.Worker == 0 {
			t.Fatalf("%+v, %v", before, err)
		}
		if err := syscall.Kill(before.Worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.eventually("another worker", func() bool {
			now, _ := s.Status(t.Context(), false)
			return now.Worker != 0 && now.Worker != before.Worker
		})
		s.answers("one")
	}
	s.logs("HAProxy has ended by itself")
}

func TestRunEndsAfterConnections(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.centre(s.config("one", ""))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	signals, done := make(chan os.Signal, 1), make(chan error, 1)
	go func() { done <- s.Run(ctx, signals) }()
	s.logs("Worker ")
	signals <- syscall.SIGUSR1
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.Follow = true })
	s.centre(s.config("one", ""))
	s.run()
	s.answers("one")
	s.centre(s.config("two", ""))
	s.answers("two")
	s.centre(s.config("three", "    nonsense here\n"))
	s.logs("unknown keyword 'nonsense'")
	s.centre("") // away
	s.logs("The control server cannot be asked: the control server answers 503")
	s.centre(s.config("four", ""))
	s.answers("four")
	if n := strings.Count(s.log.String(), "unknown keyword 'nonsense'"); n != 1 {
		t.Errorf("the same mistake was told %d times", n)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	one, two := s.config("one", ""), s.config("two", "")
	if r := s.Apply(t.Context(), []byte(one), ApplyOptions{}); r.Outcome != "refused" || r.Digest != "" {
		t.Errorf("without HAProxy: %+v", r)
	}
	s.centre(one)
	s.run()
	s.logs("Worker ")
	apply := func(content string, o ApplyOptions, want report.Result) {
		t.Helper()
		r := s.Apply(t.Context(), []byte(content), o)
		if r.Outcome != want.Outcome || r.Back != want.Back || !strings.Contains(r.Reason, want.Reason) || (r.Reason == "") != (want.Reason == "") || r.Digest != report.Digest([]byte(want.Digest)) {
			t.Errorf("result %+v, want %+v", r, want)
		}
	}
	apply(one, ApplyOptions{}, report.Result{Outcome: "same", Digest: one})
	apply(two, ApplyOptions{CheckOnly: true}, report.Result{Outcome: "updated", Digest: one})
	apply(two, ApplyOptions{}, report.Result{Outcome: "updated", Digest: two})
	if s.answer() != "two" {
		t.Errorf("applied, and still %q", s.answer())
	}
	broken := s.config("three", "    nonsense here\n")
	apply(broken, ApplyOptions{}, report.Result{Outcome: "refused", Reason: "127.0.0.1.cfg:11: unknown keyword 'nonsense'", Digest: two})
	apply(broken, ApplyOptions{CheckOnly: true}, report.Result{Outcome: "refused", Reason: "unknown keyword 'nonsense'", Digest: two})
	// Not checked, so that HAProxy itself finds the mistake.
	apply(broken, ApplyOptions{Trust: true}, report.Result{Outcome: "refused", Back: true, Reason: "unknown keyword 'nonsense'", Digest: two})
	// What passes the check and the look at addresses, and still does not load.
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	unbindable := s.config("three", ".if 1\n    bind "+l.Addr().String()+"\n.endif\n")
	apply(unbindable, ApplyOptions{}, report.Result{Outcome: "refused", Back: true, Reason: "cannot bind socket (Address already in use)", Digest: two})
	s.answers("two")
	apply("", ApplyOptions{}, report.Result{Outcome: "refused", Reason: "has 0 bytes", Digest: two})
	// In place, but not read by the worker: it is reloaded all the same.
	if err := os.WriteFile(s.current(), []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	apply(one, ApplyOptions{}, report.Result{Outcome: "updated", Digest: one})
	s.answers("one")
}

func TestSayShowsNoControlCharacters(t *testing.T) {
	log := &output{}
	a := &Agent{o: Options{Log: log}}
	a.say("one\x1b[31m\ntwo\x7f")
	if got := log.String(); strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\x1b\x7f") {
		t.Errorf("%q", got)
	}
}
