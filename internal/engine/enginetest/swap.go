package enginetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// swapCases change the table under way.
func swapCases() []goCase {
	return []goCase{
		{"streams of another route go on", swapStreams},
		{"streams of a changed route go on", swapOwnStreams},
		{"connections of clients go on", swapConnections},
		{"every request sees the old or the new table", swapAtomic},
		{"the same table twice is nothing", swapSame},
		{"a table that cannot be applied leaves the old one", swapRefused},
		{"listeners come and go", swapListeners},
		{"an endpoint moves to another address", swapAddress},
		{"instances that stop at once lose nothing that may be repeated", swapRolling(true)},
		{"instances that stop when they have drained lose nothing", swapRolling(false)},
	}
}

func swapStreams(w *world) {
	words := make(chan string)
	w.serve("e1", events(words, "text/event-stream"))
	w.serve("chat", echo("chat"))
	other := func(i int) string {
		return fmt.Sprintf(`
routes:
  - {id: chat, host: chat.example, to: [chat]}
  - {id: events, host: events.example, to: [e1]}
  - {id: other%d, host: other.example, path: /%d, filters: [{addPrefix: {prefix: /p%d}}], to: [o1, o%d]}
`, i, i, i, i+2)
	}
	w.apply(other(0))
	next := openEvents(w, w.client("http", false), "http://events.example/")
	_, say := openWebSocket(w, w.client("http", false), "ws://chat.example/")
	for i := range 10 {
		w.apply(other(i))
		w.want(w.get(fmt.Sprintf("http://other.example/%d", i)), 200, "")
		word := fmt.Sprint("word ", i)
		w.emit(words, word)
		if got := next(); got != "data: "+word {
			w.Fatalf("after swap %d the events gave %q", i, got)
		}
		if got, err := say(word); err != nil || got != "chat:"+word {
			w.Fatalf("after swap %d the WebSocket gave %q (%v)", i, got, err)
		}
	}
}

// A change to a route is for new requests.
func swapOwnStreams(w *world) {
	words := make(chan string)
	w.serve("e1", events(words, "text/event-stream"))
	w.apply(`routes: [{id: any, to: [e1]}]`)
	next := openEvents(w, w.client("http", false), "http://a.example/")
	for i, table := range []string{
		`routes: [{id: any, to: [e1], priority: 5, filters: [{responseHeaders: {set: [{name: X-A, value: b}]}}]}]`,
		`routes: [{id: any, to: [e1, e2], balance: least-conn, sticky: cookie}]`,
		`routes: [{id: any, host: elsewhere.example, to: [e1, e3]}]`,
		`routes: [{id: any, refused: for now, to: [e1]}]`,
	} {
		w.apply(table)
		word := fmt.Sprint("word ", i)
		w.emit(words, word)
		if got := next(); got != "data: "+word {
			w.Fatalf("after %s the stream gave %q", table, got)
		}
	}
}

func swapConnections(w *world) {
	table := `
tls: [a.example]
routes: [{id: any, path: /%d, to: [e1]}]
`
	w.apply(fmt.Sprintf(table, 0))
	r := w.raw()
	h2 := w.dialTLS("a.example", "h2")
	c := &http.Client{Transport: onConn(h2)}
	for i := range 5 {
		w.apply(fmt.Sprintf(table, i))
		r.send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n", i))
		w.want(readAnswer(r.response("GET")), 200, "e1")
		w.want(w.do(c, http.MethodGet, fmt.Sprintf("https://a.example/%d", i), nil), 200, "e1")
	}
}

// onConn is a transport that has one connection and gets no other.
func onConn(conn net.Conn) *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP2(true)
	t.DialTLSContext = dialer(func() (net.Conn, error) {
		if conn == nil {
			return nil, net.ErrClosed
		}
		c := conn
		conn = nil
		return c, nil
	})
	return t
}

func swapAtomic(w *world) {
	// The two tables share nothing but what they mean for this request.
	tables := []string{
		`routes: [{id: a, host: a.example, path: /x, to: [e1]}]`,
		`routes: [{id: b, host: "*.example", to: [e2]}, {id: c, host: c.example, to: [e3]}]`,
	}
	w.apply(tables[0])
	stop := make(chan struct{})
	failures := make(chan string, 2)
	for range 2 {
		c := w.client("http", false)
		go func() {
			for {
				select {
				case <-stop:
					failures <- ""
					return
				default:
				}
				if e := <-w.begin(c, http.MethodGet, "http://a.example/x", nil).done; e.err != nil || e.StatusCode != 200 {
					failures <- fmt.Sprintf("%v, %v", e.Response, e.err)
					return
				}
			}
		}()
	}
	for i := range 100 {
		w.apply(tables[i%2])
	}
	close(stop)
	for range 2 {
		if failure := receive(w, "the requests end", failures); failure != "" {
			w.Errorf("a request between two tables: %s", failure)
		}
	}
}

func swapSame(w *world) {
	t := w.table(`routes: [{id: any, to: [e1, e2]}]`)
	c := w.client("http", false)
	address := ""
	for i := range 6 {
		if err := w.engine.Apply(w.Context(), t); err != nil {
			w.Fatal(err)
		}
		if got := w.engine.Addr("http").String(); address != "" && got != address {
			w.Errorf("the listener moved from %s to %s", address, got)
		} else {
			address = got
		}
		// Round-robin goes on where it was.
		w.want(w.do(c, http.MethodGet, "http://a.example/", nil), 200, []string{"e1", "e2"}[i%2])
	}
}

