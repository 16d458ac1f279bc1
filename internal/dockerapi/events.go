package dockerapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// queueLength is how many events may wait for the reader. The engine throws
// events away without a word when nobody takes them, so they are taken at once
// and a reader that falls this far behind is told.
const queueLength = 4096

// ErrSlowReader ends a stream whose reader fell too far behind.
var ErrSlowReader = errors.New("event stream: reader fell behind")

// Event is something that happened on the engine.
type Event struct {
	// Type is "container", "network", …
	Type string
	// Action is Docker's word, such as "start" or "health_status: healthy".
	Action string
	// ID is the full ID of the container or network.
	ID string
	// Attributes are more details, mixed with the container's labels.
	Attributes map[string]string
	// Time is when it happened, by the engine's clock.
	Time time.Time
}

// Stream is an open event stream.
type Stream struct {
	// C yields the events in order. It is closed when the stream ends; Err says
	// why.
	C <-chan Event

	err error
}

// Err returns why the stream ended. It may be called once C is closed, and
// never returns nil then.
func (s *Stream) Err() error { return s.err }

// Events opens the event stream. It returns when the engine has accepted it,
// or after Timeout; from then on the stream lives as long as ctx. since asks for
// a replay of what happened from that time on (the engine remembers only the
// newest few hundred events); zero for none. filters restrict the stream by
// Docker's filter names, such as "type" and "event"; nil for no restriction.
// GET /events.
//
// The engine accepts a stream a moment before it takes part in it: what happens
// in that moment is not in the stream, so list once more after a while.
func (c *Client) Events(ctx context.Context, since time.Time, filters map[string][]string) (*Stream, error) {
	o := client.EventsListOptions{Filters: client.Filters{}}
	if !since.IsZero() {
		o.Since = strconv.FormatInt(since.Unix(), 10) + "." + fmt.Sprintf("%09d", since.Nanosecond())
	}
	for name, values := range filters {
		o.Filters.Add(name, values...)
	}
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(c.timeout, cancel)
	r := c.api.Events(ctx, o)
	if !late.Stop() {
		cancel()
		return nil, fmt.Errorf("docker events: no answer within %v", c.timeout)
	}
	queue := make(chan Event, queueLength)
	s := &Stream{C: queue}
	go func() {
		defer cancel()
		defer close(queue)
		s.err = fmt.Errorf("docker events: %w", pump(r, queue))
	}()
	return s, nil
}

// pump moves events to queue until the stream ends, and returns why.
func pump(r client.EventsResult, queue chan<- Event) error {
	for {
		select {
		case m := <-r.Messages:
			select {
			case queue <- fromMessage(m):
			default:
				return ErrSlowReader
			}
		case err, ok := <-r.Err:
			if !ok || errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF // the stream has no proper end
			}
			return err
		}
	}
}

// fromMessage translates an event.
func fromMessage(m events.Message) Event {
	at := time.Unix(m.Time, 0)
	if m.TimeNano != 0 {
		at = time.Unix(0, m.TimeNano)
	}
	return Event{
		Type:       string(m.Type),
		Action:     string(m.Action),
		ID:         m.Actor.ID,
		Attributes: m.Actor.Attributes,
		Time:       at.UTC(),
	}
}
