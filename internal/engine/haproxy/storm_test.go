package haproxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// load asks for hosts at a steady rate, with new and kept connections, in clear and
// by TLS, GET and POST, and counts what fails.
type load struct {
	site    *site
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	clients []*http.Client
	slots   chan struct{}
	addrs   map[string]string // of listeners: they stay

	mu    sync.RWMutex
	hosts []*loadedHost

	sent, failed atomic.Int64
	first        sync.Map // what failed, a few of them
}

// loadedHost is a host that is asked for until it leaves.
type loadedHost struct {
	name string
	mu   sync.RWMutex
	gone bool
}

// startLoad asks for rate hosts a second.
func startLoad(s *site, rate int, https bool) *load {
	l := &load{site: s, slots: make(chan struct{}, 64), addrs: map[string]string{}}
	for _, listener := range s.listeners {
		l.addrs[listener.Name] = s.engine.Addr(listener.Name).String()
	}
	for i := range 4 {
		transport := &http.Transport{
			MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second, DisableKeepAlives: i%2 == 1,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // which certificate is another question
		}
		l.clients = append(l.clients, &http.Client{Transport: transport, Timeout: 20 * time.Second})
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.wg.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case l.slots <- struct{}{}:
			default:
				continue // the machine does not keep up
			}
			l.wg.Go(func() {
				defer func() { <-l.slots }()
				l.one(n, https)
			})
		}
	})
	return l
}

// one asks once. Every third request is a POST, of which nobody may send twice.
func (l *load) one(n int, https bool) {
	l.mu.RLock()
	if len(l.hosts) == 0 {
		l.mu.RUnlock()
		return
	}
	host := l.hosts[rand.IntN(len(l.hosts))] //nolint:gosec // a test
	l.mu.RUnlock()
	host.mu.RLock()
	defer host.mu.RUnlock()
	if host.gone {
		return
	}
	method, body := http.MethodGet, []byte(nil)
	if n%3 == 0 {
		method, body = http.MethodPost, bytes.Repeat([]byte("x"), 100)
	}
	scheme, listener := "http", "http"
	if https && n%5 == 0 {
		scheme, listener = "https", "https"
	}
	req, err := http.NewRequestWithContext(context.Background(), method, scheme+"://"+l.addrs[listener]+"/", bytes.NewReader(body))
	if err != nil {
		l.fail(err.Error())
		return
	}
	// Without GetBody the client cannot repeat a POST behind our back.
	req.Host, req.GetBody = host.name, nil
	l.sent.Add(1)
	resp, err := l.clients[n%len(l.clients)].Do(req)
	if err != nil {
		l.fail(fmt.Sprintf("%s %s: %v", method, host.name, err))
		return
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		l.fail(fmt.Sprintf("%s %s: status %d %s %.100q, %v", method, host.name, resp.StatusCode, resp.Header.Get("X-Fairway-Error"), body, err))
	}
}

func (l *load) fail(why string) {
	if l.failed.Add(1) <= 10 {
		l.first.Store(why, true)
	}
}

// join has a host asked for that is served.
func (l *load) join(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = append(l.hosts, &loadedHost{name: name})
}

// leave returns when nobody asks for a host any more.
func (l *load) leave(name string) {
	l.mu.Lock()
	i := slices.IndexFunc(l.hosts, func(h *loadedHost) bool { return h.name == name })
	host := l.hosts[i]
	l.hosts = slices.Delete(l.hosts, i, i+1)
	l.mu.Unlock()
	host.mu.Lock()
	host.gone = true
	host.mu.Unlock()
}

// stop ends the load and demands that nothing has failed.
func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.wg.Wait()
	for _, c := range l.clients {
		c.CloseIdleConnections()
	}
	t.Logf("%d requests, %d failed", l.sent.Load(), l.failed.Load())
	if l.failed.Load() > 0 {
		l.first.Range(func(why, _ any) bool { t.Error(why); return true })
	}
}

// stormSite serves hosts of twelve endpoints, in clear and by TLS.
func stormSite(t *testing.T) (*site, []string, []route.Certificate) {
	s := newSite(t, Options{Logger: quiet(t)})
	var addrs []string
	for i := range 12 {
		addrs = append(addrs, startEndpoint(t, fmt.Sprint("endpoint ", i)))
	}
	var certs []route.Certificate
	for i := range 4 {
		certs = append(certs, writeCertificate(t, t.TempDir(), fmt.Sprintf("s%d.example", i)))
	}
	s.listeners = append(s.listeners, route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true, Certificates: certs[:1]})
	for i := range 4 {
		s.serve(fmt.Sprintf("s%d.example", i), addrs[3*i:3*i+3]...)
	}
	s.apply()
	return s, addrs, certs
}

