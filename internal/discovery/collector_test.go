package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"fairway/internal/catalog"
	"fairway/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a source that does what the test tells it.
type script struct {
	name string
	say  chan catalog.Answer
	do   chan func()
	runs atomic.Int32
}

func newScript(name string) *script { return &script{name: name} }

func (s *script) Name() string { return s.name }

func (s *script) Run(ctx context.Context, out chan<- catalog.Answer) {
	s.runs.Add(1)
	for {
		select {
		case a := <-s.say:
			select {
			case out <- a:
			case <-ctx.Done():
				return
			}
		case f := <-s.do:
			if f == nil {
				return
			}
			f()
		case <-ctx.Done():
			return
		}
	}
}

// answer makes an answer of services named like "web" or "web=2", where the
// number is their age.
func answer(source string, names ...string) catalog.Answer {
	a := catalog.Answer{Nodes: []*catalog.Node{{ID: source, Source: source, State: "ready"}}}
	for _, n := range names {
		a.Services = append(a.Services, service(source, n))
	}
	return a
}

func service(source, spec string) *catalog.Service {
	name, age, _ := strings.Cut(spec, "=")
	id := name + "@" + source
	if strings.HasPrefix(name, "+") {
		id = name[1:]
	}
	s := &catalog.Service{ID: id, Name: name, Source: source}
	s.Instances = []*catalog.Instance{{ID: name + "-" + source, Name: age, Source: source, State: catalog.StateReady}}
	return s
}

// lab runs test with a running collector, in virtual time.
func lab(t *testing.T, o Options, test func(c *Collector, feed *catalog.Feed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		feed := &catalog.Feed{}
		o.Feed = feed
		for _, source := range o.Sources {
			// Channels belong to the bubble they are made in.
			s := source.(*script)
			s.say, s.do = make(chan catalog.Answer), make(chan func())
		}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := c.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		test(c, feed)
		cancel()
		running.Wait()
	})
}

// show prints a snapshot in one line.
func show(s *catalog.Snapshot) string {
	if s == nil {
		return "none"
	}
	var parts []string
	for _, service := range s.Services {
		part := service.ID
		for _, i := range service.Instances {
			if i.Name != "" {
				part += "=" + i.Name
			}
		}
		parts = append(parts, part)
	}
	for _, source := range s.Sources {
		part := source.Name + ":"
		if source.Synced {
			part += "synced"
		}
		if source.Stale {
			part += "stale(" + source.Error + ")"
		}
		if len(source.Held) > 0 {
			part += "held(" + strings.Join(source.Held, " ") + ")"
		}
		parts = append(parts, part)
	}
	if s.Restored {
		parts = append(parts, "restored")
	}
	return fmt.Sprintf("%d %s", s.Revision, strings.Join(parts, ", "))
}

func expect(t *testing.T, feed *catalog.Feed, after time.Duration, want string) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	if got := show(feed.Newest()); got != want {
		t.Errorf("after %v\ngot  %s\nwant %s", after, got, want)
	}
}

const ms = time.Millisecond

// TestPace: a snapshot comes when answers have been quiet for 50 ms, and after
// 250 ms when they are not.
func TestPace(t *testing.T) {
	a := newScript("a")
	lab(t, Options{Sources: []Source{a}}, func(_ *Collector, feed *catalog.Feed) {
		expect(t, feed, time.Minute, "none")
		a.say <- answer("a", "web=1")
		expect(t, feed, 49*ms, "none")
		expect(t, feed, 1*ms, "1 web@a=1, a:synced")
		for i := range 10 {
			a.say <- answer("a", fmt.Sprintf("web=%d", 2+i))
			time.Sleep(40 * ms)
			want := "1 web@a=1, a:synced"
			if i >= 6 {
				want = "2 web@a=8, a:synced" // from 250 ms on, with what was known then
			}
			expect(t, feed, 0, want)
		}
		expect(t, feed, 50*ms, "3 web@a=11, a:synced")
		// The same again is no news.
		a.say <- answer("a", "web=11")
		expect(t, feed, time.Second, "3 web@a=11, a:synced")
	})
}

