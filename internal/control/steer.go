package control

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/route"
	"fairway/internal/route/diff"
)

type steering struct {
	compiled *route.Table
	snapshot *catalog.Snapshot
	live     *route.Table // the table before, or nil
	commands []Command    // in force, in the order of compareCommands
	held     *route.Table // of the hold among them, or nil
}

// released are services that a hold releases, for good; both are sorted.
type released struct {
	services  []string // with other labels
	endpoints []string // with other endpoints: only these are free
}

// steer puts the commands into effect on the compiled table, and says what a hold gives
// free by that. It is pure. A hold comes first, with routes and backends of its table;
// weight, drain and pause then change endpoints. The listeners of the configuration and
// the problems are always the compiled ones.
func steer(w steering) (table *route.Table, free released, err error) {
	if len(w.commands) == 0 {
		return w.compiled, released{}, nil
	}
	t := draft{w.compiled.Listeners, slices.Clone(w.compiled.Routes), slices.Clone(w.compiled.Backends)}
	for _, c := range w.commands {
		if c.Hold != nil && w.held != nil {
			t, free, _ = hold(w, *c.Hold)
		}
	}
	for _, c := range w.commands {
		if c.Hold == nil {
			t.command(c)
		}
	}
	if w.live != nil {
		t.reuse(w.live)
	}
	table, err = route.New(w.compiled.Revision, t.listeners, t.routes, t.backends, w.compiled.Remarks())
	if err != nil {
		return nil, released{}, fmt.Errorf("commands: %w", err)
	}
	return table, free, nil
}

type draft struct {
	listeners []route.Listener
	routes    []*route.Route
	backends  []*route.Backend
}

// hold puts the held table, or services of it, in place of the compiled one, and counts the
// recorded endpoints that would be served and are gone.
func hold(w steering, h Hold) (t draft, f released, gone int) {
	for id, seen := range h.Services {
		if changed(w.snapshot, id, seen) {
			f.services = append(f.services, id)
		} else if seen.Endpoints != "" && seen.Endpoints != endpointsOf(w.compiled, id) {
			f.endpoints = append(f.endpoints, id)
		}
	}
	slices.Sort(f.services)
	slices.Sort(f.endpoints)
	isHeld := func(service string) bool {
		_, named := h.Services[service]
		_, free := slices.BinarySearch(f.services, service)
		return h.Release == ReleaseByHand || named && !free
	}
	follows := func(service string) bool {
		_, free := slices.BinarySearch(f.endpoints, service)
		return !h.RecordedEndpoints || h.Release == ReleaseByLabels && (free || h.Services[service].Endpoints == "")
	}
	t.routes = mixed(withoutMaintenance(w.held.Routes), w.compiled.Routes, func(r *route.Route) (string, bool) { return r.ID, isHeld(r.Service) })
	t.backends = mixed(w.held.Backends, w.compiled.Backends, func(b *route.Backend) (string, bool) { return b.ID, isHeld(b.Service) })
	exists := worldOf(w.snapshot)
	for i, b := range t.backends {
		if !isHeld(b.Service) {
			continue
		}
		if follows(b.Service) {
			if t.backends[i] = liveBackend(w.compiled, b); t.backends[i] != nil {
				continue
			}
		}
		left, lost := exists.left(b)
		t.backends[i] = left
		gone += lost
	}
	t.listeners = heldListeners(w, t.routes)
	return t, f, gone
}

// mixed returns the elements of services that are held, and the compiled ones of others.
// Where a service was renamed in between, both may have one ID: the held one stays.
func mixed[T any](held, compiled []*T, look func(*T) (id string, isHeld bool)) []*T {
	var list []*T
	has := map[string]bool{}
	for _, e := range held {
		if id, isHeld := look(e); isHeld {
			has[id] = true
			list = append(list, e)
		}
	}
	for _, e := range compiled {
		if id, isHeld := look(e); !isHeld && !has[id] {
			list = append(list, e)
		}
	}
	return list
}

// liveBackend returns a held backend with the endpoints of today; nil where nothing says
// what they are.
func liveBackend(compiled *route.Table, b *route.Backend) *route.Backend {
	now := compiled.Backend(b.ID)
	if now == nil || now.Service != b.Service || (now.Scheme == route.SchemeTCP) != (b.Scheme == route.SchemeTCP) {
		return nil
	}
	return withEndpoints(b, now.Endpoints)
}

func withEndpoints(b *route.Backend, endpoints []route.Endpoint) *route.Backend {
	changed := *b
	changed.Endpoints = endpoints
	return &changed
}

// heldListeners returns the configured listeners, and of those that labels opened,
// then or now, the ones that the routes name.
func heldListeners(w steering, routes []*route.Route) []route.Listener {
	named := map[string]bool{}
	for _, r := range routes {
		for _, m := range r.Matches {
			for _, c := range m.Conditions {
				if c.Kind != route.ConditionListener {
					continue
				}
				for _, name := range c.Values {
					named[name] = true
				}
			}
		}
	}
	var list []route.Listener
	taken := map[string]bool{}
	take := func(l route.Listener) {
		taken[l.Name], taken[l.Address] = true, true
		list = append(list, l)
	}
	for _, l := range w.compiled.Listeners {
		if !l.Optional {
			take(l)
		}
	}
	for _, l := range slices.Concat(w.compiled.Listeners, w.held.Listeners) {
		if l.Optional && named[l.Name] && !taken[l.Name] && !taken[l.Address] {
			take(l)
		}
	}
	return list
}

// withoutMaintenance are routes as they were recorded, but for what a command of then did.
func withoutMaintenance(routes []*route.Route) []*route.Route {
	routes = slices.Clone(routes)
	for i, r := range routes {
		if r.Maintenance() != nil {
			open := *r
			open.Filters = r.Filters[1:]
			routes[i] = &open
		}
	}
	return routes
}

