package happened

import (
	"cmp"
	"slices"

	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
)

// RuleLine is a rule with what it fired for or is about to, that first.
type RuleLine struct {
	api.RuleState // of its first subject
	Health        string
	Subjects      int
	Active        []api.RuleState // the first
	More          int
}

const maxActive = 5 // subjects of a rule

// Rules puts the states of each rule together, those that fired first.
func Rules(states []api.RuleState) []RuleLine {
	order := []string{signs.Broken, signs.Waiting, signs.Fine, signs.Idle}
	states = slices.Clone(states)
	slices.SortStableFunc(states, func(a, b api.RuleState) int {
		return cmp.Compare(slices.Index(order, RuleSign(a)), slices.Index(order, RuleSign(b)))
	})
	var all []RuleLine
	for _, s := range states {
		i := slices.IndexFunc(all, func(l RuleLine) bool { return l.Rule == s.Rule })
		if i < 0 {
			i = len(all)
			all = append(all, RuleLine{RuleState: s, Health: RuleSign(s)})
		}
		l := &all[i]
		if s.Subject != "" {
			l.Subjects++
		}
		switch active := !s.Fired.IsZero() || !s.Since.IsZero(); {
		case active && len(l.Active) < maxActive:
			l.Active = append(l.Active, s)
		case active:
			l.More++
		}
	}
	return all
}

// RuleSign is the sign of a rule that watches a subject.
func RuleSign(r api.RuleState) string {
	switch {
	case !r.Fired.IsZero():
		return signs.Broken
	case !r.Since.IsZero():
		return signs.Waiting
	case r.Subject == "":
		return signs.Idle
	}
	return signs.Fine
}
