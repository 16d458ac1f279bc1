package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/procfs"
)

// steadily reads the flags of measurements that are not of wrk, and returns what measures.
func steadily(ctx context.Context, flags *flag.FlagSet, what, dir string, binary *string) func() {
	o := requestOptions{dir: dir, connections: 32}
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "length of one run, of latency")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each proxy has its turn, of latency and bytes")
	rate := flags.Int("rate", 0, "requests a second, of latency; 0 is 40 % of what haproxy-equal does")
	connections := flags.Int("connections", 0, "connections: 64 of latency, 10000 of idle")
	size := flags.Int64("size", 1<<30, "bytes each way, of bytes")
	names := flags.String("proxies", "fairway,haproxy,nginx", "the proxies to measure, in this order")
	return func() {
		o.binary, o.proxies = *binary, strings.Split(*names, ",")
		switch what {
		case "latency":
			measureLatency(ctx, o, *rate, cmp.Or(*connections, 64))
		case "idle":
			measureIdle(ctx, o, cmp.Or(*connections, 10_000))
		default:
			measureBytes(ctx, o, *size)
		}
	}
}

// turns has each proxy take its turn, round after round.
func (o *requestOptions) turns(ctx context.Context, turn func(name string, p *process, address string, r *result)) map[string]*result {
	o.pin()
	results := map[string]*result{}
	for round := range o.rounds {
		for _, name := range o.proxies {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, o.rounds, name)
			p, _, address := o.launch(ctx, name, 1, results)
			if p == nil {
				continue
			}
			func() {
				defer p.stop()
				turn(name, p, address, results[name])
			}()
		}
	}
	return results
}

// table prints a line for each proxy that was measured.
func (o *requestOptions) table(results map[string]*result, head string, line func(r *result) string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "proxy\tversion\t%s\n", head)
	for _, name := range o.proxies {
		if r := results[name]; r != nil && len(r.cpu) > 0 {
			fmt.Fprintf(w, "%s\t%s\t%s\n", name, r.version, line(r))
		} else {
			fmt.Fprintf(w, "%s\tnot measured\n", name)
		}
	}
	check(w.Flush())
}

// between is the smallest value and the greatest one.
func between(values []float64) string {
	return fmt.Sprintf("%.2f-%.2f", slices.Min(values), slices.Max(values))
}

// measureLatency asks at a fixed rate, which is 40 % of what the proxy base does at its best
// unless it is given, and prints how long answers took.
func measureLatency(ctx context.Context, o requestOptions, rate, connections int) {
	o.shape = shapeOf("get")
	o.pin()
	defer o.startBackend(ctx)()
	if rate == 0 {
		const base = "haproxy-equal"
		must(exec.LookPath("wrk"))
		p, dir, address := o.launch(ctx, base, 1, map[string]*result{})
		if p == nil {
			check(fmt.Errorf("%s is not installed, so that there is no rate", base))
		}
		_, most, _ := o.wrk(ctx, dir, address, 1, 3*time.Second)
		p.stop()
		rate = int(most) * 2 / 5
	}
	found := map[string][]latencies{}
	results := o.turns(ctx, func(name string, p *process, address string, r *result) {
		before := p.cpu()
		out := must(o.loader(ctx, "rate", "-address", address, "-hosts", hostOf(0), "-rate", strconv.Itoa(rate),
			"-connections", strconv.Itoa(connections), "-duration", o.duration.String()).Output())
		var l latencies
		check(json.Unmarshal(out, &l))
		found[name] = append(found[name], l)
		r.cpu = append(r.cpu, float64((p.cpu()-before).Microseconds())/(float64(rate)*(o.duration+rateWarm).Seconds()))
		r.rate = append(r.rate, l.P99)
		r.p99 = append(r.p99, name)
	})
	fmt.Printf("\n%d requests a second on %d connections, %d rounds of %s; from the time at which each was due; the best of the rounds\n\n", rate, connections, o.rounds, o.duration)
	o.table(results, "p50 ms\tp99 ms\trange of p99\tp99.9 ms\tmax ms\tCPU µs/request", func(r *result) string {
		all := found[r.p99[0]]
		best := slices.MinFunc(all, func(a, b latencies) int { return int(1000 * (a.P99 - b.P99)) })
		return fmt.Sprintf("%.2f\t%.2f\t%s\t%.2f\t%.2f\t%.1f", best.P50, best.P99, between(r.rate), best.P999, best.Max, slices.Min(r.cpu))
	})
}

