package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
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
	"fairway/internal/serve"
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
	status  atomic.Int32 // what the health path answers
}

func newWhoami(o WhoamiOptions) (*whoami, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	w := &whoami{WhoamiOptions: o, hostname: hostname}
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
	// Idle connections stay open for now: closing one while a request is on its
	// way to it is the fault that the lame-duck time is there to avoid.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		w.leaving.Store(true)
		time.AfterFunc(w.LameDuck, stop)
	})()
	return serve.HTTP(serving, srv, ln, shutdownGrace)
}

func (w *whoami) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", w.describe)
	mux.HandleFunc("/echo", w.echo)
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

func (w *whoami) answerHealth(rw http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		text := r.URL.Query().Get("status")
		code, err := strconv.Atoi(text)
		if err != nil || code < 200 || code > 599 {
			http.Error(rw, fmt.Sprintf("%q is no status code from 200 to 599", text), http.StatusBadRequest)
			return
		}
		w.status.Store(int32(code)) //nolint:gosec // at most 599
	}
	rw.WriteHeader(int(w.status.Load()))
}
