// Package stream writes server-sent events to clients of the admin API, for as long as they
// may ask.
package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"fairway/internal/api"
)

const (
	// Most bounds the streams of each role, so that lesser ones leave room.
	Most = 64
	// look is how often to look whether a client may still ask.
	look = time.Second
	// alive is the longest silence, so that both sides see when the other has gone.
	alive = 15 * time.Second
	// write is how long a client may take to read an event.
	write = 10 * time.Second
)

// Streams gives room to streams, for any goroutine.
type Streams struct {
	rooms    map[string]chan struct{} // by role, one in it for each stream
	stopping chan struct{}
}

// New returns Streams with room for those of each role.
func New() *Streams {
	s := &Streams{rooms: map[string]chan struct{}{}, stopping: make(chan struct{})}
	for _, role := range api.Roles() {
		s.rooms[role] = make(chan struct{}, Most)
	}
	return s
}

// Stop ends all streams, which never end by themselves. It is called once.
func (s *Streams) Stop() { close(s.stopping) }

// Stream writes events to one client. Its methods are for one goroutine.
type Stream struct {
	// Over is done when nothing more is to be written; see Open.
	Over context.Context

	w       http.ResponseWriter
	control *http.ResponseController
	last    time.Time
	broken  bool
	close   func()
}

// Open begins a stream for a client with a role, which has to be closed. It is over when the
// client has gone, Streams stop, or holds, which is called from another goroutine, says that
// the client may ask no more.
func (s *Streams) Open(w http.ResponseWriter, r *http.Request, role string, holds func() bool) (*Stream, error) {
	room := s.rooms[role]
	select {
	case room <- struct{}{}:
	default:
		w.Header().Set("Retry-After", "5")
		return nil, api.Errorf(http.StatusServiceUnavailable, "%d streams are open already", Most)
	}
	over, cancel := context.WithCancel(r.Context())
	var guard sync.WaitGroup
	guard.Go(func() {
		defer cancel()
		ticker := time.NewTicker(look)
		defer ticker.Stop()
		for holds() {
			select {
			case <-over.Done():
				return
			case <-s.stopping:
				return
			case <-ticker.C:
			}
		}
	})
	st := &Stream{Over: over, w: w, control: http.NewResponseController(w), close: func() { cancel(); guard.Wait(); <-room }}
	_ = st.control.SetReadDeadline(time.Time{}) // that of the request is over
	w.Header().Set("Content-Type", "text/event-stream")
	return st, nil
}

// Close ends the stream.
func (s *Stream) Close() { s.close() }

// Send writes an event, and reports whether the client is still there. The types of package
// api always encode.
func (s *Stream) Send(event string, v any) bool {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", event, data))
}

// KeepAlive writes something when nothing was written for long, and at the beginning, and
// reports whether the client is still there. It has to be called every few seconds.
func (s *Stream) KeepAlive() bool {
	if time.Since(s.last) < alive {
		return !s.broken
	}
	return s.write(":\n\n")
}

func (s *Stream) write(text string) bool {
	if s.broken {
		return false
	}
	s.last = time.Now()
	_ = s.control.SetWriteDeadline(s.last.Add(write))
	_, err := s.w.Write([]byte(text))
	if err == nil {
		err = s.control.Flush()
	}
	s.broken = err != nil
	return !s.broken
}
