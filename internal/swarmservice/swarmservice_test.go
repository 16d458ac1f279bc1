package swarmservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
)

// fakeSwarm is a manager with one service, "web". Each look at its tasks brings
// one more of them to run.
type fakeSwarm struct {
	mu        sync.Mutex
	version   uint64
	spec      json.RawMessage
	previous  json.RawMessage
	replicas  int
	running   int
	stuck     bool // no task comes up
	update    string
	conflicts int // so many updates meet somebody else's
	updates   int
	gone      bool
	lists     int // of tasks
}

// listen starts the manager on a socket and returns its URL.
func (f *fakeSwarm) listen(t *testing.T) string {
	t.Helper()
	d := dockertest.New(&f.mu)
	d.Say("GET /info", `{"ID":"e1","Swarm":{"NodeID":"n1","LocalNodeState":"active","ControlAvailable":true}}`)
	d.Say("GET /nodes", `[{"ID":"n1","Status":{"State":"ready"}}]`)
	d.Say("GET /networks", `[{"Id":"net1","Name":"proxy","Scope":"swarm"},{"Id":"net2","Name":"go-demo","Scope":"swarm"}]`)
	d.Answer("GET /services/web", f.service)
	d.Answer("GET /services/s1", f.service)
	d.Answer("GET /tasks", f.tasks)
	d.Answer("POST /services/s1/update", f.change)
	d.Answer("POST /services/create", func(r *http.Request) any {
		f.take(r)
		return dockertest.Status{Code: http.StatusCreated, Body: `{"ID":"s1"}`}
	})
	d.Answer("DELETE /services/web", func(*http.Request) any { f.gone = true; return nil })
	return d.Listen(t)
}

func (f *fakeSwarm) service(*http.Request) any {
	if f.gone {
		return dockertest.Refuse(http.StatusNotFound, "service web not found")
	}
	update := ""
	if f.update != "" {
		update = fmt.Sprintf(`,"UpdateStatus":{"State":%q,"Message":"task t9 failed"}`, f.update)
	}
	if f.previous != nil {
		update += `,"PreviousSpec":` + string(f.previous)
	}
	return fmt.Sprintf(`{"ID":"s1","Version":{"Index":%d},"Spec":%s%s}`, f.version, f.spec, update)
}

func (f *fakeSwarm) tasks(*http.Request) any {
	f.lists++
	var tasks []string
	for i := range f.replicas {
		state := "preparing"
		if i < f.running {
			state = "running"
		}
		tasks = append(tasks, fmt.Sprintf(`{"ID":"t%d","ServiceID":"s1","NodeID":"n1","DesiredState":"running","Status":{"State":%q}}`, i, state))
	}
	if !f.stuck {
		f.running = min(f.running+1, f.replicas)
	}
	return "[" + strings.Join(tasks, ",") + "]"
}

func (f *fakeSwarm) change(r *http.Request) any {
	f.updates++
	if f.conflicts > 0 {
		f.conflicts--
		f.version++ // somebody else was first
	}
	if version, _ := strconv.ParseUint(r.URL.Query().Get("version"), 10, 64); version != f.version || f.conflicts > 0 {
		return dockertest.Refuse(http.StatusInternalServerError, "rpc error: code = Unknown desc = update out of sequence")
	}
	f.version++
	if r.URL.Query().Get("rollback") == "previous" {
		f.spec, f.previous, f.update = f.previous, f.spec, "rollback_completed"
	} else {
		f.previous, f.update = f.spec, ""
		f.take(r)
	}
	return `{"Warnings":["slow"]}`
}

func (f *fakeSwarm) take(r *http.Request) {
	if err := json.NewDecoder(r.Body).Decode(&f.spec); err != nil {
		panic(err)
	}
	var spec struct {
		Mode struct{ Replicated struct{ Replicas int } }
	}
	if err := json.Unmarshal(f.spec, &spec); err != nil {
		panic(err)
	}
	f.replicas = spec.Mode.Replicated.Replicas
	f.running = min(f.running, f.replicas)
}