func swapRefused(w *world) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	defer taken.Close()
	w.apply(`routes: [{id: any, to: [e1]}]`)
	good := w.table(`routes: [{id: any, to: [e2]}]`)
	bad, err := route.New(good.Revision,
		append([]route.Listener{{Name: "another", Address: taken.Addr().String()}}, good.Listeners...), good.Routes, good.Backends, nil)
	if err != nil {
		w.Fatal(err)
	}
	if err := w.engine.Apply(w.Context(), bad); err == nil {
		w.Error("a table was applied whose address is taken")
	}
	w.want(w.get("http://a.example/"), 200, "e1")
	if err := w.engine.Apply(w.Context(), good); err != nil {
		w.Fatal(err)
	}
	w.want(w.get("http://a.example/"), 200, "e2")
}

func swapListeners(w *world) {
	without := `routes: [{id: any, to: [e1]}]`
	w.apply(without)
	if addr := w.engine.Addr("https"); addr != nil {
		w.Errorf("the listener https is there: %v", addr)
	}
	http1 := w.engine.Addr("http").String()
	w.apply(routeTLS)
	w.want(w.do(w.client("https", false), http.MethodGet, "https://a.example/", nil), 200, "e1")
	if got := w.engine.Addr("http").String(); got != http1 {
		w.Errorf("the listener http moved from %s to %s", http1, got)
	}
	https := w.engine.Addr("https").String()
	// What runs on a listener that goes is finished.
	p := w.begin(w.client("https", false), http.MethodGet, "https://a.example/", nil, "X-Do: delay=200ms; size=50000")
	w.eventually("e1 has the request", func() bool { return w.log.len() == 2 })
	w.apply(without)
	if a := p.end(); a.StatusCode != 200 || len(a.body) != 50000 {
		w.Errorf("what ran got %d with %d bytes", a.StatusCode, len(a.body))
	}
	w.eventually("the listener https is closed", func() bool {
		conn, err := net.DialTimeout("tcp", https, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	w.want(w.get("http://a.example/"), 200, "e1")
}

// The same endpoint ID with another address is another endpoint.
func swapAddress(w *world) {
	table := w.table(`routes: [{id: any, to: [e1]}]`)
	w.applyTable(table)
	c := w.client("http", false)
	w.want(w.do(c, http.MethodPost, "http://a.example/", strings.NewReader("1")), 200, "e1")
	w.table(`routes: [{id: any, to: [e2]}]`) // starts e2
	b := &route.Backend{
		ID: "any", Service: "any", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin},
		Endpoints: []route.Endpoint{{ID: "e1", Instance: "e1", Address: w.endpoints["e2"].address, Weight: 1, State: route.EndpointReady}},
	}
	moved, err := route.New(table.Revision+10, table.Listeners, table.Routes, []*route.Backend{b}, nil)
	if err != nil {
		w.Fatal(err)
	}
	w.applyTable(moved)
	for range 4 {
		w.want(w.do(c, http.MethodPost, "http://a.example/", strings.NewReader("2")), 200, "e2")
	}
}

// swapRolling replaces instance after instance under traffic, and no request
// fails.
//
// An application that closes idle connections the moment it has to stop can
// lose a request that is on its way to it, and a POST may not be sent twice. Such
// a one is tested with requests that may be repeated; with POST, one that goes on
// until every client has had another answer since its endpoint left.
func swapRolling(atOnce bool) func(w *world) {
	bodiless, withBody := http.MethodGet, http.MethodPost
	if atOnce {
		withBody = http.MethodPut
	}
	return func(w *world) {
		instances := []instance{startInstance(w), startInstance(w), startInstance(w)}
		table := func() string {
			return fmt.Sprintf(`routes: [{id: any, to: [%s, %s, %s]}]`, instances[0].name, instances[1].name, instances[2].name)
		}
		w.apply(table())
		const clients = 4
		var answered [clients]atomic.Int64
		quit := make(chan struct{})
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(quit)
		c := w.client("http", false)
		c.Transport.(*http.Transport).MaxIdleConnsPerHost = clients
		for i := range clients {
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-quit:
						return
					default:
					}
					method, body := withBody, "hello"
					if (i+n)%2 == 0 {
						method, body = bodiless, ""
					}
					e := <-w.begin(c, method, "http://a.example/", strings.NewReader(body)).done
					if e.err != nil {
						w.Errorf("%s: %v", method, e.err)
					} else if e.StatusCode != 200 || e.body != "got "+body {
						w.Errorf("%s: %s %q", method, e.Status, e.body)
					}
					answered[i].Add(1)
				}
			})
		}
		// more waits until each client has had so many answers more.
		more := func(n int64) {
			for i := range clients {
				had := answered[i].Load()
				w.eventually("clients are answered", func() bool { return answered[i].Load() >= had+n })
			}
		}
		for range 20 {
			leaves := instances[0]
			instances = append(instances[1:], startInstance(w))
			w.apply(table())
			if !atOnce {
				more(2) // what was under way when the table came, and one more
			}
			leaves.stop()
			more(1)
		}
	}
}

// instance is an application on a port of its own, which stops as most do on
// SIGTERM: it closes what is idle and finishes what it has.
type instance struct {
	name string
	stop func()
}

func startInstance(w *world) instance {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	server := &http.Server{
		ReadHeaderTimeout: patience,
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(rw, "got %s", body)
		}),
	}
	go func() { _ = server.Serve(l) }()
	name := fmt.Sprint("instance", len(w.endpoints))
	w.endpoints[name] = &endpoint{name: name, address: l.Addr().String(), log: w.log}
	stop := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(stop)
	return instance{name, stop}
}
