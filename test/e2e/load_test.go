//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// load makes requests at a fixed rate, whether or not earlier ones have been
// answered, and accounts for every one of them. It has its own client, which
// writes each request once: net/http's would repeat some that failed.
type load struct {
	t       *testing.T
	address string
	host    string
	cancel  context.CancelFunc
	done    sync.WaitGroup

	idle chan *clientConn

	mu       sync.Mutex
	sent     int
	kinds    map[string]int
	answered map[string]int
	latency  []time.Duration // since the intended time
	failures []string
	failed   int
}

type clientConn struct {
	net.Conn
	r *bufio.Reader
}

const (
	maxInFlight    = 512 // beyond that requests are made later than they should be
	requestTimeout = 30 * time.Second
)

// startLoad makes requests for host, rate a second, until stop.
func startLoad(t *testing.T, address, host string, rate int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{
		t: t, address: address, host: host, cancel: cancel,
		idle:  make(chan *clientConn, maxInFlight),
		kinds: map[string]int{}, answered: map[string]int{},
	}
	t.Cleanup(l.halt)
	slots := make(chan struct{}, maxInFlight)
	l.done.Go(func() {
		began := time.Now()
		for i := 0; ; i++ {
			due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return
			}
			// A machine that is too slow for the rate gets fewer requests, each of
			// which has to be answered all the same.
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			l.done.Go(func() {
				defer func() { <-slots }()
				kind := [10]string{"get", "get", "get", "get", "post", "post", "post", "get-new", "get-new", "post-new"}[i%10]
				who, err := l.one(kind, i)
				l.account(kind, due, who, err)
			})
		}
	})
	return l
}

// one makes one request and checks the answer completely.
func (l *load) one(kind string, i int) (who string, err error) {
	method, path, body := http.MethodGet, fmt.Sprintf("/?request=%d", i), []byte(nil)
	if strings.HasPrefix(kind, "post") {
		method, path, body = http.MethodPost, fmt.Sprintf("/echo?request=%d", i), make([]byte, 4096)
		for at := range body {
			body[at] = byte(rand.N(256))
		}
	}
	conn, err := l.connection(strings.HasSuffix(kind, "-new"))
	if err != nil {
		return "", err
	}
	keep := false
	defer func() {
		if keep {
			l.idle <- conn
			return
		}
		conn.Close()
	}()
	if err := conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return "", err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, l.host)
	if body != nil {
		fmt.Fprintf(&out, "Content-Length: %d\r\n", len(body))
	}
	out.WriteString("\r\n")
	out.Write(body)
	if _, err := out.WriteTo(conn); err != nil {
		return "", fmt.Errorf("write: %w", err)
	}
	res, err := http.ReadResponse(conn.r, &http.Request{Method: method})
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	who = res.Header.Get("Whoami")
	switch {
	case err != nil:
		return who, fmt.Errorf("body: %w", err)
	case res.StatusCode != http.StatusOK:
		return who, fmt.Errorf("%s from %q: %.100s", res.Status, who, got)
	case body != nil && !bytes.Equal(got, body):
		return who, fmt.Errorf("the echo of %q is not what was sent", who)
	case body == nil && !bytes.Contains(got, []byte("GET "+path+" HTTP/1.1\n")):
		return who, fmt.Errorf("%q has answered another request: %.200s", who, got)
	}
	keep = !res.Close && !strings.HasSuffix(kind, "-new")
	return who, nil
}

// connection returns a new connection or one that has been used before.
func (l *load) connection(fresh bool) (*clientConn, error) {
	if !fresh {
		select {
		case c := <-l.idle:
			return c, nil
		default:
		}
	}
	conn, err := net.DialTimeout("tcp", l.address, requestTimeout)
	if err != nil {
		return nil, err
	}
	return &clientConn{conn, bufio.NewReader(conn)}, nil
}

func (l *load) account(kind string, due time.Time, who string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	l.kinds[kind]++
	l.latency = append(l.latency, time.Since(due))
	if err == nil {
		l.answered[who]++
		return
	}
	l.failed++
	if len(l.failures) < 20 {
		l.failures = append(l.failures, fmt.Sprintf("%s %s: %v", time.Now().Format("15:04:05.000"), kind, err))
	}
}

// sum returns how many requests were made and how many have failed.
func (l *load) sum() (sent, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent, l.failed
}

func (l *load) halt() {
	l.cancel()
	l.done.Wait()
	for {
		select {
		case c := <-l.idle:
			c.Close()
		default:
			return
		}
	}
}

// stop ends the load, logs the account, and fails the test if one request has.
func (l *load) stop() {
	l.t.Helper()
	l.halt()
	l.t.Logf("%d requests (%v), %d failed; answered by %v; latency from intended time: %s",
		l.sent, l.kinds, l.failed, l.answered, quantiles(l.latency))
	if l.sent == 0 {
		l.t.Error("no request was made")
	}
	if l.failed > 0 {
		l.t.Errorf("%d of %d requests failed:\n%s", l.failed, l.sent, strings.Join(l.failures, "\n"))
	}
}

// quantiles describes durations.
func quantiles(d []time.Duration) string {
	return fmt.Sprintf("p50 %s, p99 %s, max %s", quantile(d, 0.5), quantile(d, 0.99), quantile(d, 1))
}

// quantile returns the smallest element that a share q of d does not exceed.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	at := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)].Round(100 * time.Microsecond)
}
