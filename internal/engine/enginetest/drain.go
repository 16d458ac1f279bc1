package enginetest

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// drainCases say what becomes of an endpoint that leaves.
func drainCases() []goCase {
	return []goCase{
		{"a draining endpoint gets nothing new and finishes", drainFinishes(`"e1!draining", e2`)},
		{"an endpoint that is gone from the table finishes", drainFinishes(`e2`)},
		{"a waiting endpoint finishes", drainFinishes(`"e1!waiting", e2`)},
		{"idle connections of a draining endpoint are closed", drainIdle},
		{"streams of a draining endpoint go on", drainStreams},
		{"draining loses no request", drainLosesNothing},
		{"a removed route finishes what runs", drainRoute},
	}
}

// drainFinishes plays the end of e1: the table after it has the endpoints.
func drainFinishes(after string) func(w *world) {
	return func(w *world) {
		w.apply(`routes: [{id: any, to: [e1]}]`)
		p := w.begin(w.client("http", false), http.MethodPost, "http://a.example/slow", strings.NewReader("hello"), "X-Do: delay=300ms; size=50000")
		w.eventually("e1 has the request", func() bool { return w.log.len() == 1 })
		w.apply(fmt.Sprintf(`routes: [{id: any, to: [%s]}]`, after))
		for range 10 {
			w.want(w.get("http://a.example/"), 200, "e2")
		}
		a := p.end()
		w.want(a, 200, "e1")
		if len(a.body) != 50000 {
			w.Errorf("what ran got %d bytes of 50000", len(a.body))
		}
		if n := w.log.count("e1"); n != 1 {
			w.Errorf("e1 saw %d requests, one of them before it left", n)
		}
	}
}

// An application that shuts down waits for its connections: idle ones must not
// keep it, nor be used for a request that it would drop.
func drainIdle(w *world) {
	w.apply(`routes: [{id: any, to: [e1]}]`)
	c := w.client("http", false)
	w.want(w.do(c, http.MethodGet, "http://a.example/", nil), 200, "e1")
	e1 := w.endpoints["e1"]
	if e1.conns.Load() == 0 {
		w.Skip("the engine keeps no idle connections")
	}
	w.apply(`routes: [{id: any, to: ["e1!draining", e2]}]`)
	w.want(w.do(c, http.MethodGet, "http://a.example/", nil), 200, "e2")
	w.eventually("the idle connection to e1 is closed", func() bool { return e1.conns.Load() == 0 })
}

func drainStreams(w *world) {
	words := make(chan string)
	w.serve("e1", func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echo("e1")(rw, r)
			return
		}
		events(words, "text/event-stream")(rw, r)
	})
	w.apply(`routes: [{id: any, to: [e1]}]`)
	_, say := openWebSocket(w, w.client("http", false), "ws://a.example/ws")
	next := openEvents(w, w.client("http", false), "http://a.example/events")
	w.apply(`routes: [{id: any, to: ["e1!draining", e2]}]`)
	time.Sleep(settle)
	if got, err := say("still here"); err != nil || got != "e1:still here" {
		w.Errorf("the WebSocket gave %q (%v)", got, err)
	}
	w.emit(words, "still here")
	if got := next(); got != "data: still here" {
		w.Errorf("the events gave %q", got)
	}
	w.want(w.get("http://a.example/"), 200, "e2")
}

// Three endpoints take turns in leaving while requests go on.
func drainLosesNothing(w *world) {
	table := func(leaving int) string {
		var to []string
		for i := 1; i <= 3; i++ {
			name := fmt.Sprint("e", i)
			if i == leaving {
				name = `"` + name + `!draining"`
			}
			to = append(to, name)
		}
		return fmt.Sprintf(`routes: [{id: any, to: [%s]}]`, strings.Join(to, ", "))
	}
	w.apply(table(0))
	stop := make(chan struct{})
	failures := make(chan string, 4)
	for i := range 4 {
		c := w.client("http", false)
		go func() {
			n := 0
			for ; ; n++ {
				select {
				case <-stop:
					failures <- ""
					return
				default:
				}
				method := []string{http.MethodGet, http.MethodPost}[(n+i)%2]
				p := w.begin(c, method, "http://a.example/", strings.NewReader("hello"))
				if e := <-p.done; e.err != nil || e.StatusCode != 200 {
					failures <- fmt.Sprintf("request %d: %v, %v", n, e.Response, e.err)
					return
				}
			}
		}()
	}
	for i := range 12 {
		w.apply(table(i % 4))
		time.Sleep(20 * time.Millisecond)
	}
	close(stop)
	for range 4 {
		if failure := receive(w, "the requests end", failures); failure != "" {
			w.Error(failure)
		}
	}
}

func drainRoute(w *world) {
	w.apply(`routes: [{id: a, host: a.example, to: [e1]}, {id: b, host: b.example, to: [e2]}]`)
	p := w.begin(w.client("http", false), http.MethodGet, "http://a.example/", nil, "X-Do: delay=200ms; size=50000")
	w.eventually("e1 has the request", func() bool { return w.log.len() == 1 })
	w.apply(`routes: [{id: b, host: b.example, to: [e2]}]`)
	w.want(w.get("http://a.example/"), http.StatusNotFound, "")
	w.want(w.get("http://b.example/"), 200, "e2")
	a := p.end()
	w.want(a, 200, "e1")
	if len(a.body) != 50000 {
		w.Errorf("what ran got %d bytes of 50000", len(a.body))
	}
}
