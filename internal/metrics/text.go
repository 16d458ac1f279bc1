package metrics

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// Scrape gets the series of one reading, from one goroutine.
type Scrape struct {
	outputs map[*Family]*output
	scratch []byte // the labels of the newest series
}

// Put adds a series of a counter or gauge; values are in the order of the labels. Each
// list of them may come once.
func (s *Scrape) Put(f *Family, v float64, values ...string) {
	s.scratch = f.appendLabels(s.scratch[:0], values)
	s.begin(f).line("", s.scratch, v)
}

// PutHistogram adds a histogram. counts are those of the buckets alone, one more than
// bounds: the last is of what is above them.
func (s *Scrape) PutHistogram(f *Family, bounds []float64, counts []uint64, sum float64, values ...string) {
	s.scratch = f.appendLabels(s.scratch[:0], values)
	s.begin(f).histogram(s.scratch, bounds, counts, sum)
}

// begin begins a series.
func (s *Scrape) begin(f *Family) *output {
	o := s.outputs[f]
	if o == nil {
		o = &output{name: f.name, text: make([]byte, 0, f.written.Load())}
		s.outputs[f] = o
	}
	o.starts = append(o.starts, len(o.text))
	return o
}

// output is the text of a family.
type output struct {
	name   string
	text   []byte
	starts []int // where each series begins
}

func (o *output) line(suffix string, labels []byte, v float64) {
	o.text = append(append(o.text, o.name...), suffix...)
	if len(labels) > 0 {
		o.text = append(o.text, '{')
		o.text = append(o.text, labels...)
		o.text = append(o.text, '}')
	}
	o.text = append(o.text, ' ')
	o.text = strconv.AppendFloat(o.text, v, 'g', -1, 64)
	o.text = append(o.text, '\n')
}

func (o *output) histogram(labels []byte, bounds []float64, counts []uint64, sum float64) {
	bucket := labels
	if len(labels) > 0 {
		bucket = append(bucket, ',')
	}
	bucket = append(bucket, `le="`...)
	var upTo uint64
	for i, n := range counts {
		bound := math.Inf(1)
		if i < len(bounds) {
			bound = bounds[i]
		}
		upTo += n
		o.line("_bucket", append(strconv.AppendFloat(bucket, bound, 'g', -1, 64), '"'), float64(upTo))
	}
	o.line("_sum", labels, sum)
	o.line("_count", labels, float64(upTo))
}

// series are the texts of the series, sorted.
func (o *output) series() [][]byte {
	list := make([][]byte, len(o.starts))
	end := len(o.text)
	for i, start := range slices.Backward(o.starts) {
		list[i], end = o.text[start:end], start
	}
	slices.SortFunc(list, bytes.Compare)
	return list
}

// appendLabels writes labels as they are between braces.
func (f *Family) appendLabels(b []byte, values []string) []byte {
	if len(values) != len(f.labels) {
		panic(fmt.Sprintf("metrics: %s has %d labels, not %d", f.name, len(f.labels), len(values)))
	}
	for i, name := range f.labels {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, name...), `="`...)
		b = append(appendEscaped(b, values[i], true), '"')
	}
	return b
}

// appendEscaped writes a help text or, quoted, the value of a label. What is not UTF-8
// becomes U+FFFD.
func appendEscaped(b []byte, text string, quoted bool) []byte {
	for _, r := range text {
		switch {
		case r == '\\', r == '"' && quoted:
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// Write writes all series, sorted by name and labels. Families without any are left out.
func (m *Set) Write(w io.Writer) error {
	m.mu.Lock()
	families, collectors := slices.Clone(m.families), slices.Clone(m.collectors)
	m.mu.Unlock()
	s := &Scrape{outputs: map[*Family]*output{}, scratch: make([]byte, 0, 256)}
	for _, collect := range collectors {
		collect(s)
	}
	out := bufio.NewWriter(w) // it keeps the first error until Flush
	for _, f := range families {
		o := s.outputs[f]
		if o == nil {
			continue
		}
		f.written.Store(int64(len(o.text)))
		_, _ = fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", f.name, appendEscaped(nil, f.help, false), f.name, f.kind)
		for _, series := range o.series() {
			_, _ = out.Write(series)
		}
	}
	return out.Flush()
}

// ServeHTTP answers a scrape, compressed where the client takes that.
func (m *Set) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Add("Vary", "Accept-Encoding")
	if !takesGzip(q.Header.Get("Accept-Encoding")) {
		_ = m.Write(w) // it fails when the client has gone
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_ = errors.Join(m.Write(z), z.Close())
}

func takesGzip(accepted string) bool {
	for one := range strings.SplitSeq(accepted, ",") {
		coding, weight, _ := strings.Cut(one, ";")
		if strings.TrimSpace(coding) == "gzip" {
			return strings.TrimSpace(weight) != "q=0"
		}
	}
	return false
}
