package plan

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
)

// Observe reads from HAProxy what its worker has: everything that a configuration
// of ours in dir can have made.
func Observe(ctx context.Context, s *socket.Session, dir string) (*Worker, error) {
	w := newWorker()
	marker, ok, err := s.GetVar(ctx, socket.MarkerVariable)
	if err != nil {
		return nil, err
	}
	if !ok {
		return w, nil // a HAProxy with a configuration that is not Fairway's
	}
	w.structure, _, _ = strings.Cut(marker, ".")
	servers, err := s.Servers(ctx)
	if err != nil {
		return nil, err
	}
	for _, sv := range servers {
		if sv.Backend != render.Relay {
			w.put(sv.Backend, sv.Name, seen(sv))
		}
	}
	if err := observeFiles(ctx, dir, w.maps, s.MapFiles, mapReader(s)); err != nil {
		return nil, err
	}
	if err := observeFiles(ctx, dir, w.lists, s.CrtLists, s.CrtList); err != nil {
		return nil, err
	}
	return w, observeFiles(ctx, dir, w.pairs, s.Certificates, s.Fingerprint)
}

// observeFiles reads what HAProxy has of each file below dir that it lists.
func observeFiles[T any](
	ctx context.Context, dir string, into map[string]T,
	list func(context.Context) ([]string, error), read func(context.Context, string) (T, error),
) error {
	paths, err := list(ctx)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if !strings.HasPrefix(path, dir+"/") {
			continue
		}
		if into[path], err = read(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

func mapReader(s *socket.Session) func(context.Context, string) (map[string]string, error) {
	return func(ctx context.Context, path string) (map[string]string, error) {
		entries, err := s.Map(ctx, path)
		return entryMap(entries), err
	}
}

func newWorker() *Worker {
	return &Worker{
		maps: map[string]map[string]string{}, Servers: map[string]map[string]Server{},
		lists: map[string][]string{}, pairs: map[string]string{},
	}
}

func (w *Worker) put(section, name string, s Server) {
	if w.Servers[section] == nil {
		w.Servers[section] = map[string]Server{}
	}
	w.Servers[section][name] = s
}

// seen is what HAProxy shows of a server.
func seen(s socket.Server) Server {
	return Server{address: s.Address, weight: s.Weight, State: s.State, checked: s.Checked}
}

// entryMap holds the entries of a map by key.
func entryMap(entries []socket.Entry) map[string]string {
	m := make(map[string]string, len(entries))
	for _, e := range entries {
		if _, ok := m[e.Key]; ok {
			e.Value = duplicated
		}
		m[e.Key] = e.Value
	}
	return m
}

// WorkerOf is what a worker has that has just read the files of a target.
func WorkerOf(t Target) *Worker {
	w, c := newWorker(), t.Config
	w.files = t.Files
	w.structure = c.Structure.Hash()
	for _, m := range c.Maps {
		if !bytes.Contains(c.Text, []byte(m.Path)) {
			continue // HAProxy does not read a map that no rule asks for
		}
		w.maps[m.Path] = entryMap(m.Entries)
	}
	for i := range c.Sections {
		s := &c.Sections[i]
		for j := range s.Servers {
			w.put(s.Name, s.Servers[j].Name, serverOf(&s.Servers[j]))
		}
	}
	for _, l := range c.CertLists {
		if l.Fixed {
			continue // it cannot be changed at runtime
		}
		w.lists[l.Path] = l.Paths()
	}
	for path, p := range t.Pairs {
		w.pairs[path] = p.ID
	}
	return w
}

// wholeFrom is the number of parts from which on all are read at once.
const wholeFrom = 100

// Verify reads back what a plan has touched and compares it with w, which is what
// the plan must have led to. The differences are for people; none is well.
func (w *Worker) Verify(ctx context.Context, s *socket.Session, p Plan) (diff []string, err error) {
	want, has := newWorker(), newWorker() // of the servers and maps that were touched
	if ask := p.sections; len(ask) > 0 {
		for _, section := range p.sections {
			want.Servers[section] = w.Servers[section]
		}
		if len(ask) > wholeFrom {
			ask = nil
		}
		servers, err := s.Servers(ctx, ask...)
		if err != nil {
			return nil, err
		}
		for _, sv := range servers {
			if _, touched := want.Servers[sv.Backend]; touched {
				has.put(sv.Backend, sv.Name, seen(sv))
			}
		}
	}
	for path, keys := range p.keys {
		if keys == nil || len(keys) > wholeFrom {
			want.maps[path] = w.maps[path]
			has.maps[path], err = mapReader(s)(ctx, path)
		} else {
			want.maps[path] = map[string]string{}
			for _, key := range keys {
				if value, ok := w.maps[path][key]; ok {
					want.maps[path][key] = value
				}
			}
			has.maps[path], err = s.MapValues(ctx, path, keys)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, path := range p.pairs {
		want.pairs[path] = w.pairs[path] // empty for one that is gone
		has.pairs[path], err = s.Fingerprint(ctx, path)
		if err != nil && !socket.Refused(err, "") {
			return nil, err
		}
	}
	for _, path := range p.lists {
		want.lists[path] = w.lists[path]
		if has.lists[path], err = s.CrtList(ctx, path); err != nil {
			return nil, err
		}
	}
	return Drift(want, has), nil
}

// diffServers says where the servers of a section are not what they must be.
func diffServers(section string, want, has map[string]Server) (diff []string) {
	for _, name := range keysOf(want, has) {
		x, wanted := want[name]
		y, there := has[name]
		switch {
		case !wanted:
			diff = append(diff, fmt.Sprintf("server %s/%s is too many", section, name))
		case !there && x.Draining: // it has been deleted
		case !there:
			diff = append(diff, fmt.Sprintf("server %s/%s is missing", section, name))
		case x.address != y.address || x.weight != y.weight || x.State != y.State:
			diff = append(diff, fmt.Sprintf("server %s/%s is %s weight %d %s, not %s weight %d %s",
				section, name, y.address, y.weight, y.State, x.address, x.weight, x.State))
		case x.checked && !y.checked && !x.Draining:
			diff = append(diff, fmt.Sprintf("server %s/%s is not checked", section, name))
		}
	}
	return diff
}

// diffMap says where a map is not what it must be. A key that is there twice is a
// difference: every change would need two commands.
func diffMap(path string, want, has map[string]string) (diff []string) {
	for _, key := range keysOf(want, has) {
		x, wanted := want[key]
		y, there := has[key]
		switch {
		case !there:
			diff = append(diff, fmt.Sprintf("map %s: %s is missing", path, key))
		case !wanted || x != y:
			diff = append(diff, fmt.Sprintf("map %s: %s is not what it must be", path, key))
		}
	}
	return diff
}

// keysOf are the keys of two maps, sorted.
func keysOf[T any](a, b map[string]T) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Drift says where a worker, as it was read, is not what it must be. Servers that leave
// are left out.
func Drift(want, has *Worker) (diff []string) {
	if want.structure != has.structure {
		return []string{"HAProxy runs with another structure"}
	}
	for _, path := range slices.Sorted(maps.Keys(want.maps)) {
		if !maps.Equal(want.maps[path], has.maps[path]) {
			diff = append(diff, diffMap(path, want.maps[path], has.maps[path])...)
		}
	}
	for _, section := range keysOf(want.Servers, has.Servers) {
		diff = append(diff, diffServers(section, want.Servers[section], has.Servers[section])...)
	}
	for _, path := range slices.Sorted(maps.Keys(want.lists)) {
		if !sameList(want.lists[path], has.lists[path]) {
			diff = append(diff, "crt-list "+path+" is not what it must be")
		}
	}
	for _, path := range slices.Sorted(maps.Keys(want.pairs)) {
		switch id, shown := want.pairs[path], has.pairs[path]; {
		case id == shown || begins(id, shown):
		case shown == "":
			diff = append(diff, "certificate "+path+" is missing")
		default:
			diff = append(diff, "certificate "+path+" is not what it must be")
		}
	}
	return diff
}

// sameList says whether two lists have the same first and, in any order, the same others.
func sameList(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || a[0] == b[0]) &&
		slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// Remember adds what HAProxy does not show, as the target before had it: the options of
// servers and the files it has read. Servers of other sections are left out.
func (w *Worker) Remember(t Target) {
	if t.Config.Structure.Hash() != w.structure {
		return
	}
	w.files = t.Files
	maps.DeleteFunc(w.Servers, func(section string, _ map[string]Server) bool { return t.Config.Section(section) == nil })
	for i := range t.Config.Sections {
		section := &t.Config.Sections[i]
		for _, sv := range section.Servers {
			if s, ok := w.Servers[section.Name][sv.Name]; ok {
				s.options, s.known = sv.Options, true
				w.put(section.Name, sv.Name, s)
			}
		}
	}
}
