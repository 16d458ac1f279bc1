package metrics

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func text(t testing.TB, m *Set) string {
	t.Helper()
	var out bytes.Buffer
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// parse reads what is written with the parser of Prometheus' own library.
func parse(t testing.TB, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return families
}

// TestText holds the text of every kind of family.
func TestText(t *testing.T) {
	m := &Set{}
	m.Counter("b_total", "Counts.").Add(3)
	m.CounterVec("unused_total", "Has no series yet.", "x")
	codes := m.CounterVec("a_total", `A \ and
a new line, "quoted".`, "code", "route")
	codes.With("5xx", "z").Inc()
	codes.With("2xx", "z").Add(1_000_000)
	codes.With("2xx", "a\"b\\c\nd\xff").Inc()
	codes.With("2xx", "z").Inc()
	m.Gauge("unset", "Zero.")
	m.GaugeVec("load", "A gauge.", "node").With("").Set(-0.25)
	m.GaugeFunc("never", "A bound that is none.", func() float64 { return math.Inf(1) })
	took := m.HistogramVec("took_seconds", "A histogram.", []float64{.001, 1}, "engine")
	for _, v := range []float64{.001, .5, .25, 7} {
		took.With("e").Observe(v)
	}
	plain := m.Family(KindHistogram, "plain_seconds", "One without labels.")
	m.Collect(func(s *Scrape) { s.PutHistogram(plain, []float64{1}, []uint64{2, 0}, 1.5) })
	want := `# HELP a_total A \\ and\na new line, "quoted".
# TYPE a_total counter
a_total{code="2xx",route="a\"b\\c\nd` + "\ufffd" + `"} 1
a_total{code="2xx",route="z"} 1.000001e+06
a_total{code="5xx",route="z"} 1
# HELP b_total Counts.
# TYPE b_total counter
b_total 3
# HELP load A gauge.
# TYPE load gauge
load{node=""} -0.25
# HELP never A bound that is none.
# TYPE never gauge
never +Inf
# HELP plain_seconds One without labels.
# TYPE plain_seconds histogram
plain_seconds_bucket{le="1"} 2
plain_seconds_bucket{le="+Inf"} 2
plain_seconds_sum 1.5
plain_seconds_count 2
# HELP took_seconds A histogram.
# TYPE took_seconds histogram
took_seconds_bucket{engine="e",le="0.001"} 1
took_seconds_bucket{engine="e",le="1"} 3
took_seconds_bucket{engine="e",le="+Inf"} 4
took_seconds_sum{engine="e"} 7.751
took_seconds_count{engine="e"} 4
# HELP unset Zero.
# TYPE unset gauge
unset 0
`
	for range 3 { // the order does not depend on that of maps
		if diff := cmp.Diff(want, text(t, m)); diff != "" {
			t.Fatal(diff)
		}
	}
	parse(t, want)
}

// TestAllIsReadByPrometheus: what Prometheus' own library reads of a full scrape is what
// was counted, and it finds nothing to complain of in what is Fairway's.
func TestAllIsReadByPrometheus(t *testing.T) {
	runtime.GC()
	m := &Set{}
	m.Process()
	hostile := []string{"", "a b", `"`, `\`, `\n`, "\n", `\"`, "},{", "ü", "\x00", "\u2028", `a="b"`, "# HELP"}
	counts := m.CounterVec("test_total", "A counter.", "one", "two")
	for i, one := range hostile {
		for j, two := range hostile {
			counts.With(one, two).Add(uint64(i*100 + j))
		}
	}
	durations := m.HistogramVec("test_duration_seconds", "A histogram.", []float64{1, 2}, "one")
	durations.With("x").Observe(1.5)
	written := text(t, m)
	families := parse(t, written)
	for i, one := range hostile {
		for j, two := range hostile {
			if got := valueOf(families["test_total"], "one", one, "two", two); got != float64(i*100+j) {
				t.Errorf("%q, %q is %v, want %d", one, two, got, i*100+j)
			}
		}
	}
	h := families["test_duration_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 1 || h.GetSampleSum() != 1.5 || h.GetBucket()[0].GetCumulativeCount() != 0 || h.GetBucket()[1].GetCumulativeCount() != 1 {
		t.Errorf("histogram %v", h)
	}
	gc := families["go_gc_duration_seconds"].GetMetric()[0].GetSummary()
	if gc.GetSampleCount() == 0 || len(gc.GetQuantile()) != 5 {
		t.Errorf("summary %v", gc)
	}
	for _, name := range []string{
		"go_goroutines", "go_threads", "go_memstats_alloc_bytes", "go_memstats_heap_inuse_bytes", "go_memstats_mallocs_total", "go_sched_gomaxprocs_threads",
		"process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_resident_memory_bytes", "process_virtual_memory_bytes", "process_start_time_seconds",
	} {
		if valueOf(families[name]) < 0 || name != "process_cpu_seconds_total" && valueOf(families[name]) == 0 {
			t.Errorf("%s is %v", name, families[name])
		}
	}
	if valueOf(families["go_info"], "version", runtime.Version()) != 1 {
		t.Error("no go_info")
	}
	problems, err := promlint.New(strings.NewReader(written)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Metric, "go_") && !strings.HasPrefix(p.Metric, "process_") { // their names are older than the rules
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// valueOf is the value of the series with labels, name and value in turn; -1 for none.
func valueOf(f *dto.MetricFamily, labels ...string) float64 {
series:
	for _, m := range f.GetMetric() {
		for i, l := range m.GetLabel() {
			if len(labels) != 2*len(m.GetLabel()) || l.GetName() != labels[2*i] || l.GetValue() != labels[2*i+1] {
				continue series
			}
		}
		return m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return -1
}

// TestAFaultOfTheProgramPanics: a name is registered once, and labels have their values.
func TestAFaultOfTheProgramPanics(t *testing.T) {
	m := &Set{}
	v := m.CounterVec("a_total", "A.", "x", "y")
	for name, fault := range map[string]func(){
		"the same again":  func() { m.CounterVec("a_total", "A.", "x", "y") },
		"other help":      func() { m.CounterVec("a_total", "B.", "x", "y") },
		"other labels":    func() { m.CounterVec("a_total", "A.", "x") },
		"another kind":    func() { m.Gauge("a_total", "A.") },
		"too few values":  func() { v.With("1") },
		"too many values": func() { v.With("1", "2", "3") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			fault()
		}()
	}
	if got := text(t, m); got != "" {
		t.Errorf("something is left:\n%s", got)
	}
}

// TestNilSet: what it makes counts.
func TestNilSet(t *testing.T) {
	var m *Set
	c := m.Counter("a_total", "A.")
	c.Inc()
	m.Gauge("a", "A.").Set(1)
	m.GaugeFunc("b", "B.", nil)
	m.HistogramVec("c", "C.", nil).With().Observe(1)
	if c.Value() != 1 {
		t.Errorf("counted %d", c.Value())
	}
}

// TestManyAtOnce: who counts and who reads do not wait for each other, and nothing is
// lost. A collector may register and count.
func TestManyAtOnce(t *testing.T) {
	m := &Set{}
	v := m.CounterVec("a_total", "A.", "x")
	m.Collect(func(*Scrape) { v.With("scrapes").Inc() })
	m.Collect(func(s *Scrape) {
		if v.With("scrapes").Value() == 1 {
			m.Gauge("late", "Late.")
		}
	})
	text(t, m)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				v.With("x").Inc()
			}
		})
		wg.Go(func() { _ = m.Write(io.Discard) })
	}
	wg.Wait()
	if x, scrapes := v.With("x").Value(), v.With("scrapes").Value(); x != 800 || scrapes != 9 {
		t.Errorf("counted %d and %d", x, scrapes)
	}
	if !strings.Contains(text(t, m), "late 0") {
		t.Error("what a collector registered is missing")
	}
}

func TestServeHTTP(t *testing.T) {
	m := &Set{}
	m.Counter("a_total", "A.").Inc()
	for accepted, packed := range map[string]bool{
		"": false, "gzip": true, "br, gzip;q=0.5": true, "gzip; q=0": false, "identity": false, "gzipped": false, "deflate,gzip": true,
	} {
		q, rec := httptest.NewRequest("GET", "/metrics", nil), httptest.NewRecorder()
		q.Header.Set("Accept-Encoding", accepted)
		m.ServeHTTP(rec, q)
		var body io.Reader = rec.Body
		if packed {
			z, err := gzip.NewReader(rec.Body)
			if err != nil {
				t.Fatalf("%q: %v", accepted, err)
			}
			body = z
		}
		got, err := io.ReadAll(body)
		if err != nil || string(got) != text(t, m) {
			t.Errorf("%q: %s, %v", accepted, got, err)
		}
		h := rec.Header()
		if h.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" || h.Get("Vary") != "Accept-Encoding" || (h.Get("Content-Encoding") == "gzip") != packed {
			t.Errorf("%q: %v", accepted, h)
		}
	}
}

// FuzzEscaping: all that a label or a help text may have is read as it was.
func FuzzEscaping(f *testing.F) {
	f.Add("a", "b")
	f.Add("\"\\\n\xff", "\\n\n\"")
	f.Fuzz(func(t *testing.T, value, help string) {
		m := &Set{}
		m.CounterVec("a_total", "x"+help, "l").With(value).Inc()
		family := parse(t, text(t, m))["a_total"]
		valid := func(s string) string { return string([]rune(s)) }
		if got := family.GetMetric()[0].GetLabel()[0].GetValue(); got != valid(value) {
			t.Errorf("label %q is read as %q", value, got)
		}
		if got := family.GetHelp(); got != valid("x"+help) {
			t.Errorf("help %q is read as %q", help, got)
		}
	})
}
