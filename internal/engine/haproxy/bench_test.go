package haproxy

import (
	"fmt"
	"testing"

	"fairway/internal/route"
)

// BenchmarkApply makes one change among many services: the weight of an endpoint, a
// service that comes, and one that goes.
func BenchmarkApply(b *testing.B) {
	for _, services := range []int{100, 10_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			s := newSite(b, Options{Logger: quiet(b)})
			for i := range services {
				s.serve(fmt.Sprintf("s%d.example.com", i), fmt.Sprintf("127.2.%d.%d:80", i/250, i%250+1))
			}
			s.apply()
			b.ResetTimer()
			for n := range b.N {
				b.StopTimer()
				id := fmt.Sprintf("s%d.example.com", n%services)
				switch n % 3 {
				case 0:
					s.backend(id, func(x *route.Backend) { x.Endpoints[0].Weight = 1 + n%200 }, "127.0.0.1:81")
				case 1:
					s.serve(fmt.Sprintf("new%d.example.com", n), "127.0.0.1:82")
				case 2:
					s.remove(fmt.Sprintf("new%d.example.com", n-1))
				}
				table := s.table()
				b.StartTimer()
				if err := s.engine.Apply(b.Context(), table); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if n := s.reloads(); n > 1 {
				b.Logf("%d reloads", n-1)
			}
		})
	}
}
