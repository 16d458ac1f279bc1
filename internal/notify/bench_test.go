package notify

import (
	"fmt"
	"testing"
	"time"

	"fairway/internal/catalog"
)

// BenchmarkLook is a snapshot of 10,000 services with three instances each, one of
// which has changed.
func BenchmarkLook(b *testing.B) {
	f := newFollower(10 * time.Second)
	w := swarm()
	w.services = nil
	for i := range 10_000 {
		name := fmt.Sprintf("s%d", i)
		var list []*catalog.Instance
		for j := range 3 {
			list = append(list, instance(fmt.Sprintf("%s.%d", name, j), "n1", "x:1", catalog.StateReady))
		}
		w.services = append(w.services, service(name, "x:1", list...))
	}
	f.see(w.snapshot(), noon)
	at := noon
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Second)
		changed := *w.services[7]
		w.services[7] = &changed
		if told := f.see(w.snapshot(), at); len(told) != 0 {
			b.Fatal(told)
		}
	}
}