// TestFreeze: an error freezes the source's own services and nobody else's.
func TestFreeze(t *testing.T) {
	a, b := newScript("a"), newScript("b")
	lab(t, Options{Sources: []Source{b, a}}, func(c *Collector, feed *catalog.Feed) {
		a.say <- answer("a", "web=1")
		b.say <- answer("b", "api=1")
		expect(t, feed, 50*ms, "1 api@b=1, web@a=1, a:synced, b:synced")
		success := time.Now()
		a.say <- catalog.Answer{Err: errors.New("unplugged"), Services: []*catalog.Service{service("a", "ignored")}}
		expect(t, feed, 50*ms, "2 api@b=1, web@a=1, a:syncedstale(unplugged), b:synced")
		b.say <- answer("b", "api=2")
		expect(t, feed, 50*ms, "3 api@b=2, web@a=1, a:syncedstale(unplugged), b:synced")
		a.say <- catalog.Answer{Err: errors.New("unplugged")}
		expect(t, feed, 24*time.Hour, "3 api@b=2, web@a=1, a:syncedstale(unplugged), b:synced")
		status := c.Sources()
		if len(status) != 2 || !status[0].Stale || status[0].Services != 1 || success.Sub(status[0].LastSuccess) != 50*ms {
			t.Errorf("status %+v", status)
		}
		a.say <- answer("a", "web=2")
		expect(t, feed, 50*ms, "4 api@b=2, web@a=2, a:synced, b:synced")
	})
}

// TestSettle: the first snapshot waits for sources that have not been heard, but
// not for ever, and an error counts as being heard.
func TestSettle(t *testing.T) {
	t.Run("waits", func(t *testing.T) {
		a, b := newScript("a"), newScript("b")
		lab(t, Options{Sources: []Source{a, b}}, func(_ *Collector, feed *catalog.Feed) {
			a.say <- answer("a", "web")
			expect(t, feed, time.Second, "none")
			b.say <- answer("b", "api")
			expect(t, feed, 50*ms, "1 api@b, web@a, a:synced, b:synced")
		})
	})
	t.Run("not for ever", func(t *testing.T) {
		a, b := newScript("a"), newScript("b")
		lab(t, Options{Sources: []Source{a, b}}, func(_ *Collector, feed *catalog.Feed) {
			a.say <- answer("a", "web")
			expect(t, feed, 1999*ms, "none")
			expect(t, feed, 1*ms, "1 web@a, a:synced, b:")
			a.say <- answer("a", "web=2")
			expect(t, feed, 50*ms, "2 web@a=2, a:synced, b:")
		})
	})
	t.Run("an error counts", func(t *testing.T) {
		a, b := newScript("a"), newScript("b")
		lab(t, Options{Sources: []Source{a, b}}, func(_ *Collector, feed *catalog.Feed) {
			a.say <- answer("a", "web")
			b.say <- catalog.Answer{Err: errors.New("down")}
			expect(t, feed, 50*ms, "1 web@a, a:synced, b:stale(down)")
		})
	})
	t.Run("no sources", func(t *testing.T) {
		lab(t, Options{}, func(_ *Collector, feed *catalog.Feed) {
			expect(t, feed, 0, "1 ")
		})
	})
}

// TestRestored: what the last run knew is published at once and counts until
// the source has spoken.
func TestRestored(t *testing.T) {
	a, b := newScript("a"), newScript("b")
	shared := &catalog.Service{ID: "shop", Name: "shop", Source: "a", Instances: []*catalog.Instance{
		{ID: "1", Source: "a"}, {ID: "2", Source: "b"}, {ID: "3", Source: "c"},
	}}
	web := service("a", "web=1")
	restored := &catalog.Snapshot{
		Revision: 7,
		Sources:  []catalog.SourceStatus{{Name: "a", LastSuccess: time.Unix(5, 0)}, {Name: "c"}},
		Services: []*catalog.Service{service("b", "api=1"), service("c", "gone=1"), shared, web},
		Nodes:    []*catalog.Node{{ID: "a", Source: "a"}, {ID: "c", Source: "c"}},
	}
	lab(t, Options{Sources: []Source{a, b}, Restored: restored}, func(c *Collector, feed *catalog.Feed) {
		expect(t, feed, 0, "8 api@b=1, shop, web@a=1, a:, b:, restored")
		s := feed.Newest()
		if got := len(s.Services[1].Instances); got != 2 {
			t.Errorf("the service of three sources has %d instances, want those of the two that are left", got)
		}
		if s.Services[2] != web {
			t.Error("a restored service lost its pointer")
		}
		if len(s.Nodes) != 1 {
			t.Errorf("nodes %v", s.Nodes)
		}
		if got := c.Sources()[0].LastSuccess; !got.Equal(time.Unix(5, 0)) {
			t.Errorf("last success %v", got)
		}
		b.say <- catalog.Answer{Err: errors.New("down")}
		expect(t, feed, 50*ms, "9 api@b=1, shop, web@a=1, a:, b:stale(down), restored")
		a.say <- catalog.Answer{Services: []*catalog.Service{service("a", "web=1")}}
		expect(t, feed, 50*ms, "10 api@b=1, shop, web@a=1, a:synced, b:stale(down)")
		if feed.Newest().Services[2] != web {
			t.Error("a service that says the same lost its pointer")
		}
	})
}

