package consul

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"fairway/internal/api/published"
	"fairway/internal/publish"
)

// show makes what State returns. An empty now is current or behind, as the verdicts say.
func (p *Publisher) show(want []publish.Entry, verdicts map[string]verdict, held map[string]string, problems []publish.Problem, now, reason string) {
	next := published.Published{
		Registry: "agent of Consul", Owner: p.s.owner, State: now, Reason: reason, Read: p.read,
		Entries: make([]published.PublishedEntry, 0, len(want)), Problems: make([]published.PublishedProblem, 0, len(problems)),
	}
	counts := map[string]int{"registered": 0, "missing": 0, "differs": 0, "refused": 0, "waits": 0, "unwanted": 0}
	names := make(map[string]bool, len(want))
	for _, e := range want {
		v := verdicts[e.ID]
		status, output := state(e)
		out := published.PublishedEntry{
			ID: e.ID, Name: e.Name, Address: e.Address, Port: int(e.Port), Tags: e.Tags, Check: status, Output: output,
			State: v.state, Why: v.why, Service: e.Service, Instance: e.InstanceName, Source: e.Source,
		}
		if e.Quiet {
			out.Check = p.have.checks[stateID(e.ID)].Status
		}
		names[e.ID] = true
		p.add(&next, out, counts)
	}
	for _, s := range p.mine() {
		if names[s.ID] {
			continue
		}
		p.add(&next, published.PublishedEntry{
			ID: s.ID, Name: s.Name, Address: s.Address, Port: s.Port, Tags: s.Tags, Check: p.have.checks[stateID(s.ID)].Status,
			State: "unwanted", Why: held[s.ID], Source: s.Meta[metaSource],
		}, counts)
	}
	slices.SortFunc(next.Entries, func(a, b published.PublishedEntry) int { return strings.Compare(a.ID, b.ID) })
	for _, x := range problems {
		next.Problems = append(next.Problems, published.PublishedProblem{Service: x.Service, Instance: x.Instance, Text: x.Text})
	}
	if now == "" {
		next.State = stateCurrent
		failed := slices.ContainsFunc(next.Entries, func(e published.PublishedEntry) bool { return e.Error != "" })
		if failed || counts["missing"]+counts["differs"]+counts["refused"] > 0 {
			next.State, next.Reason = stateBehind, "not everything could be written"
		}
	}
	for name, n := range counts {
		p.entries.With(name).Set(float64(n))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = next
}

func (p *Publisher) add(to *published.Published, e published.PublishedEntry, counts map[string]int) {
	if f, failed := p.writeErr[e.ID]; failed {
		e.Error, e.Since = f.err.Error(), f.since
	}
	counts[e.State]++
	to.Entries = append(to.Entries, e)
}

// away notes that Consul cannot be asked; what is known of the entries stays.
func (p *Publisher) away(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status.State != stateAway {
		p.o.Logger.Warn("Consul cannot be written to, and is asked again", "error", err)
	}
	p.status.State, p.status.Reason = stateAway, err.Error()
}

// isMine reports whether an address is one of this machine that others may reach.
func isMine(at string) bool {
	ip, err := netip.ParseAddr(at)
	if err != nil || ip.IsLoopback() || ip.IsUnspecified() {
		return false
	}
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == ip
	})
}
