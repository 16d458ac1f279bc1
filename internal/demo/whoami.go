package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"fairway/internal/clock"
)

// WhoamiOptions are what Whoami needs. The zero value listens on port 80, has
// the machine's host name for its name and stops without a lame-duck time.
type WhoamiOptions struct {
	// Listen is the TCP address to listen on; empty means ":80". It is ignored
	// when Listener is set.
	Listen string
	// Listener is used instead of Listen, and closed at the end.
	Listener net.Listener
	// Name is what the answers are signed with; empty means the host name.
	Name string
	// Health is the path that says whether the service is well; empty means
	// "/health".
	Health string
	// LameDuck is how long new requests are still taken, each answered with
	// "Connection: close", after ctx has ended.
	LameDuck time.Duration
	// StartDelay is how long to wait before listening.
	StartDelay time.Duration
	// Delay is how long each answer but the health check's takes.
	Delay time.Duration
}

const (
	// maxEcho bounds the body that /echo sends back.
	maxEcho = 8 << 20
	// maxSlow bounds the time that a client may ask /slow for.
	maxSlow = time.Minute
	// shutdownGrace bounds how long running requests may take once the lame-duck
	// time is over. It stays below the ten seconds that Docker gives.
	shutdownGrace = 5 * time.Second
)

// Whoami serves HTTP/1.1 and HTTP/2 without TLS until ctx ends, and then stops
// as a well-behaved application does: it goes on taking requests for the
// lame-duck time, asks for every connection to be closed, and lets running
// requests finish. It answers
//
//	/          its name and the request as it came; JSON for "Accept:
//	           application/json" or the query json
//	/health    200, or the status that a POST to it with ?status=503 has set
//	/echo      the body that was sent
//	/slow?d=2s the same as /, that much later, at most a minute
//	/status/N  the status code N
//	/sse       a server-sent event a second; ?every=100ms&n=10
//
// and every answer carries its name in the header Whoami.
func Whoami(ctx context.Context, o WhoamiOptions) error {
	w, err := newWhoami(o)
	if err != nil {
		return err
	}
	if err := clock.Sleep(ctx, o.StartDelay); err != nil {
		return nil // stopped before it began
	}
	ln := o.Listener
	if ln == nil {
		if ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", w.listen); err != nil {
			return fmt.Errorf("whoami: %w", err)
		}
	}
	return w.serve(ctx, ln)
}

// CheckWhoami asks the health path of a Whoami that listens on the given
// address of this machine, and returns an error unless the answer is 200. It is
// the health check of an image that holds nothing but this program.
func CheckWhoami(ctx context.Context, o WhoamiOptions) error {
	w, err := newWhoami(o)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(w.listen)
	if err != nil {
		return fmt.Errorf("whoami: %w", err)
	}
	host = cmp.Or(host, "127.0.0.1")
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+w.health, nil)
	if err != nil {
		return fmt.Errorf("whoami: %w", err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("whoami: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("whoami: health check: %s", res.Status)
	}
	return nil
}

type whoami struct {
	listen, name, hostname, health string
	lameDuck, delay                time.Duration

	leaving atomic.Bool
	status  atomic.Int32  // what the health path answers
	stopped chan struct{} // closed when streams have to end
}

func newWhoami(o WhoamiOptions) (*whoami, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("whoami: %w", err)
	}
	w := &whoami{
		listen: cmp.Or(o.Listen, ":80"), name: cmp.Or(o.Name, hostname), hostname: hostname, health: cmp.Or(o.Health, "/health"),
		lameDuck: o.LameDuck, delay: o.Delay, stopped: make(chan struct{}),
	}
	if !strings.HasPrefix(w.health, "/") {
		return nil, fmt.Errorf("whoami: health path %q does not begin with a slash", w.health)
	}
	w.status.Store(http.StatusOK)
	return w, nil
}

func (w *whoami) serve(ctx context.Context, ln net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler:           w.handler(),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("whoami: %w", err)
	case <-ctx.Done():
	}

	// Idle connections stay open for now: closing one while a request is on its
	// way to it is the fault that the lame-duck time is there to avoid.
	w.leaving.Store(true)
	timer := time.NewTimer(w.lameDuck)
	defer timer.Stop()
	select {
	case err := <-failed:
		return fmt.Errorf("whoami: %w", err)
	case <-timer.C:
	}
	close(w.stopped)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		return errors.Join(fmt.Errorf("whoami: %w", err), srv.Close())
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("whoami: %w", err)
	}
	return nil
}

