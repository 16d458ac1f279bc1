package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"fairway/internal/catalog"
	"fairway/internal/history"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

// labelCompiler makes a route and a backend of each service: the host is the
// label fairway.host, the endpoints are the instances. Claims are handed down, as
// compiling does.
type labelCompiler struct{}

func (labelCompiler) Compile(s *catalog.Snapshot, previous *route.Table) *route.Table {
	var routes []*route.Route
	var backends []*route.Backend
	claim := uint64(0)
	if previous != nil {
		for _, r := range previous.Routes {
			claim = max(claim, r.Claim)
		}
	}
	for _, svc := range s.Services {
		host := svc.Labels["fairway.host"]
		if host == "" {
			host = svc.Instances[0].Labels["fairway.host"]
		}
		b := &route.Backend{ID: svc.ID, Service: svc.ID, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
		for _, in := range svc.Instances {
			b.Endpoints = append(b.Endpoints, route.Endpoint{
				ID: in.ID, Address: in.ID + ":80", Weight: 1, State: route.EndpointReady, Instance: in.Name, Source: in.Source, Node: in.Node,
			})
		}
		r := &route.Route{
			ID: svc.ID, Service: svc.ID, Backend: svc.ID, Origin: route.Origin{Source: svc.Source, Labels: svc.Labels},
			Matches: []route.Match{{
				Host: route.Host{Kind: route.HostExact, Value: host},
				Path: route.Path{Kind: route.PathPrefix, Value: "/"},
			}},
		}
		if previous != nil && previous.Route(r.ID) != nil {
			r.Claim = previous.Route(r.ID).Claim
		} else {
			claim++
			r.Claim = claim
		}
		routes, backends = append(routes, r), append(backends, b)
	}
	t, err := route.New(s.Revision, []route.Listener{{Name: "http", Address: ":80"}}, routes, backends, nil)
	if err != nil {
		panic(err)
	}
	return t
}

// servicesOf makes a snapshot of "NAME HOST INSTANCE…"; an instance runs on the
// node "n" and is called like its service and itself.
func servicesOf(revision uint64, lines ...string) *catalog.Snapshot {
	s := &catalog.Snapshot{Revision: revision, Sources: []catalog.SourceStatus{{Name: "test", Synced: true}}, Nodes: []*catalog.Node{{ID: "n", Name: "edge"}}}
	for _, line := range lines {
		f := strings.Fields(line)
		svc := &catalog.Service{ID: f[0], Name: f[0], Source: "test", Labels: map[string]string{"fairway.host": f[1], "other": "x"}}
		slices.Sort(f[2:])
		for _, id := range f[2:] {
			svc.Instances = append(svc.Instances, &catalog.Instance{ID: id, Name: f[0] + "-" + id, Source: "test", Node: "n", State: catalog.StateReady})
		}
		s.Services = append(s.Services, svc)
	}
	slices.SortFunc(s.Services, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return s
}

// steered is a running loop with a history in a directory that outlives it.
type steered struct {
	*Control
	feed   *catalog.Feed
	engine *recordingEngine
	past   *history.Store
	stop   func()
}

func startSteered(t testing.TB, dir string) *steered {
	t.Helper()
	past, err := history.Open(history.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	store, err := OpenStore(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	restored, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	h := &steered{feed: &catalog.Feed{}, engine: &recordingEngine{}, past: past}
	h.Control, err = New(Options{
		Feed: h.feed, Compiler: labelCompiler{}, Engines: []Engine{h.engine}, Store: store, Restored: restored,
		History: past, Metrics: &metrics.Set{},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Run(ctx)
	}()
	h.stop = func() {
		cancel()
		<-done
		if err := past.Close(); err != nil {
			t.Error(err)
		}
	}
	return h
}

// parts are the bytes of what a table serves.
func parts(t testing.TB, table *route.Table) string {
	t.Helper()
	var b bytes.Buffer
	if err := route.Encode(&b, table); err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return string(all["hash"]) + string(all["listeners"]) + string(all["routes"]) + string(all["backends"])
}

// Whatever was served comes back byte for byte, with either way to end, holds
// across a restart while the world goes on changing, and once it is released
// there is what the labels ask for, with the claims of those who were first.
func TestRollbackProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			h := startSteered(t, dir)
			var revision uint64
			var world []string
			change := func() {
				world = rapid.SliceOfNDistinct(rapid.Custom(func(rt *rapid.T) string {
					line := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "service") + " " + rapid.SampledFrom([]string{"x.test", "y.test", "z.test"}).Draw(rt, "host")
					for i := range rapid.IntRange(0, 3).Draw(rt, "instances") {
						line += fmt.Sprint(" 10.0.", rapid.IntRange(0, 2).Draw(rt, "network"), ".", i)
					}
					return line
				}), 0, 3, func(line string) string { return line[:1] }).Draw(rt, "world")
				revision++
				h.feed.Publish(servicesOf(revision, world...))
				synctest.Wait()
			}
			served := map[string]string{} // by hash
			for range rapid.IntRange(2, 8).Draw(rt, "changes") {
				change()
				served[h.Table().Hash] = parts(t, h.Table())
			}
			entries, err := h.past.Entries(0, 0)
			if err != nil || len(entries) == 0 {
				rt.Fatal(len(entries), err)
			}
			entry := rapid.SampledFrom(entries).Draw(rt, "entry")
			release := rapid.SampledFrom([]Release{ReleaseByHand, ReleaseByLabels}).Draw(rt, "release")
			compiled := h.Table().Hash
			rollback := Command{Kind: CommandRollback, Hold: &Hold{Entry: entry.Number, Release: release, RecordedEndpoints: true}, Operator: "ann"}
			preview, previewErr := h.Preview(rollback)
			if len(h.Commands()) != 0 || h.Table().Hash != compiled {
				rt.Fatal("a preview has changed something")
			}
			result, err := h.Give(t.Context(), rollback)
			if (err == nil) != (previewErr == nil) || err == nil && preview.After.Hash != h.Table().Hash {
				rt.Fatalf("the preview has another table or answer: %v, %v", previewErr, err)
			}
			if errors.Is(err, ErrRefused) && release == ReleaseByLabels && entry.Hash == compiled {
				h.stop()
				return // nothing to hold
			}
			if err != nil {
				rt.Fatal(err)
			}
			if got := parts(t, h.Table()); got != served[entry.Hash] || h.Table().Hash != entry.Hash {
				rt.Fatalf("entry %d came back as\n%s\nand was\n%s", entry.Number, got, served[entry.Hash])
			}
			if !result.Recorded || result.Entry.Hash != entry.Hash {
				rt.Fatalf("result %+v", result)
			}
			if release == ReleaseByHand {
				change()
			}
			h.stop()
			h = startSteered(t, dir)
			synctest.Wait()
			if h.Table() == nil || h.Table().Hash != entry.Hash {
				rt.Fatal("the rollback did not survive the restart")
			}
			revision = 0
			if release == ReleaseByHand {
				change()
				if h.Table().Hash != entry.Hash {
					rt.Fatal("a rollback that is held by hand was changed by a label")
				}
			} else {
				revision++
				h.feed.Publish(servicesOf(revision, world...))
				synctest.Wait()
				if h.Table().Hash != entry.Hash {
					rt.Fatal("the rollback changed although nothing did")
				}
			}
			if _, err := h.TakeBack(t.Context(), holdID, "ann", ""); err != nil {
				rt.Fatal(err)
			}
			for _, line := range world {
				f := strings.Fields(line)
				r := h.Table().Route(f[0])
				if r == nil || r.Matches[0].Host.Value != f[1] || len(h.Table().Backend(f[0]).Endpoints) != len(f)-2 {
					rt.Fatalf("released, but %q is not served: %s", line, h.Table().Text())
				}
			}
			if len(h.Table().Routes) != len(world) {
				rt.Fatalf("released, but there is more than %q: %s", world, h.Table().Text())
			}
			h.stop()
		})
	})
}

func TestCommandsChangeEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startSteered(t, t.TempDir())
		defer h.stop()
		h.feed.Publish(servicesOf(1, "a x.test 10.0.0.1 10.0.0.2", "b y.test 10.0.0.3"))
		synctest.Wait()
		untouched := h.Table().Backend("b")
		give := func(o Command) Result {
			t.Helper()
			o.Operator, o.Message = "ann", "why not"
			r, err := h.Give(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		shown := func() string {
			var words []string
			for _, b := range h.Table().Backends {
				for _, e := range b.Endpoints {
					words = append(words, fmt.Sprintf("%s/%s/%d", e.ID[len(e.ID)-1:], e.State, e.Weight))
				}
			}
			return strings.Join(words, " ") + " hold " + h.Table().Route("a").Hold.String()
		}
		for _, step := range []struct {
			order Command
			want  string
		}{
			{Command{Kind: CommandWeight, Subject: catalog.Subject{Instance: "a-10.0.0.1", Source: "test"}, Weight: 9}, "1/ready/9 2/ready/1 3/ready/1 hold 0s"},
			{Command{Kind: CommandDrain, Subject: catalog.Subject{Instance: "a-10.0.0.1", Source: "test"}}, "1/draining/9 2/ready/1 3/ready/1 hold 0s"},
			{Command{Kind: CommandPause, Subject: catalog.Subject{Service: "a"}, Wait: time.Minute}, "1/draining/9 2/waiting/1 3/ready/1 hold 1m2s"},
			{Command{Kind: CommandDrain, Subject: catalog.Subject{Node: "n"}}, "1/draining/9 2/draining/1 3/draining/1 hold 1m2s"},
		} {
			give(step.order)
			if got := shown(); got != step.want {
				t.Errorf("%+v: %s, want %s", step.order, got, step.want)
			}
			if step.order.Kind != CommandDrain && h.Table().Backend("b") != untouched {
				t.Error("a backend that no command is about is another one")
			}
		}
		if by := h.Table().Backend("b").Endpoints[0].By; by != "drain by ann: why not" {
			t.Errorf("by %q", by)
		}
		time.Sleep(time.Minute) // the pause ends by itself
		synctest.Wait()
		if _, err := h.TakeBack(t.Context(), "drain:edge", "ann", ""); err != nil {
			t.Fatal(err)
		}
		if got, want := shown(), "1/draining/9 2/ready/1 3/ready/1 hold 0s"; got != want {
			t.Errorf("after the pause and the node's drain: %s, want %s", got, want)
		}
		entries, err := h.past.Entries(0, 2)
		if err != nil || entries[0].Cause.Text != "node edge no longer drained by ann" || !strings.Contains(entries[1].Cause.Text, "ended by itself: service a paused") {
			t.Errorf("%+v, %v", entries, err)
		}
		for _, id := range []string{"drain:a-10.0.0.1", "weight:instance:a-10.0.0.1"} {
			if _, err := h.TakeBack(t.Context(), id, "ann", ""); err != nil {
				t.Error(id, err)
			}
		}
		if got := len(h.Commands()); got != 0 {
			t.Errorf("%d commands are left", got)
		}
	})
}

