package catalog

import (
	"errors"
	"strings"
	"testing"
)

func subjects() *Snapshot {
	service := func(name, instance string) *Service {
		return &Service{ID: name, Name: name, Source: "test", Instances: []*Instance{{ID: instance, Name: name + "-" + instance}}}
	}
	return &Snapshot{
		Services: []*Service{
			service("a", "0123456789abcdef"), service("b", "10.0.0.2"), service("edge", "10.0.0.3"),
			{ID: "b@other", Name: "b", Source: "other"},
		},
		Nodes: []*Node{{ID: "n", Name: "edge"}},
	}
}

func TestResolveSubject(t *testing.T) {
	s := subjects()
	for text, want := range map[string]string{
		"a": "service a", "a-0123456789abcdef": "instance a-0123456789abcdef", "0123456789ab": "instance a-0123456789abcdef",
		"b": "service b", "service:b@other": "service b@other", "edge": "service edge", "node:edge": "node edge", "n": "node edge",
	} {
		if got, err := ResolveSubject(s, text); err != nil || got.String() != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for text, unknown := range map[string]bool{"": false, "node:": false, "0123": true, "node:a": true} {
		if _, err := ResolveSubject(s, text); err == nil || errors.Is(err, ErrNoSubject) != unknown {
			t.Errorf("%q: %v, want ErrNoSubject: %t", text, err, unknown)
		}
	}
	s.Services = s.Services[2:] // now only the names say edge
	s.Services[0].ID = "edge@test"
	if _, err := ResolveSubject(s, "edge"); err == nil || !strings.Contains(err.Error(), "service:edge@test or node:edge") {
		t.Errorf("a name of two things: %v", err)
	}
}

// A lone container is a service and its instance by one name.
func TestResolveLoneInstance(t *testing.T) {
	in := &Instance{ID: "10.0.0.4", Name: "app"}
	s := &Snapshot{Services: []*Service{{ID: "app@test", Name: "app", Source: "test", Instances: []*Instance{in}}}}
	for text, want := range map[string]string{"app": "service app@test", "service:app": "service app@test", "instance:app": "instance app"} {
		if got, err := ResolveSubject(s, text); err != nil || got.String() != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	s.Services[0].Instances = append(s.Services[0].Instances, &Instance{ID: "10.0.0.5", Name: "other"})
	if _, err := ResolveSubject(s, "app"); err == nil || !strings.Contains(err.Error(), "instance:app") {
		t.Errorf("the name of a service and one of its two instances: %v", err)
	}
}

func TestSubjectInSnapshot(t *testing.T) {
	s := subjects()
	for _, subject := range []Subject{{Service: "a"}, {Instance: "b-10.0.0.2", Source: "test"}, {Node: "n"}} {
		if got, err := subject.In(s); err != nil || !got.Same(subject) || subject.Node != "" && got.NodeName != "edge" {
			t.Errorf("%v is %v, %v", subject, got, err)
		}
	}
	for _, subject := range []Subject{{Service: "c"}, {Instance: "b-10.0.0.2", Source: "other"}, {Node: "edge"}, {}} {
		if got, err := subject.In(s); !errors.Is(err, ErrNoSubject) {
			t.Errorf("%v is %v, %v", subject, got, err)
		}
	}
}
