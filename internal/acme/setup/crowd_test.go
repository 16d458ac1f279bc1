package setup_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/app"
	"fairway/internal/testkit"
)

// TestCrowd: a thousand hosts that appear at once, and the orders for them, disturb no request
// over plain HTTP beside them. It reports how long those take with and without.
func TestCrowd(t *testing.T) {
	testkit.Soak(t)
	engines(t, func(t *testing.T, engine string) {
		p, address := startPebble(t), backend(t)
		beside := "services:\n" + service("beside", "beside.test", address, "fairway.tls: \"off\"")
		f := startFairway(t, p, beside, func(c *app.Config) { c.Engine, c.ACME.Challenges = engine, []string{"http-01"} })
		ask := asker(t, "127.0.0.1:"+p.HTTP, "beside.test")
		testkit.Eventually(t, "the service beside is served", func() bool { return ask(t.Context()) == nil })
		without := measure(t, ask, 15*time.Second)
		all := beside
		for n := range 1000 {
			all += service(fmt.Sprint("h", n), fmt.Sprintf("h%03d.test", n), address)
		}
		next := f.file + ".next"
		write(t, next, []byte(all))
		if err := os.Rename(next, f.file); err != nil {
			t.Fatal(err)
		}
		with := measure(t, ask, 25*time.Second)
		got := strings.Count(f.log.String(), `msg="certificate obtained"`)
		testkit.Figure(t, engine+": plain HTTP beside 1,000 new hosts", "p50 %v, p99 %v, longest %v; without %v, %v, %v; %d requests, 0 failed; %d certificates meanwhile",
			at(with, 50), at(with, 99), at(with, 100), at(without, 50), at(without, 99), at(without, 100), len(with), got)
		if got < 10 {
			t.Errorf("%d certificates", got)
		}
	})
}

// asker asks for a host over plain HTTP, on a connection that stays.
func asker(t *testing.T, address, host string) func(context.Context) error {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: testkit.Patience}
	return func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			return err
		}
		r.Host = host
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	}
}

// measure asks each 5 ms for a span, and returns how long answers took from when they were due,
// sorted.
func measure(t *testing.T, ask func(context.Context) error, span time.Duration) (took []time.Duration) {
	t.Helper()
	const every = 5 * time.Millisecond
	begin := time.Now()
	for due := begin; due.Sub(begin) < span; due = due.Add(every) {
		if wait := time.Until(due); wait > 0 {
			<-time.After(wait)
		}
		if err := ask(t.Context()); err != nil {
			t.Errorf("after %v: %v", time.Since(begin), err)
			return []time.Duration{0}
		}
		took = append(took, time.Since(due))
	}
	slices.Sort(took)
	return took
}

// at is a percentile.
func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[max(len(sorted)*percent/100, 1)-1].Round(10 * time.Microsecond)
}
