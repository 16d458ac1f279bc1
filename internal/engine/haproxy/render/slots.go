package render

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/route"
)

// slots assigns sections to backends: the one a backend had, a spare one, or, at
// the price of a reload, a new one.
type slots struct {
	previous []Section
	held     map[slotKey]int  // the section of a backend, by its place in previous
	free     map[string][]int // sections to be handed out, by profile
	resting  map[string][]int // spare sections that are not handed out yet, but to the backend they had
	former   map[slotKey]int  // those by the backend they had
	highest  map[string]int   // the highest number there is, by profile
}

// slotKey is a backend in a profile.
type slotKey struct{ profile, backend string }

func newSlots(previous *Config, resting map[string]bool) *slots {
	s := &slots{free: map[string][]int{}, resting: map[string][]int{}, former: map[slotKey]int{}, highest: map[string]int{}}
	if previous == nil {
		return s
	}
	s.previous = previous.Sections
	s.held = make(map[slotKey]int, len(previous.Sections))
	for i := range previous.Sections {
		switch section := &previous.Sections[i]; {
		case section.Profile == "":
			continue
		case section.Backend != "":
			s.held[slotKey{section.Profile, section.Backend}] = i
		case resting[section.Name]:
			s.resting[section.Profile] = append(s.resting[section.Profile], i)
			s.former[slotKey{section.Profile, section.Former}] = i
		default:
			s.free[section.Profile] = append(s.free[section.Profile], i)
		}
		section := &previous.Sections[i]
		number, _ := strconv.Atoi(section.Name[strings.LastIndexByte(section.Name, '-')+1:])
		s.highest[section.Profile] = max(s.highest[section.Profile], number)
	}
	return s
}

// release gives back the sections whose backends are not wanted any more. Requests
// of them may be under way: they rest.
func (s *slots) release(wanted map[slotKey]string) {
	for key, i := range s.held {
		if _, ok := wanted[key]; !ok {
			s.resting[key.profile] = append(s.resting[key.profile], i)
		}
	}
	for _, free := range s.free {
		// Those that have served no backend first: their counters begin at zero.
		slices.SortFunc(free, func(a, b int) int {
			if s.previous[a].Used != s.previous[b].Used {
				if s.previous[a].Used {
					return 1
				}
				return -1
			}
			return cmp.Compare(a, b)
		})
	}
	for _, resting := range s.resting {
		slices.Sort(resting)
	}
}

// take returns the section of a backend.
func (s *slots) take(p *profile, b *route.Backend) Section {
	section := Section{Profile: p.name, Backend: b.ID, Service: b.Service, Used: true}
	if i, ok := s.held[slotKey{p.name, b.ID}]; ok {
		section.Name = s.previous[i].Name
	} else if i, ok := s.former[slotKey{p.name, b.ID}]; ok {
		// It is back: requests that are held in the section wait for this backend.
		section.Name = s.previous[i].Name
		s.resting[p.name] = slices.DeleteFunc(s.resting[p.name], func(j int) bool { return j == i })
	} else if free := s.free[p.name]; len(free) > 0 {
		section.Name = s.previous[free[0]].Name
		s.free[p.name] = free[1:]
	} else {
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
	for _, lists := range []map[string][]int{s.free, s.resting} {
		for _, list := range lists {
			all = append(all, s.spare(list)...)
		}
	}
	return all
}

// spare are sections of the configuration before without the backends they had.
func (s *slots) spare(list []int) []Section {
	out := make([]Section, len(list))
	for i, place := range list {
		p := &s.previous[place]
		out[i] = Section{Name: p.Name, Profile: p.Profile, Used: p.Used, Former: cmp.Or(p.Backend, p.Former)}
	}
	return out
}

// refill makes the spares that a profile has after a reload: those there are, as
// many as are wanted, or new ones.
func (s *slots) refill(p *profile, want int) []Section {
	spares := slices.Concat(s.spare(s.resting[p.name]), s.spare(s.free[p.name]))
	if len(spares) > want {
		spares = spares[len(spares)-want:] // rather those that can be handed out
	}
	for n := len(s.free[p.name]); n < want; n++ {
		spares = append(spares, Section{Name: s.next(p.name), Profile: p.name})
	}
	return spares
}

func sortSections(sections []Section) {
	slices.SortFunc(sections, func(a, b Section) int { return cmp.Compare(a.Name, b.Name) })
}
