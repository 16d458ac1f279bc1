package dockerflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"fairway/internal/clock"
)

// Receiver gets notifications: each call goes to URL, with the parameters
// behind its own, by Method (GET when empty), without a body.
type Receiver struct {
	URL    string
	Method string
}

// maxAtOnce bounds how many calls one receiver gets at the same time.
const maxAtOnce = 8

// courier delivers events. The newer of two about one object wins: the older one is given
// up first, so that no receiver gets them in the wrong order.
type courier struct {
	client   *http.Client
	retries  int           // after the first try
	interval time.Duration // between two tries
	deadline time.Duration // of each try
	log      *slog.Logger
	failed   func(operation string)

	mu      sync.Mutex
	errands map[string]*errand       // by object, the newest
	gates   map[string]chan struct{} // by URL of the receiver
	running sync.WaitGroup
}

// errand is the delivery of one event to all receivers.
type errand struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// send begins the delivery of an event to all receivers, in place of the one before
// about the same object.
func (c *courier) send(ctx context.Context, e event, receivers []Receiver) {
	ctx, cancel := context.WithCancel(ctx)
	this := &errand{cancel, make(chan struct{})}
	c.mu.Lock()
	before := c.errands[e.object]
	c.errands[e.object] = this
	c.mu.Unlock()
	if before != nil {
		before.cancel()
	}
	c.running.Go(func() {
		defer cancel()
		if before != nil {
			<-before.done
		}
		var calls sync.WaitGroup
		for _, r := range receivers {
			calls.Go(func() { c.deliver(ctx, e, r) })
		}
		calls.Wait()
		close(this.done)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.errands[e.object] == this {
			delete(c.errands, e.object)
		}
	})
}

// deliver tries until the receiver has taken the event.
func (c *courier) deliver(ctx context.Context, e event, r Receiver) {
	target := withQuery(r.URL, e.query)
	for try := 0; ; try++ {
		err := c.try(ctx, e, r, target)
		if err == nil || ctx.Err() != nil {
			return
		}
		c.failed(e.operation())
		if try >= c.retries {
			c.log.Error("notification given up", "object", e.object, "receiver", shown(r.URL), "tries", try+1, "error", err)
			return
		}
		c.log.Debug("notification failed, trying again", "object", e.object, "receiver", shown(r.URL), "error", err)
		if clock.Sleep(ctx, c.interval) != nil {
			return
		}
	}
}

// try makes one call. A receiver that answers 409 to news of something that is
// there has understood, and wants nothing of it.
func (c *courier) try(ctx context.Context, e event, r Receiver, target string) error {
	gate := c.gate(r.URL)
	select {
	case gate <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-gate }()
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, cmp.Or(r.Method, http.MethodGet), target, nil)
	if err != nil {
		return withoutURL(err)
	}
	req.Header.Set("User-Agent", "fairway")
	res, err := c.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusConflict && !e.remove {
		return nil
	}
	return fmt.Errorf("answered %s", res.Status)
}

// gate lets so many calls through to one receiver at the same time.
func (c *courier) gate(url string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gates[url] == nil {
		c.gates[url] = make(chan struct{}, maxAtOnce)
	}
	return c.gates[url]
}

// withQuery puts parameters behind those that a URL has already.
func withQuery(url, query string) string {
	switch {
	case strings.HasSuffix(url, "?"), strings.HasSuffix(url, "&"):
		return url + query
	case strings.Contains(url, "?"):
		return url + "&" + query
	}
	return url + "?" + query
}

// withoutURL is an error of a call as it may be logged: the parameters in its URL,
// and in one that an answer leads to, hold the passwords and headers of services.
func withoutURL(err error) error {
	call, ok := errors.AsType[*url.Error](err)
	switch {
	case !ok:
		return err
	case call.Timeout():
		return errors.New("no answer in time")
	case strings.Contains(call.Err.Error(), "Location"):
		return errors.New("the answer leads to what is no URL")
	}
	return call.Err
}

// shown is a URL as it may be logged: without its parameters and its user.
func shown(url string) string {
	url, _, _ = strings.Cut(url, "?")
	if scheme, rest, ok := strings.Cut(url, "://"); ok {
		host, path, slash := strings.Cut(rest, "/")
		if i := strings.LastIndex(host, "@"); i >= 0 {
			host = host[i+1:]
		}
		if slash {
			host += "/" + path
		}
		return scheme + "://" + host
	}
	return url
}

// operation names an event in the metrics.
func (e event) operation() string {
	object, change := "service", "create"
	if e.node {
		object = "node"
	}
	if e.remove {
		change = "remove"
	}
	return object + "_" + change
}