func (w *whoami) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", w.describe)
	mux.HandleFunc("/echo", w.echo)
	mux.HandleFunc("/slow", w.slow)
	mux.HandleFunc("/status/{code}", w.answerStatus)
	mux.HandleFunc("/sse", w.events)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Whoami", w.name)
		if w.leaving.Load() {
			rw.Header().Set("Connection", "close")
		}
		if r.URL.Path == w.health {
			w.answerHealth(rw, r)
			return
		}
		if clock.Sleep(r.Context(), w.delay) == nil {
			mux.ServeHTTP(rw, r)
		}
	})
}

// described is the JSON form of an answer.
type described struct {
	Name     string      `json:"name"`
	Hostname string      `json:"hostname"`
	Method   string      `json:"method"`
	URL      string      `json:"url"`
	Protocol string      `json:"protocol"`
	Host     string      `json:"host"`
	Client   string      `json:"client"`
	Headers  http.Header `json:"headers"`
}

func (w *whoami) describe(rw http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if r.URL.Query().Has("json") || strings.Contains(r.Header.Get("Accept"), "application/json") {
		rw.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(&body)
		enc.SetIndent("", "  ")
		err := enc.Encode(described{
			Name: w.name, Hostname: w.hostname, Method: r.Method, URL: r.RequestURI,
			Protocol: r.Proto, Host: r.Host, Client: r.RemoteAddr, Headers: r.Header,
		})
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
	} else {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(&body, "Name: %s\nHostname: %s\nClient: %s\n\n", w.name, w.hostname, r.RemoteAddr)
		fmt.Fprintf(&body, "%s %s %s\nHost: %s\n", r.Method, r.RequestURI, r.Proto, r.Host)
		// Write sorts by name; what it writes to is memory.
		_ = r.Header.Write(&body)
	}
	rw.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	_, _ = body.WriteTo(rw) // a client that went away is no concern of ours
}

func (w *whoami) echo(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxEcho))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	rw.Header().Set("Content-Type", "application/octet-stream")
	rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = rw.Write(body)
}

func (w *whoami) slow(rw http.ResponseWriter, r *http.Request) {
	d, err := queryDuration(r, "d", time.Second)
	if err != nil || d > maxSlow {
		http.Error(rw, "d is a duration such as 500ms, at most "+maxSlow.String(), http.StatusBadRequest)
		return
	}
	if clock.Sleep(r.Context(), d) == nil {
		w.describe(rw, r)
	}
}

func (w *whoami) answerStatus(rw http.ResponseWriter, r *http.Request) {
	code, err := parseStatus(r.PathValue("code"))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	rw.WriteHeader(code)
}

func (w *whoami) answerHealth(rw http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		code, err := parseStatus(r.URL.Query().Get("status"))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		w.status.Store(int32(code)) //nolint:gosec // at most 599
	}
	rw.WriteHeader(int(w.status.Load()))
}

func (w *whoami) events(rw http.ResponseWriter, r *http.Request) {
	every, err := queryDuration(r, "every", time.Second)
	if err != nil || every < time.Millisecond {
		http.Error(rw, "every is a duration such as 100ms", http.StatusBadRequest)
		return
	}
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		n = -1 // for ever
	}
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(rw)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; i != n; i++ {
		if _, err := fmt.Fprintf(rw, "id: %d\ndata: %s\n\n", i, w.name); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-w.stopped:
			return
		}
	}
}

func parseStatus(s string) (int, error) {
	code, err := strconv.Atoi(s)
	if err != nil || code < 200 || code > 599 {
		return 0, fmt.Errorf("%q is no status code from 200 to 599", s)
	}
	return code, nil
}

func queryDuration(r *http.Request, key string, fallback time.Duration) (time.Duration, error) {
	s := r.URL.Query().Get(key)
	if s == "" {
		return fallback, nil
	}
	return time.ParseDuration(s)
}
