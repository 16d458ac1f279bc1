package usage

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi/dockertest"
	"fairway/internal/engine/traffic"
	"fairway/internal/latency"
	"fairway/internal/route"
	"fairway/internal/series"
	"fairway/internal/testkit"
)

// statsAnswer is what an Engine 20.10 says of a container, as it was recorded, with
// the CPU time filled in.
const statsAnswer = `{"read":"2026-11-21T14:32:30.902856862Z","preread":"0001-01-01T00:00:00Z","pids_stats":{"current":10},
"blkio_stats":{"io_service_bytes_recursive":[{"major":8,"minor":0,"op":"Read","value":4096},{"major":8,"minor":0,"op":"Write","value":8192}],"io_serviced_recursive":[],"io_queue_recursive":[],
"io_service_time_recursive":[],"io_wait_time_recursive":[],"io_merged_recursive":[],"io_time_recursive":[],"sectors_recursive":[]},"num_procs":0,"storage_stats":{},
"cpu_stats":{"cpu_usage":{"total_usage":%d,"percpu_usage":[90560257,29194383],"usage_in_kernelmode":40000000,"usage_in_usermode":70000000},
"system_cpu_usage":%d,"online_cpus":2,"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},
"precpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},
"memory_stats":{"usage":14798848,"max_usage":14880768,"stats":{"active_anon":8192,"active_file":106496,"cache":131072,"dirty":45056,
"hierarchical_memory_limit":9223372036854771712,"hierarchical_memsw_limit":9223372036854771712,"inactive_anon":13414400,"inactive_file":24576,"mapped_file":28672,
"pgfault":7045,"pgmajfault":2,"pgpgin":5047,"pgpgout":1738,"rss":13422592,"rss_huge":0,"total_active_anon":8192,"total_active_file":106496,"total_cache":131072,
"total_dirty":45056,"total_inactive_anon":13414400,"total_inactive_file":24576,"total_mapped_file":28672,"total_pgfault":7045,"total_pgmajfault":2,"total_pgpgin":5047,
"total_pgpgout":1738,"total_rss":13422592,"total_rss_huge":0,"total_unevictable":0,"total_writeback":0,"unevictable":0,"writeback":0},"limit":25276514304},
"name":"/c","id":"c","networks":{"eth0":{"rx_bytes":%d,"rx_packets":28,"rx_errors":0,"rx_dropped":0,"tx_bytes":14781,"tx_packets":20,"tx_errors":0,"tx_dropped":0}}}`

// runningEngine is an engine with so many containers, five of which make a
// service. All clocks run a hundredth of a second for each reading.
func runningEngine(containers int) *dockertest.Engine {
	var list []string
	for i := range containers {
		list = append(list, fmt.Sprintf(`{"Id":"c%d","Names":["/c%d"],"Image":"app:1","State":"running","Status":"Up 2 hours","Labels":{"fairway.service":"s%d"},
			"HostConfig":{"NetworkMode":"default"},"NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2"}}}}`, i, i, i/5))
	}
	d := dockertest.New(nil)
	d.Say("GET /info", `{"ID":"e1","Name":"box","NCPU":2,"MemTotal":29597696,"Swarm":{"LocalNodeState":"inactive"}}`)
	d.Say("GET /containers/json", "["+strings.Join(list, ",")+"]")
	var clock atomic.Int64
	d.HandleFunc("GET /containers/{id}/stats", func(w http.ResponseWriter, _ *http.Request) {
		now := clock.Add(1)
		fmt.Fprintf(w, statsAnswer, now*1e6, now*20e6, now*1000)
	})
	return d
}

// catalogOf is what a source says of such an engine.
func catalogOf(containers int) *catalog.Snapshot {
	s := &catalog.Snapshot{Revision: 1, Nodes: []*catalog.Node{{ID: "docker:/x", Name: "box", Source: "docker:/x", State: "ready"}}}
	for i := range containers {
		if i%5 == 0 {
			name := fmt.Sprintf("s%d", i/5)
			s.Services = append(s.Services, &catalog.Service{ID: name, Name: name, Source: "docker:/x"})
		}
		last := s.Services[len(s.Services)-1]
		last.Instances = append(last.Instances, &catalog.Instance{ID: fmt.Sprintf("c%d", i), Name: fmt.Sprintf("c%d", i), Source: "docker:/x", State: catalog.StateReady})
	}
	return s
}

