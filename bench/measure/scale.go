package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// startFairway runs Fairway on a fake engine and waits until the last service is
// routed. Nothing answers at the containers' addresses: what is waited for is
// any status but 404.
func startFairway(ctx context.Context, binary, dir string, e *fakeEngine, services int) (p *process, address string, err error) {
	socket := filepath.Join(dir, "docker.sock")
	if _, err := e.serve(socket); err != nil {
		return nil, "", err
	}
	if address, err = freeAddress(); err != nil {
		return nil, "", err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, "", err
	}
	began := time.Now()
	p, err = start(dir, "", binary, "run", "--docker", "unix://"+socket, "--listen", address, "--admin.listen", admin, "--state-dir", filepath.Join(dir, "state"))
	if err != nil {
		return nil, "", err
	}
	err = p.await(ctx, 2*time.Minute, "everything is routed", func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/ready", nil)
		if err != nil {
			return false
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK && routed(address, fmt.Sprintf("s%d-0.bench", services-1))
	})
	if err != nil {
		p.stop()
		return nil, "", err
	}
	used, err := p.cpu()
	if err != nil {
		p.stop()
		return nil, "", err
	}
	fmt.Printf("%d services of 3 containers, a list of %s; routed %s after the start, with %s of CPU\n",
		services, mib(int64(len(e.listing()))), time.Since(began).Round(10*time.Millisecond), used)
	return p, address, nil
}

// routed tells whether there is a route for host.
func routed(address, host string) bool {
	status := answers(address, host)
	return status != 0 && status != http.StatusNotFound
}

// measureMemory prints the resident memory after start and after some full
// lists.
func measureMemory(ctx context.Context, binary, dir string, services, resyncs int) error {
	e := newFakeEngine(services)
	p, _, err := startFairway(ctx, binary, dir, e, services)
	if err != nil {
		return err
	}
	defer p.stop()
	for i := 0; ; i++ {
		now, most, err := p.memory()
		if err != nil {
			return err
		}
		used, err := p.cpu()
		if err != nil {
			return err
		}
		fmt.Printf("after %d resyncs: resident %s, at most %s, CPU so far %s\n", i, mib(now), mib(most), used)
		if i == resyncs {
			return nil
		}
		count := e.listCount()
		if err := p.await(ctx, 2*time.Minute, "a full list", func() bool { return e.listCount() > count }); err != nil {
			return err
		}
		select {
		case <-time.After(5 * time.Second): // let it be worked off
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// measureChange prints the CPU time that one recreated service costs.
func measureChange(ctx context.Context, binary, dir string, services, changes int) error {
	e := newFakeEngine(services)
	p, address, err := startFairway(ctx, binary, dir, e, services)
	if err != nil {
		return err
	}
	defer p.stop()
	pause := func(d time.Duration) { _ = p.await(ctx, d+time.Second, "", func() bool { time.Sleep(d); return true }) }
	pause(5 * time.Second)
	// A full list every 30 s would drown what one change costs: each change is
	// measured alone, and those with a list in between are left out.
	const window = 500 * time.Millisecond
	var idle, busy time.Duration
	counted := 0
	for i := range changes {
		lists := e.listCount()
		t0, err := p.cpu()
		if err != nil {
			return err
		}
		pause(window)
		t1, err := p.cpu()
		if err != nil {
			return err
		}
		host := e.recreate(i*services/changes, i+1)
		pause(window)
		t2, err := p.cpu()
		if err != nil {
			return err
		}
		if err := p.await(ctx, 5*time.Second, host+" is routed", func() bool { return routed(address, host) }); err != nil {
			return err
		}
		if e.listCount() != lists || ctx.Err() != nil {
			continue
		}
		counted++
		idle += t1 - t0
		busy += t2 - t1
	}
	if counted == 0 {
		return fmt.Errorf("a full list came between each of %d changes", changes)
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(counted) }
	fmt.Printf("one service of 3 containers recreated with another host: %.1f ms of CPU (%.1f ms in its %s, %.1f ms idle in the same time), mean of %d changes\n",
		per(busy-idle), per(busy), window, per(idle), counted)
	return ctx.Err()
}
