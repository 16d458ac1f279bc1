package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// load makes requests through Fairway and counts every one of them.
type load struct {
	address string
	client  *http.Client
	cancel  context.CancelFunc // nil until start
	running sync.WaitGroup

	mu            sync.Mutex
	total, failed int
	reasons       []string // the first few failures
}

const (
	// loadEvery is the time between two requests, whether or not the first one
	// has been answered.
	loadEvery = 10 * time.Millisecond
	// loadTimeout is when a request has failed for taking too long.
	loadTimeout = 10 * time.Second
	// maxReasons bounds how many failures are printed one by one.
	maxReasons = 5
)

func newLoad(address string) *load {
	return &load{
		address: address,
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 16},
			Timeout:   loadTimeout,
			// A redirect is an answer.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// ask makes one request for host and returns the status and who answered; it is
// not counted.
func (l *load) ask(ctx context.Context, host, path string) (status int, name string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.address+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	res, err := l.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, "", err
	}
	return res.StatusCode, res.Header.Get("Whoami"), nil
}

// start makes a request for each path in turn, at a fixed rate, until stop.
func (l *load) start(host string, paths ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.running.Go(func() {
		tick := time.NewTicker(loadEvery)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			path := paths[i%len(paths)]
			// The requests have a deadline of their own; one that is under way
			// when the load ends still counts.
			l.running.Go(func() {
				status, name, err := l.ask(context.Background(), host, path)
				l.count(path, status, name, err)
			})
		}
	})
}

func (l *load) count(path string, status int, name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	if err == nil && status == http.StatusOK {
		return
	}
	l.failed++
	if len(l.reasons) < maxReasons {
		reason := fmt.Sprintf("%s: status %d from %q", path, status, name)
		if err != nil {
			reason = fmt.Sprintf("%s: %v", path, err)
		}
		l.reasons = append(l.reasons, reason)
	}
}

// sum returns how many requests were answered so far, how many of them not
// with 200, and what happened to the first few of these.
func (l *load) sum() (total, failed int, reasons []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, l.failed, l.reasons
}

// stop ends the load and waits for the requests that are under way.
func (l *load) stop() {
	if l.cancel != nil {
		l.cancel()
	}
	l.running.Wait()
	l.client.CloseIdleConnections()
}