// TestRestoredIsGuarded: a first answer that has nothing does not wipe out what
// the last run knew.
func TestRestoredIsGuarded(t *testing.T) {
	a := newScript("a")
	restored := &catalog.Snapshot{Services: []*catalog.Service{service("a", "web")}}
	lab(t, Options{Sources: []Source{a}, Restored: restored}, func(_ *Collector, feed *catalog.Feed) {
		a.say <- catalog.Answer{}
		expect(t, feed, 50*ms, "2 web@a, a:syncedheld(web@a)")
		time.Sleep(5 * time.Second)
		a.say <- catalog.Answer{}
		expect(t, feed, 50*ms, "3 a:synced")
	})
}

// TestRestoredRanLately: the moment of a service that had just stopped begins anew with
// the run, also where its source says nothing, and ends.
func TestRestoredRanLately(t *testing.T) {
	stopped := func() *catalog.Service {
		s := service("a", "web=1")
		s.Instances[0].State = catalog.StateStopped
		return s
	}
	for _, answers := range []bool{false, true} {
		web := stopped()
		web.RanLately = true
		a := newScript("a")
		o := Options{Sources: []Source{a}, Restored: &catalog.Snapshot{Services: []*catalog.Service{web}}, Linger: 10 * time.Second}
		lab(t, o, func(_ *Collector, feed *catalog.Feed) {
			time.Sleep(time.Second)
			if answers {
				a.say <- catalog.Answer{Services: []*catalog.Service{stopped()}}
			}
			time.Sleep(7 * time.Second)
			if !feed.Newest().Services[0].RanLately {
				t.Errorf("answers %t: it has not run lately after 8 seconds", answers)
			}
			time.Sleep(3 * time.Second)
			if feed.Newest().Services[0].RanLately {
				t.Errorf("answers %t: it has run lately after 11 seconds", answers)
			}
		})
		if !web.RanLately {
			t.Error("the restored snapshot was changed")
		}
	}
}

// TestRanLately: a service of which nothing runs any more has run lately, for a moment;
// one of which nothing was seen to run has not.
func TestRanLately(t *testing.T) {
	source := newScript("a")
	lab(t, Options{Sources: []Source{source}, Linger: 10 * time.Second}, func(_ *Collector, feed *catalog.Feed) {
		say := func(web catalog.State) {
			a := answer("a", "web", "db")
			a.Services[0].Instances[0].State = web
			a.Services[1].Instances[0].State = catalog.StateStopped
			source.say <- a
			time.Sleep(time.Second)
		}
		check := func(when string, want bool) {
			t.Helper()
			services := feed.Newest().Services
			if services[0].ID != "db@a" || services[0].RanLately {
				t.Errorf("%s: %s has run lately", when, services[0].ID)
			}
			if got := services[1].RanLately; got != want {
				t.Errorf("%s: ran lately is %v", when, got)
			}
		}
		say(catalog.StateReady)
		check("running", false)
		say(catalog.StateStopped)
		check("stopped", true)
		before := feed.Newest()
		say(catalog.StateStopped)
		if feed.Newest() != before {
			t.Error("another snapshot of the same")
		}
		say(catalog.StateReady)
		check("started again", false)
		say(catalog.StateLeaving)
		check("leaving", false)
		say(catalog.StateStopped)
		check("stopped again", true)
		time.Sleep(8 * time.Second)
		check("9 seconds later", true)
		time.Sleep(2 * time.Second)
		check("11 seconds later", false)
		say(catalog.StateStopped)
		check("still stopped", false)
		say(catalog.StateStarting)
		check("starting", false)
	})
}

