package traffic

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// failingWriter fails for as long as fail is set.
type failingWriter struct {
	strings.Builder
	fail bool
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.fail {
		return 0, errors.New("disk full")
	}
	return w.Builder.Write(p)
}

// TestLogGoesOn: a log that could not be written is written again when it
// can.
func TestLogGoesOn(t *testing.T) {
	var out failingWriter
	l := NewLog(&out)
	out.fail = true
	l.Request(Request{Path: "/lost"})
	if err := l.Flush(); err == nil {
		t.Error("the loss was not reported")
	}
	out.fail = false
	l.Request(Request{Path: "/kept"})
	if err := l.Flush(); err != nil || !strings.Contains(out.String(), "/kept") {
		t.Errorf("%v %q", err, out.String())
	}
}

// TestNoLog: without an access log nothing is written, and nothing is wrong.
func TestNoLog(t *testing.T) {
	l := NewLog(nil)
	l.Request(Request{})
	l.Connection(Connection{})
	if err := l.Flush(); err != nil {
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
	if n := count(); n != 4 {
		t.Errorf("%d series, want 4", n)
	}
	known = true
	if n := count(); n != 6 {
		t.Errorf("%d series with gauges, want 6", n)
	}
	f.Remove("a")
	if n := count(); n != 3 {
		t.Errorf("%d series without a route, want 3", n)
	}
	unregister()
	if n := count(); n != 0 {
		t.Errorf("%d series are left", n)
	}
}