func engines(urls ...string) (all []dockerapi.Options) {
	for _, u := range urls {
		all = append(all, dockerapi.Options{URL: u})
	}
	return all
}

func newFakeSwarm(t *testing.T) (*fakeSwarm, *Swarm) {
	t.Helper()
	f := &fakeSwarm{version: 7, replicas: 1, running: 1, spec: json.RawMessage(`{"Name":"web","Labels":{"kept":"yes"},
		"TaskTemplate":{"ContainerSpec":{"Image":"web:1","Env":["A=1"]},"ForceUpdate":0},"Mode":{"Replicated":{"Replicas":1}}}`)}
	worker := dockertest.New(nil)
	worker.Say("GET /info", `{"ID":"e2","Swarm":{"NodeID":"n2","LocalNodeState":"active","ControlAvailable":false}}`)
	s, err := New(engines("unix:///nowhere/docker.sock", worker.Listen(t), f.listen(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.every = time.Millisecond
	return f, s
}

// TestSwarmLife creates, scales, updates and removes a service by way of the one
// engine of three that is a manager.
func TestSwarmLife(t *testing.T) {
	f, s := newFakeSwarm(t)
	f.running = 0
	made, err := s.Create(t.Context(), Spec{Name: "web", Image: "web:1", Replicas: new(uint64(2))})
	if err != nil || made.ID != "s1" || made.Name != "web" {
		t.Fatalf("%+v, %v", made, err)
	}
	var told []string
	tell := func(p Progress) { told = append(told, fmt.Sprintf("%d/%d %t", p.Running, p.Wanted, p.Converged)) }
	if _, err := s.Wait(t.Context(), []Changed{made}, 5*time.Millisecond, tell); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"0/2 false", "1/2 false", "2/2 true"}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	changed, err := s.Update(t.Context(), "web", Change{Replicas: new(uint64(1)), Image: "web:2"})
	if err != nil || changed.ID != "s1" || changed.Warnings[0] != "slow" {
		t.Errorf("%+v, %v", changed, err)
	}
	if !strings.Contains(string(f.spec), `"web:2"`) || f.replicas != 1 {
		t.Errorf("spec %s", f.spec)
	}
	if err := s.Remove(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	if _, err := s.Update(t.Context(), "web", Change{Force: true}); !errors.Is(err, ErrNoService) {
		t.Errorf("error %v", err)
	}
	if err := s.Remove(t.Context(), "other"); !errors.Is(err, ErrNoService) {
		t.Errorf("error %v", err)
	}
}

// TestSwarmConflict changes a service that others change, too: a few times it is
// read again, and in the end it is told.
func TestSwarmConflict(t *testing.T) {
	f, s := newFakeSwarm(t)
	f.conflicts = 2
	if _, err := s.Update(t.Context(), "web", Change{LabelsAdd: []string{"a=b"}}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(f.spec), `"kept":"yes"`) || !strings.Contains(string(f.spec), `"a":"b"`) {
		t.Errorf("spec %s", f.spec)
	}
	f.conflicts, f.updates = 1000, 0
	_, err := s.Update(t.Context(), "web", Change{Force: true})
	if !dockerapi.IsConflict(err) || f.updates != conflictTries {
		t.Errorf("%d tries, error %v", f.updates, err)
	}
	var fault InvalidError
	if _, err := s.Update(t.Context(), "web", Change{LabelsAdd: []string{"x"}}); !errors.As(err, &fault) {
		t.Errorf("error %v", err)
	}
}

// TestSwarmRollback gives back what was before, and waits for that.
func TestSwarmRollback(t *testing.T) {
	f, s := newFakeSwarm(t)
	if _, err := s.Rollback(t.Context(), "web"); err == nil || !strings.Contains(err.Error(), "nothing to go back to") {
		t.Errorf("nothing was changed yet: %v", err)
	}
	before := string(f.spec)
	if _, err := s.Update(t.Context(), "web", Change{Image: "web:2", NetworksAdd: []string{"proxy"}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(f.spec), `"Target":"proxy"`) {
		t.Errorf("not attached: %s", f.spec)
	}
	changed, err := s.Rollback(t.Context(), "web")
	if err != nil || string(f.spec) != before {
		t.Errorf("%v; rolled back to %s", err, f.spec)
	}
	if _, err := s.Wait(t.Context(), []Changed{changed}, 0, func(Progress) {}); err != nil {
		t.Errorf("what was asked for is no failure: %v", err)
	}
}

// TestSwarmWait ends when nothing more will come, and when time is up.
func TestSwarmWait(t *testing.T) {
	quiet := func(Progress) {}
	f, s := newFakeSwarm(t)
	f.stuck, f.replicas = true, 3
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, err := s.Wait(ctx, []Changed{{ID: "s1"}}, 0, func(Progress) { cancel() }) // it ends when it has seen something
	if !errors.Is(err, ErrNotConverged) || got[0].Running != 1 || got[0].Converged {
		t.Errorf("%+v, %v", got, err)
	}
	f.update = "paused"
	got, err = s.Wait(t.Context(), []Changed{{ID: "s1"}}, 0, quiet)
	if !errors.Is(err, ErrNotConverged) || got[0].Reason != "the update is paused: task t9 failed" {
		t.Errorf("%+v, %v", got, err)
	}
	f.gone = true
	if _, err := s.Wait(t.Context(), []Changed{{ID: "s1"}}, 0, quiet); !errors.Is(err, ErrNotConverged) {
		t.Errorf("error %v", err)
	}
}

// TestScaleFrom scales a service that has as many tasks as it was decided upon.
func TestScaleFrom(t *testing.T) {
	f, s := newFakeSwarm(t)
	f.replicas, f.spec = 2, json.RawMessage(`{"Name":"web","Mode":{"Replicated":{"Replicas":2}},"TaskTemplate":{"ContainerSpec":{"Image":"web:1"}}}`)
	if err := s.ScaleFrom(t.Context(), "web", 3, 4); err == nil || !strings.Contains(err.Error(), "is no longer 3") || f.updates != 0 {
		t.Errorf("error %v after %d updates", err, f.updates)
	}
	f.conflicts = 1
	if err := s.ScaleFrom(t.Context(), "web", 2, 4); err == nil || !strings.Contains(err.Error(), "a concurrent change won") {
		t.Errorf("error %v", err)
	}
	f.conflicts = 0
	if err := s.ScaleFrom(t.Context(), "web", 2, 4); err != nil || !strings.Contains(string(f.spec), `"Replicas":4`) {
		t.Errorf("error %v, specification %s", err, f.spec)
	}
	if err := s.ScaleFrom(t.Context(), "other", 2, 4); !errors.Is(err, ErrNoService) {
		t.Errorf("error %v", err)
	}
}

// TestWaitAsksOnce reads the tasks and nodes of two services with one call each.
func TestWaitAsksOnce(t *testing.T) {
	f, s := newFakeSwarm(t)
	if _, err := s.Wait(t.Context(), []Changed{{ID: "s1"}, {ID: "web"}}, 0, func(Progress) {}); err != nil {
		t.Fatal(err)
	}
	if f.lists != 1 {
		t.Errorf("%d lists of tasks in one round", f.lists)
	}
}

// TestNoManager says of each engine why it cannot be asked.
func TestNoManager(t *testing.T) {
	alone := dockertest.New(nil)
	alone.Say("GET /info", `{"ID":"e2","Swarm":{"LocalNodeState":"inactive"}}`)
	s, err := New(engines(alone.Listen(t), "unix:///nowhere/docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Create(t.Context(), Spec{Name: "a", Image: "b"})
	if err == nil || !strings.Contains(err.Error(), "is no manager of a Swarm (its state is inactive)") || !strings.Contains(err.Error(), "/nowhere/docker.sock") {
		t.Errorf("error %v", err)
	}
	if _, err := New(nil); err == nil {
		t.Error("no engines: no error")
	}
}

// TestJudge says how far services of all kinds are.
func TestJudge(t *testing.T) {
	nodes := []dockerapi.Node{{ID: "n1", State: "ready"}, {ID: "n2", State: "down"}, {ID: "n3", State: "unknown"}}
	task := func(node, desired, state string) dockerapi.Task {
		return dockerapi.Task{NodeID: node, Desired: desired, State: state}
	}
	running := func(node string) dockerapi.Task { return task(node, "running", "running") }
	failed := dockerapi.Task{NodeID: "n1", Desired: "shutdown", State: "failed", Error: "exit 1", Since: time.Unix(1, 0)}
	unplaced := dockerapi.Task{Desired: "running", State: "pending", Error: "no suitable node"}
	for _, tt := range []struct {
		name    string
		service dockerapi.Service
		update  string
		tasks   []dockerapi.Task
		want    Progress
	}{
		{"all run", dockerapi.Service{Replicas: 2}, "completed", []dockerapi.Task{running("n1"), running("n3")}, Progress{Running: 2, Wanted: 2, Update: "completed", Converged: true}},
		{"none is wanted", dockerapi.Service{}, "", nil, Progress{Converged: true}},
		{"none is there yet", dockerapi.Service{Replicas: 1}, "", nil, Progress{Wanted: 1}},
		{"a dead node's", dockerapi.Service{Replicas: 2}, "", []dockerapi.Task{running("n1"), running("n2")}, Progress{Running: 1, Wanted: 2}},
		{"an update goes on", dockerapi.Service{Replicas: 1, Updating: true}, "updating", []dockerapi.Task{running("n1")}, Progress{Running: 1, Wanted: 1, Update: "updating"}},
		{"one leaves", dockerapi.Service{Replicas: 1}, "", []dockerapi.Task{running("n1"), task("n1", "shutdown", "running")}, Progress{Running: 1, Wanted: 1}},
		{"one too many", dockerapi.Service{Replicas: 1}, "", []dockerapi.Task{running("n1"), running("n1")}, Progress{Running: 2, Wanted: 1}},
		{"stop-first, the next waits", dockerapi.Service{Replicas: 1}, "", []dockerapi.Task{task("n1", "ready", "ready")}, Progress{Wanted: 1}},
		{"it fails", dockerapi.Service{Replicas: 1}, "", []dockerapi.Task{failed, task("n1", "ready", "ready")}, Progress{Wanted: 1, Reason: "exit 1"}},
		{"it failed once", dockerapi.Service{Replicas: 1}, "", []dockerapi.Task{failed, running("n1")}, Progress{Running: 1, Wanted: 1, Converged: true}},
		{"nowhere to go", dockerapi.Service{Replicas: 1}, "", []dockerapi.Task{unplaced}, Progress{Wanted: 1, Reason: "no suitable node"}},
		{"global", dockerapi.Service{Mode: "global"}, "", []dockerapi.Task{running("n1"), task("n3", "running", "starting")}, Progress{Running: 1, Wanted: 2}},
		{"global, done", dockerapi.Service{Mode: "global"}, "", []dockerapi.Task{running("n1"), running("n3")}, Progress{Running: 2, Wanted: 2, Converged: true}},
		{"global, not begun", dockerapi.Service{Mode: "global"}, "", nil, Progress{Wanted: 1}},
		{"a job", dockerapi.Service{Mode: "replicated-job"}, "", nil, Progress{Converged: true}},
		{"rolled back", dockerapi.Service{Replicas: 1}, "rollback_completed", []dockerapi.Task{running("n1")}, Progress{Running: 1, Wanted: 1, Update: "rollback_completed", Failed: true, Reason: "the update is rollback completed: why"}},
	} {
		got := judge(dockerapi.ServiceState{Service: tt.service, Update: tt.update, UpdateMessage: "why"}, tt.tasks, nodes)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
