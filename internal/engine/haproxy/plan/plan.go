// Package plan finds the way from what a worker of HAProxy has to what it must have: New
// is pure, and decides for commands, in an order that no request notices, or for a
// reload. Observe reads what a worker has; Verify reads back what a plan has touched.
package plan

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

// Target is what HAProxy must have.
type Target struct {
	Config *render.Config
	// Pairs are the key pairs of Config.CertLists, by path.
	Pairs map[string]*Pair
	// Files are digests of files that HAProxy reads only when it starts, by path.
	Files map[string]string
}

// Pair is a certificate with its chain and key, as HAProxy takes it.
type Pair struct {
	// PEM is the certificate, its chain and the key.
	PEM []byte
	// ID begins with what HAProxy shows of the leaf, its SHA-1 in upper case; the
	// rest stands for the chain and the key.
	ID string
	// Names are the host names that the leaf is for, in lower case.
	Names []string
}

// Worker is what a worker of HAProxy has: as it was read from it, or as it must be
// after a plan. Nil stands for a HAProxy that does not run.
type Worker struct {
	// Servers by section, by name.
	Servers map[string]map[string]Server

	structure string                       // the hash of what needs a reload to change
	maps      map[string]map[string]string // by path, by key
	lists     map[string][]string          // of paths of pairs, by path of the crt-list
	pairs     map[string]string            // the IDs of pairs, or how they begin, by path
	files     map[string]string            // Target.Files when it started; nil: unknown
}

// Server is a server of a worker.
type Server struct {
	// State is what it may get.
	State socket.State
	// Draining is true of one in maintenance that is to be deleted when it has finished.
	Draining bool

	address netip.AddrPort
	weight  int
	checked bool // its active checks are enabled
	// options are those it was added with, when known: HAProxy does not show them.
	options string
	known   bool
}

// Reasons of reloads, as the metric has them.
const (
	ReloadStart       = "start"       // HAProxy did not run
	ReloadStructure   = "structure"   // what cannot be changed while it runs
	ReloadCertificate = "certificate" // an order of certificates that it cannot be brought to
	ReloadFile        = "file"        // a file that it reads only when it starts
	ReloadRuntime     = "runtime"     // it refused a command, or did not show its effect
)

// Plan is the way from a worker to a target: commands, or a reload.
type Plan struct {
	// Reload is why commands are not enough, empty when they are; Text says it in words.
	Reload, Text string

	// steps lead there in their order: at no moment between them is a request
	// answered in a way that neither the old nor the new table means.
	steps []step
	// What the steps touch, to be read back.
	sections []string
	keys     map[string][]string // by path of the map; nil for one that was replaced as a whole
	lists    []string
	pairs    []string
}

// The phases of a plan: all steps of one are taken before the next begins.
const (
	phaseAdding = iota
	phaseRouting
	phaseForgetting
	phaseLeaving
	phaseLast
	phaseCount
)

// step is one change of a running worker.
type step struct {
	phase    int
	commands []socket.Command
	special  func(context.Context, *socket.Session) error // in the place of commands
	effect   func(*Worker)                                // what the worker has after it
}

// Run takes the steps of a plan and applies their effects to w; plain commands of one
// phase go out together. It returns how many commands were carried out. After an
// error it is unknown what the worker has.
func (p Plan) Run(ctx context.Context, s *socket.Session, w *Worker) (commands int, err error) {
	for steps := p.steps; len(steps) > 0; {
		n, sent := 0, 1
		if steps[0].special != nil {
			n = 1
			if err := steps[0].special(ctx, s); err != nil {
				return commands, err
			}
		} else {
			var batch []socket.Command
			for n < len(steps) && steps[n].special == nil && steps[n].phase == steps[0].phase {
				batch = append(batch, steps[n].commands...)
				n++
			}
			if _, err := s.DoAll(ctx, batch); err != nil {
				return commands, err
			}
			sent = len(batch)
		}
		for _, step := range steps[:n] {
			step.effect(w)
		}
		commands += sent
		steps = steps[n:]
	}
	return commands, nil
}

