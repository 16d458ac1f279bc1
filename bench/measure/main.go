// Command measure measures a whole Fairway from outside, as a process:
//
//	measure requests   CPU time per proxied request, beside nginx, HAProxy and Caddy
//	measure latency    how long answers take at a fixed rate, beside the same
//	measure idle       what idle connections take, beside the same
//	measure bytes      CPU time of a GiB of TCP and of WebSocket, beside the same
//	measure memory     resident memory at 10,000 services of three instances
//	measure change     CPU time of one changed label at 5,000 services
//
// It needs Linux, and for requests the programs wrk, h2load, nginx, haproxy and caddy;
// what is missing is left out, and said so. Everything it starts is ended again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return errors.New("requests, latency, idle, bytes, memory or change?")
	}
	if args[0] == "load" { // a process of the measurement's own
		return load(ctx, args[1:])
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	binary := flags.String("fairway", "bin/fairway", "the program to measure")
	dir, err := os.MkdirTemp("", "fairway-bench-")
	if err != nil {
		return err
	}
	defer func() {
		e := recover()
		failed, ok := e.(failure)
		if e != nil && !ok {
			panic(e)
		}
		err = errors.Join(err, failed.error, os.RemoveAll(dir))
	}()

	var measure func()
	switch args[0] {
	case "requests":
		o := requestOptions{dir: dir}
		flags.DurationVar(&o.duration, "duration", defaultDuration, "length of one run of wrk")
		flags.IntVar(&o.rounds, "rounds", 3, "how often each proxy has its turn")
		flags.IntVar(&o.connections, "connections", 32, "connections that wrk keeps open")
		routes := flags.String("routes", "1,10000", "numbers of routes, separated by commas")
		asked := flags.String("shapes", "get", "what is asked for, separated by commas: get, post-4k, 64k, 1m, 100m, tls, tls-new, tls-1m, h2")
		names := flags.String("proxies", "fairway,nginx,haproxy,caddy", "the proxies to measure, in this order")
		svg := flags.String("svg", "", "file for a plot of all shapes, at the last number of routes")
		measure = func() {
			o.binary = *binary
			o.proxies = strings.Split(*names, ",")
			var figures []figure
			for name := range strings.SplitSeq(*asked, ",") {
				o.shape = shapeOf(name)
				figures = append(figures, measureRequests(ctx, o, strings.Split(*routes, ","))...)
			}
			writePlot(*svg, figures, o.proxies)
		}
	case "latency", "idle", "bytes":
		measure = steadily(ctx, flags, args[0], dir, binary)
	case "memory":
		services := flags.Int("services", 10_000, "services, of three containers each")
		resyncs := flags.Int("resyncs", 2, "how many full lists to wait for")
		measure = func() {
			onScaled(ctx, *binary, dir, *services, func(s *scaled) { s.measureMemory(ctx, *resyncs) })
		}
	case "change":
		services := flags.Int("services", 5000, "services, of three containers each")
		changes := flags.Int("changes", 20, "how many changes to make")
		measure = func() {
			onScaled(ctx, *binary, dir, *services, func(s *scaled) { s.measureChange(ctx, *services, *changes) })
		}
	default:
		return fmt.Errorf("unknown measurement %q", args[0])
	}
	check(flags.Parse(args[1:]))
	*binary = must(filepath.Abs(*binary))
	fmt.Printf("%s, %d CPUs, load average before: %s", runtime.Version(), runtime.NumCPU(), must(os.ReadFile("/proc/loadavg")))
	measure()
	return nil
}
