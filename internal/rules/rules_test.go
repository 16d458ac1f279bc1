package rules

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"fairway/internal/catalog"
	"fairway/internal/latency"
	"fairway/internal/notify"
	"fairway/internal/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"node.cpu > 90% for 5m":                "node.cpu > 90% for 5m",
		" node.cpu>90%   for 300s ":            "node.cpu > 90% for 5m",
		"node.cpu >= 90% for 1h30m until 50%":  "node.cpu >= 90% for 1h30m until 50%",
		"service.unhealthy":                    "service.unhealthy",
		"service.unhealthy for 0s":             "service.unhealthy",
		"route.5xx > 5%":                       "route.5xx > 5%",
		"source.stale > 1m":                    "source.stale > 1m",
		"source.stale":                         "source.stale > 0s",
		"source.stale for 10s":                 "source.stale > 0s for 10s",
		"service.memory > 1.5GiB":              "service.memory > 1536MiB",
		"service.memory < 1000B until 2000B":   "service.memory < 1000B until 2000B",
		"route.p95 > 250ms for 2m until 200ms": "route.p95 > 250ms for 2m until 200ms",
		"route.requests > 100/s":               "route.requests > 100/s",
		"service.ready < 2 for 30s until 3":    "service.ready < 2 for 30s until 3",
	} {
		c, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := c.String(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"":                                     "column 1: a metric is expected, such as node.cpu",
		"node.cpuu > 90%":                      `column 1: "node.cpuu" is no metric; did you mean node.cpu?`,
		"weather > 3":                          `column 1: "weather" is no metric`,
		"node.cpu":                             "column 9: >, >=, < or <= is expected",
		"node.cpu = 90%":                       "column 10: >, >=, < or <= is expected",
		"node.cpu => 90%":                      "column 10: >, >=, < or <= is expected",
		"node.cpu > 90":                        "column 12: a value such as 90% is expected",
		"node.cpu > -1%":                       "column 12: a value such as 90% is expected",
		"node.cpu > NaN%":                      "column 12: a value such as 90% is expected",
		"service.memory > 5":                   "column 18: a value such as 512MiB is expected",
		"route.p95 > 5":                        "column 13: a value such as 500ms is expected",
		"node.cpu > 90% for":                   "column 19: a duration up to 24h is expected, such as 5m",
		"node.cpu > 90% for 48h":               "column 20: a duration up to 24h is expected, such as 5m",
		"node.cpu > 90% fro 5m":                `column 16: "fro" is not expected here`,
		"node.cpu > 90% for 5m and":            `column 23: "and" is not expected here`,
		"node.cpu > 90% until 95%":             "column 22: a value on the other side of 90% is expected",
		"service.ready < 2 until 1":            "column 25: a value on the other side of 2 is expected",
		"node.down > 1":                        "column 11: node.down is so or not; it has no value",
		"node.down until 3":                    "column 11: node.down is so or not; there is no value to wait for",
		"node.cpu " + strings.Repeat("x", 500): "column 1: longer than 500 bytes",
	} {
		_, err := Parse(text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || err.Error() != want {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// FuzzParse: what is read is written so that it is read as the same; what is not,
// is refused at a place in the text.
func FuzzParse(f *testing.F) {
	f.Add("node.cpu > 90% for 5m until 80%")
	f.Add("service.memory <= 1.5GiB")
	f.Add("route.p95>250ms")
	f.Add("source.stale")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		var syntax *SyntaxError
		switch {
		case errors.As(err, &syntax):
			if syntax.Column < 1 || syntax.Column > len(text)+1 {
				t.Errorf("%q: %v", text, err)
			}
			return
		case err != nil:
			t.Fatalf("%q: %v", text, err)
		}
		again, err := Parse(c.String())
		if err != nil {
			t.Fatalf("%q is written as %q: %v", text, c, err)
		}
		near := func(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b))+1e-9 }
		if again.Metric != c.Metric || again.Operator != c.Operator || again.For != c.For || !near(again.Value, c.Value) || !near(again.Until, c.Until) {
			t.Errorf("%q: %+v, and as %q %+v", text, c, c, again)
		}
	})
}

