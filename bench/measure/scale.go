package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"fairway/internal/api"
)

// scaled is a Fairway on a fake engine. Nothing answers at the containers'
// addresses, so what it serves is asked of its admin API.
type scaled struct {
	*process
	engine *fakeEngine
	client *api.Client
}

// onScaled runs Fairway on a fake engine, waits until every service is routed, and
// measures it.
func onScaled(ctx context.Context, binary, dir string, services int, measure func(*scaled)) {
	s := &scaled{engine: newFakeEngine(services)}
	socket := filepath.Join(dir, "docker.sock")
	s.engine.serve(socket)
	admin := freeAddress()
	s.client = must(api.NewClient(api.ClientOptions{URL: "http://" + admin}))
	began := time.Now()
	s.process = start(dir, "", binary, "run", "--docker", "unix://"+socket, "--listen", freeAddress(), "--admin.listen", admin, "--state-dir", filepath.Join(dir, "state"))
	defer s.stop()
	var info api.Info
	s.await(ctx, 2*time.Minute, "everything is routed", func() bool {
		var err error
		info, err = s.client.Info(ctx)
		return err == nil && info.Table.State == api.StateSynced && info.Table.Routes == services
	})
	if info.Table.Problems > 0 {
		check(fmt.Errorf("there are %d problems where there should be none", info.Table.Problems))
	}
	fmt.Printf("%d services of 3 containers, a list of %s; routed %s after the start, with %s of CPU\n",
		services, mib(uint64(s.engine.size())), time.Since(began).Round(10*time.Millisecond), s.cpu())
	measure(s)
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// measureMemory prints the resident memory after start and after some full
// lists.
func (s *scaled) measureMemory(ctx context.Context, resyncs int) {
	for i := 0; ; i++ {
		now, most := s.memory()
		fmt.Printf("after %d more lists: resident %s, at most %s, CPU so far %s\n", i, mib(now), mib(most), s.cpu())
		if i == resyncs {
			return
		}
		count := s.engine.listCount()
		s.await(ctx, 2*time.Minute, "a full list", func() bool { return s.engine.listCount() > count })
		pause(ctx, 5*time.Second) // let it be worked off
	}
}

// measureChange prints the CPU time that one recreated service costs.
func (s *scaled) measureChange(ctx context.Context, services, changes int) {
	// What follows a change may come late (the last good table is written to disk
	// in the background), so the window is long; and a full list, which comes
	// every 30 s and now and then in between, costs far more than a change, so
	// windows with one in them are kept apart.
	const window = 2 * time.Second
	measure := func(do func(), without, with *[]time.Duration) {
		lists, before := s.engine.listCount(), s.cpu()
		do()
		pause(ctx, window)
		used := s.cpu() - before
		if s.engine.listCount() > lists {
			without = with
		}
		*without = append(*without, used)
	}
	pause(ctx, 10*time.Second)
	var idle, before, changed, listed, ignored []time.Duration
	for range 5 {
		measure(func() {}, &before, &ignored)
	}
	for i := range changes {
		measure(func() {}, &idle, &ignored)
		host := ""
		measure(func() { host = s.engine.recreate(i*services/changes, i+1) }, &changed, &listed)
		if routes := must(s.client.Routes(ctx, api.Query{Host: host})); len(routes.Items) != 1 {
			check(fmt.Errorf("%s is not routed %s after the change", host, window))
		}
	}
	fmt.Printf("CPU time in %s, means:\n", window)
	for _, row := range []struct {
		what string
		used []time.Duration
	}{
		{"before any change", before},
		{"one service of 3 containers recreated under another host", changed},
		{"the same, and a full list happened as well", listed},
		{"the two seconds after those", idle},
	} {
		fmt.Printf("  %8s  %s (%d windows)\n", mean(row.used), row.what, len(row.used))
	}
	check(ctx.Err())
}

func mean(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sum := time.Duration(0)
	for _, x := range d {
		sum += x
	}
	return (sum / time.Duration(len(d))).Round(100 * time.Microsecond)
}
