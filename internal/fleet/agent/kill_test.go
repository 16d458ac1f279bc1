package agent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairway/internal/fleet/agent/report"
	"fairway/internal/testkit"
)

// rounds is how often something is killed.
func rounds(short, long int) int {
	if testkit.Soaking() {
		return long
	}
	return short
}

// whole demands that what is in place, what runs and what answers are one.
func (s *stage) whole() {
	s.t.Helper()
	s.eventually("one configuration in place and running", func() bool {
		status, err := s.Status(s.t.Context(), true)
		if err != nil || status.Worker == 0 || status.Running != status.Digest {
			return false
		}
		_, rest, _ := strings.Cut(string(status.Content), "plain string ")
		word, _, _ := strings.Cut(rest, "\n")
		return s.answer() == word
	})
}

// HAProxy is killed at random moments of changes: afterwards what is in place is
// what runs, whichever it is.
func TestHAProxyKilledDuringChanges(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.centre(s.config("w0", ""))
	s.run()
	s.logs("Worker ")
	for i := range rounds(4, 40) {
		delay := time.Duration(i) * 50 * time.Millisecond
		if testkit.Soaking() {
			delay = rand.N(200 * time.Millisecond)
		}
		before, err := s.Status(t.Context(), false)
		if err != nil || before.Worker == 0 {
			t.Fatalf("%+v, %v", before, err)
		}
		done := make(chan report.Result, 1)
		go func() { done <- s.Apply(t.Context(), []byte(s.config(fmt.Sprintf("w%d", i+1), "")), ApplyOptions{}) }()
		time.Sleep(delay)
		_ = syscall.Kill(before.Worker, syscall.SIGKILL)
		t.Logf("%+v", <-done)
		s.whole()
	}
}

// The process that applies is killed at random moments: the next one makes it
// whole.
func TestApplyKilled(t *testing.T) {
	if dir := os.Getenv("AGENT_TEST_DIR"); dir != "" {
		a, err := New(t.Context(), Options{Name: "127.0.0.1", Dir: filepath.Join(dir, "etc"), RunDir: filepath.Join(dir, "run"), Keep: 3, Log: os.Stderr, Output: os.Stderr})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("begun")
		a.Apply(t.Context(), []byte(os.Getenv("AGENT_TEST_CONFIG")), ApplyOptions{})
		return
	}
	t.Parallel()
	s := newStage(t, nil)
	s.centre(s.config("w0", ""))
	s.run()
	s.logs("Worker ")
	for i := range rounds(6, 200) {
		delay := time.Duration(i) * 40 * time.Millisecond // an update takes some 200 ms
		if testkit.Soaking() {
			delay = rand.N(250 * time.Millisecond)
		}
		content := s.config(fmt.Sprintf("w%d", i+1), "")
		cmd := exec.Command(os.Args[0], "-test.run=^TestApplyKilled$")
		cmd.Env = append(os.Environ(), "AGENT_TEST_DIR="+filepath.Dir(s.o.Dir), "AGENT_TEST_CONFIG="+content)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(delay)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if s.answer() != fmt.Sprintf("w%d", i) && s.answer() != fmt.Sprintf("w%d", i+1) {
			t.Errorf("after the kill it answers %q", s.answer())
		}
		if r := s.Apply(t.Context(), []byte(content), ApplyOptions{}); r.Outcome != "updated" && r.Outcome != "same" {
			t.Errorf("afterwards: %+v", r)
		}
		s.whole()
		s.inPlace(content)
	}
}
