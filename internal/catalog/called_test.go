package catalog

import (
	"errors"
	"strings"
	"testing"
)

// people are the services of two Compose projects and a stack, and one that is called like
// one of them for short.
func people() *Snapshot {
	compose := func(project, service string) *Service {
		name := project + "-" + service
		return &Service{ID: name + "@docker", Name: name, Source: "docker", Instances: []*Instance{{
			ID: "0123456789ab" + name, Name: name + "-1", Labels: map[string]string{"com.docker.compose.service": service},
		}}}
	}
	return &Snapshot{Services: []*Service{
		compose("blog", "db"), compose("shop", "db"), compose("shop", "web"), compose("shop", "ux"),
		{ID: "st_api@swarm", Name: "st_api", Source: "swarm", Labels: map[string]string{"com.docker.stack.namespace": "st"}},
		{ID: "ux@docker", Name: "ux", Source: "docker", Instances: []*Instance{{ID: "x", Name: "ux"}}},
	}}
}

func TestCalled(t *testing.T) {
	s := people()
	for name, want := range map[string]string{
		"web": "shop-web@docker", "shop-web": "shop-web@docker", "shop-web@docker": "shop-web@docker", "shop-web-1": "shop-web@docker",
		"db": "blog-db@docker shop-db@docker", "ux": "ux@docker", "api": "st_api@swarm", "st_api": "st_api@swarm", "": "", "wbe": "",
	} {
		var ids []string
		for _, svc := range s.Called(name) {
			ids = append(ids, svc.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%q means %q, want %q", name, got, want)
		}
	}
}

func TestResolveShortNames(t *testing.T) {
	s := people()
	for text, want := range map[string]string{"web": "service shop-web@docker", "service:web": "service shop-web@docker", "api": "service st_api@swarm", "ux": "service ux@docker", "shop-web-1": "instance shop-web-1"} {
		if got, err := ResolveSubject(s, text); err != nil || got.String() != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	if _, err := ResolveSubject(s, "db"); err == nil || !strings.Contains(err.Error(), "service:blog-db@docker or service:shop-db@docker") {
		t.Errorf("a short name of two services: %v", err)
	}
	if _, err := ResolveSubject(s, "shop-wbe-1"); !errors.Is(err, ErrNoSubject) || !strings.HasSuffix(err.Error(), `"shop-wbe-1"; did you mean shop-web-1?`) {
		t.Errorf("a mistyped name: %v", err)
	}
}

// A project is known by the service's own labels, else by those of its instances.
func TestProject(t *testing.T) {
	const compose, stack = "com.docker.compose.project", "com.docker.stack.namespace"
	in := func(labels map[string]string) *Instance { return &Instance{Labels: labels} }
	for want, s := range map[string]*Service{
		"":     {Labels: map[string]string{"fairway.host": "a"}, Instances: []*Instance{in(nil)}},
		"own":  {Labels: map[string]string{stack: "own"}, Instances: []*Instance{in(map[string]string{compose: "other"})}},
		"shop": {Instances: []*Instance{in(nil), in(map[string]string{compose: "shop"}), in(map[string]string{compose: "late"})}},
	} {
		if got := s.Project(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
