package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

const defaultDuration = 5 * time.Second

// settle is how long a proxy that answers is left alone before it is measured: with
// 10,000 routes it still writes down and reads back what it has been told.
const settle = 3 * time.Second

// requestOptions say how requests are measured.
type requestOptions struct {
	binary, dir string
	duration    time.Duration
	rounds      int
	connections int
	proxies     []string
	shape       shape

	proxyCPU, restCPU string // the CPUs of the proxy and of all else; empty for all
	backend           string // address of the server behind all proxies
	bytes, tunnels    bool   // connections are switched to another protocol; or passed through from the start
	pair              keyPair
}

// result is what one proxy has shown at one number of routes, one value a round.
type result struct {
	version string
	cpu     []float64 // microseconds of CPU per request
	rate    []float64 // requests a second
	p99     []string
}

// measureRequests lets every proxy have its turn, round after round, on the same
// backend, and prints what a request costs. It returns the figures of the last count.
func measureRequests(ctx context.Context, o requestOptions, counts []string) (figures []figure) {
	must(exec.LookPath("wrk"))
	o.pin()
	o.pair = newKeyPair(o.dir)
	defer o.startBackend(ctx)()
	for _, text := range counts {
		n := must(strconv.Atoi(text))
		results := map[string]*result{}
		for round := range o.rounds {
			for _, name := range o.proxies {
				fmt.Fprintf(os.Stderr, "%d routes, round %d of %d: %s\n", n, round+1, o.rounds, name)
				o.turn(ctx, name, n, results)
			}
		}
		report(o, n, results)
		figures = figures[:0]
		for _, name := range o.proxies {
			if r := results[name]; r != nil && len(r.cpu) > 0 {
				figures = append(figures, figure{o.shape.name, name, slices.Min(r.cpu)})
			}
		}
	}
	return figures
}

// pin gives the proxy a CPU of its own, where there are two.
func (o *requestOptions) pin() {
	if _, err := exec.LookPath("taskset"); err == nil && runtime.NumCPU() > 1 {
		o.proxyCPU, o.restCPU = "0", "1"
	}
}

// startBackend starts the server behind all proxies: nginx, the cheapest thing at hand, with
// a fixed answer of 1 KiB and with files. It shares its CPU with wrk, and not with the proxy.
func (o *requestOptions) startBackend(ctx context.Context) (stop func()) {
	o.backend = freeAddress()
	body := strings.Repeat("fairway ", 128)
	writeBodies(o.dir)
	conf := filepath.Join(o.dir, "backend.conf")
	text := nginxHead(o.dir, "backend") + fmt.Sprintf(
		"keepalive_requests 1000000000; sendfile on; sendfile_max_chunk 1m; client_max_body_size 1m;\nserver { listen %s; root %s;\n"+
			"  location = / { default_type text/plain; return 200 '%s'; }\n  location / { default_type application/octet-stream; }\n}\n}\n", o.backend, o.dir, body)
	check(os.WriteFile(conf, []byte(text), 0o600))
	p := start(o.dir, o.restCPU, "nginx", "-c", conf)
	p.await(ctx, 5*time.Second, "the backend answers", func() bool { return (&requestOptions{}).answers(o.backend, "backend.bench") })
	return p.stop
}