func TestCheck(t *testing.T) {
	good := []Rule{
		{Name: "a", When: "node.cpu > 90% for 5m"},
		{Name: "b", When: "node.down", Do: "drain", Most: 2, Only: []string{"n*"}},
		{Name: "c", When: "service.cpu-each > 80%", Do: "scale", Min: 1, Max: 5, Step: -2, Cooldown: time.Minute},
		{Name: "d", When: "route.requests > 100/s", Do: "scale", Service: "shop", Min: 1, Max: 5},
	}
	for _, r := range good {
		if faults := r.Check(); len(faults) > 0 {
			t.Errorf("%+v: %v", r, faults)
		}
	}
	for name, c := range map[string]struct {
		rule Rule
		want string
	}{
		"name":        {Rule{When: "node.down"}, "name: "},
		"when":        {Rule{Name: "a", When: "node"}, "when: column 1"},
		"do":          {Rule{Name: "a", When: "node.down", Do: "reboot"}, `do "reboot"`},
		"no bounds":   {Rule{Name: "a", When: "service.cpu > 1%", Do: "scale"}, "min and max"},
		"bounds":      {Rule{Name: "a", When: "service.cpu > 1%", Do: "scale", Min: 3, Max: 2}, "min and max"},
		"none":        {Rule{Name: "a", When: "service.cpu > 1%", Do: "scale", Min: 0, Max: 2}, "min and max"},
		"which":       {Rule{Name: "a", When: "node.cpu > 1%", Do: "scale", Min: 1, Max: 2}, "service: which one"},
		"cooldown":    {Rule{Name: "a", When: "service.cpu > 1%", Do: "scale", Min: 1, Max: 2, Cooldown: time.Second}, "cooldown: 30s"},
		"drain what":  {Rule{Name: "a", When: "route.5xx > 1%", Do: "drain"}, "a route cannot be drained"},
		"stray":       {Rule{Name: "a", When: "node.down", Min: 1}, "are for do: scale"},
		"stray most":  {Rule{Name: "a", When: "node.down", Most: 1}, "most: "},
		"bad pattern": {Rule{Name: "a", When: "node.down", Only: []string{"[a"}}, "brackets"},
	} {
		var got []string
		for _, err := range c.rule.Check() {
			got = append(got, err.Error())
		}
		if !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// stage is a world that tests change, and hands that write down what is done.
type stage struct {
	mu       sync.Mutex // held by the test but while time passes
	snapshot catalog.Snapshot
	readings map[string]map[string][]float64
	done     []string
	fail     error
}

func newStage() *stage {
	return &stage{
		snapshot: catalog.Snapshot{Sources: []catalog.SourceStatus{{Name: "swarm", Synced: true, LastSuccess: noon}}},
		readings: map[string]map[string][]float64{},
	}
}

func (s *stage) world() *World {
	s.mu.Lock()
	defer s.mu.Unlock()
	copied := s.snapshot
	return &World{
		Now: time.Now(), Snapshot: &copied, Sources: copied.Sources,
		Readings: func(group string) map[string][]float64 { return s.readings[group] },
	}
}

func (s *stage) use(group, subject string, cpu, memory, limit float64) {
	if s.readings[group] == nil {
		s.readings[group] = map[string][]float64{}
	}
	s.readings[group][subject] = []float64{cpu, memory, limit, 0, 0, 0, 0, 2}
}

func (s *stage) nodes(states ...string) {
	s.snapshot.Nodes = nil
	for i, state := range states {
		s.snapshot.Nodes = append(s.snapshot.Nodes, &catalog.Node{ID: fmt.Sprintf("id%d", i), Name: fmt.Sprintf("n%d", i), Source: "swarm", State: state})
	}
}

func (s *stage) service(name string, replicas int, ready int) {
	service := &catalog.Service{ID: name + "@swarm", Name: name, Source: "swarm", Replicas: &replicas}
	for i := range replicas {
		state := catalog.StateReady
		if i >= ready {
			state = catalog.StateUnhealthy
		}
		service.Instances = append(service.Instances, &catalog.Instance{ID: fmt.Sprint(i), Name: fmt.Sprintf("%s.%d", name, i), Source: "swarm", State: state})
	}
	s.snapshot.Services = []*catalog.Service{service}
}

func (s *stage) note(format string, args ...any) {
	s.done = append(s.done, fmt.Sprintf(format, args...))
}

func (s *stage) Report(e notify.Event) {
	if e.Kind == notify.RuleActed {
		s.note("acted: %s", e.Text)
	} else {
		s.note("%s %s", strings.TrimPrefix(string(e.Kind), "rule."), e.Subject)
	}
}

func (s *stage) Drain(_ context.Context, subject catalog.Subject, rule, _ string) error {
	s.note("drain %s by %s", subject, rule)
	return s.fail
}

func (s *stage) Undrain(_ context.Context, subject catalog.Subject, _ string) error {
	s.note("undrain %s", subject)
	return s.fail
}

func (s *stage) Scale(_ context.Context, service string, from, to int) error {
	s.note("scale %s %d to %d", service, from, to)
	return s.fail
}

// want compares what was done since the last call.
func (s *stage) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(s.done, want) {
		t.Errorf("done %q, want %q", s.done, want)
	}
	s.done = nil
}

// play runs rules in a bubble of time.
func play(t *testing.T, s *stage, fired map[string]time.Time, rules []Rule, scene func(r *Rules, pass func(time.Duration))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Options{Rules: rules, World: s.world, Driver: s, Fired: fired, Every: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Second) // between two looks
		s.mu.Lock()
		scene(r, func(d time.Duration) {
			s.mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
			s.mu.Lock()
		})
		s.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestForAndUntil(t *testing.T) {
	s := newStage()
	s.nodes("ready", "ready")
	rules := []Rule{{Name: "hot", When: "node.cpu > 90% for 1m until 80%", Only: []string{"n0"}}}
	play(t, s, nil, rules, func(r *Rules, pass func(time.Duration)) {
		s.use(series.Nodes, "id0", 95, 0, 0)
		s.use(series.Nodes, "id1", 95, 0, 0)
		pass(50 * time.Second)
		s.use(series.Nodes, "id0", 85, 0, 0) // a moment below
		pass(10 * time.Second)
		s.use(series.Nodes, "id0", 95, 0, 0)
		pass(55 * time.Second)
		s.want(t)
		pass(15 * time.Second)
		s.want(t, "fired rule/hot/id0")
		if states := r.States(); len(states) != 1 || states[0].Fired.IsZero() || states[0].Value != "95.0%" || states[0].Name != "n0" {
			t.Errorf("states %+v", states)
		}
		s.use(series.Nodes, "id0", 85, 0, 0) // below the one, not below the other
		pass(time.Hour)
		s.want(t)
		s.use(series.Nodes, "id0", 79, 0, 0)
		pass(50 * time.Second)
		s.want(t)
		pass(15 * time.Second)
		s.want(t, "cleared rule/hot/id0")
	})
}

// What is not known neither fires nor clears, and does not count as time; after a
// while without anything a rule that has fired is over.
func TestUnknown(t *testing.T) {
	s := newStage()
	s.nodes("ready")
	play(t, s, nil, []Rule{{Name: "hot", When: "node.cpu > 90% for 2m"}}, func(_ *Rules, pass func(time.Duration)) {
		s.use(series.Nodes, "id0", 95, 0, 0)
		pass(110 * time.Second)
		s.readings = map[string]map[string][]float64{}
		pass(5 * time.Minute)
		s.use(series.Nodes, "id0", 95, 0, 0)
		pass(110 * time.Second)
		s.want(t)
		pass(15 * time.Second)
		s.want(t, "fired rule/hot/id0")
		s.snapshot.Sources[0].Stale = true
		s.use(series.Nodes, "id0", 5, 0, 0)
		pass(9 * time.Minute)
		s.want(t)
		pass(2 * time.Minute)
		s.want(t, "cleared rule/hot/id0")
	})
}

func TestNodeDownAndSourceStale(t *testing.T) {
	s := newStage()
	s.nodes("ready", "ready")
	s.service("shop", 2, 2)
	rules := []Rule{{Name: "down", When: "node.down"}, {Name: "stale", When: "source.stale > 1m"}, {Name: "sick", When: "service.unhealthy for 30s"}}
	play(t, s, map[string]time.Time{"rule/down/id1": noon, "rule/gone/x": noon}, rules, func(_ *Rules, pass func(time.Duration)) {
		s.snapshot.Sources[0].LastSuccess = time.Now()
		s.nodes("down", "ready")
		s.service("shop", 2, 1)
		pass(5 * time.Second)
		s.want(t, "fired rule/down/id0", "cleared rule/down/id1") // the latter had fired in an earlier run
		pass(30 * time.Second)
		s.want(t, "fired rule/sick/shop@swarm")
		s.snapshot.Sources[0].Stale = true
		pass(20 * time.Second)
		s.want(t)
		pass(10 * time.Second)
		s.want(t, "fired rule/stale/swarm")
		s.snapshot.Sources[0].Stale = false
		s.nodes("ready", "ready")
		pass(5 * time.Second)
		s.want(t, "cleared rule/down/id0", "cleared rule/stale/swarm")
	})
}

// A rule drains as many as it may, never the last, and takes it back; what fails
// is tried again and told once.
func TestDrain(t *testing.T) {
	s := newStage()
	s.nodes("ready", "ready", "ready")
	rules := []Rule{{Name: "hot", When: "node.cpu > 90%", Do: "drain", Most: 5}}
	play(t, s, nil, rules, func(r *Rules, pass func(time.Duration)) {
		s.fail = errors.New("no history")
		s.use(series.Nodes, "id1", 99, 0, 0)
		pass(15 * time.Second)
		s.want(t, "fired rule/hot/id1", "drain node id1 by hot", "acted: rule hot: n1 is drained, but that failed",
			"drain node id1 by hot", "drain node id1 by hot")
		s.fail = nil
		pass(5 * time.Second)
		s.want(t, "drain node id1 by hot", "acted: rule hot: n1 is drained")
		if states := r.States(); len(states) != 3 || !states[1].Drained {
			t.Errorf("states %+v", states)
		}
		s.use(series.Nodes, "id0", 99, 0, 0)
		s.use(series.Nodes, "id2", 99, 0, 0)
		pass(30 * time.Second)
		s.want(t, "fired rule/hot/id0", "fired rule/hot/id2", "drain node id0 by hot", "acted: rule hot: n0 is drained",
			"acted: rule hot: nothing is done about n2: it is the last that is ready")
		s.use(series.Nodes, "id1", 5, 0, 0)
		pass(10 * time.Second)
		s.want(t, "cleared rule/hot/id1", "undrain node id1", "acted: rule hot: n1 is no longer drained",
			"drain node id2 by hot", "acted: rule hot: n2 is drained")
	})
}

// A rule scales within its bounds, no more often than its cooldown allows, which
// also begins with the start and is shared by the rules of a service.
func TestScale(t *testing.T) {
	s := newStage()
	s.service("shop", 2, 2)
	rules := []Rule{
		{Name: "more", When: "service.cpu-each > 80% for 30s", Do: "scale", Min: 2, Max: 5, Step: 2, Cooldown: time.Minute},
		{Name: "fewer", When: "service.cpu-each < 10% for 30s", Do: "scale", Min: 2, Max: 5, Step: -1, Cooldown: time.Minute},
	}
	play(t, s, nil, rules, func(_ *Rules, pass func(time.Duration)) {
		s.use(series.Services, "shop@swarm", 170, 0, 0) // of two
		pass(50 * time.Second)
		s.want(t, "fired rule/more/shop@swarm")
		pass(15 * time.Second)
		s.want(t, "scale shop@swarm 2 to 4", "acted: rule more: service shop is scaled from 2 to 4")
		s.service("shop", 4, 4)
		pass(50 * time.Second)
		s.want(t)
		pass(15 * time.Second)
		s.want(t, "scale shop@swarm 4 to 5", "acted: rule more: service shop is scaled from 4 to 5")
		s.service("shop", 5, 5)
		pass(time.Hour)
		s.want(t, "acted: rule more: nothing is done about shop: service shop has 5 instances, and the rule may set 2 to 5")
		s.use(series.Services, "shop@swarm", 2, 0, 0)
		pass(40 * time.Second)
		s.want(t, "cleared rule/more/shop@swarm", "fired rule/fewer/shop@swarm",
			"scale shop@swarm 5 to 4", "acted: rule fewer: service shop is scaled from 5 to 4")
		s.service("shop", 9, 9) // somebody else knows better
		pass(90 * time.Second)
		s.want(t, "scale shop@swarm 9 to 5", "acted: rule fewer: service shop is scaled from 9 to 5")
		s.snapshot.Services[0].Replicas = nil
		pass(2 * time.Minute)
		s.want(t, "acted: rule fewer: nothing is done about shop: service shop has no number of instances that could be changed")
	})
}

// TestTargetProperty: no step leads out of the bounds, or against its direction.
func TestTargetProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, step := rapid.IntRange(0, 50).Draw(t, "now"), rapid.IntRange(-10, 10).Draw(t, "step")
		low := rapid.IntRange(1, 20).Draw(t, "low")
		high := rapid.IntRange(low, 40).Draw(t, "high")
		to := target(now, step, low, high)
		if to != now && (to < low || to > high) {
			t.Fatalf("%d is beyond %d to %d", to, low, high)
		}
		if step >= 0 && to < now || step < 0 && to > now {
			t.Fatalf("%d by %d is %d", now, step, to)
		}
	})
}

