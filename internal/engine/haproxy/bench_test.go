package haproxy

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"fairway/internal/route"
)

// BenchmarkApply makes one change among many services: the weight of an endpoint alone,
// or that, a service that comes, and one that goes in turn.
func BenchmarkApply(b *testing.B) {
	for _, bench := range []struct {
		name            string
		services, kinds int
	}{{"100", 100, 3}, {"10000", 10_000, 3}, {"5000/weight", 5_000, 1}} {
		b.Run(bench.name, func(b *testing.B) {
			s := newSite(b, Options{Logger: quiet(b)})
			for i := range bench.services {
				s.serve(fmt.Sprintf("s%d.example.com", i), fmt.Sprintf("127.2.%d.%d:80", i/250, i%250+1))
			}
			s.apply()
			spent := time.Duration(0)
			b.ResetTimer()
			for n := range b.N {
				b.StopTimer()
				id := fmt.Sprintf("s%d.example.com", n%bench.services)
				switch n % bench.kinds {
				case 0:
					s.backend(id, func(x *route.Backend) { x.Endpoints[0].Weight = 1 + n%200 }, "127.0.0.1:81")
				case 1:
					s.serve(fmt.Sprintf("new%d.example.com", n), "127.0.0.1:82")
				case 2:
					s.remove(fmt.Sprintf("new%d.example.com", n-1))
				}
				table := s.table()
				before := processorTime(b)
				b.StartTimer()
				if err := s.engine.Apply(b.Context(), table); err != nil {
					b.Fatal(err)
				}
				spent += processorTime(b) - before
			}
			b.StopTimer()
			// On a machine with others this says more than the time on the clock.
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N)/1000, "cpu-ms/op")
			if n := s.reloads(); n > 1 {
				b.Logf("%d reloads", n-1)
			}
		})
	}
}

// processorTime is what this process has used up.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
