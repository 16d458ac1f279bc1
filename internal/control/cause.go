package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/history"
	"fairway/internal/human"
	"fairway/internal/route"
	"fairway/internal/route/diff"
)

// auditEntry is a change of the commands: by an operator, or by itself without one.
type auditEntry struct {
	operator, command, message string
	change                     history.Change
}

// step is one table after another, with what they were made from.
type step struct {
	before, after *route.Table      // before is nil for the first table
	seen, sees    *catalog.Snapshot // seen is nil when there was none
	audit         []auditEntry
	shown         func(key, value string) string // a label's value without what is secret
}

const (
	maxChanges   = 50
	maxLabelText = 300
)

// cause says why there is another table. It is pure. Of what the sources saw that counts
// which concerns a service whose routes or backends have changed, else everything.
func cause(s step) history.Cause {
	var c history.Cause
	for _, d := range s.audit {
		if d.operator != "" && c.Operator == "" {
			c.Operator, c.Command, c.Message = d.operator, d.command, d.message
		}
		c.Changes = append(c.Changes, d.change)
	}
	c.Changes = append(c.Changes, s.defaults()...) // first: beside them a restart shows
	c.Changes = append(c.Changes, s.changes()...)
	if len(c.Changes) > maxChanges {
		c.Omitted = len(c.Changes) - maxChanges
		c.Changes = c.Changes[:maxChanges]
	}
	c.Text = s.text(c)
	return c
}

func (s step) changes() []history.Change {
	if s.seen == nil || s.sees == nil || s.before == nil {
		return nil
	}
	differ := differing(s.before, s.after)
	var concerned, others []history.Change
	pairs(s.seen.Services, s.sees.Services, func(svc *catalog.Service) string { return svc.ID }, func(a, b *catalog.Service) {
		if a == b {
			return
		}
		if list := s.service(a, b); differ[cmp.Or(a, b).ID] {
			concerned = append(concerned, list...)
		} else {
			others = append(others, list...)
		}
	})
	if len(concerned) == 0 {
		concerned = append(others, s.rest()...)
	}
	slices.SortStableFunc(concerned, func(a, b history.Change) int { return cmp.Compare(explains(a.Kind), explains(b.Kind)) })
	return concerned
}

// pairs calls do for each key of two sorted lists, with nil for what one does not have.
func pairs[T any](old, new []*T, key func(*T) string, do func(a, b *T)) {
	for len(old) > 0 || len(new) > 0 {
		var a, b *T
		if len(new) == 0 || len(old) > 0 && key(old[0]) <= key(new[0]) {
			a = old[0]
		}
		if len(old) == 0 || len(new) > 0 && key(new[0]) <= key(old[0]) {
			b = new[0]
		}
		if a != nil {
			old = old[1:]
		}
		if b != nil {
			new = new[1:]
		}
		do(a, b)
	}
}

// explains orders changes by how much they explain.
func explains(k history.ChangeKind) int {
	return slices.Index([]history.ChangeKind{
		history.LabelChanged, history.ServiceAdded, history.ServiceRemoved,
		history.InstanceAdded, history.InstanceRemoved, history.InstanceState, history.InstanceAddress,
	}, k)
}

// service compares a service with what it was; nil for what is not there.
func (s step) service(a, b *catalog.Service) []history.Change {
	switch {
	case a == nil:
		return []history.Change{{Kind: history.ServiceAdded, Source: b.Source, Service: b.ID, To: human.Plural(len(b.Instances), "instance")}}
	case b == nil:
		return []history.Change{{Kind: history.ServiceRemoved, Source: a.Source, Service: a.ID, From: human.Plural(len(a.Instances), "instance")}}
	}
	change := history.Change{Source: b.Source, Service: b.ID}
	list := s.labels(change, a.Labels, b.Labels)
	byKey := func(a, b *catalog.Instance) int { return cmp.Compare(keyOf(a), keyOf(b)) }
	was := slices.SortedFunc(slices.Values(a.Instances), byKey)
	pairs(was, slices.SortedFunc(slices.Values(b.Instances), byKey), keyOf, func(a, b *catalog.Instance) {
		list = append(list, s.instance(change.Service, a, b)...)
	})
	// A container gets other labels by being made anew: the newest two are compared.
	before, after := newest(a.Instances), newest(b.Instances)
	isAfter := func(in *catalog.Instance) bool { return keyOf(in) == keyOf(after) }
	if before != nil && after != nil && !slices.ContainsFunc(was, isAfter) {
		change.Source, change.Instance = after.Source, after.Name
		list = append(list, s.labels(change, before.Labels, after.Labels)...)
	}
	return list
}

// instance compares an instance with what it was; nil for what is not there.
func (s step) instance(service string, a, b *catalog.Instance) []history.Change {
	some := cmp.Or(b, a)
	change := history.Change{Source: some.Source, Service: service, Instance: some.Name}
	switch {
	case a == b:
		return nil
	case a == nil:
		change.Kind, change.To = history.InstanceAdded, stateText(b)
		return []history.Change{change}
	case b == nil:
		change.Kind, change.From = history.InstanceRemoved, stateText(a)
		return []history.Change{change}
	}
	list := s.labels(change, a.Labels, b.Labels)
	if a.State != b.State {
		change.Kind, change.From, change.To = history.InstanceState, stateText(a), stateText(b)
		list = append(list, change)
	}
	if !slices.Equal(a.Addresses, b.Addresses) || !slices.Equal(a.Ports, b.Ports) || a.Weight != b.Weight {
		change.Kind, change.From, change.To = history.InstanceAddress, addressText(a), addressText(b)
		list = append(list, change)
	}
	return list
}

