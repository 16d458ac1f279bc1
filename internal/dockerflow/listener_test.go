package dockerflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/catalog"
	"fairway/internal/testkit"
)

func replicas(n int) *int { return &n }

// demo is the service of the original's documentation.
func demo(change func(*catalog.Service)) *catalog.Service {
	s := &catalog.Service{
		ID: "go-demo@swarm", Name: "go-demo", Source: "swarm", Replicas: replicas(3),
		Labels: map[string]string{"com.df.notify": "true", "com.df.servicePath": "/demo", "com.df.port": "8080", "other": "x"},
	}
	if change != nil {
		change(s)
	}
	return s
}

func node(change func(*catalog.Node)) *catalog.Node {
	n := &catalog.Node{
		ID: "n1", Name: "swarm-1", Source: "swarm", State: "ready", Role: "manager", Availability: "active", Address: "10.0.0.1", Version: 7,
		EngineLabels: map[string]string{"com.df.rack": "1", "com.df.zone": "a b"}, Labels: map[string]string{"com.df.rack": "2", "x": "y"},
	}
	if change != nil {
		change(n)
	}
	return n
}

func label(s *catalog.Service, key, value string) {
	s.Labels[key] = value
}

// What is told of a service when it comes and when it goes, byte for byte. The
// numbers are those of the acceptance cases of docs/docker-flow.md.
func TestNotificationTexts(t *testing.T) {
	for _, tt := range []struct {
		name           string
		a              Announcing
		change         func(*catalog.Service)
		create, remove string
	}{
		{
			"77 the example",
			Announcing{},
			nil,
			"distribute=true&port=8080&replicas=3&serviceName=go-demo&servicePath=%2Fdemo",
			"distribute=true&port=8080&serviceName=go-demo&servicePath=%2Fdemo",
		},
		{
			"78 global",
			Announcing{},
			func(s *catalog.Service) { s.Replicas = nil },
			"distribute=true&port=8080&serviceName=go-demo&servicePath=%2Fdemo",
			"distribute=true&port=8080&serviceName=go-demo&servicePath=%2Fdemo",
		},
		{
			"78 short name",
			Announcing{},
			func(s *catalog.Service) {
				s.Name = "books_go-demo"
				label(s, "com.df.shortName", "true")
				label(s, stackLabel, "books")
			},
			"distribute=true&port=8080&replicas=3&serviceName=go-demo&servicePath=%2Fdemo&shortName=true",
			"distribute=true&port=8080&serviceName=go-demo&servicePath=%2Fdemo&shortName=true",
		},
		{
			"78 prefix",
			Announcing{NamePrefix: "dev"},
			nil,
			"distribute=true&port=8080&replicas=3&serviceName=dev_go-demo&servicePath=%2Fdemo",
			"distribute=true&port=8080&serviceName=dev_go-demo&servicePath=%2Fdemo",
		},
		{
			"78 another label",
			Announcing{Label: "com.df.tell"},
			func(s *catalog.Service) { label(s, "com.df.tell", "TRUE") },
			"distribute=true&notify=true&port=8080&replicas=3&serviceName=go-demo&servicePath=%2Fdemo",
			"distribute=true&notify=true&port=8080&serviceName=go-demo&servicePath=%2Fdemo",
		},
		{
			"labels that say what is fact",
			Announcing{},
			func(s *catalog.Service) {
				label(s, "com.df.distribute", "false")
				label(s, "com.df.replicas", "9")
				label(s, "com.df.serviceName", "x")
				label(s, "com.df.port.1", "a b&c=d/é+")
			},
			"distribute=false&port=8080&port.1=a+b%26c%3Dd%2F%C3%A9%2B&replicas=3&serviceName=go-demo&servicePath=%2Fdemo",
			"distribute=false&port=8080&port.1=a+b%26c%3Dd%2F%C3%A9%2B&serviceName=go-demo&servicePath=%2Fdemo",
		},
		{
			"nodes",
			Announcing{NodeInfo: true},
			func(s *catalog.Service) {
				label(s, "com.df.scrapeNetwork", "monitor")
				addresses := []catalog.Address{{Host: "10.0.1.2", Network: "main"}, {Host: "10.0.2.2", Network: "monitor"}}
				s.Instances = []*catalog.Instance{{Node: "n1", State: catalog.StateReady, Addresses: addresses}, {Node: "n1", State: catalog.StateStarting, Addresses: addresses}}
			},
			"distribute=true&nodeInfo=%5B%5B%22swarm-1%22%2C%2210.0.2.2%22%2C%22n1%22%5D%5D&port=8080&replicas=3&scrapeNetwork=monitor&serviceName=go-demo&servicePath=%2Fdemo",
			"distribute=true&port=8080&scrapeNetwork=monitor&serviceName=go-demo&servicePath=%2Fdemo",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nodes := []*catalog.Node{node(nil)}
			there := &catalog.Snapshot{Services: []*catalog.Service{demo(tt.change)}, Nodes: nodes}
			away := &catalog.Snapshot{Nodes: nodes}
			got := append(tt.a.events(away, there), tt.a.events(there, away)...)
			want := []event{{"service go-demo@swarm", false, false, tt.create}, {"service go-demo@swarm", false, true, tt.remove}}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(event{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Cases 79, 80 and 84: what follows from which change.
func TestEvents(t *testing.T) {
	snapshot := func(n *catalog.Node, services ...*catalog.Service) *catalog.Snapshot {
		s := &catalog.Snapshot{Services: services}
		if n != nil {
			s.Nodes = []*catalog.Node{n}
		}
		return s
	}
	same := snapshot(node(nil), demo(nil))
	const (
		create, remove         = "+service go-demo@swarm", "-service go-demo@swarm"
		createNode, removeNode = "+node n1", "-node n1"
	)
	for _, tt := range []struct {
		name          string
		before, after *catalog.Snapshot
		want          []string
	}{
		{"start", nil, same, []string{createNode, create}},
		{"nothing", same, snapshot(node(nil), demo(nil)), nil},
		{"label", same, snapshot(node(nil), demo(func(s *catalog.Service) { label(s, "com.df.port", "81") })), []string{create}},
		{"foreign label", same, snapshot(node(nil), demo(func(s *catalog.Service) { label(s, "other", "y") })), nil},
		{"replicas", same, snapshot(node(nil), demo(func(s *catalog.Service) { s.Replicas = replicas(4) })), []string{create}},
		{"image", same, snapshot(node(nil), demo(func(s *catalog.Service) { s.Image = "demo:2" })), []string{create}},
		{"instances", same, snapshot(node(nil), demo(func(s *catalog.Service) { s.Instances = []*catalog.Instance{{ID: "t"}} })), nil},
		{"removed", same, snapshot(node(nil)), []string{remove}},
		{"label says false", same, snapshot(node(nil), demo(func(s *catalog.Service) { label(s, "com.df.notify", "false") })), []string{remove}},
		{"label is gone", same, snapshot(node(nil), demo(func(s *catalog.Service) { delete(s.Labels, "com.df.notify") })), []string{remove}},
		{"posted", nil, snapshot(nil, demo(func(s *catalog.Service) { s.Source = Source })), nil},
		{"node drained", same, snapshot(node(func(n *catalog.Node) { n.Availability = "drain" }), demo(nil)), []string{createNode, create}},
		{"node labelled", same, snapshot(node(func(n *catalog.Node) { n.Labels = nil; n.Version = 8 }), demo(nil)), []string{createNode, create}},
		{"node down", same, snapshot(node(func(n *catalog.Node) { n.State = "down" }), demo(nil)), []string{removeNode, create}},
		{"node gone", same, snapshot(nil, demo(nil)), []string{removeNode, create}},
		{"plain engine", nil, snapshot(&catalog.Node{ID: "docker", State: "ready"}), nil},
	} {
		var got []string
		for _, e := range (Announcing{}).events(tt.before, tt.after) {
			sign := "+"
			if e.remove {
				sign = "-"
			}
			got = append(got, sign+e.object)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// running starts the listener's face on a feed.
func running(t *testing.T, feed *catalog.Feed, change func(*ListenerOptions)) *Listener {
	t.Helper()
	o := ListenerOptions{Catalogue: feed, RetryInterval: time.Millisecond, ShownLabel: shownLabel}
	change(&o)
	l, err := NewListener(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestConversation records everything that a proxy and a monitor hear while a
// Swarm changes, byte for byte (cases 77, 79, 80, 83, 84).
func TestConversation(t *testing.T) {
	proxy, monitor := newReceiver(t, func(_ int, r *http.Request) int { return 409 - 209*strings.Count(r.URL.Path, "remove") }), newReceiver(t, nil)
	feed := &catalog.Feed{}
	const dfp, dfm = "/v1/docker-flow-proxy/", "/v1/docker-flow-monitor/"
	running(t, feed, func(o *ListenerOptions) {
		o.CreateService = []Receiver{{URL: proxy.URL + dfp + "reconfigure"}, {URL: monitor.URL + dfm + "reconfigure?key=a%20b", Method: "POST"}, {URL: monitor.URL + "/second"}}
		o.RemoveService = []Receiver{{URL: proxy.URL + dfp + "remove"}}
		o.CreateNode = []Receiver{{URL: monitor.URL + dfm + "node/reconfigure"}}
		o.RemoveNode = []Receiver{{URL: monitor.URL + dfm + "node/remove"}}
	})
	revision := uint64(0)
	step := func(s *catalog.Snapshot, wantProxy, wantMonitor []string) {
		t.Helper()
		heardProxy, heardMonitor := len(proxy.got()), len(monitor.got())
		revision++
		s.Revision = revision
		feed.Publish(s)
		testkit.Eventually(t, "the calls", func() bool {
			return len(proxy.got()) >= heardProxy+len(wantProxy) && len(monitor.got()) >= heardMonitor+len(wantMonitor)
		})
		gotMonitor := monitor.got()[heardMonitor:]
		slices.Sort(gotMonitor)
		if diff := cmp.Diff(wantProxy, append([]string(nil), proxy.got()[heardProxy:]...)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(wantMonitor, append([]string(nil), gotMonitor...)); diff != "" {
			t.Error(diff)
		}
	}
	const params = "distribute=true&port=8080&replicas=3&serviceName=go-demo&servicePath=%2Fdemo"
	created := []string{"GET " + dfp + "reconfigure?" + params}
	both := []string{"GET /second?" + params, "POST " + dfm + "reconfigure?key=a%20b&" + params}
	const nodeParams = "address=10.0.0.1&availability=active&hostname=swarm-1&id=n1&rack=2&role=manager&state=ready&versionIndex=7&zone=a+b"

	step(&catalog.Snapshot{Services: []*catalog.Service{demo(nil)}}, created, both)
	step(&catalog.Snapshot{Services: []*catalog.Service{demo(func(s *catalog.Service) { s.Replicas = replicas(1) })}},
		[]string{strings.Replace(created[0], "replicas=3", "replicas=1", 1)},
		[]string{strings.Replace(both[0], "replicas=3", "replicas=1", 1), strings.Replace(both[1], "replicas=3", "replicas=1", 1)})
	step(&catalog.Snapshot{Services: []*catalog.Service{demo(nil)}, Nodes: []*catalog.Node{node(nil)}},
		created, append([]string{both[0], "GET " + dfm + "node/reconfigure?" + nodeParams}, both[1]))
	step(&catalog.Snapshot{Services: []*catalog.Service{demo(nil)}},
		created, append([]string{both[0], "GET " + dfm + "node/remove?address=10.0.0.1&hostname=swarm-1&id=n1"}, both[1]))
	step(&catalog.Snapshot{}, []string{"GET " + dfp + "remove?distribute=true&port=8080&serviceName=go-demo&servicePath=%2Fdemo"}, nil)
}

// Case 81.
func TestRetries(t *testing.T) {
	for _, tt := range []struct {
		name    string
		retries int
		remove  bool
		codes   []int // the last one repeats
		calls   int
	}{
		{"until it works", 5, false, []int{500, 500, 200}, 3},
		{"409 is taken for create", 5, false, []int{409}, 1},
		{"409 is not taken for remove", 2, true, []int{409}, 3},
		{"bounded", 2, false, []int{500}, 3},
		{"not at all", -1, false, []int{500}, 1},
		{"other successes are none", 1, false, []int{204}, 2},
		{"redirects to nowhere are none", 1, false, []int{302}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReceiver(t, func(n int, _ *http.Request) int { return tt.codes[min(n, len(tt.codes)-1)] })
			c := testListener(max(0, tt.retries), time.Second)
			c.sendNow(t, event{object: "a", remove: tt.remove}, Receiver{URL: r.URL})
			c.running.Wait()
			if len(r.got()) != tt.calls {
				t.Errorf("%d calls, want %d", len(r.got()), tt.calls)
			}
			if len(c.newestOf) != 0 {
				t.Error("deliveries are left")
			}
		})
	}
}

func testListener(retries int, deadline time.Duration) *Listener {
	l, err := NewListener(ListenerOptions{Catalogue: &catalog.Feed{}, RetryInterval: time.Millisecond, Deadline: deadline})
	if err != nil {
		panic(err)
	}
	l.o.Retries = retries
	return l
}

func (l *Listener) sendNow(t *testing.T, e event, receivers ...Receiver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.send(t.Context(), e, receivers)
}

// Case 81: who hangs costs a deadline, and nobody else anything.
func TestHangingReceiver(t *testing.T) {
	hanging := newReceiver(t, func(_ int, r *http.Request) int { <-r.Context().Done(); return 200 })
	good := newReceiver(t, nil)
	c := testListener(1, 50*time.Millisecond)
	c.sendNow(t, event{object: "a"}, Receiver{URL: hanging.URL}, Receiver{URL: good.URL})
	c.running.Wait()
	if len(hanging.got()) != 2 || len(good.got()) != 1 {
		t.Errorf("%d and %d calls, want 2 and 1", len(hanging.got()), len(good.got()))
	}
}

// Case 82: the newer event about an object ends the older one; events about others
// go on.
func TestNewestWins(t *testing.T) {
	entered := make(chan struct{}, 10)
	r := newReceiver(t, func(n int, r *http.Request) int {
		if strings.Contains(r.URL.RawQuery, "old") {
			entered <- struct{}{}
			<-r.Context().Done()
		}
		return 200
	})
	c := testListener(100, time.Minute)
	to := Receiver{URL: r.URL}
	c.sendNow(t, event{object: "a", query: "old=create"}, to)
	<-entered
	c.sendNow(t, event{object: "b", query: "other=1"}, to)
	c.sendNow(t, event{object: "a", query: "new=remove", remove: true}, to)
	c.running.Wait()
	got := r.got()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"GET /?new=remove", "GET /?old=create", "GET /?other=1"}, got); diff != "" {
		t.Error(diff)
	}
}

// Case 86.
func TestListenerAnswers(t *testing.T) {
	feed := &catalog.Feed{}
	ready := []*catalog.Instance{{State: catalog.StateReady}}
	feed.Publish(&catalog.Snapshot{Revision: 1, Nodes: []*catalog.Node{node(nil)}, Services: []*catalog.Service{
		demo(func(s *catalog.Service) { s.Replicas, s.Instances = replicas(1), ready }),
		demo(func(s *catalog.Service) { s.ID, s.Instances = "starting", ready }), // one of three
		demo(func(s *catalog.Service) { s.ID, s.Instances = "silent", ready; delete(s.Labels, "com.df.notify") }),
	}})
	r := newReceiver(t, nil)
	l := running(t, feed, func(o *ListenerOptions) { o.CreateService = []Receiver{{URL: r.URL}} })
	testkit.Eventually(t, "the first calls", func() bool { return len(r.got()) == 2 })
	for path, want := range map[string]string{
		"ping":         `{"Status":"OK"}`,
		"get-services": `[{"distribute":"true","port":"8080","replicas":"1","serviceName":"go-demo","servicePath":"/demo"}]`,
		"get-nodes":    `[{"address":"10.0.0.1","availability":"active","hostname":"swarm-1","id":"n1","rack":"2","role":"manager","state":"ready","versionIndex":"7","zone":"a b"}]`,
	} {
		if got := ask(t, l, "GET", listenerPath+path, ""); got.code != 200 || strings.TrimSpace(got.body) != want {
			t.Errorf("%s: %d %s", path, got.code, got.body)
		}
	}
	if got := ask(t, l, "GET", listenerPath+"notify-services", ""); got.code != 200 || got.Status != "OK" {
		t.Errorf("%d %s", got.code, got.body)
	}
	testkit.Eventually(t, "everything again", func() bool { return len(r.got()) == 4 })
	if got := ask(t, l, "GET", "/metrics", ""); !strings.Contains(got.body, `docker_flow_service_count{service="swarm_listener"} 2`) {
		t.Errorf("metrics: %s", got.body)
	}
}

// Before there is a snapshot there is nothing to tell, and no fault either.
func TestListenerBeforeTheFirstSnapshot(t *testing.T) {
	l, err := NewListener(ListenerOptions{Catalogue: &catalog.Feed{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"get-services", "get-nodes"} {
		if got := ask(t, l, "GET", listenerPath+path, ""); got.code != 200 || strings.TrimSpace(got.body) != "[]" {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	if got := ask(t, l, "GET", listenerPath+"notify-services", ""); got.code != 200 {
		t.Errorf("%d", got.code)
	}
}

func TestURLsAreShownWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"http://a/b?key=secret": "http://a/b", "http://ann:secret@a:1/b": "http://a:1/b", "http://ann:secret@a": "http://a", "a": "a",
	} {
		if got := shown(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// TestLogsOfCallsHoldNoParameters: what a call carries, passwords and headers of
// services and the key of a receiver, is in no line of the log, however it fails.
func TestLogsOfCallsHoldNoParameters(t *testing.T) {
	const canary = "CANARY"
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	answering := func(answer func(w http.ResponseWriter, r *http.Request)) string {
		server := httptest.NewServer(http.HandlerFunc(answer))
		t.Cleanup(server.Close)
		return server.URL
	}
	for name, address := range map[string]string{
		"nobody":     closed.URL,
		"refusing":   answering(func(w http.ResponseWriter, r *http.Request) { http.Error(w, r.URL.RawQuery, http.StatusBadGateway) }),
		"silent":     answering(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		"hanging up": answering(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		"redirecting": answering(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, closed.URL+"?"+r.URL.RawQuery, http.StatusFound)
		}),
		"misleading": answering(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://[?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusFound)
		}),
		"going round":  answering(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }),
		"no receiver":  "http://[::1/",
		"no scheme":    "ftp://127.0.0.1",
		"not a domain": "http://nobody.invalid.:1",
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			c := testListener(1, time.Millisecond)
			c.o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c.o.Deadline = 200 * time.Millisecond
			c.sendNow(t, event{object: "service shop", query: "users=ann%3A" + canary + "&setReqHeader=X-Key+" + canary}, Receiver{URL: address + "?k=" + canary})
			c.running.Wait()
			if strings.Contains(log.String(), canary) || strings.Count(log.String(), "level=ERROR") != 1 {
				t.Errorf("the log is\n%s", log.String())
			}
		})
	}
}

// TestWhoAsksIsShownNoSecrets: who asks for services gets what is secret only when
// it is one of the receivers, which hear of it anyway.
func TestWhoAsksIsShownNoSecrets(t *testing.T) { synctest.Test(t, whoAsksIsShownNoSecrets) }

func whoAsksIsShownNoSecrets(t *testing.T) {
	feed := &catalog.Feed{}
	feed.Publish(&catalog.Snapshot{
		Revision: 1, Nodes: []*catalog.Node{node(func(n *catalog.Node) { n.Labels["com.df.secret"] = "CANARY" })},
		Services: []*catalog.Service{demo(func(s *catalog.Service) {
			s.Replicas, s.Instances = replicas(1), []*catalog.Instance{{State: catalog.StateReady}}
			label(s, "com.df.setReqHeader", "X-Key CANARY")
		})},
	})
	l, err := NewListener(ListenerOptions{
		Catalogue: feed, ShownLabel: shownLabel, CreateService: []Receiver{{URL: "http://:x@proxy:8080/v1"}, {URL: "http://127.0.0.1:1"}},
		Lookup: func(_ context.Context, host string) ([]string, error) {
			hosts := map[string][]string{"proxy": {"10.0.0.2"}, "tasks.proxy": {"10.0.0.3", "10.0.0.4"}, "127.0.0.1": {"127.0.0.1"}}[host]
			if hosts == nil {
				return nil, errors.New("no such host")
			}
			return hosts, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		peer, forwarded string
		shown           bool
	}{
		{"10.0.0.4:1", "", true},
		{"[::ffff:10.0.0.3]:1", "", true},
		{"10.0.0.9:1", "", false},
		{"10.0.0.4:1", "10.0.0.9", false},
		{"127.0.0.1:1", "", false}, // everybody on this machine
	} {
		for _, path := range []string{"get-services", "get-nodes"} {
			r := httptest.NewRequest("GET", listenerPath+path, nil)
			r.RemoteAddr = tt.peer
			if tt.forwarded != "" {
				r.Header.Set("X-Forwarded-For", tt.forwarded)
			}
			w := httptest.NewRecorder()
			l.ServeHTTP(w, r)
			if w.Code != 200 || strings.Contains(w.Body.String(), "CANARY") != tt.shown {
				t.Errorf("%s to %s: %d %s", path, tt.peer, w.Code, w.Body)
			}
		}
	}
}

// TestPullerThatIsNoReceiver: a puller never takes a mask for the value of a parameter,
// and never serves more than it may: parameters that are not shown are left out, and
// services that they protect, too. The log says so once.
func TestPullerThatIsNoReceiver(t *testing.T) {
	there := func(change func(*catalog.Service)) *catalog.Service {
		return demo(func(s *catalog.Service) {
			s.Replicas, s.Instances = replicas(1), []*catalog.Instance{{State: catalog.StateReady}}
			s.ID = fmt.Sprintf("%d@swarm", time.Now().UnixNano())
			change(s)
		})
	}
	feed := &catalog.Feed{}
	feed.Publish(&catalog.Snapshot{
		Revision: 1, Nodes: []*catalog.Node{node(func(n *catalog.Node) { n.Labels["com.df.secret"] = "CANARY" })},
		Services: []*catalog.Service{
			there(func(s *catalog.Service) { label(s, "com.df.setReqHeader", "X-Key CANARY"); s.Name = "header" }),
			there(func(s *catalog.Service) { label(s, "com.df.users", "ann:CANARY"); s.Name = "users" }),
			there(func(s *catalog.Service) { label(s, "com.df.users", "ann"); s.Name = "names" }),
			there(func(s *catalog.Service) { label(s, "com.df.backendExtra", "http-request deny"); s.Name = "extra" }),
			there(func(s *catalog.Service) { label(s, "com.df.serviceHeader.1", "X-Token:CANARY"); s.Name = "match" }),
		},
	})
	var log bytes.Buffer
	l, err := NewListener(ListenerOptions{
		Catalogue: feed, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		ShownLabel: func(key, value string) string {
			if strings.HasPrefix(key, "com.df.serviceHeader") {
				return "***"
			}
			return shownLabel(key, value)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var services, nodes []map[string]string
	for range 2 {
		for path, into := range map[string]any{"get-services": &services, "get-nodes": &nodes} {
			if err := json.Unmarshal([]byte(ask(t, l, "GET", listenerPath+path, "").body), into); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []map[string]string{
		{"distribute": "true", "port": "8080", "replicas": "1", "serviceName": "header", "servicePath": "/demo"},
		{"distribute": "true", "port": "8080", "replicas": "1", "serviceName": "names", "servicePath": "/demo", "users": "ann"},
	}
	if diff := cmp.Diff(want, services); diff != "" {
		t.Error(diff)
	}
	if _, there := nodes[0]["secret"]; there || nodes[0]["rack"] != "2" {
		t.Errorf("nodes %v", nodes)
	}
	if n := strings.Count(log.String(), "no receiver"); n != 1 {
		t.Errorf("logged %d times: %s", n, &log)
	}
}

// TestCallersCauseFewLookups: callers without credentials cause one round of look-ups
// at a time, and a new address is known to the call that comes from it.
func TestCallersCauseFewLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			mu      sync.Mutex
			hosts   = []string{"10.0.0.2"}
			lookups int
		)
		p := &peers{names: []string{"proxy"}, deadline: time.Second, lookup: func(context.Context, string) ([]string, error) {
			mu.Lock()
			defer mu.Unlock()
			lookups++
			return slices.Clone(hosts), nil
		}}
		from := func(peer string) *http.Request {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = peer + ":1"
			return r
		}
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				if p.has(from("10.0.0.9")) {
					t.Error("a stranger is a peer")
				}
			})
		}
		calls.Wait()
		for range 100 {
			if !p.has(from("10.0.0.2")) {
				t.Error("a peer is none")
			}
		}
		if lookups > 2 {
			t.Errorf("%d look-ups", lookups)
		}
		mu.Lock()
		hosts = append(hosts, "10.0.0.3")
		mu.Unlock()
		if !p.has(from("10.0.0.3")) {
			t.Error("a new peer is none")
		}
	})
}