// launch starts a proxy, which has to be stopped, and waits until it answers and has settled.
// It is nil for one that is not installed, which is said once.
func (o *requestOptions) launch(ctx context.Context, name string, n int, results map[string]*result) (p *process, dir, address string) {
	dir = filepath.Join(o.dir, fmt.Sprintf("%s-%d", name, n))
	check(os.MkdirAll(dir, 0o700))
	address = freeAddress()
	if results[name] == nil {
		results[name] = &result{}
	}
	args, version, err := configure(name, o.binary, dir, address, o.backend, n, o.tlsPair())
	if o.tunnels {
		args, version, err = configureTCP(name, o.binary, dir, address, o.backend)
	}
	if errors.Is(err, exec.ErrNotFound) {
		if results[name].version == "" {
			fmt.Printf("!!! %s is not installed, and left out\n", name)
			results[name].version = "not installed"
		}
		return nil, "", ""
	}
	check(err)
	results[name].version = version
	p = start(dir, o.proxyCPU, args...)
	ready := func(host string) bool { return o.answers(address, host) }
	if o.tunnels || o.bytes {
		ready = func(string) bool { return echoes(address, o.tunnels) }
	}
	for _, host := range []string{hostOf(0), hostOf(n - 1)} {
		p.await(ctx, time.Minute, "it answers for "+host, func() bool { return ready(host) })
	}
	time.Sleep(settle)
	return p, dir, address
}

// turn measures one proxy once.
func (o *requestOptions) turn(ctx context.Context, name string, n int, results map[string]*result) {
	p, dir, address := o.launch(ctx, name, n, results)
	if p == nil {
		return
	}
	defer p.stop()
	ask := o.wrk
	if o.shape.h2 {
		ask = o.h2load
	}
	ask(ctx, dir, address, n, time.Second) // warm up
	before := p.cpu()
	requests, rate, p99 := ask(ctx, dir, address, n, o.duration)
	used := p.cpu() - before
	if requests == 0 {
		check(fmt.Errorf("%s: no request was answered whole within %s", name, o.duration))
	}
	r := results[name]
	r.cpu = append(r.cpu, float64(used.Microseconds())/float64(requests))
	r.rate = append(r.rate, rate)
	r.p99 = append(r.p99, p99)
}

// hostOf is the host name of a route.
func hostOf(i int) string { return fmt.Sprintf("s%d.bench", i) }

// open is how many connections ask at once: few for large bodies, which take long enough.
func (o *requestOptions) open() int {
	if o.shape.answer >= 1<<20 {
		return min(o.connections, 4)
	}
	return o.connections
}

// tlsPair is the key pair of the listener; nil for one in clear.
func (o *requestOptions) tlsPair() *keyPair {
	if !o.shape.tls {
		return nil
	}
	return &o.pair
}

// answers reports whether a request is answered with 200.
func (o *requestOptions) answers(address, host string) bool {
	req := &http.Request{URL: &url.URL{Scheme: o.shape.scheme(), Host: address, Path: "/"}, Host: host}
	insecure := &tls.Config{InsecureSkipVerify: true, ServerName: host} //nolint:gosec // its own certificate, on loopback
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: insecure}}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func freeAddress() string {
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	defer ln.Close()
	return ln.Addr().String()
}

// maxHosts bounds how many different hosts wrk asks for, spread over all routes.
const maxHosts = 100

// wrk runs wrk and reads what it prints. An answer that is not 200, or a broken
// connection, is an error: it would not measure what it says.
func (o *requestOptions) wrk(ctx context.Context, dir, address string, n int, d time.Duration) (requests int, rate float64, p99 string) {
	var hosts []string
	for i := range min(n, maxHosts) {
		hosts = append(hosts, strconv.Quote(hostOf(i*n/min(n, maxHosts))))
	}
	script := filepath.Join(dir, "hosts.lua")
	method, headers := "GET", ""
	if o.shape.post > 0 {
		method = "POST"
	}
	if o.shape.fresh {
		headers = `, ["Connection"] = "close"`
	}
	text := "local hosts = {" + strings.Join(hosts, ",") + `}
local requests, i = {}, 0
init = function(args)
  local body = ` + fmt.Sprintf("%d > 0 and string.rep('x', %d) or nil", o.shape.post, o.shape.post) + `
  for k, host in ipairs(hosts) do requests[k] = wrk.format("` + method + `", "` + o.shape.path + `", {["Host"] = host` + headers + `}, body) end
end
request = function()
  i = i % #requests + 1
  return requests[i]
end
`
	check(os.WriteFile(script, []byte(text), 0o600))
	args := []string{"wrk", "-t1", "-c" + strconv.Itoa(o.open()), "-d" + strconv.Itoa(int(d.Seconds())) + "s", "--latency", "-s", script, o.shape.scheme() + "://" + address + "/"}
	args = pinned(o.restCPU, args)
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	raw, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput() //nolint:gosec // our own arguments
	out := string(raw)
	if err != nil {
		check(fmt.Errorf("wrk: %w: %s", err, out))
	}
	if strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
		check(fmt.Errorf("not every request was answered with 200:\n%s", out))
	}
	field := func(pattern string) string { return said("wrk", out, pattern) }
	requests = must(strconv.Atoi(field(`(\d+) requests in`)))
	rate = must(strconv.ParseFloat(field(`Requests/sec:\s+([\d.]+)`), 64))
	return requests, rate, field(`(?m)^\s+99%\s+(\S+)`)
}