func (s step) labels(change history.Change, a, b map[string]string) []history.Change {
	change.Kind = history.LabelChanged
	var list []history.Change
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		from, had := a[k]
		to, has := b[k]
		if !catalog.IsLabel(k) || had == has && from == to {
			continue
		}
		change.Label, change.From, change.To = shorten(k), "", ""
		if had {
			change.From = shorten(s.shown(k, from))
		}
		if has {
			change.To = shorten(s.shown(k, to))
		}
		list = append(list, change)
	}
	return list
}

// defaults are the defaults of the configuration that routes of both tables have got or
// lost, each once.
func (s step) defaults() []history.Change {
	if s.before == nil {
		return nil
	}
	found := map[string]history.Change{}
	for _, r := range s.after.Routes {
		was := s.before.Route(r.ID)
		if was == nil || was == r || !maps.Equal(was.Origin.Labels, r.Origin.Labels) || (was.Refused == "") != (r.Refused == "") {
			continue
		}
		for _, c := range s.labels(history.Change{}, was.Origin.Defaults, r.Origin.Defaults) {
			c.Kind = history.DefaultChanged
			found[c.Label] = c
		}
	}
	list := make([]history.Change, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[key])
	}
	return list
}

func (s step) rest() []history.Change {
	var list []history.Change
	if !slices.Equal(s.seen.Certificates, s.sees.Certificates) {
		list = append(list, history.Change{
			Kind: history.OtherChanged,
			From: human.Plural(len(s.seen.Certificates), "certificate"), To: human.Plural(len(s.sees.Certificates), "certificate"),
		})
	}
	was := map[string]string{}
	for _, src := range s.seen.Sources {
		was[src.Name] = sourceText(src)
	}
	for _, src := range s.sees.Sources {
		if before := was[src.Name]; before != sourceText(src) {
			list = append(list, history.Change{Kind: history.SourceState, Source: src.Name, From: before, To: sourceText(src)})
		}
	}
	return list
}

func (s step) text(c history.Cause) string {
	if c.Operator != "" {
		return strings.TrimSuffix(c.Command+" by "+c.Operator+": "+c.Message, ": ")
	}
	if s.before == nil {
		return "the first table"
	}
	if len(c.Changes) == 0 {
		if len(diff.Tables(s.before, s.after).Listeners) > 0 {
			return "other listeners or certificates"
		}
		return "Fairway reads the same labels in another way"
	}
	text := sentence(c.Changes[0])
	if more := len(c.Changes) - 1 + c.Omitted; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return text
}

func sentence(c history.Change) string {
	what := "service " + c.Service
	if c.Instance != "" {
		what = "instance " + c.Instance + " of " + what
	}
	switch c.Kind {
	case history.LabelChanged:
		switch {
		case c.From == "":
			return fmt.Sprintf("%s got the label %s=%s", what, c.Label, c.To)
		case c.To == "":
			return fmt.Sprintf("%s lost the label %s=%s", what, c.Label, c.From)
		}
		return fmt.Sprintf("%s: label %s changed from %s to %s", what, c.Label, c.From, c.To)
	case history.ServiceAdded, history.InstanceAdded:
		return what + " came"
	case history.ServiceRemoved, history.InstanceRemoved:
		return what + " went"
	case history.InstanceState:
		return fmt.Sprintf("%s is %s, was %s", what, c.To, c.From)
	case history.InstanceAddress:
		return what + " has other addresses, ports or another weight"
	case history.SourceState:
		return fmt.Sprintf("source %s is %s, was %s", c.Source, c.To, cmp.Or(c.From, "unknown"))
	case history.DefaultChanged:
		switch {
		case c.From == "":
			return fmt.Sprintf("the configuration has the default %s=%s", c.Label, c.To)
		case c.To == "":
			return fmt.Sprintf("the configuration has no default %s=%s any more", c.Label, c.From)
		}
		return fmt.Sprintf("the default %s of the configuration changed from %s to %s", c.Label, c.From, c.To)
	case history.CommandChanged:
		return strings.TrimSpace(c.To + " " + c.From)
	}
	return "other certificates"
}

func keyOf(in *catalog.Instance) string { return in.Source + "\x00" + in.ID }

// newest returns the newest instance that has not stopped, or the newest at all.
func newest(list []*catalog.Instance) *catalog.Instance {
	var found *catalog.Instance
	for _, in := range list {
		if found == nil || (found.State == catalog.StateStopped && in.State != catalog.StateStopped) ||
			(found.State == catalog.StateStopped) == (in.State == catalog.StateStopped) && in.Created.After(found.Created) {
			found = in
		}
	}
	return found
}

func stateText(in *catalog.Instance) string {
	if in.StateReason == "" {
		return string(in.State)
	}
	return shorten(string(in.State) + " (" + in.StateReason + ")")
}

func addressText(in *catalog.Instance) string {
	var words []string
	for _, a := range in.Addresses {
		word := a.Host
		if a.Port != 0 {
			word += ":" + strconv.Itoa(int(a.Port))
		}
		words = append(words, word)
	}
	for _, p := range in.Ports {
		words = append(words, strconv.Itoa(int(p.Number))+"/"+p.Protocol)
	}
	if in.Weight != 0 {
		words = append(words, "weight "+strconv.Itoa(in.Weight))
	}
	return shorten(strings.Join(words, " "))
}

func sourceText(s catalog.SourceStatus) string {
	switch {
	case s.Stale:
		return "stale"
	case !s.Synced:
		return "waiting"
	}
	return "synced"
}

func shorten(s string) string {
	if len(s) <= maxLabelText {
		return s
	}
	return strings.ToValidUTF8(s[:maxLabelText], "") + "…"
}