// event makes one change and applies it.
func (s *site) event(n int, l *load, addrs []string, certs []route.Certificate) string {
	s.t.Helper()
	host := fmt.Sprintf("s%d.example", n%4)
	some := func(k int) []string {
		list := slices.Clone(addrs)
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] }) //nolint:gosec // a test
		return list[:k]
	}
	extra := fmt.Sprintf("x%d.example", n%7)
	switch n % 5 {
	case 0:
		s.serve(host, some(1+n%5)...)
		s.apply()
		return "scale"
	case 1:
		if s.routes[extra] != nil {
			l.leave(extra)
			s.remove(extra)
			s.apply()
			return "remove"
		}
		s.serve(extra, some(2)...)
		s.apply()
		l.join(extra)
		return "add"
	case 2:
		b := *s.backends[host]
		b.Endpoints = slices.Clone(b.Endpoints)
		for i := range b.Endpoints {
			b.Endpoints[i].Weight = 1 + (n+i)%256
		}
		s.backends[host] = &b
		s.apply()
		return "weight"
	case 3:
		s.listeners = slices.Clone(s.listeners)
		s.listeners[1].Certificates = append([]route.Certificate{certs[0]}, certs[1+n%3])
		s.apply()
		return "certificate"
	default:
		s.serve(host, some(3)...)
		s.backends[host].Endpoints[n%3].State = route.EndpointDraining
		s.apply()
		return "drain"
	}
}

// TestStorm changes everything that needs no reload under load: no request fails,
// and nothing is reloaded. FAIRWAY_SOAK makes 10,000 changes.
func TestStorm(t *testing.T) {
	events := 100
	if long() {
		events = 10_000
	}
	s, addrs, certs := stormSite(t)
	l := startLoad(s, 300, true)
	for i := range 4 {
		l.join(fmt.Sprintf("s%d.example", i))
	}
	took := map[string][]time.Duration{}
	for n := range events {
		begun := time.Now()
		what := s.event(n, l, addrs, certs)
		took[what] = append(took[what], time.Since(begun))
		time.Sleep(5 * time.Millisecond) // a change is not an endless loop
	}
	l.stop(t)
	var all []time.Duration
	for _, what := range slices.Sorted(maps.Keys(took)) {
		t.Logf("%-12s %s", what, percentiles(took[what]))
		all = append(all, took[what]...)
	}
	t.Logf("%-12s %s", "all", percentiles(all))
	s.exact()
	if n := s.reloads(); n != 1 {
		t.Errorf("%d reloads, want none", n-1)
	}
	if n := s.count("fairway_haproxy_verification_failures_total") + s.count("fairway_haproxy_runtime_failures_total"); n != 0 {
		t.Errorf("%v failures of commands", n)
	}
}

