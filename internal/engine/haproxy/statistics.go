package haproxy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

// Statistics are those of HAProxy in its own form, CSV, by the names of the table:
// sections have the ID of their backend, or of the route that is alone in them, servers
// that of their endpoint, and frontends that of their listener. Others are left out; a
// backend that several sections serve is there several times.
func (e *Engine) Statistics(ctx context.Context) ([]byte, error) {
	stats, err := e.Stats(ctx, socket.AllKinds)
	if err != nil {
		return nil, err
	}
	config := &render.Config{}
	if l := e.live.Load(); l != nil {
		config = l.config
	}
	return stats.CSV(func(r socket.Row) (string, string, bool) { return namesOf(config, r) }), nil
}

// namesOf gives a row the names of the table.
func namesOf(config *render.Config, r socket.Row) (proxy, server string, ok bool) {
	server = r.Server()
	if server == "FRONTEND" {
		name := quote.Listener(r.Proxy())
		return name, server, name != ""
	}
	s := config.Section(r.Proxy())
	if s == nil || s.Backend == "" {
		return "", "", false
	}
	proxy = cmp.Or(s.Route, s.Backend)
	if server == "BACKEND" {
		return proxy, server, true
	}
	found := serverOf(s, server)
	if found == nil {
		return proxy, "", false // it is on its way out
	}
	return proxy, found.Endpoint, true
}

// serverOf is the server of a section with a name, or nil.
func serverOf(s *render.Section, name string) *render.Server {
	i := slices.IndexFunc(s.Servers, func(sv render.Server) bool { return sv.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Servers[i]
}

// ConfigText is the live configuration without what is secret; nil before the first.
func (e *Engine) ConfigText() []byte {
	if l := e.live.Load(); l != nil {
		return []byte(l.config.Shown())
	}
	return nil
}

// Preview returns what HAProxy would get for two tables, one after the other: its
// configuration and maps, without secrets, the marker and the users of files.
func (e *Engine) Preview(before, after *route.Table) (was, then string, err error) {
	first, err := render.Render(before, nil, e.surroundings())
	if err != nil {
		return "", "", fmt.Errorf("haproxy: preview: %w", err)
	}
	next, err := render.Render(after, first, e.surroundings())
	if err != nil {
		return "", "", fmt.Errorf("haproxy: preview: %w", err)
	}
	return first.Shown() + first.ShownMaps(), next.Shown() + next.ShownMaps(), nil
}

// counters are the engine's own metrics: what it has done to HAProxy.
type counters struct {
	reloads                                        *metrics.Vec[metrics.Counter]
	reloadFailures, commands, failures, unverified *metrics.Counter
	leaving                                        *metrics.Gauge
}

func newCounters(m *metrics.Set, e *Engine) counters {
	m.GaugeFunc("fairway_haproxy_spare_backends", "Sections that are ready for new services without a reload.", e.spares)
	m.GaugeFunc("fairway_haproxy_old_workers", "Workers that were replaced by a reload and finish what they have.", e.oldWorkers)
	return counters{
		reloads: m.CounterVec("fairway_haproxy_reloads_total", "Reloads and starts of HAProxy that came about, by reason.", "reason"),
		reloadFailures: m.Counter("fairway_haproxy_reload_failures_total",
			"Reloads and starts that did not come about; what was served before goes on."),
		commands:   m.Counter("fairway_haproxy_runtime_commands_total", "Commands that changed HAProxy while it ran."),
		failures:   m.Counter("fairway_haproxy_runtime_failures_total", "Commands that HAProxy refused or did not answer."),
		unverified: m.Counter("fairway_haproxy_verification_failures_total", "Times that HAProxy did not have what it had to."),
		leaving:    m.Gauge("fairway_haproxy_leaving_servers", "Servers that wait to be deleted until nothing runs on them."),
	}
}

// spares counts the sections that no service has yet.
func (e *Engine) spares() float64 {
	l := e.live.Load()
	if l == nil {
		return 0
	}
	n := 0
	for i := range l.config.Sections {
		if l.config.Sections[i].Backend == "" {
			n++
		}
	}
	return float64(n)
}

// oldWorkers asks the master. Zero when it does not answer.
func (e *Engine) oldWorkers() float64 {
	proc := e.running.Load()
	if proc == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	all, err := proc.Master().Processes(ctx)
	if err != nil {
		return 0
	}
	return float64(len(all.Old))
}
