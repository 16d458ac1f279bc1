package traffic

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"fairway/internal/metrics"
)

// BenchmarkScrape reads the metrics of 5,000 routes that all have had requests.
func BenchmarkScrape(b *testing.B) {
	m := &metrics.Set{}
	c := NewCounters(m, func() (map[string]int64, int64, bool) { return map[string]int64{"http": 2}, 1, true })
	for i := range 5000 {
		route := c.Route(fmt.Sprintf("stack-%d_service/main", i))
		for j := range 20 {
			route.Requests(1, 200, time.Duration(j*j)*time.Millisecond)
		}
		route.Requests(1, 404, time.Millisecond)
	}
	b.ReportAllocs()
	for b.Loop() {
		answer := httptest.NewRecorder()
		m.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	}
}
