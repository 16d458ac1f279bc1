package haproxy

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

// worker is what a worker of HAProxy has: as it was read from it, or as it must be
// after what it was told. A nil worker stands for a HAProxy that does not run.
type worker struct {
	// structure is the hash of what cannot be changed without a reload.
	structure string
	maps      map[string]map[string]string // by path, by key
	servers   map[string]map[string]server // by section, by name
	lists     map[string][]string          // of paths of pairs, by path of the crt-list
	pairs     map[string]string            // the IDs of pairs, or how they begin, by path
	files     map[string]string            // digests of files that it has read when it started; nil: unknown
}

// server is a server of a worker.
type server struct {
	address netip.AddrPort
	weight  int
	state   socket.State
	checked bool // its active checks are enabled
	// options are those it was added with, when they are known: HAProxy does not
	// tell.
	options string
	known   bool
	// leaving is true of one that nobody wants: it is in maintenance and will be
	// deleted.
	leaving bool
}

// Reasons of reloads, as the metric has them.
const (
	reloadStart       = "start"       // HAProxy did not run
	reloadStructure   = "structure"   // what cannot be changed while it runs
	reloadCertificate = "certificate" // an order of certificates that it cannot be brought to
	reloadFile        = "file"        // a file that it reads only when it starts
	reloadRuntime     = "runtime"     // it refused a command, or did not show what it was told
	reloadAsked       = "asked"
)

// plan is the way from a worker to a configuration: commands, or a reload.
type plan struct {
	// reload is why commands are not enough, one of the reasons above; text says
	// it in words.
	reload, text string
	// steps lead there in their order: at no moment between them is a request
	// answered in a way that neither the old nor the new table means.
	steps []step
	// What the steps touch, to be read back.
	sections []string
	keys     map[string][]string // by path of the map
	whole    []string            // paths of maps that were replaced as a whole
	lists    []string
	pairs    []string
}

// step is one change of a running worker.
type step struct {
	// phase is when: no step of one is taken before all of the phase before have
	// been.
	phase    int
	commands []socket.Command
	// text describes what is not a plain command; entries are those of its payload.
	text    string
	entries []socket.Entry
	special func(context.Context, *socket.Session) error
	// effect tells what the worker has after it.
	effect func(*worker)
}

// String is the commands, one a line.
func (s step) String() string {
	if s.text != "" {
		return s.text
	}
	lines := make([]string, 0, len(s.commands)+len(s.entries))
	for _, c := range s.commands {
		lines = append(lines, c.String())
	}
	for _, e := range s.entries {
		lines = append(lines, "    "+e.Key+" "+e.Value)
	}
	return strings.Join(lines, "\n")
}

// planner collects a plan in the order of its phases.
type planner struct {
	before *worker
	wanted target
	plan   plan
	// Phases after the first, which is the plan's own steps.
	routing, forgetting, leaving, last []step
	err                                error
}

// newPlan finds the way from a worker to a target. previous is the structure that
// the worker has, as far as it is known, for the words of a reason. It is pure.
func newPlan(before *worker, previous render.Structure, wanted target) plan {
	if before == nil {
		return plan{reload: reloadStart, text: "HAProxy does not run"}
	}
	if hash := wanted.config.Structure.Hash(); before.structure != hash {
		text := "HAProxy runs with another structure"
		if previous.Hash() == before.structure {
			text = few(wanted.config.Structure.Changes(previous))
		}
		return plan{reload: reloadStructure, text: text}
	}
	if before.files != nil && !maps.Equal(before.files, wanted.files) {
		return plan{reload: reloadFile, text: "the authorities of clients have changed"}
	}
	p := &planner{before: before, wanted: wanted, plan: plan{keys: map[string][]string{}}}
	p.certificates()
	p.sections()
	for _, m := range wanted.config.Maps {
		p.routes(m)
	}
	if p.err != nil {
		// A value that no command can carry stands in the files all the same.
		p.reload(reloadRuntime, p.err.Error())
	}
	if p.plan.reload != "" {
		return plan{reload: p.plan.reload, text: p.plan.text}
	}
	for i, phase := range [][]step{p.routing, p.forgetting, p.leaving, p.last} {
		for _, s := range phase {
			s.phase = i + 1
			p.plan.steps = append(p.plan.steps, s)
		}
	}
	return p.plan
}

