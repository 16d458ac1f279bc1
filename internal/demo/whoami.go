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
// the machine's host name for its name and stops without a lame-duck time. The tags
// make them flags of the command line.
type WhoamiOptions struct {
	Listen     string        `name:"listen" placeholder:"ADDR" default:":80" help:"Address to listen on."`
	Name       string        `name:"name" placeholder:"NAME" help:"Name to sign answers with. Default: the host name."`
	Health     string        `name:"health" placeholder:"PATH" default:"/health" help:"Path of the health check; a POST to it with ?status=503 changes the answer."`
	LameDuck   time.Duration `name:"lame-duck" placeholder:"DURATION" default:"500ms" help:"How long to serve on after the stop signal."`
	Delay      time.Duration `name:"delay" placeholder:"DURATION" help:"How long each answer takes."`
	StartDelay time.Duration `name:"start-delay" placeholder:"DURATION" help:"How long to wait before listening."`
	// Listener is used instead of Listen, and closed at the end.
	Listener net.Listener `kong:"-"`
}

const (
	// maxEcho bounds the body that /echo sends back.
	maxEcho = 8 << 20
	// maxSlow bounds the time that a client may ask /slow for.
	maxSlow = time.Minute
	// shutdownGrace bounds how long running requests may take after the lame-duck
	// time, below the ten seconds that Docker gives.
	shutdownGrace = 5 * time.Second
)

// Whoami serves HTTP/1.1 and HTTP/2 without TLS until ctx ends. Then it goes on taking
// requests for the lame-duck time, asks for every connection to be closed, and lets
// running requests finish. It answers
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
	if err == nil {
		err = w.run(ctx)
	}
	return named(err)
}

// named says whose error it is.
func named(err error) error {
	if err != nil {
		err = fmt.Errorf("whoami: %w", err)
	}
	return err
}

// CheckWhoami asks the health path of a Whoami on this machine, and returns an error
// unless the answer is 200: a health check for an image without other programs.
func CheckWhoami(ctx context.Context, o WhoamiOptions) error {
	w, err := newWhoami(o)
	if err == nil {
		err = w.check(ctx)
	}
	return named(err)
}

func (w *whoami) check(ctx context.Context) error {
	host, port, err := net.SplitHostPort(w.Listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port)+w.Health, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("health check: %s", res.Status)
	}
	return nil
}

type whoami struct {
	WhoamiOptions
	hostname string

	leaving atomic.Bool
	status  atomic.Int32  // what the health path answers
	stopped chan struct{} // closed when streams have to end
}

func newWhoami(o WhoamiOptions) (*whoami, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	w := &whoami{WhoamiOptions: o, hostname: hostname, stopped: make(chan struct{})}
	w.Listen, w.Name, w.Health = cmp.Or(o.Listen, ":80"), cmp.Or(o.Name, hostname), cmp.Or(o.Health, "/health")
	if !strings.HasPrefix(w.Health, "/") {
		return nil, fmt.Errorf("health path %q does not begin with a slash", w.Health)
	}
	w.status.Store(http.StatusOK)
	return w, nil
}

func (w *whoami) run(ctx context.Context) error {
	if clock.Sleep(ctx, w.StartDelay) != nil {
		return nil // stopped before it began
	}
	ln := w.Listener
	if ln == nil {
		var err error
		if ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", w.Listen); err != nil {
			return err
		}
	}
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
		return err
	case <-ctx.Done():
	}

	// Idle connections stay open for now: closing one while a request is on its
	// way to it is the fault that the lame-duck time is there to avoid.
	w.leaving.Store(true)
	select {
	case err := <-failed:
		return err
	case <-time.After(w.LameDuck):
	}
	close(w.stopped)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		return errors.Join(err, srv.Close())
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
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
		rw.Header().Set("Whoami", w.Name)
		if w.leaving.Load() {
			rw.Header().Set("Connection", "close")
		}
		if r.URL.Path == w.Health {
			w.answerHealth(rw, r)
			return
		}
		if clock.Sleep(r.Context(), w.Delay) == nil {
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
			Name: w.Name, Hostname: w.hostname, Method: r.Method, URL: r.RequestURI,
			Protocol: r.Proto, Host: r.Host, Client: r.RemoteAddr, Headers: r.Header,
		})
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
	} else {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(&body, "Name: %s\nHostname: %s\nClient: %s\n\n", w.Name, w.hostname, r.RemoteAddr)
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
		if _, err := fmt.Fprintf(rw, "id: %d\ndata: %s\n\n", i, w.Name); err != nil || out.Flush() != nil {
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
