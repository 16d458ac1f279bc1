package swarm

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
)

var update = flag.Bool("update", false, "write the golden files")

// tape is a manager that answers from memory, over a unix socket.
type tape struct {
	*dockertest.Engine
	answers map[string][]byte // by path, such as "/tasks"
	bytes   int
}

// play starts a manager that answers from t and returns a client of it.
func play(tb testing.TB, t *tape) *dockerapi.Client {
	tb.Helper()
	t.Engine = dockertest.New(nil)
	t.Answer("/", func(r *http.Request) any {
		t.bytes += len(t.answers[r.URL.Path])
		return t.answers[r.URL.Path]
	})
	client, err := dockerapi.New(dockerapi.Options{URL: t.Listen(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	return client
}

func recorded(tb testing.TB) *tape {
	tb.Helper()
	t := &tape{answers: make(map[string][]byte)}
	for _, what := range []string{"services", "tasks", "nodes", "networks"} {
		text, err := os.ReadFile(filepath.Join("testdata", "recorded", what+".json"))
		if err != nil {
			tb.Fatal(err)
		}
		t.answers["/"+what] = text
	}
	return t
}

// refresh makes one refresh and translates what it brought.
func refresh(ctx context.Context, r *reader, c *dockerapi.Client, w *world) error {
	f, err := r.read(ctx, c, w.facts, everything())
	if err != nil {
		return err
	}
	w.take(f, time.Time{})
	w.build()
	return nil
}

// TestRecorded translates the answers of a real Swarm of one node: services of
// every mode and endpoint, ports published in host and in ingress mode, a task
// that finds no node, labels where they do not belong.
func TestRecorded(t *testing.T) {
	w := newWorld(place{source: "swarm", onHost: true})
	if err := refresh(t.Context(), &reader{}, play(t, recorded(t)), w); err != nil {
		t.Fatal(err)
	}
	services, nodes, _ := w.answer()
	slices.SortFunc(services, func(a, b *catalog.Service) int { return cmp.Compare(a.ID, b.ID) })
	got, err := json.MarshalIndent(map[string]any{"services": services, "nodes": nodes}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(got), "canary") {
		t.Error("a container's environment is in the catalogue")
	}
	golden := filepath.Join("testdata", "recorded.golden.json")
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
}

// FuzzAnswers feeds the source answers that no manager would give. Whatever
// they are, the result is an error or a catalogue that keeps its own rules.
func FuzzAnswers(f *testing.F) {
	r := recorded(f)
	f.Add(r.answers["/services"], r.answers["/tasks"], r.answers["/nodes"], r.answers["/networks"])
	f.Add([]byte(`[{"ID":"s","Spec":{"Name":"a@b/c"}}]`), []byte(`[{"ID":"t","ServiceID":"s","DesiredState":"running","Status":{"State":"running"}}]`), []byte(`[]`), []byte(`null`))
	f.Add([]byte(`[{},{}]`), []byte(`[null,{"ID":"x"}]`), []byte(`[{"ID":"n","Status":{"Addr":"::1%a"}}]`), []byte(`{`))
	t := &tape{answers: make(map[string][]byte)}
	client := play(f, t)
	f.Fuzz(func(tt *testing.T, services, tasks, nodes, networks []byte) {
		maps.Copy(t.answers, map[string][]byte{"/services": services, "/tasks": tasks, "/nodes": nodes, "/networks": networks})
		w := newWorld(place{source: "swarm", onHost: true})
		if err := refresh(tt.Context(), &reader{}, client, w); err != nil {
			return
		}
		list, machines, _ := w.answer()
		for _, s := range list {
			name, source, ok := strings.Cut(s.ID, "@")
			if !ok || source != "swarm" || name != s.Name {
				tt.Errorf("service ID %q of %q", s.ID, s.Name)
			}
			for n, i := range s.Instances {
				if n > 0 && s.Instances[n-1].ID >= i.ID {
					tt.Errorf("instances %q and %q are not in order", s.Instances[n-1].ID, i.ID)
				}
				if err := wellFormed(i); err != nil {
					tt.Error(err)
				}
			}
		}
		for _, n := range machines {
			if n.ID == "" || n.Name == "" {
				tt.Errorf("node %+v", n)
			}
		}
	})
}

func wellFormed(i *catalog.Instance) error {
	switch i.State {
	case catalog.StateReady, catalog.StateStarting, catalog.StateUnhealthy, catalog.StateLeaving, catalog.StateStopped:
	default:
		return fmt.Errorf("instance %s: state %q", i.ID, i.State)
	}
	if len(i.StateReason) > maxReason {
		return fmt.Errorf("instance %s: reason of %d bytes", i.ID, len(i.StateReason))
	}
	for _, a := range i.Addresses {
		if a.Host == "" || a.Port != 0 {
			return fmt.Errorf("instance %s: address %+v", i.ID, a)
		}
	}
	for _, p := range i.Ports {
		if p.Number == 0 || p.Protocol == "" {
			return fmt.Errorf("instance %s: port %+v", i.ID, p)
		}
		if p.Published != "" {
			if _, _, err := net.SplitHostPort(p.Published); err != nil {
				return fmt.Errorf("instance %s: published at %q", i.ID, p.Published)
			}
		}
	}
	return nil
}

// large makes the answers of a Swarm of so many services with three tasks each,
// out of recorded ones.
func large(tb testing.TB, services int) *tape {
	tb.Helper()
	r := recorded(tb)
	pick := func(path string, choose func(map[string]any) bool) map[string]any {
		var list []map[string]any
		if err := json.Unmarshal(r.answers[path], &list); err != nil {
			tb.Fatal(err)
		}
		return list[slices.IndexFunc(list, choose)]
	}
	service := pick("/services", func(s map[string]any) bool { return s["Spec"].(map[string]any)["Name"] == "shop" })
	task := pick("/tasks", func(t map[string]any) bool { return t["ServiceID"] == service["ID"] })
	var ss, ts []any
	for n := range services {
		s, spec := maps.Clone(service), maps.Clone(service["Spec"].(map[string]any))
		s["ID"], spec["Name"], s["Spec"] = fmt.Sprintf("svc%022d", n), fmt.Sprintf("shop-%d", n), spec
		ss = append(ss, s)
		for slot := range 3 {
			t := maps.Clone(task)
			t["ID"], t["ServiceID"], t["Slot"] = fmt.Sprintf("tsk%021d%d", n, slot), s["ID"], slot+1
			ts = append(ts, t)
		}
	}
	for path, list := range map[string][]any{"/services": ss, "/tasks": ts} {
		text, err := json.Marshal(list)
		if err != nil {
			tb.Fatal(err)
		}
		r.answers[path] = text
	}
	return r
}

// TestOneCallForAllTasks counts the calls of a refresh of 2,000 services with
// three tasks each.
func TestOneCallForAllTasks(t *testing.T) {
	tape := large(t, 2000)
	w := newWorld(place{source: "swarm"})
	if err := refresh(t.Context(), &reader{}, play(t, tape), w); err != nil {
		t.Fatal(err)
	}
	services, _, _ := w.answer()
	instances := 0
	for _, s := range services {
		instances += len(s.Instances)
	}
	if len(services) != 2000 || instances != 6000 {
		t.Errorf("%d services, %d instances", len(services), instances)
	}
	calls := tape.Calls()
	slices.Sort(calls)
	if diff := gocmp.Diff([]string{"GET /networks", "GET /nodes", "GET /services", "GET /tasks", "HEAD /_ping"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// BenchmarkRefresh measures refreshes of 2,000 services with three tasks each,
// over a unix socket: the first one; one that finds one task changed; and one that
// finds nothing changed.
func BenchmarkRefresh(b *testing.B) {
	for _, what := range []string{"first", "changed", "same"} {
		b.Run(what, func(b *testing.B) {
			tape := large(b, 2000)
			client := play(b, tape)
			other := []byte(strings.Replace(string(tape.answers["/tasks"]), `"Slot":1`, `"Slot":9`, 1))
			r, w := &reader{}, newWorld(place{source: "swarm"})
			step := func(want kinds) {
				if what == "first" {
					r, w = &reader{}, newWorld(place{source: "swarm"})
				}
				f, err := r.read(b.Context(), client, w.facts, want)
				if err != nil {
					b.Fatal(err)
				}
				w.take(f, time.Time{})
				w.build()
			}
			step(everything())
			tape.bytes = 0
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				switch what {
				case "changed":
					tape.answers["/tasks"], other = other, tape.answers["/tasks"]
					step(kinds{})
				case "same":
					step(kinds{})
				default:
					step(everything())
				}
			}
			b.ReportMetric(float64(tape.bytes)/float64(b.N), "wire-B/op")
		})
	}
}
