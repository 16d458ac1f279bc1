package native

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/files"
	"fairway/internal/route"
)

// Default is a label that every route has unless its own labels say otherwise: the key
// without "fairway.", and the value.
type Default struct{ Key, Value string }

// DefaultFault is a default that cannot be read.
type DefaultFault struct {
	Key, Reason string // as the default has it; what is wrong, and what to write instead
}

// Defaults are the defaults of all routes. A nil one has none. Any goroutine may use it.
type Defaults struct {
	list   []*label
	locked map[string]bool
}

// defaultKeys are the keys that may have a default. None of them lets anybody in who would
// not get in without it.
var defaultKeys = []string{
	"hold", "timeout", "idle", "ip-allow", "rate-limit", "max-body", "redirect-https", "hsts", "basic-auth",
	"headers.request.set.", "headers.request.add.", "headers.request.remove",
	"headers.response.set.", "headers.response.add.", "headers.response.remove",
	"compress", "balance", "sticky", "slow-start", "max-fails",
}

// switched are the keys whose label may be "off", which means as if there were neither the
// label nor a default.
var switched = []string{"timeout", "idle", "ip-allow", "rate-limit", "max-body", "redirect-https", "hsts", "basic-auth", "compress"}

// checkKeys are the keys that decide who may ask.
var checkKeys = []string{"ip-allow", "basic-auth"}

func (l *label) isOff() bool {
	return slices.Contains(switched, l.key.Name) && strings.EqualFold(l.value, "off")
}

// NewDefaults reads defaults and the keys that no label may change. Those at fault are left
// out. userDirs are as in New.
func NewDefaults(list []Default, locked, userDirs []string) (*Defaults, []DefaultFault) {
	var faults []DefaultFault
	x, all := New(nil, nil, nil, nil), &Defaults{locked: map[string]bool{}}
	fault := func(key, text, hint string) {
		if hint != "" {
			text += "; " + hint
		}
		faults = append(faults, DefaultFault{key, text})
	}
	for _, given := range list {
		l, _ := x.readOne(prefix+given.Key, given.Value)
		if l.fault == nil && (l.key == nil || !slices.Contains(defaultKeys, l.key.Name)) {
			l.fault = draft.Refuse(route.CodeUnsupported, "there is no default for it", "write the label on the services that need it")
		}
		d := &reading{Draft: draft.New("")}
		if l.fault == nil && !l.isOff() {
			if err := l.key.read(d, l); err != nil {
				l.fault = draft.AsRefusal(err)
			}
		}
		if a := d.Filter.BasicAuth; l.fault == nil && a != nil && userDirs != nil && !files.Below(userDirs, a.File) {
			l.fault = draft.Refuse(route.CodeBadValue, "the file is not below a directory of label-files", "put it there, or add its directory to label-files")
		}
		if l.fault != nil {
			fault(given.Key, l.fault.Text, l.fault.Hint)
			continue
		}
		l.raw = "defaults." + l.local // what problems name
		all.list = append(all.list, l)
	}
	for _, key := range locked {
		if !slices.ContainsFunc(all.list, func(l *label) bool { return l.key.Name == key }) {
			fault("locked", fmt.Sprintf("%s has no default that could be locked", chars.Excerpt(key)), "lock keys that stand beside it, without headers")
			continue
		}
		all.locked[key] = true
	}
	return all, faults
}

// Apply gives a route the defaults that it does not decide about itself: own says whether
// it decides about a key, of a header if the key takes one. What has no meaning for the
// route is left out. The draft notes what it has got; one that cannot be read gets only what
// decides who may ask, which closes others then (decision 011). The refusal is that of a
// route that decides about what is locked; nil for none.
func (a *Defaults) Apply(d *draft.Draft, own func(key, header string) bool) (refused *draft.Refusal) {
	if a == nil {
		return nil
	}
	tcp := d.Backend.Scheme == route.SchemeTCP
	for _, l := range a.list {
		decides := own(l.key.Name, l.header)
		d.RedirectDecided = d.RedirectDecided || l.key.Name == "redirect-https"
		if decides && a.locked[l.key.Name] && !asWanted(d, l.key.Name) {
			refused = lockedRefusal(l.key.Name)
		}
		if !d.MatchKnown && !slices.Contains(checkKeys, l.key.Name) {
			continue
		}
		if decides || l.isOff() || tcp && !slices.Contains(sharedKeys, l.key.Name) || removes(d, l) {
			continue
		}
		before := d.Backend.Balance
		if err := l.key.read(&reading{Draft: d}, l); err != nil {
			continue // it was read at the start
		}
		if b := d.Backend.Balance; tcp && b.Policy == route.BalanceHash && b.On != route.HashClientIP {
			d.Backend.Balance = before
			continue
		}
		if d.Defaults == nil {
			d.Defaults = map[string]string{}
		}
		d.Defaults[front("")+l.written()] = l.value
	}
	return refused
}

