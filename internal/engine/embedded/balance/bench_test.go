package balance

import (
	"fmt"
	"net/netip"
	"testing"

	"fairway/internal/route"
)

// BenchmarkPick measures a pick and its end, the cost a request pays.
func BenchmarkPick(b *testing.B) {
	for _, policy := range policies {
		for _, n := range []int{1, 3, 100} {
			var specs []string
			for i := range n {
				specs = append(specs, fmt.Sprintf("e%03d", i))
			}
			key := Key{Client: netip.MustParseAddr("192.0.2.1")}
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				_, be := newBackend(b, backend(policy, specs...), nil)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						e, _ := be.Pick(key, nil)
						e.Done(ResultOK)
					}
				})
			})
		}
	}
}

// BenchmarkUpdateOneOf measures the change of one backend among many.
func BenchmarkUpdateOneOf(b *testing.B) {
	for _, n := range []int{100, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			defs := make([]*route.Backend, n)
			for i := range defs {
				defs[i] = backend(route.BalanceRoundRobin, "a", "b")
				defs[i].ID = fmt.Sprint("shop", i)
			}
			s := NewSet(Options{})
			defer s.Close()
			s.Update(defs)
			one, other := *defs[0], *defs[0]
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if defs[0] = &one; i%2 == 0 {
					defs[0] = &other
				}
				s.Update(defs)
			}
		})
	}
}