func (p *planner) reload(reason, text string) {
	if p.plan.reload == "" {
		p.plan.reload, p.plan.text = reason, text
	}
}

// command is a step of plain commands; the first error of making one is kept.
func (p *planner) command(effect func(*worker), make ...func() (socket.Command, error)) step {
	s := step{effect: effect}
	for _, f := range make {
		c, err := f()
		if err != nil && p.err == nil {
			p.err = err
		}
		s.commands = append(s.commands, c)
	}
	return s
}

// sections plans the servers: new ones before anything points at them, those
// that leave when nothing does any more.
func (p *planner) sections() {
	for i := range p.wanted.config.Sections {
		s := &p.wanted.config.Sections[i]
		has := p.before.servers[s.Name]
		kept := 0
		for j := range s.Servers {
			if _, ok := has[s.Servers[j].Name]; ok {
				kept++
			}
			p.server(s.Name, &s.Servers[j], has)
		}
		if kept < len(has) {
			p.leave(s.Name, has, s.Servers)
		}
	}
}

// stateOf is HAProxy's word for what an endpoint may get. Draining is maintenance,
// too: HAProxy's own draining lets sticky clients in, and keeps idle connections.
func stateOf(s route.EndpointState) socket.State {
	if s == route.EndpointReady {
		return socket.StateReady
	}
	return socket.StateMaint
}

func (p *planner) server(section string, want *render.Server, has map[string]server) {
	now, exists := has[want.Name]
	next := serverOf(want)
	effect := func(w *worker) {
		if w.servers[section] == nil {
			w.servers[section] = map[string]server{}
		}
		w.servers[section][want.Name] = next
	}
	switch {
	case !exists:
		p.touch(section)
		p.plan.steps = append(p.plan.steps, p.addServer(section, want, next, effect))
	case now.address != want.Address || now.known && now.options != want.Options:
		p.reload(reloadStructure, fmt.Sprintf("server %s/%s has other settings", section, want.Name))
	default:
		var commands []func() (socket.Command, error)
		if next.checked && !now.checked {
			commands = append(commands, func() (socket.Command, error) { return socket.EnableHealth(section, want.Name) })
		}
		if now.weight != next.weight {
			commands = append(commands, func() (socket.Command, error) {
				return socket.SetServerWeight(section, want.Name, next.weight)
			})
		}
		if now.state != next.state {
			commands = append(commands, func() (socket.Command, error) {
				return socket.SetServerState(section, want.Name, next.state)
			})
		}
		if len(commands) == 0 && !now.leaving {
			return
		}
		p.touch(section)
		s := p.command(effect, commands...)
		if len(commands) == 0 {
			s.text = "keep server " + section + "/" + want.Name
		}
		if next.state == socket.StateReady {
			p.plan.steps = append(p.plan.steps, s)
		} else {
			p.leaving = append(p.leaving, s)
		}
	}
}

// serverOf is what a server must be.
func serverOf(s *render.Server) server {
	return server{address: s.Address, weight: s.Weight, state: stateOf(s.State), checked: s.Checked, options: s.Options, known: true}
}

// addServer adds a server and lets it in, if it may.
func (p *planner) addServer(section string, want *render.Server, next server, effect func(*worker)) step {
	commands := []func() (socket.Command, error){func() (socket.Command, error) {
		options, err := binary.Words(want.Options, nil)
		if err != nil {
			return socket.Command{}, fmt.Errorf("options of server %s/%s: %w", section, want.Name, err)
		}
		options = append([]string{"weight", fmt.Sprint(want.Weight)}, options...)
		return socket.AddServer(section, want.Name, want.Address, options...)
	}}
	if want.Checked {
		commands = append(commands, func() (socket.Command, error) { return socket.EnableHealth(section, want.Name) })
	}
	if next.state == socket.StateReady {
		commands = append(commands, func() (socket.Command, error) { return socket.EnableServer(section, want.Name) })
	}
	return p.command(effect, commands...)
}