// percentiles describes durations, from the change of the table to HAProxy having
// shown that it has it.
func percentiles(list []time.Duration) string {
	slices.Sort(list)
	at := func(p float64) time.Duration { return list[int(p*float64(len(list)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d: p50 %v p90 %v p99 %v max %v", len(list), at(.5), at(.9), at(.99), at(1))
}

// TestReloadsUnderLoad reloads again and again: no request fails, and no old worker
// is left. FAIRWAY_SOAK makes 50 of them.
func TestReloadsUnderLoad(t *testing.T) {
	reloads := 3
	if long() {
		reloads = 50
	}
	s, _, _ := stormSite(t)
	l := startLoad(s, 300, true)
	for i := range 4 {
		l.join(fmt.Sprintf("s%d.example", i))
	}
	var took []time.Duration
	for range reloads {
		begun := time.Now()
		if err := s.engine.reloadAnyway(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begun))
		time.Sleep(100 * time.Millisecond)
	}
	l.stop(t)
	t.Logf("reloads %s", percentiles(took))
	if n := s.reloads(); n != reloads+1 {
		t.Errorf("%d reloads, want %d", n-1, reloads)
	}
	testkit.Eventually(t, "the end of old workers", func() bool { return s.count("fairway_haproxy_old_workers") == 0 })
	s.exact()
}

// TestKillsInStorm kills HAProxy's master or its worker at random moments of a storm
// of changes. Within five seconds HAProxy has the exact table again. FAIRWAY_SOAK
// does it 100 times.
func TestKillsInStorm(t *testing.T) {
	kills := 6
	if long() {
		kills = 100
	}
	s, addrs, certs := stormSite(t)
	l := &load{site: s} // its book of hosts: nobody asks while things die
	r := seed(t)
	var took []time.Duration
	n := 0
	for i := range kills {
		master, worker := s.processes()
		pid := []int{master, worker}[i%2]
		after := time.Duration(r.IntN(40)) * time.Millisecond
		killed := make(chan time.Time, 1)
		time.AfterFunc(after, func() {
			killed <- time.Now()
			_ = syscall.Kill(pid, syscall.SIGKILL)
		})
		for begun := time.Now(); time.Since(begun) < after+20*time.Millisecond; n++ {
			s.event(n, l, addrs, certs) // HAProxy may be started anew in the middle of it
		}
		testkit.Eventually(t, "HAProxy is back", func() bool {
			now, _ := s.processes()
			return now != 0 && now != master && len(s.differences()) == 0
		})

		took = append(took, time.Since(<-killed))
	}
	if slices.Max(took) > 5*time.Second {
		t.Errorf("HAProxy was away for %v", slices.Max(took))
	}
	t.Logf("%d kills in %d changes: back after %s", kills, n, percentiles(took))
	for i := range 4 {
		if status, _ := s.get(fmt.Sprintf("s%d.example", i)); status != http.StatusOK {
			t.Errorf("s%d.example is answered with %d", i, status)
		}
	}
}

// childDir is the environment variable that makes TestStormChild a storm in the
// directory that it names, for TestEngineKilled to kill.
const (
	childDir      = "FAIRWAY_TEST_CHILD"
	childEndpoint = "FAIRWAY_TEST_ENDPOINT"
	childPair     = "FAIRWAY_TEST_PAIR"
)

// TestStormChild is not a test of its own.
func TestStormChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("is a part of TestEngineKilled")
	}
	s := newSite(t, Options{Dir: dir, Logger: quiet(t)})
	pair := os.Getenv(childPair)
	c := &changes{site: s, r: seed(t), pairs: []route.Certificate{{CertFile: pair, KeyFile: filepath.Join(filepath.Dir(pair), "key.pem")}}}
	for i := range 5 {
		c.pairs = append(c.pairs, writeCertificate(t, t.TempDir(), fmt.Sprintf("h%d.example.com", i)))
	}
	s.listeners = append(s.listeners, route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true, Certificates: c.pairs[:1]})
	s.serve("stable.example", os.Getenv(childEndpoint))
	s.apply()
	fmt.Println("begun")
	for {
		c.change()
		s.apply()
	}
}

// TestEngineKilled kills the process of the engine at random moments of a storm of
// changes. The next one brings HAProxy to its own table, read back within five
// seconds, and no client notices. FAIRWAY_SOAK does it 100 times.
func TestEngineKilled(t *testing.T) {
	kills := 3
	if long() {
		kills = 100
	}
	s := newSite(t, Options{Logger: quiet(t)})
	endpoint := startEndpoint(t, "stable")
	pair := writeCertificate(t, t.TempDir(), "a.example")
	s.listeners = append(s.listeners, route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true, Certificates: []route.Certificate{pair}})
	s.serve("stable.example", endpoint)
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	l := startLoad(s, 100, false)
	l.join("stable.example")
	r := seed(t)
	var took []time.Duration
	reloads := 0
	for range kills {
		if err := s.engine.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		stormAndKill(t, s.options.Dir, endpoint, pair.CertFile, time.Duration(r.IntN(300))*time.Millisecond)
		begun := time.Now()
		s.start()
		s.apply()
		testkit.Eventually(t, "the table of the next engine", func() bool { return len(s.differences()) == 0 })
		took = append(took, time.Since(begun))
		reloads += s.reloads()
		s.answers("a.example", "a")
	}
	l.stop(t)
	t.Logf("%d kills: exact after %s, %d reloads by the engines after", kills, percentiles(took), reloads)
}

// stormAndKill runs TestStormChild in a process of its own and kills it.
func stormAndKill(t *testing.T, dir, endpoint, pair string, after time.Duration) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestStormChild$", "-test.v") //nolint:gosec // ourselves
	child.Env = append(os.Environ(), childDir+"="+dir, childEndpoint+"="+endpoint, childPair+"="+pair)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	begun := false
	for !begun && lines.Scan() {
		begun = lines.Text() == "begun"
		if !begun {
			t.Log(lines.Text())
		}
	}
	if !begun {
		t.Fatal("the storm has not begun")
	}
	time.Sleep(after)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = child.Wait()
}