// Empty reports whether there is nothing to change.
func (p Plan) Empty() bool { return p.Reload == "" && len(p.steps) == 0 }

// Summarize is a list for a log: its first elements and how many more there are.
func Summarize(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(list[:most], "; "), len(list)-most)
}

// planner collects a plan in the order of its phases.
type planner struct {
	before *Worker
	wanted Target
	plan   Plan
	phases [phaseCount][]step
	err    error
}

func (p *planner) add(phase int, s step) {
	s.phase = phase
	p.phases[phase] = append(p.phases[phase], s)
}

// New finds the way from a worker to a target. previous is the structure that
// the worker has, as far as it is known, for the words of a reason. It is pure.
func New(before *Worker, previous render.Structure, wanted Target) Plan {
	if before == nil {
		return Plan{Reload: ReloadStart, Text: "HAProxy does not run"}
	}
	if hash := wanted.Config.Structure.Hash(); before.structure != hash {
		text := "HAProxy runs with another structure"
		if previous.Hash() == before.structure {
			text = Summarize(wanted.Config.Structure.Changes(previous))
		}
		return Plan{Reload: ReloadStructure, Text: text}
	}
	if before.files != nil && !maps.Equal(before.files, wanted.Files) {
		return Plan{Reload: ReloadFile, Text: "the authorities of clients have changed"}
	}
	p := &planner{before: before, wanted: wanted, plan: Plan{keys: map[string][]string{}}}
	p.certificates()
	p.sections()
	for _, m := range wanted.Config.Maps {
		p.routes(m)
	}
	if p.err != nil {
		// A value that no command can carry stands in the files all the same.
		p.reload(ReloadRuntime, p.err.Error())
	}
	if p.plan.Reload != "" {
		return Plan{Reload: p.plan.Reload, Text: p.plan.Text}
	}
	p.plan.steps = slices.Concat(p.phases[:]...)
	return p.plan
}

func (p *planner) reload(reason, text string) {
	if p.plan.Reload == "" {
		p.plan.Reload, p.plan.Text = reason, text
	}
}

// command returns a command; the first error of making one is kept.
func (p *planner) command(c socket.Command, err error) socket.Command {
	p.err = cmp.Or(p.err, err)
	return c
}

