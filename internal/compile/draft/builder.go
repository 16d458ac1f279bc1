package draft

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// Builder is a draft while a dialect of another proxy reads it. A fault refuses the route; a
// notice says what is served otherwise than there.
type Builder struct {
	*Draft
	Faults, Notices []Problem
	// Blind: something that decides who may ask could not be read.
	Blind bool
}

// NewBuilder begins a draft. label is the one that first says what is taken.
func NewBuilder(name, label string) *Builder {
	b := &Builder{Draft: New(name)}
	b.Label = label
	return b
}

// maxTold bounds the faults, and the notices, that are reported of one route.
const maxTold = 100

// Fault refuses the route because of a label, unless err is nil.
func (b *Builder) Fault(label string, err error) {
	if err == nil || len(b.Faults) >= maxTold {
		return
	}
	f := Problem{Route: b.Name, Label: label, Refusal: AsRefusal(err)}
	if !slices.ContainsFunc(b.Faults, func(has Problem) bool { return has.Label == f.Label && has.Text == f.Text }) {
		b.Faults = append(b.Faults, f)
	}
}

// FaultOfMatch is Fault for what says which requests are taken.
func (b *Builder) FaultOfMatch(label string, err error) {
	b.MatchKnown = b.MatchKnown && err == nil
	b.Fault(label, err)
}

// FaultOfCheck is Fault for what decides who may ask.
func (b *Builder) FaultOfCheck(label string, err error) {
	b.Blind = b.Blind || err != nil
	b.Fault(label, err)
}

// Note adds a notice about a label.
func (b *Builder) Note(code route.Code, label, text, hint string) {
	if len(b.Notices) < maxTold {
		b.Notices = append(b.Notices, Problem{Route: b.Name, Label: label, Refusal: Refuse(code, text, hint)})
	}
}

// Ignored notes that a label has no effect here.
func (b *Builder) Ignored(label, why string) { b.Note(route.CodeIgnored, label, why, "") }

// Guesses notes how the port and the network of the newest instance are chosen where neither
// is clear.
func (b *Builder) Guesses(s *catalog.Service) {
	in, w := s.Newest(), b.Wishes
	if in == nil || b.Via.Used() {
		return
	}
	ports := Exposed(in)
	sure := len(ports) == 1 || slices.Contains(ports, 80) && w.PortChoice != PortLowest
	if chosen, _, fault := choosePort(in, w); w.Port == 0 && fault == nil && !sure {
		b.Note(route.CodeApproximated, "", fmt.Sprintf("port %d is taken; it exposes %s", chosen, cmp.Or(PortList(ports), "no port")), "say which with "+w.PortLabel)
	}
	if shared := networks(in, catalog.ReachShared); w.Loose && w.Network == "" && len(shared) > 1 {
		b.Note(route.CodeApproximated, "", "the network "+shared[0]+" is taken, of those shared with Fairway: "+strings.Join(shared, ", "), "")
	}
}

// Defaults gives a route what it does not decide about itself, as own says of the keys of
// Fairway's labels. The refusal is that of a route that decides about what is locked.
type Defaults func(d *Draft, own func(key, header string) bool) *Refusal

// Finish adds the drafts to a reading, each problem and each notice once. labels make all of
// them again; a route at fault remembers those of them that no route finds fault with.
func Finish(r *Reading, builders []*Builder, labels map[string]string, defaults Defaults) {
	seen, kept := map[[3]string]bool{}, without(labels, builders)
	for _, b := range builders {
		b.RedirectDecided = true // by the dialect, one way or the other
		if defaults != nil {
			if refused := defaults(b.Draft, b.decides); refused != nil {
				b.Fault("", refused)
			}
		}
		b.MatchKnown = b.MatchKnown && b.Matches() != nil
		if b.Labels = labels; len(b.Faults) > 0 {
			b.Labels = kept
			b.Refused = b.Faults[0].Reason(b.Faults[0].Label)
		}
		for _, f := range slices.Concat(b.Faults, b.Notices) {
			if what := [3]string{f.Label, f.Text, string(f.Code)}; !seen[what] {
				seen[what] = true
				r.Problems = append(r.Problems, f)
			}
		}
		if len(b.Faults) == 0 && b.Matches() == nil {
			continue
		}
		if !b.MatchKnown {
			b.Unread = NewUnread(b.Draft, b.Blind)
		}
		r.Drafts = append(r.Drafts, b.Draft)
	}
	slices.SortStableFunc(r.Drafts, func(a, b *Draft) int { return cmp.Compare(a.Name, b.Name) })
}

// decides says whether the route decides about what a key of Fairway's labels is for.
func (b *Builder) decides(key, header string) bool {
	f := &b.Filter
	switch key {
	case "timeout":
		return b.Timeout != 0
	case "idle":
		return b.Idle != 0
	case "redirect-https":
		return b.RedirectCertified || len(b.Redirects()) > 0 || f.RequireTLS != nil
	case "basic-auth":
		return f.BasicAuth != nil
	case "compress":
		return f.Compress != nil
	case "balance":
		return b.Backend.Balance.Policy != route.BalanceRoundRobin
	case "sticky":
		return b.Backend.Sticky != ""
	case "ip-allow":
		return f.IPAllow != nil
	case "rate-limit":
		return f.RateLimit != nil
	case "max-body":
		return f.MaxBody != nil
	case "hsts":
		return b.HSTS != nil
	case "headers.request.set.", "headers.request.add.":
		return SetsHeader(f.RequestHeaders, header)
	case "headers.response.set.", "headers.response.add.":
		return SetsHeader(f.ResponseHeaders, header)
	}
	return false
}

// SetsHeader reports whether an operation sets or adds a header.
func SetsHeader(op *route.HeaderOperation, header string) bool {
	return op != nil && slices.ContainsFunc(slices.Concat(op.Set, op.Add), func(v route.HeaderValue) bool { return strings.EqualFold(v.Name, header) })
}

// Secure are the names of the listeners that take HTTP, sorted: without TLS, and with it.
func Secure(listeners []route.Listener) (plain, secure []string) {
	for _, l := range listeners {
		switch {
		case l.TCP:
		case l.TLS:
			secure = append(secure, l.Name)
		default:
			plain = append(plain, l.Name)
		}
	}
	slices.Sort(plain)
	slices.Sort(secure)
	return plain, secure
}

// without returns labels without those whose keys a reading found at fault.
func without(labels map[string]string, builders []*Builder) map[string]string {
	faulty := map[string]bool{}
	for _, b := range builders {
		for _, f := range b.Faults {
			faulty[f.Label] = true
		}
	}
	kept := make(map[string]string, len(labels))
	for key, value := range labels {
		if !faulty[key] {
			kept[key] = value
		}
	}
	return kept
}
