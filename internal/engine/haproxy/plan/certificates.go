package plan

import (
	"context"
	"maps"
	"slices"
	"strings"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
)

// certificates plans key pairs and the lists that name them: pairs before the
// lists, and nothing is forgotten before the new is there.
func (p *planner) certificates() {
	wanted := map[string]bool{}
	for _, l := range p.wanted.Config.CertLists {
		for _, path := range l.Paths() {
			if !wanted[path] {
				wanted[path] = true
				p.pair(path)
			}
		}
		p.list(l)
	}
	for _, path := range slices.Sorted(maps.Keys(p.before.pairs)) {
		if !wanted[path] {
			p.plan.pairs = append(p.plan.pairs, path)
			p.add(phaseLast, step{
				special: func(ctx context.Context, s *socket.Session) error { return s.DelCertificate(ctx, path) },
				effect:  func(w *Worker) { delete(w.pairs, path) },
			})
		}
	}
}

// pair puts a pair that is new or renewed into HAProxy.
func (p *planner) pair(path string) {
	next := p.wanted.Pairs[path]
	if has, ok := p.before.pairs[path]; next == nil || ok && begins(next.ID, has) {
		return
	}
	p.plan.pairs = append(p.plan.pairs, path)
	p.add(phaseAdding, step{
		special: func(ctx context.Context, s *socket.Session) error { return s.SetCertificate(ctx, path, next.PEM) },
		effect:  func(w *Worker) { w.pairs[path] = next.ID },
	})
}

// begins compares the ID of a pair with what HAProxy shows of one, which is its
// beginning; nothing of a pair that was announced and never came.
func begins(id, seen string) bool { return seen != "" && strings.HasPrefix(id, seen) }

// list brings a crt-list to its new entries. HAProxy adds at the end only and
// keeps the first for ever: where that makes a difference it must be reloaded.
func (p *planner) list(l render.CertList) {
	if l.Fixed { // it is one of Target.Files
		return
	}
	has, ok := p.before.lists[l.Path]
	if !ok {
		p.reload(ReloadStructure, "listener "+l.Listener+" has its first certificates")
		return
	}
	next := l.Paths()
	if slices.Equal(has, next) {
		return
	}
	in := func(paths []string) func(string) bool {
		return func(path string) bool { return slices.Contains(paths, path) }
	}
	added, gone := slices.DeleteFunc(slices.Clone(next), in(has)), slices.DeleteFunc(slices.Clone(has), in(next))
	kept := slices.DeleteFunc(slices.Clone(has), in(gone))
	if len(next) == 0 || len(has) == 0 || next[0] != has[0] || !p.sameChoice(slices.Concat(kept, added), next) {
		p.reload(ReloadCertificate, "the certificates of listener "+l.Listener+" have another order")
		return
	}
	p.plan.lists = append(p.plan.lists, l.Path)
	for _, path := range added {
		p.add(phaseAdding, step{
			special: func(ctx context.Context, s *socket.Session) error {
				return s.AddCrtList(ctx, l.Path, path, hostOf(l, path))
			},
			effect: func(w *Worker) { w.lists[l.Path] = append(slices.Clone(w.lists[l.Path]), path) },
		})
	}
	for _, path := range gone {
		p.add(phaseLeaving, step{
			special: func(ctx context.Context, s *socket.Session) error { return s.DelCrtList(ctx, l.Path, path) },
			effect: func(w *Worker) {
				w.lists[l.Path] = slices.DeleteFunc(slices.Clone(w.lists[l.Path]), in([]string{path}))
			},
		})
	}
}

// hostOf is the one host of a pair in a crt-list; empty for one without.
func hostOf(l render.CertList, path string) string {
	i := slices.IndexFunc(l.Certificates, func(c render.Certificate) bool { return c.Path == path })
	return l.Certificates[i].Pair.Host
}

// sameChoice says whether two orders of the same pairs answer every server name
// with the same one. Of several with a name the first answers.
func (p *planner) sameChoice(a, b []string) bool {
	if slices.Equal(a, b) {
		return true
	}
	first := func(paths []string) map[string]string {
		choice := map[string]string{}
		for _, path := range paths {
			if p.wanted.Pairs[path] == nil {
				continue
			}
			for _, name := range p.wanted.Pairs[path].Names {
				if choice[name] == "" {
					choice[name] = path
				}
			}
		}
		return choice
	}
	return maps.Equal(first(a), first(b))
}