// asWanted says whether a route that decides about a switch has it on, as its default does.
func asWanted(d *draft.Draft, key string) bool {
	return key == "redirect-https" && d.Filter.RedirectHTTPS != nil || key == "compress" && d.Filter.Compress != nil
}

// removes says whether the route takes the header of a default away itself, or sets that
// of hsts.
func removes(d *draft.Draft, l *label) bool {
	op := d.Filter.ResponseHeaders
	if l.key.Name == "hsts" {
		return op != nil && slices.Contains(op.Replaced(), draft.HeaderHSTS)
	}
	if strings.HasPrefix(l.key.Name, "headers.request.") {
		op = d.Filter.RequestHeaders
	}
	return l.header != "" && op != nil && slices.Contains(op.Remove, draft.CanonicalHeader(l.header))
}

// written is the key with the name of its header.
func (l *label) written() string {
	if l.header != "" {
		return l.key.Name + l.header
	}
	return l.key.Name
}

func lockedRefusal(key string) *draft.Refusal {
	return draft.Refuse(
		route.CodeContradicts, "the configuration has a default for "+key+" that no label changes (defaults.locked)",
		"take the label off, or have the operator unlock the default",
	)
}

// lock refuses labels that change a default that is locked.
func (a *Defaults) lock(d *reading) {
	if a == nil {
		return
	}
	for _, l := range a.list {
		if own := d.byKey[l.key.Name]; a.locked[l.key.Name] && own != nil && own.value != l.value {
			d.refuse(l.key.Name, lockedRefusal(l.key.Name))
		}
	}
}

// Lacks is a locked default that protects a service and that a route of an earlier run does
// not have: a key, or nothing. A route of a tcp backend has not all of them.
func (a *Defaults) Lacks(r *route.Route, tcp bool) (key string) {
	if a == nil {
		return ""
	}
	for _, l := range a.list {
		if !a.locked[l.key.Name] || l.isOff() || tcp && !slices.Contains(sharedKeys, l.key.Name) {
			continue
		}
		d := draft.New("")
		if err := l.key.read(&reading{Draft: d}, l); err != nil {
			continue // it was read at the start
		}
		for _, f := range d.Filters() {
			protects := f.BasicAuth != nil || f.RedirectHTTPS != nil || f.IPAllow != nil || f.RateLimit != nil || f.MaxBody != nil
			if protects && !slices.ContainsFunc(r.Filters, func(has route.Filter) bool { return protectsAs(has, f) }) {
				return l.key.Name
			}
		}
	}
	return ""
}

// protectsAs says whether a filter does for a service what that of a default does.
func protectsAs(has, f route.Filter) bool {
	switch {
	case f.BasicAuth != nil:
		return has.BasicAuth != nil && has.BasicAuth.File == f.BasicAuth.File
	case f.RedirectHTTPS != nil:
		return has.RedirectHTTPS != nil
	}
	return reflect.DeepEqual(has, f)
}

// applyDefaults gives the route what its own labels do not decide about; nothing when none
// of them is about which requests it takes.
func (d *reading) applyDefaults(x *Dialect) {
	if !d.MatchKnown && d.Label == "" {
		return
	}
	// What is locked was looked at before: a label may say the same.
	_ = x.defaults.Apply(d.Draft, func(key, header string) bool {
		return slices.ContainsFunc(d.labels, func(l *label) bool {
			return l.key != nil && l.key.Name == key && strings.EqualFold(l.header, header)
		})
	})
}
