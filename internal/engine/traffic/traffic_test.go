package traffic

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/metrics"
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
		l := NewLog(&out, func(lines int) { lost += lines }, func(error) {})
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
	l := NewLog(&out, func(lines int) { lost += lines }, func(error) {})
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

// encoding is a line that notes whether the log's mutex is free while it is encoded.
type encoding struct {
	log  *Log
	free *bool
}

func (e encoding) MarshalJSON() ([]byte, error) {
	if *e.free = e.log.mu.TryLock(); *e.free {
		e.log.mu.Unlock()
	}
	return []byte("{}"), nil
}

// TestLogEncodesWithoutTheMutex: requests do not wait for each other's lines.
func TestLogEncodesWithoutTheMutex(t *testing.T) {
	l := NewLog(io.Discard, func(int) {}, func(error) {})
	free := false
	l.write(encoding{l, &free})
	if !free {
		t.Error("a line is encoded with the mutex held")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestLogCountsWhatCloseLoses: lines that wait, and those that are being written, are
// counted once when Close gives up on them.
func TestLogCountsWhatCloseLoses(t *testing.T) {
	for _, fail := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			lost := 0
			release := make(chan struct{})
			l := NewLog(writerFunc(func(p []byte) (int, error) {
				<-release
				if fail {
					return 0, errors.New("disk full")
				}
				return len(p), nil
			}), func(lines int) { lost += lines }, func(error) {})
			l.Request(Request{Path: "/written"})
			time.Sleep(2 * logEvery)
			l.Request(Request{Path: "/waits"})
			l.Request(Request{Path: "/waits"})
			if err := l.Close(); err == nil || !strings.Contains(err.Error(), "3 lines") || lost != 3 {
				t.Errorf("Close = %v, and %d lines are counted, want 3", err, lost)
			}
			close(release)
			synctest.Wait()
			if lost != 3 {
				t.Errorf("%d lines are counted in the end, want 3", lost)
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestNoLog: without an access log nothing is written, and nothing is wrong.
func TestNoLog(t *testing.T) {
	l := NewLog(nil, nil, nil)
	l.Request(Request{})
	l.Connection(Connection{})
	if err := errors.Join(l.Flush(), l.Close()); err != nil {
		t.Error(err)
	}
}

// TestCounters: what was counted of routes is read as totals and as metrics, until
// the route is removed.
func TestCounters(t *testing.T) {
	r := &metrics.Set{}
	known := false
	c := NewCounters(r, func() (map[string]int64, int64, bool) { return map[string]int64{"http": 2}, 1, known })
	for status, class := range map[int]string{200: "2xx", 599: "5xx", 0: "none", -1: "none", 600: "none"} {
		if got := ClassName(ClassOf(status)); got != class {
			t.Errorf("%d is of class %s, want %s", status, got, class)
		}
	}
	b, a, quiet := c.Route("b"), c.Route("a"), c.Route("quiet")
	a.Requests(1, 200, time.Second) // in the bucket up to one second
	b.Requests(3, 0, 2*time.Minute) // above the last bound
	b.Requests(1, 503, 0)
	a.Retried(2)
	a.Connected()
	a.Passed(5, 7)
	want := []Totals{
		{Route: "a", Classes: [Classes]uint64{2: 1}, Seconds: 1, Retries: 2, Connections: 1, Received: 5, Sent: 7},
		{Route: "b", Classes: [Classes]uint64{0: 3, 5: 1}, Seconds: 360},
	}
	want[0].Took.Add(1, time.Second)
	want[1].Took.Add(1, 0)
	want[1].Took.Add(3, 2*time.Minute)
	got := c.Snapshot()
	for i := range got {
		if age := time.Since(got[i].Last); age < 0 || age > time.Minute {
			t.Errorf("the last request of %s was %s ago", got[i].Route, age)
		}
		got[i].Last = time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n, e := want[1].Requests(), want[1].Errors(); n != 4 || e != 4 {
		t.Errorf("%d requests and %d errors, want 4 and 4", n, e)
	}
	text := func() string {
		var text strings.Builder
		if err := r.Write(&text); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	count := func() int { return len(testkit.Metrics(t, r)) }
	if n := count(); n != 10 { // a: class, duration, retries, connections, two of bytes; b: two classes, duration; the log
		t.Errorf("%d series, want 10:\n%s", n, text())
	}
	for _, line := range []string{
		`fairway_request_duration_seconds_bucket{route="b",le="0.001"} 1`, `fairway_request_duration_seconds_bucket{route="b",le="60"} 1`,
		`fairway_request_duration_seconds_bucket{route="b",le="+Inf"} 4`, `fairway_request_duration_seconds_count{route="b"} 4`,
		`fairway_request_duration_seconds_sum{route="b"} 360`, `fairway_requests_total{code="none",route="b"} 3`,
	} {
		if got := text(); !strings.Contains(got, line+"\n") {
			t.Errorf("no %s in\n%s", line, got)
		}
	}
	known = true
	if n := count(); n != 12 {
		t.Errorf("%d series with gauges, want 12", n)
	}
	c.Remove(a)
	c.Remove(quiet)
	a.Requests(1, 200, 0)
	quiet.Requests(1, 200, 0)
	if n := count(); n != 6 {
		t.Errorf("%d series without two routes, want 6:\n%s", n, text())
	}
	c.Route("a").Retried(1)
	if n := count(); n != 7 {
		t.Errorf("%d series with a route that is there again, want 7", n)
	}
}
