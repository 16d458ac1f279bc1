package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"fairway/internal/admin/meter"
	"fairway/internal/api"
)

const (
	// watchLook is how often to look for what no feed announces: state, traffic, access.
	watchLook = time.Second
	// watchAlive is the longest silence, so that both sides see when the other has gone.
	watchAlive = 15 * time.Second
	// watchWrite is how long a client may take to read an event.
	watchWrite = 10 * time.Second
	// maxWatchers bounds the streams of each role, so that lesser ones leave room.
	maxWatchers = 64
)

// watch streams server-sent events: "change" at the beginning and whenever something is
// not as it was, "traffic" every second when asked for. It ends when the client's token is
// revoked or its session is over, which an open stream does not keep from ending as idle.
func (s *Server) watch(r *request) error {
	room := s.watchers[r.who.Role]
	select {
	case room <- struct{}{}:
		defer func() { <-room }()
	default:
		r.w.Header().Set("Retry-After", "5")
		return api.Errorf(http.StatusServiceUnavailable, "%d streams are open already", maxWatchers)
	}
	stream := &stream{w: r.w, control: http.NewResponseController(r.w)}
	_ = stream.control.SetReadDeadline(time.Time{}) // that of the request is over
	r.w.Header().Set("Content-Type", "text/event-stream")
	var last *api.Change
	var before *api.Traffic
	look := time.NewTicker(watchLook)
	defer look.Stop()
	for {
		snapshots, tables := s.options.Catalogue.Changed(), s.options.Tables.Changed()
		if now := s.change(); last == nil || !reflect.DeepEqual(*last, now) {
			last = &now
			stream.send("change", now)
		}
		if r.flag("traffic") {
			if found := s.meter.Read(time.Now()); found != nil && found != before {
				stream.send("traffic", meter.Since(before, found))
				before = found
			}
		}
		stream.keepAlive()
		if stream.broken {
			return nil // the client has gone
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-s.stopping:
			return nil
		case <-snapshots:
		case <-tables:
		case <-look.C:
			if !s.access.StillHolds(r.Request) {
				return nil
			}
		}
	}
}

// change is what there is at this moment.
func (s *Server) change() api.Change {
	st := s.options.Tables.Status()
	c := api.Change{State: string(st.State), Pending: st.Pending, Stale: []string{}}
	if snapshot := s.options.Catalogue.Newest(); snapshot != nil {
		c.Revision = snapshot.Revision
	}
	if table := s.options.Tables.Table(); table != nil {
		c.Hash, c.Problems = table.Hash, len(table.Problems)
	}
	for _, source := range s.options.Sources() {
		if source.Stale {
			c.Stale = append(c.Stale, source.Name)
		}
	}
	report := s.options.Conditions.Report()
	c.Condition, c.Findings = string(report.State), len(report.Findings)
	return c
}

// stream writes events to one client.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	last    time.Time
	broken  bool
}

// send writes an event. The types of package api always encode.
func (s *stream) send(event string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", event, data))
}

func (s *stream) keepAlive() {
	if time.Since(s.last) >= watchAlive {
		s.write(":\n\n")
	}
}

func (s *stream) write(text string) {
	if s.broken {
		return
	}
	s.last = time.Now()
	_ = s.control.SetWriteDeadline(s.last.Add(watchWrite))
	_, err := s.w.Write([]byte(text))
	if err == nil {
		err = s.control.Flush()
	}
	s.broken = err != nil
}
