package bench

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/control"
	"fairway/internal/discovery"
	"fairway/internal/engine/embedded"
	"fairway/internal/metrics"
	"fairway/internal/route"
	"fairway/internal/route/match"
)

// services returns n services with three instances each, one route per service.
func services(n int) []*catalog.Service {
	list := make([]*catalog.Service, n)
	for i := range list {
		list[i] = service(i, 0)
	}
	return list
}

// service makes one service. Different editions differ in one label.
func service(i, edition int) *catalog.Service {
	name := fmt.Sprintf("service-%05d", i)
	s := &catalog.Service{
		ID: name + "@bench", Name: name, Source: "bench",
		Labels: map[string]string{
			"fairway.host":   fmt.Sprintf("s%d.example.com", i),
			"fairway.path":   "/app",
			"fairway.weight": fmt.Sprint(1 + edition%100),
		},
		Created: time.Unix(int64(i), 0),
	}
	for n := range 3 {
		s.Instances = append(s.Instances, &catalog.Instance{
			ID: fmt.Sprintf("%s-%d", name, n), Name: fmt.Sprintf("%s-%d", name, n), Source: "bench",
			State:     catalog.StateReady,
			Addresses: []catalog.Address{{Host: fmt.Sprintf("10.%d.%d.%d", i/250, i%250, n+1), Port: 8080, Reach: catalog.ReachFixed}},
		})
	}
	return s
}

// BenchmarkLookup finds the route of a request among 1, 100 and 10,000.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			table := compile.New(compile.Settings{}).Compile(&catalog.Snapshot{Revision: 1, Services: services(n)}, nil)
			m, err := match.New(table.Routes)
			if err != nil {
				b.Fatal(err)
			}
			if len(table.Routes) != n {
				b.Fatalf("%d routes, want %d", len(table.Routes), n)
			}
			// As many different requests for each n, spread over the routes.
			requests := make([]*route.Request, 100)
			for i := range requests {
				requests[i] = &route.Request{Method: "GET", Host: fmt.Sprintf("s%d.example.com", i*n/100), Path: "/app/x"}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if m.Find(requests[i%100]) == nil {
					b.Fatal("no route")
				}
				i++
			}
		})
	}
}

// source hands out whatever the benchmark sends it.
type source struct{ answers chan catalog.Answer }

func (s source) Name() string { return "bench" }

func (s source) Run(ctx context.Context, out chan<- catalog.Answer) {
	for {
		select {
		case a := <-s.answers:
			out <- a
		case <-ctx.Done():
			return
		}
	}
}

// BenchmarkLabelChange changes one label of one of 5,000 services and waits
// until the engine has the table: collector, compile, control, apply. Time is
// mostly the quiet time; the figure to look at is cpu-ms/op, which is all the
// CPU time of the process.
func BenchmarkLabelChange(b *testing.B) {
	const n = 5000
	feed := &catalog.Feed{}
	src := source{make(chan catalog.Answer)}
	collector, err := discovery.New(discovery.Options{
		Sources: []discovery.Source{src}, Feed: feed, Metrics: &metrics.Set{},
		Quiet: time.Millisecond, Bound: 5 * time.Millisecond,
	})
	if err != nil {
		b.Fatal(err)
	}
	engine, err := embedded.New(embedded.Options{Metrics: &metrics.Set{}})
	if err != nil {
		b.Fatal(err)
	}
	listeners := []route.Listener{{Name: "http", Address: net.JoinHostPort("127.0.0.1", "0")}}
	loop, err := control.New(control.Options{
		Feed: feed, Compiler: compile.New(compile.Settings{Listeners: listeners}),
		Engines: []control.Engine{engine}, Metrics: &metrics.Set{},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = collector.Run(ctx) })
	running.Go(func() { _ = loop.Run(ctx) })
	defer func() {
		cancel()
		running.Wait()
		_ = engine.Stop(context.Background())
	}()

	list := services(n)
	change := func(before *route.Table) *route.Table {
		src.answers <- catalog.Answer{Services: append([]*catalog.Service(nil), list...)}
		for {
			if t := loop.Table(); t != nil && t != before && len(t.Routes) == n {
				return t
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	table := change(nil)
	edition := 0
	began := cpu(b)
	for b.Loop() {
		edition++
		list[edition%n] = service(edition%n, edition)
		table = change(table)
	}
	b.ReportMetric(float64((cpu(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// cpu returns the CPU time this process has used so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
