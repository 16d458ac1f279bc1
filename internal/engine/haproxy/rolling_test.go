package haproxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// startInstance starts an application of its own port, which stops as most do on
// SIGTERM: it closes what is idle and finishes what it has.
func startInstance(t *testing.T) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		time.Sleep(time.Millisecond)
		_, _ = w.Write(append([]byte("got "), body...))
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	return l.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-done
	}
}

// TestRollingUpdate: instances come and go under traffic, and nobody's request
// fails; see the test of the embedded engine by this name.
func TestRollingUpdate(t *testing.T) {
	t.Run("stops at once", func(t *testing.T) { rollingUpdate(t, 0, http.MethodGet, http.MethodPut) })
	t.Run("goes on for a moment", func(t *testing.T) { rollingUpdate(t, 30*time.Millisecond, http.MethodGet, http.MethodPost) })
}

func rollingUpdate(t *testing.T, moment time.Duration, bodiless, withBody string) {
	s := newSite(t, Options{Logger: quiet(t)})
	var addrs []string
	var stops []func()
	for range 3 {
		addr, stop := startInstance(t)
		addrs, stops = append(addrs, addr), append(stops, stop)
	}
	s.serve("a.example", addrs...)
	s.apply()
	before := s.reloads()

	var wg sync.WaitGroup
	var requests atomic.Int64
	quit := make(chan struct{})
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	for i := range 4 {
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
				req, err := http.NewRequest(method, "http://"+s.engine.Addr("http").String()+"/", strings.NewReader(body)) //nolint:noctx // the client has a timeout
				if err != nil {
					t.Error(err)
					return
				}
				req.Host = "a.example"
				res, err := client.Do(req)
				requests.Add(1)
				if err != nil {
					t.Errorf("%s: %v", method, err)
					continue
				}
				got, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != 200 || string(got) != "got "+body {
					t.Errorf("%s: %s %q", method, res.Status, got)
				}
			}
		})
	}
	for range 20 {
		addr, stop := startInstance(t)
		addrs, stops = append(addrs[1:], addr), append(stops, stop)
		s.backend("a.example", nil, addrs...)
		s.apply()
		time.Sleep(moment)
		stops[0]()
		stops = stops[1:]
		time.Sleep(10 * time.Millisecond)
	}
	close(quit)
	wg.Wait()
	for _, stop := range stops {
		stop()
	}
	t.Logf("%d requests", requests.Load())
	if n := s.reloads(); n != before {
		t.Errorf("%d reloads", n-before)
	}
}
