package swarm

import (
	"context"
	"time"

	"fairway/internal/discovery/poll"
	"fairway/internal/dockerapi"
)

// The rhythm of a listener.
const (
	pingEvery   = 5 * time.Second
	provenAfter = 250 * time.Millisecond // a stream that lasts so long is one
	listenFirst = time.Second
	listenMost  = 10 * time.Second
)

// hint is something heard from one of the engines.
type hint struct {
	from int // index of the client
	// stream is true when the event stream was opened or ended; open says which.
	// Otherwise it is an event.
	stream, open bool
	event        dockerapi.Event
}

// listen keeps the event stream of one engine open until ctx ends. Docker's
// stream has no heartbeat: a ping on a connection of its own tells a silent
// engine from a quiet one.
func listen(ctx context.Context, from int, client *dockerapi.Client, hints chan<- hint) {
	send := func(h hint) bool {
		select {
		case hints <- h:
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

// hear lives as long as one stream. It returns whether there was one: an engine
// that refuses the stream is told from one that opens it by how soon it ends.
func hear(ctx context.Context, from int, client *dockerapi.Client, send func(hint) bool) (open bool) {
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
		for {
			select {
			case <-time.After(pingEvery):
			case <-ctx.Done():
				return
			}
			if ping(ctx, client) != nil {
				return
			}
		}
	}()
	defer func() { cancel(); <-silent }()
	proven := time.After(provenAfter)
	defer func() {
		if open {
			send(hint{from: from, stream: true})
		}
	}()
	for {
		select {
		case e, ok := <-stream.C:
			if !ok || !send(hint{from: from, event: e}) {
				return open
			}
		case <-proven:
			if open = send(hint{from: from, stream: true, open: true}); !open {
				return false
			}
		case <-silent:
			return open
		}
	}
}

func ping(ctx context.Context, client *dockerapi.Client) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	return client.Ping(ctx)
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
