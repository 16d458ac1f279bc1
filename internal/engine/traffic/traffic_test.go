package traffic

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/testkit"
)

// writer is where a log goes. It fails for as long as fail is set, and stands still
// while the mutex is held.
type writer struct {
	mu   sync.Mutex
	text strings.Builder
	fail bool
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail {
		return 0, errors.New("disk full")
	}
	return w.text.Write(p)
}

func (w *writer) set(fail bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = fail
}

func (w *writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// TestLogGoesOn: a log that could not be written is written again when it
// can.
func TestLogGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out writer
		lost := 0
		l := NewLog(&out, func(lines int) { lost += lines }, nil)
		out.set(true)
		l.Request(Request{Path: "/lost"})
		time.Sleep(2 * logEvery)
		out.set(false)
		l.Request(Request{Path: "/kept"})
		time.Sleep(2 * logEvery)
		if got := out.String(); !strings.Contains(got, "/kept") || strings.Contains(got, "/lost") || lost != 1 {
			t.Errorf("%d lines are lost, written %q", lost, got)
		}
		l.Request(Request{Path: "/last"})
		if err := l.Close(); err != nil || !strings.Contains(out.String(), "/last") {
			t.Errorf("Close = %v, written %q", err, out.String())
		}
	})
}

// TestLogHoldsUpNoRequest: what reads the log stands still, and requests do not.
// Lines that do not fit are lost and counted; the end is bounded.
func TestLogHoldsUpNoRequest(t *testing.T) {
	var out writer
	lost := 0
	l := NewLog(&out, func(lines int) { lost += lines }, nil)
	out.mu.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		line := Request{Path: "/" + strings.Repeat("x", 1000)}
		for range 3 * logMost / 1000 {
			l.Request(line)
		}
	}()
	select {
	case <-done:
	case <-time.After(testkit.Patience):
		t.Fatal("requests wait for the log")
	}
	if lost == 0 {
		t.Error("nothing is counted as lost")
	}
	if err := l.Close(); err == nil {
		t.Error("Close does not say that lines are lost")
	}
	out.mu.Unlock()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestNoLog: without an access log nothing is written, and nothing is wrong.
func TestNoLog(t *testing.T) {
	l := NewLog(nil, nil, nil)
	l.Request(Request{})
	l.Connection(Connection{})
	if err := errors.Join(l.Flush(), l.Close()); err != nil {
		t.Error(err)
	}
}

func TestFamilies(t *testing.T) {
	r := prometheus.NewRegistry()
	known := false
	gauges := NewGauges(func() (map[string]int64, int64, bool) { return map[string]int64{"http": 2}, 1, known })
	f := NewFamilies()
	unregister, err := f.Register(r, gauges)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewFamilies().Register(r); err == nil {
		t.Error("the same families were registered twice")
	}
	for status, class := range map[int]string{200: "2xx", 599: "5xx", 0: "none", -1: "none", 600: "none"} {
		if got := ClassName(ClassOf(status)); got != class {
			t.Errorf("%d is of class %s, want %s", status, got, class)
		}
	}
	f.Requests.WithLabelValues("a", ClassName(2)).Inc()
	f.Requests.WithLabelValues("b", ClassName(0)).Inc()
	f.Duration.WithLabelValues("a").Observe(1)
	f.Sent.WithLabelValues("a").Inc()
	count := func() (n int) {
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range families {
			n += len(one.Metric)
		}
		return n
	}
	if n := count(); n != 5 {
		t.Errorf("%d series, want 5", n)
	}
	known = true
	if n := count(); n != 7 {
		t.Errorf("%d series with gauges, want 7", n)
	}
	f.Remove("a")
	if n := count(); n != 4 {
		t.Errorf("%d series without a route, want 4", n)
	}
	unregister()
	if n := count(); n != 0 {
		t.Errorf("%d series are left", n)
	}
}
