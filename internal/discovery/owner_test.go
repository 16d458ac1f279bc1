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
		var before *catalog.Service
		if tt.before != "" {
			before = owned(tt.before, 0)
		}
		if got, _ := holder(tt.services, before); got != tt.want {
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

// byLabel is the record that a label of the first instance names.
type byLabel struct{}

func (byLabel) Machines(nodes []*catalog.Node) map[string]string {
	machines := map[string]string{}
	for _, n := range nodes {
		machines[n.ID] = n.Name
	}
	return machines
}

func (byLabel) Record(s *catalog.Service, machines map[string]string) string {
	return s.Instances[0].Labels["record"] + machines[s.Instances[0].Node]
}

// TestRecordsKeepServicesApart: instances that name one service, are of one Compose project and
// for which different records of owners are, are no members of one service: neither of one
// source nor of two. Who was there first keeps the name, also when the others are older.
func TestRecordsKeepServicesApart(t *testing.T) {
	with := func(s *catalog.Service, records ...string) *catalog.Service {
		all := *s
		all.Instances = nil
		for i, record := range records {
			in := *s.Instances[0]
			in.ID, in.Labels, in.Created = in.ID+record, map[string]string{"record": record}, s.Created.Add(-time.Duration(i)*time.Hour)
			all.Instances = append(all.Instances, &in)
		}
		return &all
	}
	a, b := newScript("a"), newScript("b")
	lab(t, Options{Sources: []Source{a, b}, Records: byLabel{}}, func(_ *Collector, feed *catalog.Feed) {
		b.say <- catalog.Answer{Certain: true}
		mine := with(owned("a", "web", "shop", 50000), "r1")
		for _, step := range []struct {
			a, b *catalog.Service
			want string
		}{
			{mine, nil, "web: shop-ar1"},
			{mine, with(owned("b", "web", "shop", 10), "r2"), "web: shop-ar1, web~shop~r2: shop-br2 (shop has it)"},
			{mine, with(owned("b", "web", "shop", 10), "r1"), "web: shop-ar1 shop-br1"},
			{with(owned("a", "web", "shop", 50000), "r1", "", "r3"), nil, "web: shop-ar1, web~shop: shop-a (shop has it), web~shop~r3: shop-ar3 (shop has it)"},
			{with(owned("a", "web", "shop", 50000), "", "r3"), nil, "web: shop-ar3, web~shop: shop-a (shop has it)"},
		} {
			answer := func(s *catalog.Service) catalog.Answer {
				if s == nil {
					return catalog.Answer{Certain: true}
				}
				return catalog.Answer{Services: []*catalog.Service{s}, Certain: true}
			}
			a.say <- answer(step.a)
			b.say <- answer(step.b)
			time.Sleep(time.Second)
			before := feed.Newest()
			if got := members(before); got != step.want {
				t.Errorf("got  %s\nwant %s", got, step.want)
			}
			a.say <- answer(step.a) // the same again
			time.Sleep(time.Second)
			if feed.Newest() != before {
				t.Error("the same again is another snapshot")
			}
		}
		// A machine that gets another name is for another record.
		a.say <- catalog.Answer{Services: []*catalog.Service{mine}, Nodes: []*catalog.Node{{ID: "", Name: "x"}}, Certain: true}
		time.Sleep(time.Second)
		if got := feed.Newest().Services[0].Record; got != "r1x" {
			t.Errorf("the record is %q", got)
		}
	})
}
