package usage

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
)

// TestCPUPercent computes what docker stats would show.
func TestCPUPercent(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after dockerapi.CPU
		want          float64
	}{
		{"one of two CPUs in full", dockerapi.CPU{Used: 100, System: 1000, Online: 2}, dockerapi.CPU{Used: 600, System: 2000, Online: 2}, 100},
		{"all of four CPUs", dockerapi.CPU{}, dockerapi.CPU{Used: 4e9, System: 4e9, Online: 4}, 400},
		{"a quarter of one", dockerapi.CPU{Used: 1, System: 100, Online: 1}, dockerapi.CPU{Used: 26, System: 200, Online: 1}, 25},
		{"idle", dockerapi.CPU{Used: 7, System: 100, Online: 2}, dockerapi.CPU{Used: 7, System: 200, Online: 2}, 0},
		{"no time has passed", dockerapi.CPU{Used: 7, System: 100, Online: 2}, dockerapi.CPU{Used: 9, System: 100, Online: 2}, 0},
		{"started anew", dockerapi.CPU{Used: 700, System: 100, Online: 2}, dockerapi.CPU{Used: 9, System: 200, Online: 2}, 0},
		{"the machine was started anew", dockerapi.CPU{Used: 1, System: 900, Online: 2}, dockerapi.CPU{Used: 9, System: 200, Online: 2}, 0},
		{"nothing known", dockerapi.CPU{}, dockerapi.CPU{}, 0},
		{"no word about CPUs", dockerapi.CPU{}, dockerapi.CPU{Used: 5, System: 10}, 0},
	} {
		if got := cpuPercent(tt.before, tt.after); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// usingEngine is an engine whose containers use CPU time with each reading.
type usingEngine struct {
	id, swarm  string
	containers string
	nodes      string
	readings   atomic.Int64
	busy, most atomic.Int64
}

// listen starts the engine on a socket of its own and returns its URL.
func (e *usingEngine) listen(t *testing.T) string {
	t.Helper()
	d := dockertest.New(nil)
	d.Say("GET /info", fmt.Sprintf(`{"ID":%q,"Name":"host-%s","Swarm":%s}`, e.id, e.id, e.swarm))
	d.Say("GET /containers/json", e.containers)
	d.Say("GET /nodes", e.nodes)
	d.HandleFunc("GET /containers/{id}/stats", e.use)
	refuse := func(id string, code int, message string) {
		d.Answer("GET /containers/"+id+"/stats", func(*http.Request) any { return dockertest.Refuse(code, message) })
	}
	refuse("broken", 500, "cgroup trouble")
	refuse("ended", 404, "no such container")
	return d.Listen(t)
}

func (e *usingEngine) use(w http.ResponseWriter, _ *http.Request) {
	for busy := e.busy.Add(1); ; {
		most := e.most.Load()
		if busy <= most || e.most.CompareAndSwap(most, busy) {
			break
		}
	}
	time.Sleep(time.Millisecond)
	n := e.readings.Add(1)
	fmt.Fprintf(w, `{"read":"2026-11-21T04:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":%d},"system_cpu_usage":%d,"online_cpus":2},
		"memory_stats":{"usage":1000,"limit":4000},"networks":{"eth0":{"rx_bytes":5,"tx_bytes":6}},
		"blkio_stats":{"io_service_bytes_recursive":[{"op":"Read","value":7},{"op":"Write","value":8}]}}`, 1e6+n*250, 1e9+n*1000)
	e.busy.Add(-1)
}

func engines(urls ...string) (all []dockerapi.Options) {
	for _, u := range urls {
		all = append(all, dockerapi.Options{URL: u})
	}
	return all
}

// TestMeter reads three engines, of which one is named twice and one is down.
func TestMeter(t *testing.T) {
	manager := &usingEngine{
		id: "e1", swarm: `{"NodeID":"n1","LocalNodeState":"active","ControlAvailable":true}`,
		nodes: `[{"ID":"n1","Description":{"Hostname":"host-e1"},"Status":{"State":"ready"}},{"ID":"n2","Description":{"Hostname":"far"},"Status":{"State":"ready"}}]`,
		containers: `[{"Id":"a1","Names":["/web.1.x"],"State":"running","Labels":{"com.docker.swarm.service.name":"web"}},
			{"Id":"broken","Names":["/bad"],"State":"running"},{"Id":"ended","Names":["/ended"],"State":"running"}]`,
	}
	plain := &usingEngine{
		id: "e2", swarm: `{"LocalNodeState":"inactive"}`,
		containers: `[{"Id":"b1","Names":["/web.2.y"],"State":"running","Labels":{"com.docker.swarm.service.name":"web"}},
			{"Id":"b2","Names":["/shop-db-1"],"State":"running","Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"db"}},
			{"Id":"b3","Names":["/lone"],"State":"running"}]`,
	}
	first, second, again := manager.listen(t), plain.listen(t), plain.listen(t)
	down := "unix:///nowhere/docker.sock"
	m, err := NewMeter(MeterOptions{Engines: engines(second, again, down, first, second)})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.gap = time.Millisecond
	report, err := m.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range report.Services {
		for _, c := range s.Containers {
			if c.CPUPercent == nil || *c.CPUPercent <= 0 || c.MemoryUsed != 1000 || c.MemoryLimit != 4000 {
				t.Errorf("%s uses %+v", c.Name, c.Usage)
			}
			got = append(got, s.Service+" "+c.Name+" "+c.Engine)
		}
	}
	want := []string{"lone lone host-e2", "shop-db shop-db-1 host-e2", "web web.1.x host-e1", "web web.2.y host-e2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	web := report.Services[2]
	if *web.CPUPercent != *web.Containers[0].CPUPercent+*web.Containers[1].CPUPercent || web.MemoryUsed != 2000 || web.MemoryLimit != 0 ||
		web.NetworkReceived != 10 || web.NetworkSent != 12 || web.BlockRead != 14 || web.BlockWritten != 16 {
		t.Errorf("web uses %+v", web.Usage)
	}
	got = nil
	for _, u := range report.Unread {
		reason, _, _ := strings.Cut(u.Reason, ":")
		got = append(got, strings.NewReplacer(first, "FIRST").Replace(u.Engine)+" "+u.Container+" "+reason)
	}
	slices.Sort(got)
	want = []string{
		"FIRST bad docker container stats",
		"far  a node of the Swarm, ready, whose engine was not asked; name it with --docker",
		"unix:///nowhere/docker.sock  docker info",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unread (-want +got):\n%s", diff)
	}
	// One reading of each container a round, also of engines that are named twice.
	if n := plain.readings.Load(); n != 6 {
		t.Errorf("%d readings of 3 containers in 2 rounds", n)
	}
	if _, err := m.Read(t.Context()); err != nil || plain.readings.Load() != 9 {
		t.Errorf("error %v, %d readings after 3 rounds", err, plain.readings.Load())
	}
}

// TestMeterOfOneService asks for the containers of a service alone, few at once.
func TestMeterOfOneService(t *testing.T) {
	var list []string
	for i := range 50 {
		list = append(list, fmt.Sprintf(`{"Id":"c%d","Names":["/c%d"],"State":"running","Labels":{"fairway.service":"web"}}`, i, i))
	}
	list = append(list, `{"Id":"other","Names":["/other"],"State":"running"}`)
	e := &usingEngine{id: "e1", swarm: `{}`, containers: "[" + strings.Join(list, ",") + "]"}
	m, err := NewMeter(MeterOptions{Engines: engines(e.listen(t)), Service: "web@docker"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.gap = 0
	report, err := m.Read(t.Context())
	if err != nil || len(report.Services) != 1 || len(report.Services[0].Containers) != 50 || len(report.Unread) != 0 {
		t.Errorf("error %v, report %+v", err, report)
	}
	if most := e.most.Load(); most > calls {
		t.Errorf("%d calls at once, more than %d", most, calls)
	}
}

// An engine that answers with its own tick is asked about many containers at once,
// from the second round on.
func TestMeterOfASlowEngine(t *testing.T) {
	var list []string
	for i := range 100 {
		list = append(list, fmt.Sprintf(`{"Id":"c%d","Names":["/c%d"],"State":"running"}`, i, i))
	}
	e := &usingEngine{id: "e1", swarm: `{}`, containers: "[" + strings.Join(list, ",") + "]"}
	m, err := NewMeter(MeterOptions{Engines: engines(e.listen(t))})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.gap, m.engines[0].slow = 0, true
	if _, err := m.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if most := e.most.Load(); most <= calls || most > callsSlow {
		t.Errorf("%d calls at once", most)
	}
	if m.engines[0].slow {
		t.Error("it is not slow any more, and taken for slow")
	}
}
