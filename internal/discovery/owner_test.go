package discovery

import (
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
)

func TestHolder(t *testing.T) {
	owned := func(owner string, created int64) *catalog.Service {
		s := &catalog.Service{Owner: owner}
		if created > 0 {
			s.Created = time.Unix(created, 0)
		}
		return s
	}
	for _, tt := range []struct {
		name, before string
		services     []*catalog.Service
		want         string
	}{
		{"alone", "", []*catalog.Service{owned("a", 5)}, "a"},
		{"the oldest", "", []*catalog.Service{owned("a", 5), owned("b", 4)}, "b"},
		{"unknown ages last", "", []*catalog.Service{owned("a", 0), owned("b", 4)}, "b"},
		{"the name where ages are equal", "", []*catalog.Service{owned("b", 4), owned("a", 4)}, "a"},
		{"the name where ages are unknown", "", []*catalog.Service{owned("b", 0), owned("a", 0)}, "a"},
		{"who had it, made anew", "a", []*catalog.Service{owned("a", 9), owned("b", 4)}, "a"},
		{"who had it is gone", "c", []*catalog.Service{owned("a", 5), owned("b", 4)}, "b"},
		{"the oldest instance of an owner", "", []*catalog.Service{owned("a", 9), owned("b", 5), owned("a", 4)}, "a"},
		{"no owner is one as well", "", []*catalog.Service{owned(catalog.NoOwner, 5), owned("a", 6)}, catalog.NoOwner},
	} {
		if got := holder(tt.services, tt.before); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// owned is the service of an owner that its instance names, as the Docker source says it.
func owned(source, name, owner string, created int64) *catalog.Service {
	return &catalog.Service{
		ID: catalog.OwnedID(name, owner), Name: name, Owner: owner, Source: source, Created: time.Unix(created, 0),
		Instances: []*catalog.Instance{{ID: owner + "-" + source, Source: source, State: catalog.StateReady}},
	}
}

// members lists services with their instances, and with who has the name where they have not.
func members(s *catalog.Snapshot) string {
	var list []string
	for _, svc := range s.Services {
		text := svc.ID + ":"
		for _, in := range svc.Instances {
			text += " " + in.ID
		}
		if svc.Holder != "" {
			text += " (" + svc.Holder + " has it)"
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

// TestStrangers: instances of another owner that name a service are no members of it, on any
// source, also when the owner's are made anew, when Fairway starts again, and until the owner is gone.
func TestStrangers(t *testing.T) {
	var last *catalog.Snapshot
	const strange = "shop: mine-a mine-b, shop~evil: evil-b (mine has it)"
	run := func(o Options, test func(say func(services ...*catalog.Service) string)) {
		a, b := newScript("a"), newScript("b")
		o.Sources, o.Restored = []Source{a, b}, last
		lab(t, o, func(_ *Collector, feed *catalog.Feed) {
			test(func(services ...*catalog.Service) string {
				answers := map[string][]*catalog.Service{}
				for _, s := range services {
					answers[s.Source] = append(answers[s.Source], s)
				}
				a.say <- catalog.Answer{Services: answers["a"], Certain: true}
				b.say <- catalog.Answer{Services: answers["b"], Certain: true}
				time.Sleep(time.Second)
				last = feed.Newest()
				return members(last)
			})
		})
	}
	demand := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
		}
	}
	mineA, mineB, evil := owned("a", "shop", "mine", 5), owned("b", "shop", "mine", 6), owned("b", "shop", "evil", 7)
	run(Options{}, func(say func(...*catalog.Service) string) {
		demand("at first", say(mineA, mineB), "shop: mine-a mine-b")
		shop := last.Services[0]
		demand("a stranger", say(mineA, mineB, evil), strange)
		if last.Services[0] != shop {
			t.Error("a stranger changes the incumbent's service")
		}
		mineA, mineB = owned("a", "shop", "mine", 8), owned("b", "shop", "mine", 9)
		demand("made anew", say(mineA, evil, mineB), strange)
	})
	run(Options{}, func(say func(...*catalog.Service) string) {
		demand("restarted", say(mineA, evil, mineB), strange)
		demand("the owner is gone", say(evil), "shop: evil-b")
		demand("and comes back", say(evil, mineA), "shop: evil-b, shop~mine: mine-a (evil has it)")
	})
	run(Options{Shared: []string{"shop"}}, func(say func(...*catalog.Service) string) {
		demand("shared", say(mineA, mineB, evil), "shop: evil-b mine-a mine-b")
		if !last.Services[0].Shared || last.Services[0].Owner != "evil" {
			t.Errorf("shared: %+v", last.Services[0])
		}
	})
}
