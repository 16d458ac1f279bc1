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

// startScaled runs Fairway on a fake engine and waits until every service is
// routed.
func startScaled(ctx context.Context, binary, dir string, services int) (_ *scaled, err error) {
	s := &scaled{engine: newFakeEngine(services)}
	socket := filepath.Join(dir, "docker.sock")
	if err := s.engine.serve(socket); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if s.client, err = api.NewClient(api.ClientOptions{URL: "http://" + admin}); err != nil {
		return nil, err
	}
	began := time.Now()
	s.process, err = start(dir, "", binary, "run", "--docker", "unix://"+socket, "--listen", address, "--admin.listen", admin, "--state-dir", filepath.Join(dir, "state"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	var info api.Info
	err = s.await(ctx, 2*time.Minute, "everything is routed", func() bool {
		var err error
		info, err = s.client.Info(ctx)
		return err == nil && info.Table.State == api.StateSynced && info.Table.Routes == services
	})
	if err != nil {
		return nil, err
	}
	if info.Table.Problems > 0 {
		return nil, fmt.Errorf("there are %d problems where there should be none", info.Table.Problems)
	}
	used, err := s.cpu()
	if err != nil {
		return nil, err
	}
	fmt.Printf("%d services of 3 containers, a list of %s; routed %s after the start, with %s of CPU\n",
		services, mib(uint64(s.engine.size())), time.Since(began).Round(10*time.Millisecond), used)
	return s, nil
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
func measureMemory(ctx context.Context, binary, dir string, services, resyncs int) error {
	s, err := startScaled(ctx, binary, dir, services)
	if err != nil {
		return err
	}
	defer s.stop()
	for i := 0; ; i++ {
		now, most, err := s.memory()
		if err != nil {
			return err
		}
		used, err := s.cpu()
		if err != nil {
			return err
		}
		fmt.Printf("after %d more lists: resident %s, at most %s, CPU so far %s\n", i, mib(now), mib(most), used)
		if i == resyncs {
			return nil
		}
		count := s.engine.listCount()
		if err := s.await(ctx, 2*time.Minute, "a full list", func() bool { return s.engine.listCount() > count }); err != nil {
			return err
		}
		pause(ctx, 5*time.Second) // let it be worked off
	}
}

// measureChange prints the CPU time that one recreated service costs.
func measureChange(ctx context.Context, binary, dir string, services, changes int) error {
	s, err := startScaled(ctx, binary, dir, services)
	if err != nil {
		return err
	}
	defer s.stop()
	// What follows a change may come late (the last good table is written to disk
	// in the background), so the window is long; and a full list, which comes
	// every 30 s and now and then in between, costs far more than a change, so
	// windows with one in them are kept apart.
	const window = 2 * time.Second
	measure := func(do func(), without, with *[]time.Duration) error {
		lists := s.engine.listCount()
		before, err := s.cpu()
		if err != nil {
			return err
		}
		do()
		pause(ctx, window)
		after, err := s.cpu()
		if s.engine.listCount() > lists {
			without = with
		}
		*without = append(*without, after-before)
		return err
	}
	pause(ctx, 10*time.Second)
	var idle, before, changed, listed, ignored []time.Duration
	for range 5 {
		if err := measure(func() {}, &before, &ignored); err != nil {
			return err
		}
	}
	for i := range changes {
		if err := measure(func() {}, &idle, &ignored); err != nil {
			return err
		}
		host := ""
		if err := measure(func() { host = s.engine.recreate(i*services/changes, i+1) }, &changed, &listed); err != nil {
			return err
		}
		routes, err := s.client.Routes(ctx, api.Query{Host: host})
		if err != nil {
			return err
		}
		if len(routes.Items) != 1 {
			return fmt.Errorf("%s is not routed %s after the change", host, window)
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
	return ctx.Err()
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
