package render

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/route"
)

// slots assigns sections to backends: the one a backend had, a spare one, or, at
// the price of a reload, a new one. Its lists are by profile.
type slots struct {
	held    map[slotKey]string   // the sections of backends that are wanted still
	former  map[slotKey]string   // those of before that rest
	resting map[string][]Section // handed out to the backend they had only
	free    map[string][]Section // to be handed out, those that have served no backend first
	highest map[string]int       // the highest number there is
}

type slotKey struct{ profile, backend string }

// newSlots gives back the sections whose backends are not wanted any more. They rest, as
// do those that are named: requests may be under way in them.
func newSlots(previous *Config, resting map[string]bool, wanted map[slotKey]string) *slots {
	s := &slots{
		held: map[slotKey]string{}, former: map[slotKey]string{},
		resting: map[string][]Section{}, free: map[string][]Section{}, highest: map[string]int{},
	}
	if previous == nil {
		return s
	}
	used := map[string][]Section{}
	for i := range previous.Sections {
		old := &previous.Sections[i]
		if old.Profile == "" {
			continue
		}
		key := slotKey{old.Profile, cmp.Or(old.Backend, old.Former)}
		_, isWanted := wanted[key]
		list := s.free
		switch {
		case old.Backend != "" && isWanted:
			s.held[key] = old.Name
			list = nil
		case old.Backend != "":
			list = s.resting
		case resting[old.Name]:
			s.former[key] = old.Name
			list = s.resting
		case old.Used:
			list = used
		}
		if list != nil {
			list[old.Profile] = append(list[old.Profile], Section{Name: old.Name, Profile: old.Profile, Used: old.Used, Former: key.backend})
		}
		number, _ := strconv.Atoi(old.Name[strings.LastIndexByte(old.Name, '-')+1:])
		s.highest[old.Profile] = max(s.highest[old.Profile], number)
	}
	for profile, list := range used {
		s.free[profile] = append(s.free[profile], list...)
	}
	return s
}

func (s *slots) take(key slotKey, b *route.Backend) Section {
	name, free := s.held[key], s.free[key.profile]
	switch former := s.former[key]; {
	case name != "":
	case former != "":
		// It is back: requests that are held in the section wait for this backend.
		name = former
		s.resting[key.profile] = slices.DeleteFunc(s.resting[key.profile], func(r Section) bool { return r.Name == name })
	case len(free) > 0:
		name, s.free[key.profile] = free[0].Name, free[1:]
	default:
		name = s.next(key.profile)
	}
	return Section{Name: name, Profile: key.profile, Backend: b.ID, Service: b.Service, Used: true}
}

// next is the name of a new section.
func (s *slots) next(profile string) string {
	s.highest[profile]++
	return fmt.Sprintf("%s-%05d", profile, s.highest[profile])
}

// refill makes the spares that a profile has after a reload, of old ones and new ones.
func (s *slots) refill(profile string, want int) []Section {
	spares := slices.Concat(s.resting[profile], s.free[profile])
	if len(spares) > want {
		spares = spares[len(spares)-want:] // rather those that can be handed out
	}
	for range want - len(s.free[profile]) {
		spares = append(spares, Section{Name: s.next(profile), Profile: profile})
	}
	return spares
}