// TestMerge: services of one ID become one, instances sorted; unchanged ones keep
// their pointers.
func TestMerge(t *testing.T) {
	a, b := newScript("a"), newScript("b")
	lab(t, Options{Sources: []Source{a, b}}, func(_ *Collector, feed *catalog.Feed) {
		first, second := service("a", "+shop=1"), service("b", "+shop=2")
		first.Instances[0].ID, second.Instances[0].ID = "z", "y"
		first.Labels, second.Labels = map[string]string{"k": "a"}, map[string]string{"k": "b", "l": "b"}
		second.Created = time.Unix(9, 0)
		lone := service("a", "web")
		a.say <- catalog.Answer{Services: []*catalog.Service{lone, first}}
		b.say <- catalog.Answer{Services: []*catalog.Service{second}}
		expect(t, feed, 50*ms, "1 shop=2=1, web@a, a:synced, b:synced")
		s := feed.Newest()
		shop := s.Services[0]
		if diff := cmp.Diff(map[string]string{"k": "a", "l": "b"}, shop.Labels); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
		if shop.Source != "a" || !shop.Created.Equal(time.Unix(9, 0)) {
			t.Errorf("merged %+v", shop)
		}
		if len(first.Instances) != 1 || len(first.Labels) != 1 {
			t.Error("merging wrote to a part")
		}
		a.say <- catalog.Answer{Services: []*catalog.Service{service("a", "web"), first, service("a", "new")}}
		expect(t, feed, 50*ms, "2 new@a, shop=2=1, web@a, a:synced, b:synced")
		if s := feed.Newest(); s.Services[1] != shop || s.Services[2] != lone {
			t.Error("unchanged services lost their pointers")
		}
	})
}

// TestPanic: a source that panics, or that returns, is a failed source, and is
// started again with growing pauses; the others do not notice.
func TestPanic(t *testing.T) {
	a, b := newScript("a"), newScript("b")
	lab(t, Options{Sources: []Source{a, b}}, func(_ *Collector, feed *catalog.Feed) {
		a.say <- answer("a", "web")
		b.say <- answer("b", "api")
		expect(t, feed, 50*ms, "1 api@b, web@a, a:synced, b:synced")
		a.do <- func() { panic("boom") }
		expect(t, feed, 50*ms, "2 api@b, web@a, a:syncedstale(source panicked: boom), b:synced")
		time.Sleep(time.Second)
		a.say <- answer("a", "web=2")
		expect(t, feed, 50*ms, "3 api@b, web@a=2, a:synced, b:synced")
		a.do <- nil
		expect(t, feed, 50*ms, "4 api@b, web@a=2, a:syncedstale(source stopped by itself), b:synced")
		runs := a.runs.Load()
		time.Sleep(1900 * ms)
		synctest.Wait()
		if a.runs.Load() != runs {
			t.Error("started again too soon")
		}
		time.Sleep(100 * ms)
		synctest.Wait()
		if a.runs.Load() != runs+1 {
			t.Error("not started again")
		}
		if b.runs.Load() != 1 {
			t.Error("the other source was disturbed")
		}
	})
}

// TestNew refuses what cannot work.
func TestNew(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no feed: no error")
	}
	if _, err := New(Options{Feed: &catalog.Feed{}, Sources: []Source{newScript("a"), newScript("a")}}); err == nil {
		t.Error("same name twice: no error")
	}
}

// TestMetrics holds the names and meanings of the metrics.
func TestMetrics(t *testing.T) {
	a := newScript("a")
	r := &metrics.Set{}
	lab(t, Options{Sources: []Source{a}, Metrics: r}, func(_ *Collector, feed *catalog.Feed) {
		a.say <- answer("a", "web", "api")
		a.say <- catalog.Answer{Err: errors.New("down")}
		expect(t, feed, 50*ms, "1 api@a, web@a, a:syncedstale(down)")
		want := `# HELP fairway_services Services in the newest snapshot.
# TYPE fairway_services gauge
fairway_services 2
# HELP fairway_snapshot_revision Revision of the newest snapshot.
# TYPE fairway_snapshot_revision gauge
fairway_snapshot_revision 1
# HELP fairway_source_answers_total Answers of the source, by result (ok or error).
# TYPE fairway_source_answers_total counter
fairway_source_answers_total{result="error",source="a"} 1
fairway_source_answers_total{result="ok",source="a"} 1
# HELP fairway_source_last_success_timestamp_seconds When the source last answered without an error in this run; 0 for never.
# TYPE fairway_source_last_success_timestamp_seconds gauge
fairway_source_last_success_timestamp_seconds{source="a"} 9.466848e+08
# HELP fairway_source_up 1 while the newest answer of the source was not an error.
# TYPE fairway_source_up gauge
fairway_source_up{source="a"} 0
`
		var got strings.Builder
		if err := r.Write(&got); err != nil || got.String() != want {
			t.Errorf("%v, metrics:\n%s", err, got.String())
		}
	})
}

