package embedded

import (
	"container/ring"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// room is the bound on open connections, of clients and to endpoints together, so
// that the admin API, the files of the state and the sources find descriptors.
//
// To make room, the connection of a client that has been idle longest is closed, or else
// idle ones to endpoints; never one in use.
type room struct {
	limit     int // connections
	slack     int // connections to endpoints beyond the limit
	perSource int // connections of one client
	log       *slog.Logger
	evicted   func(reason string)
	// spare closes idle connections to endpoints, which calls done for each. It reports
	// false when there may be none left, and is called without the mutex.
	spare func() bool

	mu      sync.Mutex
	open    int
	idle    ring.Ring // before the one that is idle longest; without a value
	sources map[netip.Addr]*source

	warned rate.Sometimes // of a limit that is reached
}

type source struct {
	open int
	idle ring.Ring // as in room
}

// The reasons of refusals and evictions.
const (
	limitConnections = "connection-limit"
	limitSource      = "source-limit"
)

// errNoRoom means that no further connection may be opened.
var errNoRoom = errors.New("as many connections are open as may be")

// newRoom makes room by the options, which have their defaults.
func newRoom(o Options, evicted func(reason string)) *room {
	return &room{
		limit: o.MaxConns, slack: max(1, o.MaxConns/16), perSource: o.MaxConnsPerSource,
		log: o.Logger, evicted: evicted, spare: func() bool { return false },
		warned: rate.Sometimes{Interval: time.Minute}, sources: map[netip.Addr]*source{},
	}
}

// reach counts a connection to an endpoint, and reports whether there is room for it,
// some way beyond the limit: a request that was let in should not fail for want of one.
func (r *room) reach() bool { return r.admit(nil) == "" }

// admit counts the connection of a client (nil: one to an endpoint). Its source is the
// zero Addr where it is not bounded by itself. It is idle until set says otherwise. When
// there is no room, refused is the reason.
func (r *room) admit(c *clientConn) (refused string) {
	for {
		victims, limit, ok := r.take(c)
		for _, v := range victims {
			go v.Conn.Close() // it waits for the end of a request that has just begun
		}
		if !ok && limit == limitConnections && r.spare() {
			continue
		}
		if limit != "" {
			r.warned.Do(func() {
				r.log.Warn("no room for more connections: idle ones are closed, and where there are none new ones refused",
					"limit", limit, "max", r.limit, "max_per_client", r.perSource)
			})
		}
		if ok {
			return ""
		}
		return limit
	}
}

// take is one try of admit, with what has to be closed; limit is one that was reached.
func (r *room) take(c *clientConn) (victims []*clientConn, limit string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := r.limit
	if c == nil {
		most += r.slack
	} else if s := r.sources[c.source]; s != nil && s.open >= r.perSource {
		limit = limitSource
		victim := r.evict(&s.idle, limit)
		if victim == nil {
			return nil, limit, false
		}
		victims = append(victims, victim)
	}
	if r.open >= r.limit {
		limit = limitConnections
		if victim := r.evict(&r.idle, limit); victim != nil {
			victims = append(victims, victim)
		} else if r.open >= most {
			return victims, limit, false
		}
	}
	r.open++
	if c == nil {
		return victims, limit, true
	}
	if c.source.IsValid() {
		s := r.sources[c.source]
		if s == nil {
			s = &source{}
			r.sources[c.source] = s
		}
		s.open++
	}
	c.counted = true
	r.mark(c, true)
	return victims, limit, true
}

// evict stops counting what is idle longest, for the caller to close, or returns nil.
func (r *room) evict(idle *ring.Ring, limit string) *clientConn {
	c, _ := idle.Next().Value.(*clientConn)
	if c != nil {
		r.leave(c)
		r.evicted(limit)
	}
	return c
}

// mark says whether a connection is idle.
func (r *room) mark(c *clientConn, idle bool) {
	c.inRoom.Prev().Unlink(1)
	c.inSource.Prev().Unlink(1)
	if !idle {
		return
	}
	c.inRoom.Value, c.inSource.Value = c, c
	r.idle.Prev().Link(&c.inRoom)
	if s := r.sources[c.source]; s != nil {
		s.idle.Prev().Link(&c.inSource)
	}
}

func (r *room) set(c *clientConn, idle bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.counted {
		r.mark(c, idle)
	}
}

// exit stops counting the connection of a client. It may be called again.
func (r *room) exit(c *clientConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(c)
}

func (r *room) leave(c *clientConn) {
	if !c.counted {
		return
	}
	c.counted = false
	r.mark(c, false)
	r.open--
	if s := r.sources[c.source]; s != nil {
		if s.open--; s.open == 0 {
			delete(r.sources, c.source)
		}
	}
}

func (r *room) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
}

// connectionLimit is how many connections a process may have that may open so many
// files: all but an eighth, of at least 32 and at most 1024.
func connectionLimit(files uint64) int {
	const most = 1 << 24
	n := int(min(files, most))
	return max(n-min(max(n/8, 32), 1024), n/2, 1)
}