// said is what a program has printed where a pattern has its group.
func said(program, out, pattern string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		check(fmt.Errorf("%s has not said %s:\n%s", program, pattern, out))
	}
	return m[1]
}

// h2load asks over HTTP/2 for one host after the other, and reads what it prints.
func (o *requestOptions) h2load(ctx context.Context, dir, address string, n int, d time.Duration) (requests int, rate float64, p99 string) {
	urls := filepath.Join(dir, "urls")
	var list strings.Builder
	for i := range min(n, maxHosts) {
		fmt.Fprintf(&list, "https://%s%s\n", hostOf(i*n/min(n, maxHosts)), o.shape.path)
	}
	check(os.WriteFile(urls, []byte(list.String()), 0o600))
	args := []string{
		"h2load", "-t1", "-c" + strconv.Itoa(o.open()), "-m1", "-D" + strconv.Itoa(int(d.Seconds())), "--connect-to=" + address, "-i", urls,
	}
	args = pinned(o.restCPU, args)
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	raw, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput() //nolint:gosec // our own arguments
	out := string(raw)
	if err != nil {
		check(fmt.Errorf("h2load: %w: %s", err, out))
	}
	field := func(pattern string) string { return said("h2load", out, pattern) }
	if field(`(\d+) errored`) != "0" || field(`(\d+) failed`) != "0" || !strings.Contains(out, "Application protocol: h2") {
		check(fmt.Errorf("not every request was answered over HTTP/2:\n%s", out))
	}
	requests = must(strconv.Atoi(field(`status codes: (\d+) 2xx`)))
	return requests, must(strconv.ParseFloat(field(`finished in .*?, ([\d.]+) req/s`), 64)), field(`time for request:\s+\S+\s+(\S+)`)
}

// report prints the table. The smallest of the rounds is the figure, since noise
// only ever adds; the range says how much noise there was.
func report(o requestOptions, n int, results map[string]*result) {
	fmt.Printf("\n%s, %d route(s); %d connections, %d rounds of %s; CPU time of the proxy, user and system\n\n", o.shape.name, n, o.open(), o.rounds, o.duration)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "proxy\tversion\tCPU µs/request\trange\t%s / it\trequests/s\tp99\n", o.proxies[0])
	for _, name := range o.proxies {
		r := results[name]
		if r == nil || len(r.cpu) == 0 {
			fmt.Fprintf(w, "%s\tnot measured\n", name)
			continue
		}
		ratio := "-"
		if f := results[o.proxies[0]]; f != nil && len(f.cpu) > 0 {
			ratio = fmt.Sprintf("%.2f", slices.Min(f.cpu)/slices.Min(r.cpu))
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f-%.1f\t%s\t%.0f\t%s\n", name, r.version,
			slices.Min(r.cpu), slices.Min(r.cpu), slices.Max(r.cpu), ratio, slices.Max(r.rate), r.p99[len(r.p99)-1])
	}
	_ = w.Flush()
}
