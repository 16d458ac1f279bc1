package haproxy

import (
	"context"
	"maps"
	"time"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

// drainingServer is a server in maintenance that is to be deleted when nothing runs on it.
type drainingServer struct{ section, server string }

// deletion is how far the deletion of a draining server has come.
type deletion struct {
	next time.Time
	wait time.Duration
}

// The times between tries to delete a server: while it has connections HAProxy refuses.
const (
	deleteFirst = 50 * time.Millisecond
	deleteLast  = 5 * time.Second
	// deleteAtOnce bounds how many are tried with the engine's mutex held.
	deleteAtOnce = 200
)

// collectDraining notes the servers that the worker has sent away, and forgets others.
func (e *Engine) collectDraining() {
	if e.worker == nil {
		return
	}
	now := time.Now()
	seen := map[drainingServer]bool{}
	for section, servers := range e.worker.Servers {
		for name, s := range servers {
			if !s.Draining {
				continue
			}
			l := drainingServer{section, name}
			seen[l] = true
			if e.draining[l] == nil {
				e.draining[l] = &deletion{next: now.Add(deleteFirst), wait: deleteFirst}
			}
		}
	}
	for l := range e.draining {
		if !seen[l] {
			delete(e.draining, l)
		}
	}
	e.counters.leaving.Set(float64(len(e.draining)))
	if len(e.draining) > 0 {
		e.wakeUp()
	}
}

// nextDeletion is when the next deletion is due; zero when there is none.
func (e *Engine) nextDeletion() (due time.Time) {
	for _, l := range e.draining {
		if due.IsZero() || l.next.Before(due) {
			due = l.next
		}
	}
	return due
}

// deleteDrained tries to delete the servers that are due.
func (e *Engine) deleteDrained(ctx context.Context) error {
	now := time.Now()
	if due := e.nextDeletion(); due.IsZero() || due.After(now) || e.worker == nil {
		return nil
	}
	s, err := e.client.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	defer func() { e.counters.leaving.Set(float64(len(e.draining))) }()
	tried := 0
	for l, state := range e.draining {
		if state.next.After(now) || tried == deleteAtOnce {
			continue
		}
		tried++
		c, err := socket.ServerCommand(socket.DelServer, l.section, l.server)
		if err != nil {
			return err
		}
		_, err = s.Do(ctx, c)
		switch {
		case err == nil, socket.Refused(err, "No such server"):
			delete(e.draining, l)
			delete(e.worker.Servers[l.section], l.server)
			e.counters.commands.Inc()
		case socket.Refused(err, ""):
			state.wait = min(2*state.wait, deleteLast)
			state.next = time.Now().Add(state.wait)
		default:
			return err
		}
	}
	return nil
}

// quarantineFor is how long a section that a service has given back is not handed out,
// beyond the time for which its requests may be held: they must not meet other endpoints.
const quarantineFor = 2 * time.Second

// quarantine notes the sections that a table has given back.
func (e *Engine) quarantine(old, next *render.Config, t *route.Table) {
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
			held = quarantineFor
			for _, r := range t.Routes {
				held = max(held, quarantineFor+r.Hold)
			}
		}
		e.quarantined[s.Name] = time.Now().Add(held)
	}
}

// resting are the names of sections that must not be handed out yet.
func (e *Engine) resting() map[string]bool {
	now := time.Now()
	maps.DeleteFunc(e.quarantined, func(_ string, until time.Time) bool { return !now.Before(until) })
	names := map[string]bool{}
	for name := range e.quarantined {
		names[name] = true
	}
	for l := range e.draining {
		names[l.section] = true
	}
	return names
}

// arrangeCuts notes when connections are cut off that are passed through to endpoints
// which drain or are gone: unlike an HTTP request they may last for ever.
func (e *Engine) arrangeCuts(old, next *render.Config, t *route.Table) {
	stays := tunnels(next, t)
	maps.DeleteFunc(e.cuts, func(l drainingServer, _ time.Time) bool { return stays[l] })
	all := tunnels(old, e.table)
	maps.Copy(all, stays)
	for l := range all {
		if _, known := e.cuts[l]; !known && !stays[l] {
			e.cuts[l] = time.Now().Add(e.opts.DrainLimit)
			e.wakeUp()
		}
	}
}

// tunnels are the servers that connections are passed through to, true if they may go on.
func tunnels(c *render.Config, t *route.Table) map[drainingServer]bool {
	servers := map[drainingServer]bool{}
	if c == nil || t == nil {
		return servers
	}
	for i := range c.Sections {
		s := &c.Sections[i]
		if b := t.Backend(s.Backend); b == nil || b.Scheme != route.SchemeTCP {
			continue
		}
		for _, sv := range s.Servers {
			servers[drainingServer{s.Name, sv.Name}] = sv.State != route.EndpointDraining
		}
	}
	return servers
}

// cut cuts off what is due. In a worker that was replaced connections last until it ends.
func (e *Engine) cut(ctx context.Context) error {
	var due []socket.Command
	for l, until := range e.cuts {
		if time.Now().Before(until) {
			continue
		}
		c, err := socket.ServerCommand(socket.ShutdownSessions, l.section, l.server)
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
