package dns

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fairway/internal/catalog"

	"github.com/miekg/dns"
)

func BenchmarkHandle(b *testing.B) {
	z := newWorld().zone()
	for name, qtype := range map[string]uint16{"shop-web": dns.TypeA, "nope": dns.TypeA, "_shop-web._tcp": dns.TypeSRV} {
		raw := query(name+".docker", qtype, 1232)
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				z.Handle(Packet{raw, askers["M"], false})
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	w := newWorld()
	for i := range 10000 {
		for n := range 3 {
			in := *w.instance("shop-web-1")
			in.ID = fmt.Sprintf("%012x%052d", i*3+n, n)
			in.Name, in.Hostname = fmt.Sprintf("p%d-web-%d", i/5, n), fmt.Sprintf("h%d-%d", i, n)
			in.Addresses = []catalog.Address{{Host: fmt.Sprintf("172.18.%d.%d", i/250, i%250), Network: "shop_front", Reach: catalog.ReachBridge}}
			if n == 0 {
				w.snapshot.Services = append(w.snapshot.Services, &catalog.Service{ID: fmt.Sprintf("s%d@docker", i), Name: fmt.Sprintf("p%d-web%d", i/5, i), Source: "docker", Created: start})
			}
			last := w.snapshot.Services[len(w.snapshot.Services)-1]
			last.Instances = append(last.Instances, &in)
		}
	}
	slices.SortFunc(w.snapshot.Services, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Build(nil, w.snapshot, w.settings, local, start)
		}
	})
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("changed=%d", n), func(b *testing.B) {
			z := Build(nil, w.snapshot, w.settings, local, start)
			b.ReportAllocs()
			for b.Loop() {
				s := new(*z.snapshot)
				s.Services = slices.Clone(s.Services)
				for i := range n {
					at := i * len(s.Services) / n
					s.Services[at] = new(*s.Services[at])
				}
				z = Build(z, s, w.settings, local, start)
			}
		})
	}
}