// TestGuard is the table of mass removals: a story of answers, each at its
// second, and what is kept and held after the last one.
func TestGuard(t *testing.T) {
	for _, tt := range []struct {
		name  string
		story string // "second: services", separated by ";"
		want  string // kept | held
	}{
		{"first answer", "0: a b", "a b | "},
		{"nothing to lose", "0: ", " | "},
		{"one of two", "0: a b; 1: a", "a | "},
		{"all", "0: a b; 1: ", "a b | a b"},
		{"the only one", "0: a; 1: ", "a | a"},
		{"half of four", "0: a b c d; 1: a b", "a b | "},
		{"three of four", "0: a b c d; 1: a", "a b c d | b c d"},
		{"two of three", "0: a b c; 1: a", "a | "},
		{"all replaced by others", "0: a b; 1: c d", "a b c d | a b"},
		{"asked again too soon", "0: a b; 1: ; 5: ", "a b | a b"},
		{"confirmed", "0: a b; 1: ; 6: ", " | "},
		{"back in time", "0: a b; 1: ; 2: a b", "a b | "},
		{"some back", "0: a b c d; 1: ; 2: a b", "a b c d | c d"},
		{"some back, rest confirmed", "0: a b c d; 1: ; 2: a b; 6: a b", "a b | "},
		{"back, and gone again", "0: a b; 1: ; 5: a b; 6: ", "a b | a b"},
		{"more goes while held", "0: a b c d e; 1: a b; 2: a", "a b c d e | b c d e"},
		{"each waits for itself", "0: a b c d e; 1: a b; 2: a; 6: a", "a b | b"},
		{"each is confirmed", "0: a b c d e; 1: a b; 2: a; 6: a; 7: a", "a | "},
		{"new ones are welcome meanwhile", "0: a b; 1: ; 2: z; 6: z", "z | "},
		{"one by one", "0: a b c d; 1: a b c; 2: a b; 3: a; 4: ", "a | a"},
	} {
		var kept []*catalog.Service
		var held map[string]time.Time
		for part := range strings.SplitSeq(tt.story, ";") {
			var second int
			at, names, _ := strings.Cut(part, ":")
			if _, err := fmt.Sscan(at, &second); err != nil {
				t.Fatal(err)
			}
			var services []*catalog.Service
			for _, n := range strings.Fields(names) {
				services = append(services, &catalog.Service{ID: n})
			}
			kept, held = guard(kept, services, held, time.Unix(int64(second), 0), 5*time.Second)
		}
		var ids, holds []string
		for _, s := range kept {
			ids = append(ids, s.ID)
		}
		for id := range held {
			holds = append(holds, id)
		}
		slices.Sort(ids)
		slices.Sort(holds)
		if got := strings.Join(ids, " ") + " | " + strings.Join(holds, " "); got != tt.want {
			t.Errorf("%s: %s: got %s, want %s", tt.name, tt.story, got, tt.want)
		}
	}
}

// TestGuardProperty: whatever comes, everything in the newest answer is kept,
// everything else that is kept is held, and what is held was there before and is
// let go when it stays away.
func TestGuardProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var kept []*catalog.Service
		var held map[string]time.Time
		now := time.Unix(0, 0)
		for range rapid.IntRange(1, 20).Draw(rt, "answers") {
			names := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), rapid.ID).Draw(rt, "names")
			now = now.Add(time.Duration(rapid.IntRange(0, 7000).Draw(rt, "ms")) * ms)
			var services []*catalog.Service
			for _, n := range names {
				services = append(services, &catalog.Service{ID: n})
			}
			before := kept
			kept, held = guard(kept, services, held, now, 5*time.Second)
			if !slices.Equal(kept[:len(services)], services) {
				rt.Fatal("something of the answer is not kept")
			}
			for _, s := range kept[len(services):] {
				since, ok := held[s.ID]
				if !ok || slices.Contains(names, s.ID) || !slices.Contains(before, s) || since.After(now) {
					rt.Fatalf("%s is kept and should not be", s.ID)
				}
			}
			if len(held) != len(kept)-len(services) {
				rt.Fatal("held and kept differ")
			}
		}
		// What stays away is gone in the end.
		_, held = guard(kept, nil, held, now, 5*time.Second)
		if kept, held = guard(kept, nil, held, now.Add(5*time.Second), 5*time.Second); len(kept)+len(held) > 0 {
			rt.Fatalf("%d are still kept", len(kept))
		}
	})
}