// maintain puts a service into maintenance, but for routes that are refused.
func (t *draft) maintain(c Command) {
	filter := route.Filter{Maintenance: &route.Maintenance{Allow: c.Allow, Message: cmp.Or(c.Message, sorry), Until: c.Until, By: c.by()}}
	for i, r := range t.routes {
		if r.Service != c.Subject.Service || r.Refused != "" {
			continue
		}
		shut := *r
		shut.Filters = append([]route.Filter{filter}, r.Filters...)
		t.routes[i] = &shut
	}
}

func (t *draft) command(c Command) {
	if c.Kind == CommandMaintenance {
		t.maintain(c)
		return
	}
	paused := map[string]bool{} // IDs of backends
	for i, b := range t.backends {
		var endpoints []route.Endpoint
		for j, e := range b.Endpoints {
			if !covers(c.Subject, b, e) {
				continue
			}
			if endpoints == nil {
				endpoints = slices.Clone(b.Endpoints)
			}
			if c.on(&endpoints[j]) {
				endpoints[j].By = c.by()
			}
		}
		if endpoints != nil {
			t.backends[i] = withEndpoints(b, endpoints)
		}
		paused[b.ID] = c.Kind == CommandPause && b.Service == c.Subject.Service
	}
	for i, r := range t.routes {
		if paused[r.Backend] && r.Hold < c.Wait+pauseGrace {
			waits := *r
			waits.Hold = c.Wait + pauseGrace
			t.routes[i] = &waits
		}
	}
}

// pauseGrace is how much longer than the pause a request may wait: the table without the
// pause takes a moment to go live.
const pauseGrace = 2 * time.Second

// on changes one endpoint and says whether there was something to change.
func (c Command) on(e *route.Endpoint) bool {
	switch {
	case c.Kind == CommandWeight && e.Weight != c.Weight:
		e.Weight = c.Weight
		return true
	case c.Kind == CommandDrain && e.State == route.EndpointReady:
		e.State = route.EndpointDraining
		return true
	case c.Kind == CommandPause && e.State == route.EndpointReady:
		e.State = route.EndpointWaiting
		return true
	}
	return false
}

// reuse takes equal elements of the table before: an engine keeps what it made of them.
func (t *draft) reuse(live *route.Table) {
	for i, r := range t.routes {
		if old := live.Route(r.ID); old != nil && old != r && old.Digest() == r.Digest() && maps.Equal(old.Origin.Labels, r.Origin.Labels) && maps.Equal(old.Origin.Defaults, r.Origin.Defaults) {
			t.routes[i] = old
		}
	}
	for i, b := range t.backends {
		if old := live.Backend(b.ID); old != nil && old != b && old.Digest() == b.Digest() {
			t.backends[i] = old
		}
	}
}

// differing returns the services whose routes or backends differ between two tables.
func differing(a, b *route.Table) map[string]bool {
	services := map[string]bool{}
	changes := diff.Tables(a, b)
	for _, t := range []*route.Table{a, b} {
		for _, c := range changes.Routes {
			if r := t.Route(c.ID); r != nil {
				services[r.Service] = true
			}
		}
		for _, c := range changes.Backends {
			if be := t.Backend(c.ID); be != nil {
				services[be.Service] = true
			}
		}
	}
	return services
}

// changed says whether a service has other labels. That it is gone counts once every
// source has answered in this run.
func changed(s *catalog.Snapshot, service string, before Seen) bool {
	now := labelsOf(s, service)
	return now != before.Labels && (now != "" || allSynced(s))
}

func allSynced(s *catalog.Snapshot) bool {
	return !s.Restored && !slices.ContainsFunc(s.Sources, func(src catalog.SourceStatus) bool { return !src.Synced })
}

// labelsOf is the digest of the labels of a service and of its instances, however many
// have the same. It is empty when there is no such service.
func labelsOf(s *catalog.Snapshot, id string) string {
	i, found := slices.BinarySearchFunc(s.Services, id, func(svc *catalog.Service, id string) int { return strings.Compare(svc.ID, id) })
	if !found {
		return ""
	}
	service := s.Services[i]
	var sets []string
	for _, in := range service.Instances {
		sets = append(sets, labelText(in.Labels))
	}
	slices.Sort(sets)
	return digest(append([]string{labelText(service.Labels)}, slices.Compact(sets)...))
}

func labelText(labels map[string]string) string {
	var lines []string
	for k, v := range labels {
		if catalog.IsLabel(k) {
			lines = append(lines, fmt.Sprintf("%q=%q\n", k, v))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// endpointsOf is the digest of the endpoints of a service's backends.
func endpointsOf(t *route.Table, service string) string {
	var texts []string
	for _, b := range t.Backends {
		if b.Service != service {
			continue
		}
		texts = append(texts, b.ID)
		for _, e := range b.Endpoints {
			texts = append(texts, e.String())
		}
	}
	return digest(texts)
}

func digest(texts []string) string {
	h := sha256.New()
	for _, t := range texts {
		_, _ = fmt.Fprintf(h, "%d %s", len(t), t) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func decodeCommand(data []byte) (Command, error) {
	var c Command
	if err := json.Unmarshal(data, &c); err != nil {
		return Command{}, fmt.Errorf("command: %w", err)
	}
	holds := c.Kind == CommandRollback || c.Kind == CommandPin
	if c.ID == "" || holds != (c.Hold != nil) || !holds && c.Subject == (catalog.Subject{}) {
		return Command{}, errors.New("command: it is about nothing")
	}
	if c.Hold != nil {
		c.Hold.Release = c.Hold.Release.spelled()
	}
	return c, nil
}
