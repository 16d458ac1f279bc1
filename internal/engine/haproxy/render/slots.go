package render

import (
	"cmp"
	"slices"
	"strings"

	"fairway/internal/route"
)

// slots hands out sections to backends: the one a backend had, a spare one, or, at
// the price of a reload, a new one.
type slots struct {
	before map[string]Section // of the configuration before, by name
	held   map[string]string  // section by profile and backend, of the configuration before
	free   map[string][]Section
	// resting are spare sections that are not handed out yet.
	resting    []Section
	restsStill map[string]bool // Options.Resting
	count      map[string]int  // the highest number in use, by profile
	short      bool            // a profile ran out
}

func newSlots(previous *Config, resting map[string]bool) *slots {
	s := &slots{before: map[string]Section{}, held: map[string]string{}, free: map[string][]Section{}, count: map[string]int{}, restsStill: resting}
	if previous == nil {
		return s
	}
	for i := range previous.Sections {
		section := previous.Sections[i]
		if section.Profile == "" {
			continue
		}
		s.before[section.Name] = section
		s.count[section.Profile]++
		if section.Backend == "" {
			s.spare(section)
		} else {
			s.held[section.Profile+" "+section.Backend] = section.Name
		}
	}
	return s
}

// spare takes a spare section: one that rests is not handed out.
func (s *slots) spare(section Section) {
	if s.restsStill[section.Name] {
		s.resting = append(s.resting, section)
		return
	}
	s.free[section.Profile] = append(s.free[section.Profile], section)
}

// release gives back the sections whose backends are not wanted any more, by
// profile and backend. Sections that have served nobody come first.
func (s *slots) release(wanted map[string]bool) {
	for key, name := range s.held {
		if wanted[key] {
			continue
		}
		section := s.before[name]
		section.Backend, section.Service, section.Servers = "", "", nil
		s.resting = append(s.resting, section) // requests of it may be under way
		delete(s.held, key)
	}
	for _, free := range s.free {
		slices.SortFunc(free, func(a, b Section) int {
			if a.Used != b.Used {
				if a.Used {
					return 1
				}
				return -1
			}
			return strings.Compare(a.Name, b.Name)
		})
	}
}

// take returns the section of a backend.
func (s *slots) take(p *profile, b *route.Backend) Section {
	section := Section{Profile: p.name}
	if name, ok := s.held[p.name+" "+b.ID]; ok {
		section.Name = name
	} else if free := s.free[p.name]; len(free) > 0 {
		section.Name = free[0].Name
		s.free[p.name] = free[1:]
	} else {
		s.short = true
		s.count[p.name]++
		section.Name = slotName(p.name, s.count[p.name])
	}
	section.Backend, section.Service, section.Used = b.ID, b.Service, true
	return section
}

// spares are the sections that nobody uses, of the profiles there were.
func (s *slots) spares() []Section {
	all := slices.Clone(s.resting)
	for _, free := range s.free {
		all = append(all, free...)
	}
	return all
}

// refill makes as many spares of a profile as there shall be, besides those there
// are. used is how many are in use.
func (s *slots) refill(p *profile, used, most, spares int) []Section {
	want := max(spares/10, 2)
	if used == most {
		want = spares
	}
	want = max(want, used/10)
	var added []Section
	for len(s.free[p.name])+len(added) < want {
		s.count[p.name]++
		added = append(added, Section{Name: slotName(p.name, s.count[p.name]), Profile: p.name})
	}
	return added
}

func sortSections(sections []Section) {
	slices.SortFunc(sections, func(a, b Section) int { return cmp.Compare(a.Name, b.Name) })
}
