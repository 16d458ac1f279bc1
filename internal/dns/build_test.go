package dns

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fairway/internal/catalog"
)

// contents are all indices of a zone, as maps.
func contents(z *Zone) map[string]any {
	return map[string]any{
		"services": maps.Collect(z.services.all()), "instances": maps.Collect(z.instances.all()), "hosts": maps.Collect(z.hosts.all()), "ids": maps.Collect(z.ids.all()),
		"projects": maps.Collect(z.projects.all()), "short": maps.Collect(z.short.all()), "explicit": maps.Collect(z.explicit.all()), "stars": maps.Collect(z.stars.all()),
		"foreign": maps.Collect(z.foreign.all()), "above": maps.Collect(z.above.all()), "askers": maps.Collect(z.askers.all()), "pointers": maps.Collect(z.pointers.all()),
		"bridges": z.bridges, "taken": z.Taken(),
	}
}

// A zone that is made out of the one before is the one that is made anew.
func TestChanged(t *testing.T) {
	w := newWorld()
	w.instance("shop-web-1").Labels[labelName] = "x.docker, *.app.docker"
	w.zone()
	random := rand.New(rand.NewPCG(1, 2))
	made := func(n int) *catalog.Service {
		w := &world{snapshot: &catalog.Snapshot{}}
		in := w.compose(fmt.Sprintf("p%d", n%3), fmt.Sprintf("s%d.x", n%7), n, fmt.Sprintf("shop_front=172.18.1.%d lan=10.0.0.%d", random.IntN(20)+1, random.IntN(20)+1), "80/tcp")
		in.Addresses[1].Link = random.IntN(2) == 0
		in.Hostname = fmt.Sprintf("h%d", random.IntN(9))
		in.Labels[labelName] = []string{"", "x.docker", "*.app.docker, y.docker", "a.corp", "b.app.docker"}[random.IntN(5)]
		svc := w.snapshot.Services[0]
		svc.ID, svc.Created = fmt.Sprintf("%s-%d@docker", svc.Name, n), start.AddDate(0, 0, random.IntN(50))
		if random.IntN(6) == 0 {
			svc.Labels = map[string]string{labelEnable: "false"}
		}
		return svc
	}
	for round := range 200 {
		s := new(*w.before.snapshot)
		s.Services = slices.DeleteFunc(slices.Clone(s.Services), func(*catalog.Service) bool { return random.IntN(8) == 0 })
		for range random.IntN(4) {
			svc := made(random.IntN(12))
			s.Services = append(slices.DeleteFunc(s.Services, func(old *catalog.Service) bool { return old.ID == svc.ID }), svc)
		}
		slices.SortFunc(s.Services, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
		begun := &Zone{short: w.before.short, explicit: w.before.explicit, stars: w.before.stars} // with no snapshot: all is made anew
		was := contents(w.before)
		next, anew := Build(w.before, s, w.settings, local, start), Build(begun, s, w.settings, local, start)
		if !reflect.DeepEqual(was, contents(w.before)) {
			t.Fatalf("round %d: the zone before has changed", round)
		}
		got, want := contents(next), contents(anew)
		for name := range want {
			if !reflect.DeepEqual(got[name], want[name]) {
				t.Fatalf("round %d, %s:\n got %v\nwant %v", round, name, got[name], want[name])
			}
		}
		w.before = next
	}
}
