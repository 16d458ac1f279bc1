package swarm

import (
	"context"
	"time"

	"fairway/internal/discovery/daemon"
	"fairway/internal/discovery/poll"
	"fairway/internal/dockerapi"
)

// The rhythm of a listener.
const (
	provenAfter = 250 * time.Millisecond // a stream that lasts so long is one
	listenFirst = time.Second
	listenMost  = 10 * time.Second
)

// notice is an event of one of the engines, or the state of its stream.
type notice struct {
	from int // index of the client
	// stream is true when the event stream was opened or ended; open says which.
	// Otherwise it is an event.
	stream, open bool
	event        dockerapi.Event
}

// listen keeps the event stream of one engine open until ctx ends.
func listen(ctx context.Context, from int, client *dockerapi.Client, notices chan<- notice) {
	send := func(h notice) bool {
		select {
		case notices <- h:
			return true
		case <-ctx.Done():
			return false
		}
	}
	backoff := listenFirst
	for ctx.Err() == nil {
		if hear(ctx, from, client, send) {
			backoff = listenFirst
		}
		select {
		case <-time.After(poll.Jitter(backoff)):
		case <-ctx.Done():
			return
		}
		backoff = min(2*backoff, listenMost)
	}
}

// hear lives as long as one stream. It returns whether there was one: a stream that
// ends before provenAfter counts as refused.
func hear(ctx context.Context, from int, client *dockerapi.Client, send func(notice) bool) (open bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Events(ctx, time.Time{}, eventFilters())
	if err != nil {
		return false
	}
	defer func() {
		cancel()
		for range stream.C { // its goroutine ends with ctx
		}
	}()
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		_ = daemon.Watch(ctx, client)
	}()
	defer func() { cancel(); <-silent }()
	proven := time.After(provenAfter)
	defer func() {
		if open {
			send(notice{from: from, stream: true})
		}
	}()
	for {
		select {
		case e, ok := <-stream.C:
			if !ok || !send(notice{from: from, event: e}) {
				return open
			}
		case <-proven:
			if open = send(notice{from: from, stream: true, open: true}); !open {
				return false
			}
		case <-silent:
			return open
		}
	}
}

// eventFilters leaves the events out that nothing here depends on, above all
// the exec events that every run of a health check makes.
func eventFilters() map[string][]string {
	return map[string][]string{
		"type": {"service", "node", "network", "container"},
		"event": {
			"create", "update", "remove", "start", "kill", "die", "health_status", "connect", "disconnect",
		},
	}
}