// An engine that refuses what comes of a command keeps what it had, and the
// command is gone.
func TestCommandIsWithdrawnWhenAnEngineRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := startSteered(t, dir)
		h.feed.Publish(servicesOf(1, "a x.test 10.0.0.1"))
		synctest.Wait()
		h.engine.setRefuse(errors.New("no"))
		if _, err := h.Give(t.Context(), Command{Kind: CommandDrain, Subject: catalog.Subject{Service: "a"}}); !errors.Is(err, ErrWithdrawn) {
			t.Errorf("Give = %v, want ErrWithdrawn", err)
		}
		h.engine.setRefuse(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if h.Table().Backend("a").Endpoints[0].State != route.EndpointReady || len(h.Commands()) != 0 {
			t.Error("the command was not withdrawn")
		}
		h.stop()
		h = startSteered(t, dir)
		if len(h.Commands()) != 0 {
			t.Error("the command came back with the next run")
		}
		h.stop()
	})
}

func FuzzCommand(f *testing.F) {
	good, err := json.Marshal(Command{ID: holdID, Kind: CommandPin, Hold: &Hold{Entry: 1, Services: map[string]Seen{"a": {}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"id":"x","kind":"drain","subject":{"node":"n"}} x`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCommand(data)
		if err != nil {
			return
		}
		_, _ = c.String(), c.by()
		table := labelCompiler{}.Compile(servicesOf(1, "a x.test 10.0.0.1"), nil)
		c.Hold = nil
		if _, _, err := steer(steering{compiled: table, snapshot: servicesOf(1), commands: []Command{c}}); err != nil && !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("%+v: %v", c, err)
		}
	})
}

// BenchmarkRollback goes back and forth between what is live and the oldest of a
// thousand entries, with a thousand services.
func BenchmarkRollback(b *testing.B) {
	h := startSteered(b, b.TempDir())
	defer h.stop()
	line := func(i, version int) string {
		return fmt.Sprintf("service-%04d h%d-%d.test 10.0.0.%d", i, i, version, i%250)
	}
	var world []string
	for i := range 1000 {
		world = append(world, line(i, 0))
	}
	publish := func(revision int) {
		h.feed.Publish(servicesOf(uint64(revision), world...))
		for h.past.Status().Newest < uint64(revision) {
			time.Sleep(time.Millisecond)
		}
	}
	publish(1)
	for v := 2; v <= 1000; v++ {
		world[v%1000] = line(v%1000, v)
		publish(v)
	}
	for b.Loop() {
		if _, err := h.Give(b.Context(), Command{Kind: CommandRollback, Hold: &Hold{Entry: 1}}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if _, err := h.TakeBack(b.Context(), holdID, "", ""); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(h.past.Status().Bytes)/1e6, "MB-disk")
}

// While an engine refuses what the labels ask for, commands are taken all the
// same, and come into effect as soon as it takes it.
func TestCommandWhileAnEngineRefusesAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startSteered(t, t.TempDir())
		defer h.stop()
		h.feed.Publish(servicesOf(1, "a x.test 10.0.0.1"))
		synctest.Wait()
		h.engine.setRefuse(errors.New("no"))
		h.feed.Publish(servicesOf(2, "a y.test 10.0.0.1"))
		synctest.Wait()
		r, err := h.Give(t.Context(), Command{Kind: CommandDrain, Subject: catalog.Subject{Service: "a"}, Operator: "ann"})
		if err != nil || r.Recorded || len(r.Remarks) != 1 || len(h.Commands()) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		h.engine.setRefuse(nil)
		time.Sleep(retryLast)
		synctest.Wait()
		if e := h.Table().Backend("a").Endpoints[0]; e.State != route.EndpointDraining {
			t.Errorf("endpoint %+v", e)
		}
		entries, err := h.past.Entries(0, 1)
		if err != nil || entries[0].Cause.Operator != "ann" || len(entries[0].Cause.Changes) != 2 {
			t.Errorf("%+v, %v", entries, err)
		}
	})
}

// A pin until labels change holds every service: its endpoints follow what exists,
// and it is free when its labels change.
func TestPinUntilChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startSteered(t, t.TempDir())
		defer h.stop()
		publish := func(revision uint64, lines ...string) {
			h.feed.Publish(servicesOf(revision, lines...))
			synctest.Wait()
		}
		publish(1, "a x.test 10.0.0.1", "b y.test 10.0.0.2")
		pinned := h.Table().Hash
		r, err := h.Give(t.Context(), Command{Kind: CommandPin, Hold: &Hold{Release: ReleaseByLabels}, Operator: "ann"})
		if err != nil || len(r.Command.Hold.Services) != 2 || len(r.Remarks) != 0 || h.Table().Hash != pinned {
			t.Fatalf("%+v, %v", r, err)
		}
		publish(2, "a x.test 10.0.0.1 10.0.0.9", "b y.test 10.0.0.2", "c z.test 10.0.0.3")
		if got := len(h.Table().Backend("a").Endpoints); got != 2 || h.Table().Route("c") == nil {
			t.Errorf("%d endpoints, route c %v", got, h.Table().Route("c"))
		}
		publish(3, "a w.test 10.0.0.1", "b y.test 10.0.0.2", "c z.test 10.0.0.3")
		if host := h.Table().Route("a").Matches[0].Host.Value; host != "w.test" || len(h.Commands()[0].Hold.Services) != 1 {
			t.Errorf("host %s, commands %+v", host, h.Commands())
		}
		publish(4, "c z.test 10.0.0.3") // b is gone, which is a change as well
		if len(h.Commands()) != 0 || len(h.Table().Routes) != 1 {
			t.Errorf("commands %+v, %s", h.Commands(), h.Table().Text())
		}
	})
}

// Whoever gives a command while the newest snapshot says nothing, or takes one back
// before there is any, gets an answer at once.
func TestCommandsWhileNothingIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		first := startSteered(t, dir)
		first.feed.Publish(servicesOf(1, "a x.test 10.0.0.1"))
		synctest.Wait()
		nothing := &catalog.Snapshot{Revision: 2, Sources: []catalog.SourceStatus{{Name: "test"}}}
		first.feed.Publish(nothing)
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := first.Give(ctx, Command{Kind: CommandDrain, Subject: catalog.Subject{Service: "a"}}); err != nil || time.Since(began) > time.Minute {
			t.Errorf("a command: %v after %s", err, time.Since(began))
		}
		if got := first.Table().Backend("a").Endpoints[0].State; got != route.EndpointDraining {
			t.Errorf("the endpoint is %s", got)
		}
		first.stop()

		second := startSteered(t, dir)
		defer second.stop()
		synctest.Wait()
		began = time.Now()
		_, err := second.TakeBack(ctx, second.Commands()[0].ID, "ann", "")
		if err != nil || time.Since(began) > time.Minute || len(second.Commands()) != 0 {
			t.Errorf("taken back: %v after %s, commands %v", err, time.Since(began), second.Commands())
		}
		second.feed.Publish(servicesOf(3, "a x.test 10.0.0.1"))
		synctest.Wait()
		if got := second.Table().Backend("a").Endpoints[0].State; got != route.EndpointReady {
			t.Errorf("the endpoint is %s after the drain was taken back", got)
		}
		if list, err := second.past.Entries(0, 1); err != nil || len(list) != 1 || list[0].Cause.Operator != "ann" {
			t.Errorf("the history does not say who took the drain back: %+v, %v", list, err)
		}
	})
}

// A subject that is known with its source is not ambiguous, although two sources
// have an instance of that name.
func TestDrainOfOneOfTwoInstancesWithTheSameName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startSteered(t, filepath.Join(t.TempDir(), "state"))
		defer h.stop()
		s := servicesOf(1, "a x.test 10.0.0.1 10.0.0.2")
		for i, in := range s.Services[0].Instances {
			in.Name, in.Source = "web-1", fmt.Sprint("docker:", i)
		}
		h.feed.Publish(s)
		synctest.Wait()
		if _, err := h.Resolve(CommandDrain, "instance:web-1"); !errors.Is(err, ErrRefused) {
			t.Errorf("by name alone: %v", err)
		}
		if _, err := h.Give(t.Context(), Command{Kind: CommandDrain, Subject: catalog.Subject{Instance: "web-1", Source: "docker:2"}}); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("of another source: %v", err)
		}
		if _, err := h.Give(t.Context(), Command{Kind: CommandDrain, Subject: catalog.Subject{Instance: "web-1", Source: "docker:1"}}); err != nil {
			t.Fatal(err)
		}
		for _, e := range h.Table().Backend("a").Endpoints {
			if drained := e.State == route.EndpointDraining; drained != (e.Source == "docker:1") {
				t.Errorf("endpoint of %s is %s", e.Source, e.State)
			}
		}
	})
}

// What nothing can be ended of is named in the words of the commands that end it.
func TestNothingOf(t *testing.T) {
	for id, want := range map[string]string{
		holdID: "nothing is pinned or rolled back", "drain:app": "app is not drained", "pause:service:app": "app is not paused",
		"weight:app": "app has the weight of its labels", "x": `no command "x" is in force`,
	} {
		if got := nothingOf(id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}