// leave puts the servers of a section that nobody wants into maintenance. They
// are deleted later, when nothing runs on them any more.
func (p *planner) leave(section string, has map[string]server, wanted []render.Server) {
	for _, name := range slices.Sorted(maps.Keys(has)) {
		now := has[name]
		if slices.ContainsFunc(wanted, func(s render.Server) bool { return s.Name == name }) {
			continue
		}
		if now.leaving && now.state == socket.StateMaint {
			continue
		}
		p.touch(section)
		gone := now
		gone.state, gone.leaving = socket.StateMaint, true
		p.leaving = append(p.leaving, p.command(
			func(w *worker) { w.servers[section][name] = gone },
			func() (socket.Command, error) { return socket.SetServerState(section, name, socket.StateMaint) },
		))
	}
}

func (p *planner) touch(section string) {
	if n := len(p.plan.sections); n == 0 || p.plan.sections[n-1] != section {
		p.plan.sections = append(p.plan.sections, section)
	}
}

// many is the number of changed or deleted entries from which on a map is rather
// replaced as a whole: each is a command of its own, while the whole map costs
// what its size costs.
func many(entries int) int { return max(50, entries/50) }

// twice is the value of a key that a map has several times, which no command can
// put right.
const twice = "\x00"

// routes plans a map: first what is new or different, then what is gone, so that
// a request that lost its entry finds the one that takes its place.
func (p *planner) routes(m render.Map) {
	has, ok := p.before.maps[m.Path]
	if !ok {
		return // of equal structure, and yet no rule asks for it
	}
	var added, set []socket.Entry
	same := 0
	for _, e := range m.Entries {
		switch value, ok := has[e.Key]; {
		case value == twice:
			p.replace(m)
			return
		case !ok:
			added = append(added, socket.Entry{Key: e.Key, Value: e.Value})
		case value != e.Value:
			set = append(set, socket.Entry{Key: e.Key, Value: e.Value})
			same++
		default:
			same++
		}
	}
	var gone []string
	if same < len(has) {
		wanted := make(map[string]bool, len(m.Entries))
		for _, e := range m.Entries {
			wanted[e.Key] = true
		}
		for key := range has {
			if !wanted[key] {
				gone = append(gone, key)
			}
		}
		slices.Sort(gone)
	}
	if len(added)+len(set)+len(gone) == 0 {
		return
	}
	if len(set)+len(gone) > many(len(m.Entries)) {
		p.replace(m)
		return
	}
	p.entries(m.Path, added, set, gone)
}

// entries changes single entries of a map.
func (p *planner) entries(path string, added, set []socket.Entry, gone []string) {
	if len(added) > 0 {
		commands, err := socket.AddMap(path, added)
		if err != nil && p.err == nil {
			p.err = err
		}
		p.routing = append(p.routing, step{commands: commands, entries: added, effect: func(w *worker) {
			for _, e := range added {
				w.maps[path][e.Key] = e.Value
			}
		}})
	}
	for _, e := range set {
		p.routing = append(p.routing, p.command(
			func(w *worker) { w.maps[path][e.Key] = e.Value },
			func() (socket.Command, error) { return socket.SetMap(path, e.Key, e.Value) },
		))
	}
	for _, key := range gone {
		p.forgetting = append(p.forgetting, p.command(
			func(w *worker) { delete(w.maps[path], key) },
			func() (socket.Command, error) { return socket.DelMap(path, key) },
		))
	}
	keys := p.plan.keys[path]
	for _, e := range slices.Concat(added, set) {
		keys = append(keys, e.Key)
	}
	p.plan.keys[path] = append(keys, gone...)
}

// replace puts all entries of a map in place at one moment.
func (p *planner) replace(m render.Map) {
	entries := make([]socket.Entry, len(m.Entries))
	next := make(map[string]string, len(m.Entries))
	for i, e := range m.Entries {
		entries[i] = socket.Entry{Key: e.Key, Value: e.Value}
		next[e.Key] = e.Value
	}
	p.routing = append(p.routing, step{
		text:    fmt.Sprintf("replace map %s (%d entries)", m.Path, len(entries)),
		special: func(ctx context.Context, s *socket.Session) error { return s.ReplaceMap(ctx, m.Path, entries) },
		effect:  func(w *worker) { w.maps[m.Path] = next },
	})
	p.plan.whole = append(p.plan.whole, m.Path)
}