// counters are what an engine says of its routes.
type counters struct{ *traffic.Counters }

func newCounters() counters {
	return counters{traffic.NewCounters(nil, func() (map[string]int64, int64, bool) { return nil, 0, false })}
}

func newTestRecorder(t *testing.T, url string, containers int, counted counters) *Recorder {
	t.Helper()
	store, err := series.Open(series.Options{Dir: t.TempDir(), Groups: series.StandardGroups(500), Every: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	meter, err := NewMeter(MeterOptions{Engines: engines(url), Source: func(url string) string { return "docker:" + url }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(meter.Close)
	meter.gap = time.Millisecond
	snap := catalogOf(containers)
	snap.Nodes[0].ID = "docker:" + url
	return NewRecorder(RecorderOptions{
		Store: store, Every: 10 * time.Second, Meter: meter, Snapshot: func() *catalog.Snapshot { return snap },
		Traffic: counted.Snapshot, Endpoints: func() []traffic.EndpointTotals { return nil }, Table: func() *route.Table { return nil },
		Logger: slog.New(slog.DiscardHandler),
	})
}

// What containers use is kept for each instance, its service and its node.
func TestUsageIsKept(t *testing.T) {
	url := runningEngine(10).Listen(t)
	s := newTestRecorder(t, url, 9, newCounters()) // of one container no source knows
	for range 2 {
		report, err := s.o.Meter.Read(t.Context())
		if err != nil || len(report.Unread) > 0 {
			t.Fatal(err, report.Unread)
		}
		s.keepUsage(report)
	}
	newest := func(group, subject string) []float64 {
		t.Helper()
		v := s.o.Store.Newest(group, time.Now(), time.Minute)[subject]
		if v == nil {
			t.Fatalf("nothing is kept of %s %s", group, subject)
		}
		return v
	}
	const cpu = 100 * 1e6 / 20e6 * 2
	one := newest(series.Instances, "c3@docker:/x")
	if math.Abs(one[series.CPU]-cpu) > 1e-3 || one[series.Memory] != 14798848-24576 || one[series.Limit] != 25276514304 || !(one[series.Received] > 0) || one[series.Sent] != 0 {
		t.Errorf("c3 uses %v", one)
	}
	if n := len(s.o.Store.Newest(series.Instances, time.Now(), time.Minute)); n != 9 {
		t.Errorf("%d instances are kept", n)
	}
	service := newest(series.Services, "s0")
	if math.Abs(service[series.CPU]-5*cpu) > 1e-3 || service[series.Containers] != 5 || !math.IsNaN(service[series.Limit]) {
		t.Errorf("s0 uses %v", service)
	}
	node := newest(series.Nodes, "docker:"+url)
	if math.Abs(node[series.CPU]-10*cpu/2) > 1e-3 || node[series.Limit] != 29597696 || node[series.Containers] != 10 {
		t.Errorf("the node uses %v", node)
	}
}

// What routes answer is kept as rates, whichever engine counts.
func TestTrafficIsKept(t *testing.T) {
	counted := newCounters()
	s := newTestRecorder(t, runningEngine(0).Listen(t), 0, counted)
	routes := map[string]*traffic.Route{}
	serve := func(route string, status, n int, took time.Duration) {
		if routes[route] == nil {
			routes[route] = counted.Route(route)
		}
		routes[route].Requests(uint64(n), status, took)
	}
	at := time.Now().Truncate(time.Minute)
	serve("shop", 200, 1000, 5*time.Second) // before: of no account
	serve("", 404, 5, 10*time.Millisecond)
	s.keepTraffic(at)
	serve("shop", 200, 80, 5*time.Millisecond)
	serve("shop", 500, 15, time.Second/2)
	serve("shop", 0, 5, time.Second/2)
	serve("blog", 200, 10, time.Millisecond/2)
	s.keepTraffic(at.Add(10 * time.Second))
	got := s.o.Store.Newest(series.Routes, at.Add(10*time.Second), time.Minute)
	shop := got["shop"]
	if len(got) != 2 || shop[series.Requests] != 10 || shop[series.Errors] != 2 || got["blog"][series.Requests] != 1 {
		t.Fatalf("kept %v", got)
	}
	if p50, p99 := series.Quantile(shop, .5), series.Quantile(shop, .99); math.Abs(p50-.005) > .0005 || math.Abs(p99-.5) > .05 {
		t.Errorf("half of shop's within %v s, 99 of 100 within %v s", p50, p99)
	}
	counted.Remove(routes["shop"]) // the engine counts from the beginning
	routes["shop"] = nil
	serve("shop", 200, 20, 5*time.Millisecond)
	s.keepTraffic(at.Add(20 * time.Second))
	if got := s.o.Store.Newest(series.Routes, at.Add(20*time.Second), time.Minute)["shop"][series.Requests]; got != 2 {
		t.Errorf("%v requests a second after the counters began anew", got)
	}
}

// What the endpoints of an instance answer is kept by its name, those of several ports
// together, and what is in flight at its route, too.
func TestLatencyOfInstancesIsKept(t *testing.T) {
	counted := newCounters()
	s := newTestRecorder(t, runningEngine(0).Listen(t), 0, counted)
	counted.Route("shop").Requests(1, 200, time.Second)
	s.o.Table = func() *route.Table {
		return &route.Table{
			Routes: []*route.Route{{ID: "shop", Backend: "shop"}},
			Backends: []*route.Backend{
				{ID: "admin", Endpoints: []route.Endpoint{{ID: "c1:9000", Instance: "shop-1", Source: "docker"}}},
				{ID: "shop", Endpoints: []route.Endpoint{{ID: "c1:8080", Instance: "shop-1", Source: "docker"}}},
			},
		}
	}
	totals := []traffic.EndpointTotals{{Backend: "admin", Endpoint: "c1:9000"}, {Backend: "shop", Endpoint: "c1:8080"}, {Backend: "shop", Endpoint: "gone"}}
	s.o.Endpoints = func() []traffic.EndpointTotals { return totals }
	at := time.Now().Truncate(time.Minute)
	s.keepTraffic(at)
	for i := range totals {
		totals[i].Requests, totals[i].Failures, totals[i].InFlight = 100, 10, 2
		totals[i].Took.Add(90, 5*time.Millisecond)
		totals[i].Took.Add(10, 300*time.Millisecond)
	}
	s.keepTraffic(at.Add(10 * time.Second))
	got := s.o.Store.Newest(series.Endpoints, at.Add(10*time.Second), time.Minute)
	shop := got["shop-1@docker"]
	if len(got) != 1 || shop[series.Requests] != 20 || shop[series.Errors] != 2 || shop[series.InFlight] != 4 {
		t.Fatalf("kept %v", got)
	}
	for q, want := range map[float64]float64{.5: .005, .99: .3} {
		if got := series.Quantile(shop, q); math.Abs(got-want) > .1*want {
			t.Errorf("the %v quantile is %v s, want %v", q, got, want)
		}
	}
	if n := s.o.Store.Newest(series.Routes, at.Add(10*time.Second), time.Minute)["shop"][series.InFlight]; n != 4 {
		t.Errorf("%v in flight at the route", n)
	}
}

// An instance that loses one of its ports, or is not reported for a while, has not answered
// everything anew.
func TestCountsOfInstancesGoOn(t *testing.T) {
	s := newTestRecorder(t, runningEngine(0).Listen(t), 0, newCounters())
	backend := func(id, endpoint string) *route.Backend {
		return &route.Backend{ID: id, Endpoints: []route.Endpoint{{ID: endpoint, Instance: "shop-1", Source: "docker"}}}
	}
	table := &route.Table{Backends: []*route.Backend{backend("admin", "c1:9000"), backend("shop", "c1:8080")}}
	totals := []traffic.EndpointTotals{{Backend: "admin", Endpoint: "c1:9000", Requests: 1000}, {Backend: "shop", Endpoint: "c1:8080", Requests: 1000}}
	s.o.Table = func() *route.Table { return table }
	s.o.Endpoints = func() []traffic.EndpointTotals { return totals }
	at := time.Now().Truncate(time.Minute)
	round := func() (requests float64, ok bool) {
		at = at.Add(10 * time.Second)
		s.keepTraffic(at)
		v := s.o.Store.Newest(series.Endpoints, at, time.Second)["shop-1@docker"]
		if v == nil {
			return 0, false
		}
		return v[series.Requests], true
	}
	want := func(what string, want float64) {
		t.Helper()
		if got, ok := round(); !ok || got != want {
			t.Errorf("%s: %v requests a second, want %v", what, got, want)
		}
	}
	round()
	totals[0].Requests, totals[1].Requests = 1010, 1010
	want("both ports", 2)
	shop := totals[1:]
	table, totals = &route.Table{Backends: table.Backends[1:]}, shop
	shop[0].Requests = 1020
	want("one port is gone", 1)
	totals = nil
	if got, ok := round(); ok {
		t.Errorf("%v requests a second though nothing was reported", got)
	}
	totals, shop[0].Requests = shop, 1040
	want("it is reported again", 1)
	table = &route.Table{}
	round()
	table = &route.Table{Backends: []*route.Backend{backend("shop", "c1:8080")}}
	shop[0].Requests = 1050
	want("it is in the table again", 1)
}

// When a route had its last request before a restart is known from what was kept.
func TestLastRequests(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Hour)
	open := func() *series.Store {
		store, err := series.Open(series.Options{Dir: dir, Groups: series.StandardGroups(10), Every: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	store := open()
	add := func(route string, ago time.Duration, requests float64) {
		t.Helper()
		values := make([]float64, series.Latency+latency.Buckets)
		values[series.Requests] = requests
		if err := store.Add(series.Routes, now.Add(-ago), []series.Reading{{Subject: route, Values: values}}); err != nil {
			t.Fatal(err)
		}
	}
	day := 24 * time.Hour
	add("old", 5*day, 1)
	add("never", 5*day, 0)
	add("recent", 3*day, 1)
	for _, route := range []string{"old", "never", "recent"} {
		add(route, 4*time.Hour, 0)
	}
	add("recent", 3*time.Hour+7*time.Minute, .1)
	add("recent", 2*time.Hour, 0)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = open()
	defer store.Close()
	r := NewRecorder(RecorderOptions{Store: store, Every: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if got := r.LastRequests(); got != nil {
		t.Errorf("before anything was read: %v", got)
	}
	r.recall(t.Context(), now)
	got := r.LastRequests()
	if len(got) != 2 || now.Add(-3*time.Hour-7*time.Minute).Sub(got["recent"]).Abs() > 2*time.Minute || !got["old"].Equal(now.Add(-5*day)) {
		t.Errorf("last requests %v, now %s", got, now)
	}
}

// TestServeContainers is an engine in a process of its own, for the measurement
// below; it is no test.
func TestServeContainers(t *testing.T) {
	socket := os.Getenv("FAIRWAY_TEST_ENGINE")
	if socket == "" {
		t.Skip("serves TestCostOfUsage")
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = http.Serve(l, runningEngine(500)) }()
	_, _ = io.Copy(io.Discard, os.Stdin) // until the measurement is over
	_ = l.Close()
}

// TestCostOfUsage measures what it costs to read and keep what 500 containers use.
func TestCostOfUsage(t *testing.T) {
	if !testkit.Soaking() {
		t.Skip("a measurement; FAIRWAY_SOAK=1 makes it")
	}
	socket := filepath.Join(t.TempDir(), "docker.sock")
	cmd := exec.Command(os.Args[0], "-test.run=TestServeContainers")
	cmd.Env = append(os.Environ(), "FAIRWAY_TEST_ENGINE="+socket)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	testkit.Eventually(t, "the engine listens", func() bool { _, err := os.Stat(socket); return err == nil })
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before := heap()
	s := newTestRecorder(t, "unix://"+socket, 500, newCounters())
	round := func() {
		report, err := s.o.Meter.Read(t.Context())
		if err != nil || len(report.Unread) > 0 {
			t.Fatal(err, report.Unread)
		}
		s.keepUsage(report)
	}
	round()
	const rounds = 50
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	spent, began := cpu(), time.Now()
	for range rounds {
		round()
	}
	each := (cpu() - spent) / rounds
	t.Logf("500 containers: a round takes %s and %s of CPU, which every 10 s is %.2f %% of one", (time.Since(began) / rounds).Round(time.Millisecond), each.Round(time.Millisecond/10), 100*each.Seconds()/10)
	t.Logf("memory: %.1f MiB of heap more than before", heap()-before)
	for _, g := range series.StandardGroups(500) {
		t.Logf("file of %s: %.1f MiB for %d", g.Name, float64(series.FileSize(g))/(1<<20), g.Subjects)
	}
}