// sections plans the servers: new ones before anything points at them, others after.
func (p *planner) sections() {
	for i := range p.wanted.Config.Sections {
		s := &p.wanted.Config.Sections[i]
		has, stay := p.before.Servers[s.Name], 0
		for j := range s.Servers {
			p.server(s.Name, &s.Servers[j])
			if _, ok := has[s.Servers[j].Name]; ok {
				stay++
			}
		}
		if stay == len(has) {
			continue // as in nearly all
		}
		gone := maps.Clone(has)
		for j := range s.Servers {
			delete(gone, s.Servers[j].Name)
		}
		p.leave(s.Name, gone)
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

func (p *planner) server(section string, want *render.Server) {
	now, exists := p.before.Servers[section][want.Name]
	next := serverOf(want)
	change := step{effect: func(w *Worker) { w.put(section, want.Name, next) }}
	do := func(c socket.Command, err error) { change.commands = append(change.commands, p.command(c, err)) }
	switch {
	case !exists:
		options, err := binary.Words(want.Options, nil)
		if err != nil {
			p.err = cmp.Or(p.err, fmt.Errorf("options of server %s/%s: %w", section, want.Name, err))
		}
		do(socket.AddServer(section, want.Name, want.Address, slices.Concat([]string{"weight", strconv.Itoa(want.Weight)}, options)...))
		if next.checked {
			do(socket.ServerCommand(socket.EnableHealth, section, want.Name))
		}
		if next.State == socket.StateReady {
			do(socket.ServerCommand(socket.EnableServer, section, want.Name))
		}
		p.add(phaseAdding, change)
		p.touch(section)
		return
	case now.address != want.Address || now.known && now.options != want.Options:
		p.reload(ReloadStructure, fmt.Sprintf("server %s/%s has other settings", section, want.Name))
		return
	}
	if next.checked && !now.checked {
		do(socket.ServerCommand(socket.EnableHealth, section, want.Name))
	}
	if now.weight != next.weight {
		do(socket.SetServerWeight(section, want.Name, next.weight))
	}
	if now.State != next.State {
		do(socket.SetServerState(section, want.Name, next.State))
	}
	if len(change.commands) == 0 && !now.Draining {
		return
	}
	p.touch(section)
	if next.State == socket.StateReady {
		p.add(phaseAdding, change)
	} else {
		p.add(phaseLeaving, change)
	}
}

// serverOf is what a server must be.
func serverOf(s *render.Server) Server {
	return Server{address: s.Address, weight: s.Weight, State: stateOf(s.State), checked: s.Checked, options: s.Options, known: true}
}

// leave puts servers into maintenance, to be deleted when nothing runs on them any more.
func (p *planner) leave(section string, gone map[string]Server) {
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		s := gone[name]
		if s.Draining && s.State == socket.StateMaint {
			continue
		}
		p.touch(section)
		s.State, s.Draining = socket.StateMaint, true
		p.add(phaseLeaving, step{
			commands: []socket.Command{p.command(socket.SetServerState(section, name, socket.StateMaint))},
			effect:   func(w *Worker) { w.put(section, name, s) },
		})
	}
}

func (p *planner) touch(section string) {
	if n := len(p.plan.sections); n == 0 || p.plan.sections[n-1] != section {
		p.plan.sections = append(p.plan.sections, section)
	}
}

// many is the number of changed or deleted entries, each a command of its own, from which
// on a map is rather replaced as a whole.
func many(entries int) int { return max(50, entries/50) }

// duplicated is the value of a key that is there twice, which no command can put right.
const duplicated = "\x00"

// routes plans a map: first what is new or different, then what is gone, so that
// a request that lost its entry finds the one that takes its place.
func (p *planner) routes(m render.Map) {
	has, ok := p.before.maps[m.Path]
	if !ok {
		return // of equal structure, and yet no rule asks for it
	}
	var added, set []socket.Entry
	for _, e := range m.Entries {
		switch value, ok := has[e.Key]; {
		case value == duplicated:
			p.replace(m)
			return
		case !ok:
			added = append(added, e)
		case value != e.Value:
			set = append(set, e)
		}
	}
	var gone []string
	if len(m.Entries)-len(added) < len(has) {
		wanted := entryMap(m.Entries)
		for key := range has {
			if _, ok := wanted[key]; !ok {
				gone = append(gone, key)
			}
		}
		slices.Sort(gone)
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
		p.err = cmp.Or(p.err, err)
		p.add(phaseRouting, step{commands: commands, effect: func(w *Worker) {
			for _, e := range added {
				w.maps[path][e.Key] = e.Value
			}
		}})
	}
	for _, e := range set {
		p.add(phaseRouting, step{
			commands: []socket.Command{p.command(socket.SetMap(path, e.Key, e.Value))},
			effect:   func(w *Worker) { w.maps[path][e.Key] = e.Value },
		})
	}
	for _, key := range gone {
		p.add(phaseForgetting, step{
			commands: []socket.Command{p.command(socket.DelMap(path, key))},
			effect:   func(w *Worker) { delete(w.maps[path], key) },
		})
	}
	touched := gone
	for _, e := range slices.Concat(added, set) {
		touched = append(touched, e.Key)
	}
	if len(touched) > 0 {
		p.plan.keys[path] = touched
	}
}

// replace puts all entries of a map in place at one moment.
func (p *planner) replace(m render.Map) {
	p.add(phaseRouting, step{
		special: func(ctx context.Context, s *socket.Session) error { return s.ReplaceMap(ctx, m.Path, m.Entries) },
		effect:  func(w *Worker) { w.maps[m.Path] = entryMap(m.Entries) },
	})
	p.plan.keys[m.Path] = nil
}
