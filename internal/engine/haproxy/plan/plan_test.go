package plan

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

// readTarget reads a target in the form of testdata/plan:
//
//	part NAME DIGEST
//	section NAME                                      (a spare one)
//	map NAME KEY VALUE                                (no key: an empty map)
//	server SECTION NAME ADDRESS WEIGHT STATE [OPTION …]   (check: Checked)
//	pair LIST PATH ID NAME,NAME
//	file PATH DIGEST
func readTarget(t testing.TB, text string) Target {
	t.Helper()
	c := &render.Config{}
	next := Target{Config: c, Pairs: map[string]*Pair{}, Files: map[string]string{}}
	sections := map[string]*render.Section{}
	entries := map[string][]render.MapEntry{}
	lists := map[string][]render.Certificate{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch f[0] {
		case "part":
			c.Structure.Parts = append(c.Structure.Parts, render.Part{Name: f[1], Digest: f[2]})
		case "section":
			sections[f[1]] = &render.Section{Name: f[1]}
		case "map":
			entries[f[1]] = append(entries[f[1]], []render.MapEntry{}...)
			if len(f) == 4 {
				entries[f[1]] = append(entries[f[1]], render.MapEntry{Key: f[2], Value: f[3]})
			}
		case "server":
			if sections[f[1]] == nil {
				sections[f[1]] = &render.Section{Name: f[1]}
			}
			weight, err := strconv.Atoi(f[4])
			if err != nil {
				t.Fatal(err)
			}
			sections[f[1]].Servers = append(sections[f[1]].Servers, render.Server{
				Name: f[2], Address: netip.MustParseAddrPort(f[3]), Weight: weight, State: route.EndpointState(f[5]),
				Options: strings.Join(f[6:], " "), Checked: slices.Contains(f[6:], "check"),
			})
		case "pair":
			lists[f[1]] = append(lists[f[1]], render.Certificate{Path: f[2]})
			next.Pairs[f[2]] = &Pair{PEM: []byte("-----BEGIN " + f[3] + "-----\n-----END " + f[3] + "-----"), ID: f[3], Names: strings.Split(f[4], ",")}
		case "file":
			next.Files[f[1]] = f[2]
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		path := "/d/maps/" + name + ".map"
		c.Maps = append(c.Maps, render.Map{Name: name, Path: path, Entries: entries[name]})
		c.Text = append(c.Text, path+"\n"...)
	}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		c.CertLists = append(c.CertLists, render.CertList{Listener: name, Path: "/d/" + name, Certificates: lists[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		c.Sections = append(c.Sections, *sections[name])
	}
	return next
}

var update = flag.Bool("update", false, "rewrite testdata/plan")

// describe is the reason of the reload, or what HAProxy gets when the plan is run; w is
// what it leads to then.
func describe(t testing.TB, p Plan, w *Worker) string {
	t.Helper()
	if p.Reload != "" {
		return fmt.Sprintf("reload (%s): %s\n", p.Reload, p.Text)
	}
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	said := make(chan string, 1)
	go func() { said <- answerAll(listener) }()
	s, err := socket.New(path, time.Minute).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Run(t.Context(), s, w)
	s.Close()
	if err != nil {
		t.Fatal(err)
	}
	return <-said
}

// answerAll is a HAProxy that has no certificates and takes every command, and returns
// the commands with their payloads.
func answerAll(listener net.Listener) string {
	conn, err := listener.Accept()
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	var said strings.Builder
	inside := false // a payload
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := lines.Text()
		command, hasPayload := strings.CutSuffix(line, " <<")
		switch {
		case inside && line != "":
			said.WriteString("    " + line + "\n")
			continue
		case inside:
		case command != "prompt" && !strings.HasPrefix(command, "set severity-output") && !strings.HasPrefix(command, "show "):
			said.WriteString(line + "\n")
		}
		if inside = hasPayload; inside {
			continue
		}
		answer := "Success!"
		if strings.HasPrefix(command, "prepare map") {
			answer = "New version created: 1"
		} else if strings.HasPrefix(command, "show ") {
			answer = ""
		}
		_, _ = conn.Write([]byte(answer + "\n\n> "))
	}
	return said.String()
}

// TestPlan holds plans to testdata/plan: what is before, what is after, and the
// commands between.
func TestPlan(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string]string{}
			for _, f := range archive.Files {
				parts[f.Name] = string(f.Data)
			}
			before, after := readTarget(t, parts["before"]), readTarget(t, parts["after"])
			var running *Worker
			if parts["before"] != "" {
				running = WorkerOf(before)
			}
			p := New(running, before.Config.Structure, after)
			got := describe(t, p, running)
			if p.Reload == "" {
				if diff := Drift(WorkerOf(after), withoutDraining(running)); len(diff) > 0 {
					t.Errorf("the plan does not lead there: %q", diff)
				}
			}
			if *update {
				for i := range archive.Files {
					if archive.Files[i].Name == "plan" {
						archive.Files[i].Data = []byte(got)
					}
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil { //nolint:gosec // public
					t.Fatal(err)
				}
				return
			}
			if diff := gocmp.Diff(parts["plan"], got); diff != "" {
				t.Errorf("(-update writes it)\n%s", diff)
			}
		})
	}
}

