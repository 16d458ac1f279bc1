package acme

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/atomicfile"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// The route that leads challenges to Fairway. No service can have these names.
const (
	challengeRoute   = "acme-challenges@fairway"
	challengeService = "acme-challenges@fairway"
	challengePath    = "/.well-known/acme-challenge"
	// challengePriority is above every priority that labels may have.
	challengePriority = 2_000_000
)

// Challenges returns the route for HTTP-01 of a table with these listeners and routes, and
// where it leads: for each host that an order may be placed for, and those that may be asked for on demand, by whichever listener has
// no TLS. It has no filters, so that no redirect and no login is in the way. Both are nil
// where there is no such host. It may be called from any goroutine.
func (k *Keeper) Challenges(listeners []route.Listener, routes []*route.Route) (*route.Route, *route.Backend) {
	if k.o.Challenges == "" {
		return nil, nil
	}
	var demanded []route.Host
	if k.demands != nil {
		demanded = k.demands.Hosts
	}
	r, b := challenges(&route.Table{Listeners: listeners, Routes: routes}, *k.covered.Load(), demanded, k.o.Private, k.o.Challenges)
	k.led.Lock()
	defer k.led.Unlock()
	if r == nil || k.led.route == nil || !slices.EqualFunc(r.Matches, k.led.route.Matches, func(a, b route.Match) bool { return a.Host == b.Host }) {
		k.led.route, k.led.backend = r, b
	}
	return k.led.route, k.led.backend
}

func challenges(t *route.Table, covered []string, demanded []route.Host, private bool, address string) (*route.Route, *route.Backend) {
	var matches []route.Match
	plain := slices.ContainsFunc(t.Listeners, func(l route.Listener) bool { return !l.TLS && !l.TCP })
	if !plain {
		return nil, nil
	}
	for _, w := range wants(t, covered, private, false) {
		if !w.Internal && w.Refused == "" {
			matches = append(matches, route.Match{
				Host: route.Host{Kind: route.HostExact, Value: w.Name}, Path: route.Path{Kind: route.PathPrefix, Value: challengePath},
			})
		}
	}
	for _, h := range demanded {
		matches = append(matches, route.Match{Host: h, Path: route.Path{Kind: route.PathPrefix, Value: challengePath}})
	}
	if len(matches) == 0 {
		return nil, nil
	}
	b := &route.Backend{
		ID: challengeRoute, Service: challengeService, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin},
		Endpoints: []route.Endpoint{{ID: "fairway", Address: address, State: route.EndpointReady, Weight: 1}},
	}
	r := &route.Route{
		ID: challengeRoute, Service: challengeService, Matches: matches, Priority: challengePriority, Backend: b.ID,
		Origin: route.Origin{Source: "fairway"},
	}
	return r, b
}

// Answerer knows what an authority is to be answered.
type Answerer interface {
	Answer(ctx context.Context, host, token string) (text string, ok bool)
}

// maxAnswers bounds how many challenges are looked up at a time.
const maxAnswers = 32

// Handler answers HTTP-01 (RFC 8555, 8.3). It may be asked by anybody.
func Handler(a Answerer) http.Handler {
	room := make(chan struct{}, maxAnswers)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.URL.Path, challengePath+"/")
		host, err := canonical.Host(r.Host)
		if !ok || !isToken(token) || err != nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.NotFound(w, r)
			return
		}
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
		default:
			http.Error(w, "too many challenges at a time", http.StatusServiceUnavailable)
			return
		}
		text, ok := a.Answer(r.Context(), host, token)
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(text)) // the client may have gone
	})
}

// isToken says whether text can be the token of a challenge: base64url.
func isToken(text string) bool {
	return text != "" && len(text) <= 256 &&
		strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// Listen opens the address where challenges are answered: on the loopback, and at the port
// of the last run where that is free, so that tables stay the same.
func Listen(ctx context.Context, dir string) (net.Listener, error) {
	const loopback = "127.0.0.1"
	file := filepath.Join(dir, "port")
	var config net.ListenConfig
	if data, err := os.ReadFile(file); err == nil { //nolint:gosec // of the state directory
		if port, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 16); err == nil {
			if l, err := config.Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.FormatUint(port, 10))); err == nil {
				return l, nil
			}
		}
	}
	l, err := config.Listen(ctx, "tcp", loopback+":0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := os.MkdirAll(dir, 0o700); err == nil {
		_ = atomicfile.Write(file, []byte(port+"\n"), 0o600) // without it the next table differs
	}
	return l, nil
}

// Server is the server of that listener.
func Server(a Answerer) *http.Server {
	return &http.Server{
		Handler: Handler(a), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 14,
	}
}
