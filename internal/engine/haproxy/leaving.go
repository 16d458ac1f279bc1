package haproxy

import (
	"context"
	"time"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

// leaver is a server in maintenance that is to be deleted when nothing runs on it.
type leaver struct{ section, server string }

// leaving is how far its deletion has come.
type leaving struct {
	next  time.Time
	wait  time.Duration
	since time.Time
}

// The times between tries to delete a server: HAProxy refuses for as long as it
// has connections, which may be hours.
const (
	leaveFirst = 50 * time.Millisecond
	leaveLast  = 5 * time.Second
	// leaveAtOnce bounds how many are tried with the engine's mutex held.
	leaveAtOnce = 200
)

// collectLeavers takes the servers that the last plan has sent away, and forgets
// those that were called back.
func (e *Engine) collectLeavers() {
	if e.worker == nil {
		return
	}
	now := time.Now()
	seen := map[leaver]bool{}
	for section, servers := range e.worker.Servers {
		for name, s := range servers {
			if !s.Draining {
				continue
			}
			l := leaver{section, name}
			seen[l] = true
			if e.leavers[l] == nil {
				e.leavers[l] = &leaving{next: now.Add(leaveFirst), wait: leaveFirst, since: now}
			}
		}
	}
	for l := range e.leavers {
		if !seen[l] {
			delete(e.leavers, l)
		}
	}
	e.counters.leaving.Set(float64(len(e.leavers)))
	if len(e.leavers) > 0 {
		e.nudge()
	}
}

// nextLeaver is when the next deletion is due; zero when there is none.
func (e *Engine) nextLeaver() (due time.Time) {
	for _, l := range e.leavers {
		if due.IsZero() || l.next.Before(due) {
			due = l.next
		}
	}
	return due
}

// deleteLeavers tries to delete the servers that are due.
func (e *Engine) deleteLeavers(ctx context.Context) error {
	now := time.Now()
	if due := e.nextLeaver(); due.IsZero() || due.After(now) || e.worker == nil {
		return nil
	}
	s, err := e.client.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	defer func() { e.counters.leaving.Set(float64(len(e.leavers))) }()
	tried := 0
	for l, state := range e.leavers {
		if state.next.After(now) || tried == leaveAtOnce {
			continue
		}
		tried++
		c, err := socket.DelServer(l.section, l.server)
		if err != nil {
			return err
		}
		_, err = s.Do(ctx, c)
		switch {
		case err == nil, socket.Refused(err, "No such server"):
			delete(e.leavers, l)
			delete(e.worker.Servers[l.section], l.server)
			e.counters.commands.Inc()
		case socket.Refused(err, ""):
			state.wait = min(2*state.wait, leaveLast)
			state.next = time.Now().Add(state.wait)
		default:
			return err
		}
	}
	return nil
}

// restFor is how long a section rests that a service has given back, besides the
// time for which requests of it may be held: until then they may still be on their
// way through it, and must not meet the endpoints of another.
const restFor = 2 * time.Second

// rest notes the sections that a table has given back.
func (e *Engine) rest(old, next *render.Config, t *route.Table) {
	now := time.Now()
	for name, until := range e.rests {
		if until.Before(now) {
			delete(e.rests, name)
		}
	}
	if old == nil || t == nil {
		return
	}
	var held time.Duration
	for i := range old.Sections {
		s := &old.Sections[i]
		if s.Backend == "" {
			continue
		}
		if n := next.Section(s.Name); n == nil || n.Backend != "" {
			continue
		}
		if held == 0 {
			held = restFor
			for _, r := range t.Routes {
				held = max(held, restFor+r.Hold)
			}
		}
		e.rests[s.Name] = now.Add(held)
	}
}

// resting are the names of sections that must not be handed out yet.
func (e *Engine) resting() map[string]bool {
	names := map[string]bool{}
	for name, until := range e.rests {
		if time.Now().Before(until) {
			names[name] = true
		}
	}
	for l := range e.leavers {
		names[l.section] = true
	}
	return names
}

// arrangeCuts notes when the connections are cut off that are passed through to
// endpoints which drain, or have been taken out, in the table that is live now. An
// HTTP request ends by itself; such a connection may last for ever.
func (e *Engine) arrangeCuts(old, next *render.Config, t *route.Table) {
	cuts := map[leaver]time.Time{}
	arrange := func(l leaver) {
		if until, ok := e.cuts[l]; ok {
			cuts[l] = until
			return
		}
		cuts[l] = time.Now().Add(e.opts.DrainLimit)
		e.nudge()
	}
	ready := map[leaver]bool{}
	for i := range next.Sections {
		s := &next.Sections[i]
		if b := t.Backend(s.Backend); b == nil || b.Scheme != route.SchemeTCP {
			continue
		}
		for _, sv := range s.Servers {
			l := leaver{s.Name, sv.Name}
			if sv.State == route.EndpointDraining {
				arrange(l)
			}
			ready[l] = sv.State != route.EndpointDraining
		}
	}
	if old != nil && e.table != nil {
		for i := range old.Sections {
			s := &old.Sections[i]
			if b := e.table.Backend(s.Backend); b == nil || b.Scheme != route.SchemeTCP {
				continue
			}
			for _, sv := range s.Servers {
				if l := (leaver{s.Name, sv.Name}); !ready[l] {
					arrange(l)
				}
			}
		}
	}
	for l, until := range e.cuts {
		if !ready[l] && time.Now().Before(until) {
			cuts[l] = until
		}
	}
	e.cuts = cuts
}

// cut cuts off what is due. A worker that was replaced refuses to: there
// connections last until it ends itself.
func (e *Engine) cut(ctx context.Context) error {
	var due []socket.Command
	for l, until := range e.cuts {
		if time.Now().Before(until) {
			continue
		}
		c, err := socket.ShutdownSessions(l.section, l.server)
		if err != nil {
			return err
		}
		due = append(due, c)
		delete(e.cuts, l)
	}
	if len(due) == 0 {
		return nil
	}
	s, err := e.client.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, c := range due {
		if _, err := s.Do(ctx, c); err != nil && !socket.Refused(err, "") {
			return err
		}
	}
	return nil
}
