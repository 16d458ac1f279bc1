package haproxy

import (
	"fmt"
	"testing"
	"time"

	"fairway/internal/route"
)

// BenchmarkOneLabel changes the weight of one endpoint among five thousand services.
func BenchmarkOneLabel(b *testing.B) {
	const services = 5000
	s := newSite(b, Options{Logger: quiet(b)})
	for i := range services {
		s.serve(fmt.Sprintf("s%d.example.com", i), fmt.Sprintf("127.2.%d.%d:80", i/250, i%250+1))
	}
	s.apply()
	spent := time.Duration(0)
	b.ResetTimer()
	for n := range b.N {
		b.StopTimer()
		i := n % services
		s.backend(fmt.Sprintf("s%d.example.com", i), func(x *route.Backend) { x.Endpoints[0].Weight = 2 + n%200 }, fmt.Sprintf("127.2.%d.%d:80", i/250, i%250+1))
		table := s.table()
		before := processorTime(b)
		b.StartTimer()
		if err := s.engine.Apply(b.Context(), table); err != nil {
			b.Fatal(err)
		}
		spent += processorTime(b) - before
	}
	b.StopTimer()
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N)/1000, "cpu-ms/op")
	if n := s.reloads(); n > 1 {
		b.Logf("%d reloads", n-1)
	}
}