// TestMetrics reads every metric of one world.
func TestMetrics(t *testing.T) {
	s := newStage()
	s.nodes("ready", "down")
	s.service("shop", 3, 2)
	s.use(series.Nodes, "id0", 50, 1<<30, 4<<30)
	s.use(series.Services, "shop@swarm", 90, 1<<30, math.NaN())
	s.use(series.Instances, "shop.0@swarm", 30, 100, 400)
	s.use(series.Instances, "shop.1@swarm", 60, 100, 0)
	traffic := make([]float64, series.Latency+latency.Buckets)
	traffic[series.Requests], traffic[series.Errors] = 10, 1
	traffic[series.Latency+10], traffic[series.Latency+20] = 5, 5
	s.readings[series.Routes] = map[string][]float64{"shop@swarm": traffic, "idle@swarm": make([]float64, len(traffic))}
	s.snapshot.Sources = append(s.snapshot.Sources, catalog.SourceStatus{Name: "docker", Stale: true})
	var got []string
	for _, m := range Metrics() {
		w := s.world()
		for _, v := range kinds[m].read(w) {
			got = append(got, fmt.Sprintf("%s %s %.4g", m, v.Subject, v.Number))
		}
	}
	want := []string{
		"instance.cpu shop.0@swarm 30", "instance.cpu shop.1@swarm 60", "instance.cpu shop.2@swarm NaN",
		"instance.memory shop.0@swarm 25", "instance.memory shop.1@swarm NaN", "instance.memory shop.2@swarm NaN",
		"instance.unhealthy shop.0@swarm 0", "instance.unhealthy shop.1@swarm 0", "instance.unhealthy shop.2@swarm 1",
		"node.cpu id0 50", "node.cpu id1 NaN",
		"node.down id0 0", "node.down id1 1",
		"node.memory id0 25", "node.memory id1 NaN",
		"route.5xx idle@swarm 0", "route.5xx shop@swarm 10",
		"route.p50 idle@swarm NaN", "route.p50 shop@swarm 0.0005379",
		"route.p95 idle@swarm NaN", "route.p95 shop@swarm 0.003197",
		"route.p99 idle@swarm NaN", "route.p99 shop@swarm 0.003197",
		"route.requests idle@swarm 0", "route.requests shop@swarm 10",
		"service.cpu shop@swarm 90", "service.cpu-each shop@swarm 45",
		"service.memory shop@swarm 1.074e+09",
		"service.ready shop@swarm 2",
		"service.unhealthy shop@swarm 1",
		"source.stale swarm 0", "source.stale docker 8.64e+04",
	}
	if !slices.Equal(got, want) {
		t.Errorf("metrics:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