// randomTarget is a target of a structure with two sections, a map and a list.
func randomTarget(r *rand.Rand) Target {
	c := &render.Config{Structure: render.Structure{Parts: []render.Part{{Name: "all", Digest: "same"}}}}
	next := Target{Config: c, Pairs: map[string]*Pair{}}
	for _, name := range []string{"s1", "s2"} {
		s := render.Section{Name: name}
		for i := range 6 {
			if r.IntN(2) == 0 {
				continue
			}
			s.Servers = append(s.Servers, render.Server{
				Name: fmt.Sprint("v", i), Address: netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:80", i)), Weight: r.IntN(3),
				State: []route.EndpointState{route.EndpointReady, route.EndpointDraining, route.EndpointWaiting}[r.IntN(3)],
			})
		}
		c.Sections = append(c.Sections, s)
	}
	m := render.Map{Name: "routes", Path: "/d/maps/routes.map"}
	keys := []int{5, 300}[r.IntN(2)] // single entries, or the whole
	for i := range keys {
		if r.IntN(2) == 0 {
			m.Entries = append(m.Entries, render.MapEntry{Key: fmt.Sprint("k", i), Value: fmt.Sprint("x", r.IntN(3))})
		}
	}
	c.Maps, c.Text = []render.Map{m}, []byte(m.Path)
	list := render.CertList{Listener: "https", Path: "/d/list"}
	for _, i := range append([]int{0}, r.Perm(4)...) {
		path := fmt.Sprint("/d/c", i)
		if i > 0 && r.IntN(2) == 0 || next.Pairs[path] != nil {
			continue
		}
		list.Certificates = append(list.Certificates, render.Certificate{Path: path})
		next.Pairs[path] = &Pair{ID: fmt.Sprint("id", i, "/", r.IntN(2)), Names: []string{fmt.Sprint("n", i)}}
	}
	c.CertLists = []render.CertList{list}
	return next
}

