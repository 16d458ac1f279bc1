package render

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/route"
)

// slots assigns sections to backends: the one a backend had, a spare one, or, at
// the price of a reload, a new one. Its lists are by profile.
type slots struct {
	held    map[slotKey]string   // the sections of backends that are wanted still
	free    map[string][]Section // to be handed out
	resting map[string][]Section // not handed out yet, but to the backend they had
	former  map[slotKey]string   // those of before that rest, by the backend they had
	highest map[string]int       // the highest number there is
}

type slotKey struct{ profile, backend string }

// newSlots gives back the sections whose backends are not wanted any more. Requests
// of them may be under way: they rest, as do those that are named.
func newSlots(previous *Config, resting map[string]bool, wanted map[slotKey]string) *slots {
	s := &slots{
		held: map[slotKey]string{}, free: map[string][]Section{}, resting: map[string][]Section{},
		former: map[slotKey]string{}, highest: map[string]int{},
	}
	if previous == nil {
		return s
	}
	for i := range previous.Sections {
		old := &previous.Sections[i]
		if old.Profile == "" {
			continue
		}
		key := slotKey{old.Profile, cmp.Or(old.Backend, old.Former)}
		_, isWanted := wanted[key]
		spare := Section{Name: old.Name, Profile: old.Profile, Used: old.Used, Former: key.backend}
		switch {
		case old.Backend != "" && isWanted:
			s.held[key] = old.Name
		case old.Backend != "":
			s.resting[old.Profile] = append(s.resting[old.Profile], spare)
		case resting[old.Name]:
			s.resting[old.Profile] = append(s.resting[old.Profile], spare)
			s.former[key] = old.Name
		default:
			s.free[old.Profile] = append(s.free[old.Profile], spare)
		}
		number, _ := strconv.Atoi(old.Name[strings.LastIndexByte(old.Name, '-')+1:])
		s.highest[old.Profile] = max(s.highest[old.Profile], number)
	}
	for _, free := range s.free {
		// Those that have served no backend first: their counters begin at zero.
		slices.SortStableFunc(free, func(a, b Section) int {
			switch {
			case a.Used == b.Used:
				return 0
			case a.Used:
				return 1
			}
			return -1
		})
	}
	return s
}

func (s *slots) take(p *profile, b *route.Backend) Section {
	key := slotKey{p.name, b.ID}
	section := Section{Name: s.held[key], Profile: p.name, Backend: b.ID, Service: b.Service, Used: true}
	if name := s.former[key]; section.Name == "" && name != "" {
		// It is back: requests that are held in the section wait for this backend.
		section.Name = name
		s.resting[p.name] = slices.DeleteFunc(s.resting[p.name], func(r Section) bool { return r.Name == name })
	}
	if free := s.free[p.name]; section.Name == "" && len(free) > 0 {
		section.Name, s.free[p.name] = free[0].Name, free[1:]
	}
	if section.Name == "" {
		section.Name = s.next(p.name)
	}
	return section
}

// next is the name of a new section.
func (s *slots) next(profile string) string {
	s.highest[profile]++
	return slotName(profile, s.highest[profile])
}

// spares are the sections that no backend uses, of the profiles there were.
func (s *slots) spares() []Section {
	var all []Section
	for _, lists := range []map[string][]Section{s.free, s.resting} {
		for _, list := range lists {
			all = append(all, list...)
		}
	}
	return all
}

// refill makes the spares that a profile has after a reload: those there are, as
// many as are wanted, or new ones.
func (s *slots) refill(p *profile, want int) []Section {
	spares := slices.Concat(s.resting[p.name], s.free[p.name])
	if len(spares) > want {
		spares = spares[len(spares)-want:] // rather those that can be handed out
	}
	for n := len(s.free[p.name]); n < want; n++ {
		spares = append(spares, Section{Name: s.next(p.name), Profile: p.name})
	}
	return spares
}
