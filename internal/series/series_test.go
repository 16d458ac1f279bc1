package series

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

var load = Group{Name: "load", Subjects: 3, Fields: []Field{{Name: "cpu", Peak: true}, {Name: "memory"}}}

func open(t testing.TB, dir string, groups ...Group) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, Groups: groups, Every: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func add(t testing.TB, s *Store, at time.Time, subject string, values ...float64) {
	t.Helper()
	if err := s.Add("load", at, []Reading{{Subject: subject, Values: values}}); err != nil {
		t.Fatal(err)
	}
}

func query(t testing.TB, s *Store, subject string, from, to time.Time, step time.Duration) Result {
	t.Helper()
	r, err := s.Query(Query{Group: "load", Subject: subject, From: from, To: to, Step: step})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheLastHourIsKeptInFull(t *testing.T) {
	s := open(t, "", load)
	for i := range 1000 {
		add(t, s, noon.Add(time.Duration(i)*10*time.Second), "web", float64(i), math.NaN())
	}
	end := noon.Add(10_000 * time.Second)
	r := query(t, s, "web", noon, end, 0)
	if r.Step != 10*time.Second || len(r.Points) != 360 {
		t.Fatalf("%d points each %s", len(r.Points), r.Step)
	}
	for i, p := range r.Points {
		if want := float64(640 + i); p.Means[0] != want || p.Peaks[0] != want || !math.IsNaN(p.Means[1]) || !p.At.Equal(noon.Add(time.Duration(640+i)*10*time.Second)) {
			t.Fatalf("point %d is %+v", i, p)
		}
	}
	r = query(t, s, "web", end.Add(-10*time.Minute), end, time.Minute)
	if len(r.Points) != 11 || r.Points[1].Means[0] != 944.5 || r.Points[1].Peaks[0] != 947 {
		t.Errorf("by the minute: %d points, %+v", len(r.Points), r.Points)
	}
	newest := s.Newest("load", end, time.Minute)
	if got := newest["web"]; len(got) != 2 || got[0] != 999 {
		t.Errorf("newest %v", newest)
	}
	if got := s.Newest("load", end.Add(time.Hour), time.Minute); len(got) != 0 {
		t.Errorf("newest after an hour: %v", got)
	}
}

// Parts of one thing in one moment are added up; a later call replaces.
func TestPartsAreAddedUp(t *testing.T) {
	s := open(t, "", load)
	nan := math.NaN()
	for range 2 {
		err := s.Add("load", noon, []Reading{{"web", []float64{1, nan}}, {"web", []float64{2, 5}}, {"web", []float64{nan, 6}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Newest("load", noon, time.Minute)["web"]; got[0] != 3 || got[1] != 11 {
		t.Errorf("newest %v", got)
	}
}

// fill adds a reading each ten seconds whose figure is the number of the day's
// half hour.
func fill(t testing.TB, s *Store, subject string, from time.Time, span time.Duration) {
	t.Helper()
	for at := from; at.Before(from.Add(span)); at = at.Add(10 * time.Second) {
		add(t, s, at, subject, float64(at.Unix()/1800%1000), 1)
	}
}

// Thirty days and one are kept, each moment as finely as there is, and still after
// a restart.
func TestThirtyDays(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, load)
	const days = 32 * 24 * time.Hour
	fill(t, s, "web", noon, days)
	end := noon.Add(days)
	check := func(s *Store, restarted bool) {
		t.Helper()
		for _, c := range []struct {
			since time.Duration
			step  time.Duration
			least int
		}{{30 * time.Minute, 10 * time.Second, 175}, {12 * time.Hour, 2 * time.Minute, 355}, {29 * 24 * time.Hour, 30 * time.Minute, 1390}, {40 * 24 * time.Hour, 30 * time.Minute, 1435}} {
			if restarted {
				c.step, c.least = max(c.step, fine), c.least*int(c.step)/int(max(c.step, fine))
			}
			r := query(t, s, "web", end.Add(-c.since), end, 0)
			if r.Step != c.step || len(r.Points) < c.least-3 {
				t.Errorf("since %s: %d points each %s, want %d each %s", c.since, len(r.Points), r.Step, c.least, c.step)
			}
			before := time.Time{}
			for _, p := range r.Points {
				if want := float64(p.At.Unix() / 1800 % 1000); p.Means[0] != want || p.Peaks[0] != want || p.Means[1] != 1 {
					t.Fatalf("since %s: at %s %v, want %v", c.since, p.At, p.Means, want)
				}
				if !before.IsZero() && p.At.Sub(before) > c.step {
					t.Errorf("since %s: nothing between %s and %s", c.since, before, p.At)
				}
				before = p.At
			}
			if end.Sub(before) > c.step {
				t.Errorf("since %s: the last point is at %s", c.since, before)
			}
		}
	}
	check(s, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, load)
	check(again, true)
	if got := again.Subjects("load"); len(got) != 1 || got[0].Name != "web" || end.Sub(got[0].Newest) > coarse {
		t.Errorf("subjects %+v", got)
	}
	if info, err := os.Stat(filepath.Join(dir, "load.series")); err != nil || info.Size() != FileSize(load) {
		t.Errorf("%v, %v: want %d bytes", info.Size(), err, FileSize(load))
	}
}

// A step that a restart falls into has the readings from before and after.
func TestRestartWithinAStep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, load)
	for i := range 6 {
		add(t, s, noon.Add(time.Duration(i)*10*time.Second), "web", 10, 1)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, load)
	for i := 6; i < 15; i++ {
		add(t, s, noon.Add(time.Duration(i)*10*time.Second), "web", 20, 1)
	}
	r := query(t, s, "web", noon, noon.Add(2*time.Minute), 2*time.Minute)
	if len(r.Points) != 1 || r.Points[0].Means[0] != 15 || r.Points[0].Peaks[0] != 20 {
		t.Errorf("points %+v", r.Points)
	}
}

// While another process has the files, readings are in memory; then what is there
// goes to disk.
func TestFilesThatAreTaken(t *testing.T) {
	dir := t.TempDir()
	old := open(t, dir, load)
	fill(t, old, "web", noon, time.Hour)
	s := open(t, dir, load)
	fill(t, s, "web", noon.Add(time.Hour), 10*time.Minute)
	if r := query(t, s, "web", noon, noon.Add(2*time.Hour), 0); len(r.Points) != 60 {
		t.Errorf("%d points while the files are taken", len(r.Points))
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s.tried = time.Time{} // it is time to try again
	fill(t, s, "web", noon.Add(70*time.Minute), 10*time.Minute)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r := query(t, open(t, dir, load), "web", noon, noon.Add(2*time.Hour), 0)
	if len(r.Points) != 40 || r.Step != fine {
		t.Errorf("%d points each %s after all", len(r.Points), r.Step)
	}
}

// The subject that is silent for longest makes room; one that is not keeps its
// place, and its rows are never taken for another's.
func TestRoomIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, load)
	at := noon
	for i := range 50 {
		add(t, s, at, "keep", 7, 7)
		name := fmt.Sprintf("c%d", i)
		for range 30 {
			add(t, s, at, name, float64(i), float64(i))
			add(t, s, at, "keep", 7, 7)
			at = at.Add(10 * time.Second)
		}
		at = at.Add(time.Minute)
	}
	if got := len(s.groups["load"].subjects); got != 3 {
		t.Errorf("%d subjects in memory", got)
	}
	if got := s.Subjects("load"); len(got) != 3 {
		t.Errorf("subjects %+v", got)
	}
	for name, want := range map[string]float64{"keep": 7, "c49": 49, "c48": 48} {
		r := query(t, s, name, noon, at, time.Minute)
		if len(r.Points) == 0 {
			t.Errorf("%s has no points", name)
		}
		for _, p := range r.Points {
			if p.Means[0] != want {
				t.Errorf("%s has %v at %s", name, p.Means, p.At)
			}
		}
	}
	if r := query(t, s, "c3", noon, at, 0); len(r.Points) != 0 {
		t.Errorf("c3 has %d points", len(r.Points))
	}
	for i := range 10 { // all at once: the first three have the room
		add(t, s, at.Add(time.Hour), fmt.Sprintf("x%d", i), 1, 1)
	}
	if got := s.crowded.Value(); got != 7 {
		t.Errorf("%v left out, want 7", got)
	}
}

// A clock that is set back or ahead costs readings and nothing else.
func TestClockThatJumps(t *testing.T) {
	s := open(t, t.TempDir(), load)
	fill(t, s, "web", noon, time.Hour)
	fill(t, s, "web", noon.Add(-24*time.Hour), time.Hour) // left out
	r := query(t, s, "web", noon, noon.Add(time.Hour), 0)
	if len(r.Points) != 360 {
		t.Errorf("%d points", len(r.Points))
	}
	fill(t, s, "web", noon.AddDate(10, 0, 0), time.Hour)
	fill(t, s, "web", noon.AddDate(10, 0, 0).Add(12*time.Hour), time.Hour)
	r = query(t, s, "web", noon.AddDate(10, 0, 0), noon.AddDate(10, 0, 1), 0)
	if r.Step != fine || len(r.Points) != 60 {
		t.Errorf("%d points each %s", len(r.Points), r.Step)
	}
}

// Whatever is done to a file, it opens, answers, and tells nothing that is wrong.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, load)
	fill(t, s, "web", noon, 3*time.Hour)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "load.series")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(name string, data []byte) int {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "load.series"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, load)
		r := query(t, s, "web", noon, noon.Add(3*time.Hour), 0)
		for _, p := range r.Points {
			if want := float64(p.At.Unix() / 1800 % 1000); p.Means[0] != want {
				t.Errorf("%s: at %s %v, want %v", name, p.At, p.Means, want)
			}
		}
		add(t, s, noon.Add(4*time.Hour), "web", 1, 1)
		return len(r.Points)
	}
	if got := try("whole", whole); got != 90 {
		t.Errorf("%d points in a whole file", got)
	}
	for _, size := range []int{0, 1, headSize, headSize + 300, len(whole) - 1} {
		if got := try("cut", whole[:size]); got != 0 {
			t.Errorf("cut to %d: %d points", size, got)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		data := append([]byte(nil), whole...)
		from := headSize + entrySize + random.IntN(len(data)-headSize-entrySize-600)
		if random.IntN(4) == 0 {
			from = random.IntN(headSize + entrySize)
		}
		for i := range 1 + random.IntN(600) { // a torn write: one piece is something else
			data[from+i] = byte(random.Uint32())
		}
		try("torn", data)
	}
	other := load
	other.Fields = []Field{{Name: "cpu"}, {Name: "memory"}, {Name: "disk"}}
	reopened, err := Open(Options{Dir: dir, Groups: []Group{other}, Every: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer reopened.Close()
	if got := reopened.Subjects("load"); len(got) != 0 {
		t.Errorf("of another shape: %+v", got)
	}
}

func TestRefused(t *testing.T) {
	s := open(t, "", load)
	for name, err := range map[string]error{
		"group":   s.Add("other", noon, nil),
		"values":  s.Add("load", noon, []Reading{{"a", []float64{1}}}),
		"subject": s.Add("load", noon, []Reading{{string(make([]byte, 201)), []float64{1, 2}}}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := s.Query(Query{Group: "load", From: noon, To: noon}); err == nil {
		t.Error("no time: no error")
	}
	for _, o := range []Options{{Every: time.Millisecond}, {Every: 7 * time.Second}, {Every: time.Second, Groups: []Group{{Name: "a"}}}, {Every: time.Second, Groups: []Group{load, load}}} {
		if _, err := Open(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// TestProperty: whatever comes, restarts included, each moment is answered with
// the readings of that moment, and a mean lies between the least and the largest.
func TestProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "series")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := Options{Dir: dir, Groups: []Group{load}, Every: 10 * time.Second}
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		at := noon
		type reading struct {
			at    time.Time
			value float64
		}
		var all []reading
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.SampledFrom([]int{10, 10, 10, 20, 120, 600, 4000, 90_000}).Draw(t, "gap")) * time.Second)
			v := float64(rapid.IntRange(0, 100).Draw(t, "value"))
			if err := s.Add("load", at, []Reading{{"web", []float64{v, v}}}); err != nil {
				t.Fatal(err)
			}
			all = append(all, reading{at, v})
			if rapid.IntRange(0, 20).Draw(t, "restart") == 0 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(o); err != nil {
					t.Fatal(err)
				}
			}
		}
		defer s.Close()
		r, err := s.Query(Query{Group: "load", Subject: "web", From: at.Add(-29 * 24 * time.Hour), To: at.Add(time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		answered := map[int64]Point{}
		for _, p := range r.Points {
			answered[p.At.Unix()] = p
		}
		for _, x := range all {
			if at.Sub(x.at) > 28*24*time.Hour {
				continue
			}
			stepOf := func(at time.Time) int64 { return at.UnixNano() / int64(r.Step) * int64(r.Step) / int64(time.Second) }
			p, ok := answered[stepOf(x.at)]
			if !ok {
				t.Fatalf("nothing of %s, step %s", x.at, r.Step)
			}
			least, largest := math.Inf(1), math.Inf(-1)
			for _, y := range all {
				if stepOf(y.at) == stepOf(x.at) {
					least, largest = min(least, y.value), max(largest, y.value)
				}
			}
			if p.Means[0] < least-1e-3 || p.Means[0] > largest+1e-3 || p.Peaks[0] != largest {
				t.Fatalf("at %s: %+v, of readings from %v to %v", x.at, p, least, largest)
			}
		}
	})
}

// BenchmarkAdd is a round of 500 containers with what it writes to disk.
func BenchmarkAdd(b *testing.B) {
	g := Group{Name: "load", Subjects: 1000, Fields: make([]Field, 7)}
	for i := range g.Fields {
		g.Fields[i] = Field{Name: fmt.Sprint(i), Peak: i < 2}
	}
	s := open(b, b.TempDir(), g)
	var readings []Reading
	for i := range 500 {
		readings = append(readings, Reading{fmt.Sprintf("container%d", i), []float64{1, 2, 3, 4, 5, 6, 7}})
	}
	at := noon
	for b.Loop() {
		if err := s.Add("load", at, readings); err != nil {
			b.Fatal(err)
		}
		at = at.Add(10 * time.Second)
	}
}

// Counts of a histogram are kept within 5 % in memory, on disk and in steps of any
// length, so that percentiles of a step are those of all its requests.
func TestBucketsAreKept(t *testing.T) {
	g := Group{Name: "load", Subjects: 3, Fields: []Field{{Name: "requests", Peak: true}}, Buckets: 3}
	dir := t.TempDir()
	s := open(t, dir, g)
	for at := noon; at.Before(noon.Add(5 * time.Hour)); at = at.Add(10 * time.Second) {
		quick := 1000.0
		if at.Unix()/60%2 == 1 {
			quick = 0 // of every other minute
		}
		add(t, s, at, "web", 1, quick, .1, 0)
	}
	check := func(s *Store, step time.Duration, want ...float64) {
		t.Helper()
		r := query(t, s, "web", noon.Add(30*time.Minute), noon.Add(5*time.Hour), step)
		if len(r.Points) < 8 || r.Step < step {
			t.Fatalf("%d points each %s", len(r.Points), r.Step)
		}
		for _, p := range r.Points {
			for i, w := range want {
				if math.Abs(p.Buckets[i]-w) > .1*w { // rounded twice on the way to the disk
					t.Fatalf("at %s of %s: %v, want %v", p.At, step, p.Buckets, want)
				}
			}
		}
	}
	check(s, 2*time.Minute, 500, .1, 0)
	check(s, 30*time.Minute, 500, .1, 0)
	newest := s.Newest("load", noon.Add(5*time.Hour), time.Minute)["web"]
	if len(newest) != 4 || newest[0] != 1 || newest[1] != 0 || math.Abs(newest[2]-.1) > .005 {
		t.Errorf("newest %v", newest)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, dir, g), 30*time.Minute, 500, .1, 0)
	if info, err := os.Stat(filepath.Join(dir, "load.series")); err != nil || info.Size() != FileSize(g) {
		t.Errorf("%v, %v: want %d bytes", info.Size(), err, FileSize(g))
	}
	for rate := 1.0 / 1800; rate < 5e6; rate *= 1.01 {
		if got := unpackOne(packOne(rate)); math.Abs(got-rate) > .05*rate {
			t.Fatalf("%v is kept as %v", rate, got)
		}
	}
}