// seed is that of a random test: the one asked for, or another each time.
func seed(t testing.TB) *rand.Rand {
	t.Helper()
	n, err := strconv.ParseUint(cmp.Or(os.Getenv("FAIRWAY_SEED"), strconv.FormatInt(time.Now().UnixNano(), 10)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("FAIRWAY_SEED=%d repeats this", n)
	return rand.New(rand.NewPCG(n, 0)) //nolint:gosec // a test
}

// TestPlanLeadsThere: the effects of a plan, one after the other, lead from any
// worker to any target, or there is a reason to reload. On the way no entry points
// at a server that is not there yet, and nothing is taken from under an entry.
func TestPlanLeadsThere(t *testing.T) {
	r := seed(t)
	w := WorkerOf(randomTarget(r))
	reloads := 0
	for range 2000 {
		next := randomTarget(r)
		p := New(w, next.Config.Structure, next)
		if p.Reload != "" {
			reloads++
			w = WorkerOf(next)
			continue
		}
		entries := maps.Clone(w.maps["/d/maps/routes.map"])
		routed := false
		for _, s := range p.steps {
			servers := len(w.Servers["s1"]) + len(w.Servers["s2"])
			s.effect(w)
			if !maps.Equal(entries, w.maps["/d/maps/routes.map"]) {
				routed = true
			}
			if routed && len(w.Servers["s1"])+len(w.Servers["s2"]) > servers {
				t.Fatalf("a server is added after entries have changed: %+v", p)
			}
		}
		if diff := Drift(WorkerOf(next), withoutDraining(w)); len(diff) > 0 {
			t.Fatalf("the plan does not lead there: %q\n%+v", diff, p)
		}
		if again := New(w, next.Config.Structure, next); again.Reload != "" || len(again.steps) > 0 {
			t.Fatalf("the second plan is not empty: %+v", again)
		}
		if r.IntN(3) == 0 {
			w = withoutDraining(w) // they were deleted meanwhile
		}
	}
	t.Logf("%d reloads in 2000 plans", reloads)
}

func withoutDraining(w *Worker) *Worker {
	c := newWorker()
	c.structure, c.maps, c.lists, c.pairs, c.files = w.structure, w.maps, w.lists, w.pairs, w.files
	for section, servers := range w.Servers {
		c.Servers[section] = maps.Clone(servers)
		maps.DeleteFunc(c.Servers[section], func(_ string, s Server) bool { return s.Draining })
	}
	return c
}

// TestPlanOfObserved: what HAProxy does not tell is no reason for anything.
func TestPlanOfObserved(t *testing.T) {
	next := readTarget(t, "part all 1\nserver s v 10.0.0.1:80 1 ready check inter 5s\npair https /d/c 0123/abc a.example\nmap routes k v\n")
	w := newWorker()
	w.structure = next.Config.Structure.Hash()
	v := socket.Server{Backend: "s", Name: "v", Address: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 1, State: socket.StateReady}
	w.put("s", "v", seen(v))
	w.lists["/d/https"], w.pairs["/d/c"] = []string{"/d/c"}, "0123"
	w.maps["/d/maps/routes.map"] = map[string]string{"k": "v"}
	if got := describe(t, New(w, render.Structure{}, next), w); got != "enable health s/v\n" {
		t.Errorf("checks that were never enabled are not:\n%s", got)
	}
	v.Checked = true
	w.put("s", "v", seen(v))
	if got := describe(t, New(w, render.Structure{}, next), w); got != "" {
		t.Errorf("the plan is not empty:\n%s", got)
	}
	delete(w.maps, "/d/maps/routes.map")
	if got := describe(t, New(w, render.Structure{}, next), w); got != "" {
		t.Errorf("a map that HAProxy does not have, and no rule asks for, is changed:\n%s", got)
	}
	w.pairs["/d/c"] = ""
	if got := describe(t, New(w, render.Structure{}, next), w); got != "new ssl cert /d/c\nset ssl cert /d/c <<\n    -----BEGIN 0123/abc-----\n    -----END 0123/abc-----\ncommit ssl cert /d/c\n" {
		t.Errorf("a pair that never came is taken for one:\n%s", got)
	}
	w.maps["/d/maps/routes.map"] = map[string]string{"k": duplicated}
	if got := describe(t, New(w, render.Structure{}, next), w); !strings.Contains(got, "commit map @1 /d/maps/routes.map") {
		t.Errorf("an entry that is there twice is not put right:\n%s", got)
	}
}