// idleSettle is how long connections are left alone before they are measured, and for how
// long their CPU time is.
const idleSettle = 8 * time.Second

// measureIdle opens connections that have had one request, and prints what each takes, and
// what all of them cost while nothing comes.
func measureIdle(ctx context.Context, o requestOptions, connections int) {
	o.shape = shapeOf("get")
	o.pin()
	defer o.startBackend(ctx)()
	connections = min(connections, maxConns()-100)
	o.rounds = 1
	results := o.turns(ctx, func(_ string, p *process, address string, r *result) {
		open := func(n int) (end func()) {
			cmd := o.loader(ctx, "idle", "-address", address, "-hosts", hostOf(0), "-connections", strconv.Itoa(n))
			in, out := must(cmd.StdinPipe()), must(cmd.StdoutPipe())
			check(cmd.Start())
			must(bufio.NewReader(out).ReadString('\n'))
			return func() { check(in.Close()); check(cmd.Wait()) }
		}
		open(50)()
		before := p.resident()
		defer open(connections)()
		time.Sleep(idleSettle)
		took := p.cpu()
		time.Sleep(idleSettle)
		r.cpu = append(r.cpu, 100*float64(p.cpu()-took)/float64(idleSettle))
		r.rate = append(r.rate, float64(p.resident()-before)/1024/float64(connections))
	})
	fmt.Printf("\n%d idle connections, each after one request\n\n", connections)
	o.table(results, "KiB each, resident\tCPU %", func(r *result) string { return fmt.Sprintf("%.1f\t%.2f", r.rate[0], r.cpu[0]) })
}

// resident is the resident memory of the program and its children, in bytes.
func (p *process) resident() (bytes int64) {
	stats := map[int]procfs.ProcStat{}
	for _, one := range must(procfs.AllProcs()) {
		if stat, err := one.Stat(); err == nil { // else it has just ended
			stats[one.PID] = stat
		}
	}
	for pid, stat := range stats {
		for pid > 1 && pid != p.cmd.Process.Pid {
			pid = stats[pid].PPID
		}
		if pid == p.cmd.Process.Pid {
			bytes += int64(stat.ResidentMemory())
		}
	}
	return bytes
}

// measureBytes has bytes pass through, both ways, and prints what a GiB costs.
func measureBytes(ctx context.Context, o requestOptions, size int64) {
	o.shape = shapeOf("get")
	o.pin()
	o.backend = freeAddress()
	serving := o.loader(ctx, "serve", "-address", o.backend)
	check(serving.Start())
	defer func() {
		_ = serving.Process.Kill()
		_ = serving.Wait()
	}()
	for _, o.tunnels = range []bool{true, false} {
		o.bytes = !o.tunnels
		what := "TCP, passed through"
		args := []string{"bytes", "-connections", "4", "-size"}
		if o.bytes {
			what = "WebSocket"
		} else {
			args = append([]string{"bytes", "-tunnels"}, args[1:]...)
		}
		results := o.turns(ctx, func(_ string, p *process, address string, r *result) {
			check(o.loader(ctx, append(slices.Clone(args), strconv.FormatInt(size/10, 10), "-address", address)...).Run()) // warm up
			began, before := time.Now(), p.cpu()
			check(o.loader(ctx, append(slices.Clone(args), strconv.FormatInt(size, 10), "-address", address)...).Run())
			gib := 2 * float64(size) / (1 << 30)
			r.cpu = append(r.cpu, float64((p.cpu()-before).Milliseconds())/gib)
			r.rate = append(r.rate, gib/time.Since(began).Seconds())
		})
		fmt.Printf("\n%s: %.1f GiB on 4 connections, half of it each way, %d rounds; CPU time of the proxy\n\n", what, 2*float64(size)/(1<<30), o.rounds)
		o.table(results, "CPU ms/GiB\trange\tGiB/s", func(r *result) string {
			return fmt.Sprintf("%.0f\t%s\t%.2f", slices.Min(r.cpu), between(r.cpu), slices.Max(r.rate))
		})
	}
}
