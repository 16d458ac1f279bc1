package catalog

import (
	"cmp"
	"slices"
	"strings"

	"fairway/internal/nearest"
)

// ShortName is the name that the service has in its Compose file or stack, where its own
// name has the project or stack in front; empty for none.
func (s *Service) ShortName() string {
	for _, in := range s.Instances {
		if name := in.Labels["com.docker.compose.service"]; name != "" && name != s.Name {
			return name
		}
	}
	if stack := s.Labels["com.docker.stack.namespace"]; stack != "" && strings.HasPrefix(s.Name, stack+"_") {
		return s.Name[len(stack)+1:]
	}
	return ""
}

// ServicesNamed returns the services with this ID or name; where there is none, those with
// it as their short name.
func (s *Snapshot) ServicesNamed(name string) (found []*Service) {
	for _, is := range []func(*Service) bool{
		func(svc *Service) bool { return svc.ID == name || svc.Name == name },
		func(svc *Service) bool { return svc.ShortName() == name },
	} {
		for _, svc := range s.Services {
			if name != "" && is(svc) {
				found = append(found, svc)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	return found
}

// Called returns the services that a name means: ServicesNamed, or where there is none
// those with an instance of this name or ID.
func (s *Snapshot) Called(name string) []*Service {
	found := s.ServicesNamed(name)
	if len(found) > 0 || name == "" {
		return found
	}
	for _, svc := range s.Services {
		if slices.ContainsFunc(svc.Instances, func(in *Instance) bool { return in.Name == name || in.ID == name || in.ShortID() == name }) {
			found = append(found, svc)
		}
	}
	return found
}

// DidYouMean asks for the service, instance or node that a mistyped name most likely stands
// for: "; did you mean web?". It is empty for none.
func (s *Snapshot) DidYouMean(name string) string {
	var known []string
	for _, svc := range s.Services {
		known = append(known, svc.Name, svc.ShortName())
	}
	s.subjects(func(_ Subject, id, called string) { known = append(known, called, id) })
	meant := nearest.Word(name, slices.DeleteFunc(known, func(word string) bool { return word == "" }))
	if meant == "" {
		return ""
	}
	return "; did you mean " + meant + "?"
}

// Project is the Compose project or the stack that the service belongs to: by its own
// labels, else by those of its first instance that has one; empty for none.
func (s *Service) Project() string {
	of := func(labels map[string]string) string {
		return cmp.Or(labels["com.docker.stack.namespace"], labels["com.docker.compose.project"])
	}
	project := of(s.Labels)
	for _, in := range s.Instances {
		project = cmp.Or(project, of(in.Labels))
	}
	return project
}
