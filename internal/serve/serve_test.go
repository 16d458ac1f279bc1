package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// start serves h, and returns the address, what ends it, and what HTTP returned.
func start(t *testing.T, grace time.Duration, h http.HandlerFunc) (ln net.Listener, stop func(), ended chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	go func() { ended <- HTTP(ctx, &http.Server{Handler: h, ReadHeaderTimeout: time.Second}, ln, grace) }()
	return ln, stop, ended
}

// A request that runs when the context ends is answered.
func TestRunningRequestFinishes(t *testing.T) {
	running, stopped := make(chan struct{}), make(chan struct{})
	ln, stop, ended := start(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		close(running)
		<-stopped
		_, _ = io.WriteString(w, "done")
	})
	go func() {
		<-running
		stop()
		for { // until nothing new is accepted
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				break
			}
			c.Close()
		}
		close(stopped)
	}()
	res, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "done" {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestStuckRequestIsCutOff(t *testing.T) {
	ln, stop, ended := start(t, time.Millisecond, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	time.AfterFunc(50*time.Millisecond, stop)
	if res, err := http.Get("http://" + ln.Addr().String()); err == nil {
		res.Body.Close()
		t.Error("answered")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestListenerFails(t *testing.T) {
	ln, stop, ended := start(t, time.Second, nil)
	defer stop()
	_ = ln.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
