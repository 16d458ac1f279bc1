package metrics

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// Process registers the usual families of the Go runtime and of the process. Those of
// the process are missing where there is no /proc.
func (m *Set) Process() {
	m.GaugeFunc("go_goroutines", "Number of goroutines that currently exist.", func() float64 { return float64(runtime.NumGoroutine()) })
	m.GaugeFunc("go_threads", "Number of OS threads created.", func() float64 {
		n, _ := runtime.ThreadCreateProfile(nil)
		return float64(n)
	})
	m.GaugeVec("go_info", "Information about the Go environment.", "version").With(runtime.Version()).Set(1)
	m.collections()
	m.runtime()
	if p, err := procfs.Self(); err == nil {
		m.resources(p)
	}
}

// collections are the figures of garbage collection.
func (m *Set) collections() {
	pauses := m.Family(KindSummary, "go_gc_duration_seconds", "A summary of the wall-time pause (stop-the-world) duration in garbage collection cycles.")
	last := m.Family(KindGauge, "go_memstats_last_gc_time_seconds", "Number of seconds since 1970 of last garbage collection.")
	m.Collect(func(s *Scrape) {
		stats := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
		debug.ReadGCStats(&stats)
		o := s.begin(pauses)
		for i, pause := range stats.PauseQuantiles {
			quantile := strconv.FormatFloat(float64(i)/float64(len(stats.PauseQuantiles)-1), 'g', -1, 64)
			o.line("", []byte(`quantile="`+quantile+`"`), pause.Seconds())
		}
		o.line("_sum", nil, stats.PauseTotal.Seconds())
		o.line("_count", nil, float64(stats.NumGC))
		s.Put(last, float64(stats.LastGC.UnixNano())/1e9)
	})
}

// runtime are the figures that are sums of those of the Go runtime.
func (m *Set) runtime() {
	figures := []struct {
		kind       Kind
		name, help string
		of         string // names in runtime/metrics; those without a slash in front are classes of memory
	}{
		{KindGauge, "go_memstats_alloc_bytes", "Number of bytes allocated in heap and currently in use.", "heap/objects"},
		{KindCounter, "go_memstats_alloc_bytes_total", "Total number of bytes allocated in heap until now, even if released already.", "/gc/heap/allocs:bytes"},
		{KindGauge, "go_memstats_sys_bytes", "Number of bytes obtained from system.", "total"},
		{KindCounter, "go_memstats_mallocs_total", "Total number of heap objects allocated, both live and gc-ed.", "/gc/heap/allocs:objects /gc/heap/tiny/allocs:objects"},
		{KindCounter, "go_memstats_frees_total", "Total number of heap objects frees.", "/gc/heap/frees:objects /gc/heap/tiny/allocs:objects"},
		{KindGauge, "go_memstats_heap_alloc_bytes", "Number of heap bytes allocated and currently in use, same as go_memstats_alloc_bytes.", "heap/objects"},
		{KindGauge, "go_memstats_heap_sys_bytes", "Number of heap bytes obtained from system.", "heap/objects heap/unused heap/released heap/free"},
		{KindGauge, "go_memstats_heap_idle_bytes", "Number of heap bytes waiting to be used.", "heap/released heap/free"},
		{KindGauge, "go_memstats_heap_inuse_bytes", "Number of heap bytes that are in use.", "heap/objects heap/unused"},
		{KindGauge, "go_memstats_heap_released_bytes", "Number of heap bytes released to OS.", "heap/released"},
		{KindGauge, "go_memstats_heap_objects", "Number of currently allocated objects.", "/gc/heap/objects:objects"},
		{KindGauge, "go_memstats_stack_inuse_bytes", "Number of bytes obtained from system for stack allocator in non-CGO environments.", "heap/stacks"},
		{KindGauge, "go_memstats_stack_sys_bytes", "Number of bytes obtained from system for stack allocator.", "heap/stacks os-stacks"},
		{KindGauge, "go_memstats_mspan_inuse_bytes", "Number of bytes in use by mspan structures.", "metadata/mspan/inuse"},
		{KindGauge, "go_memstats_mspan_sys_bytes", "Number of bytes used for mspan structures obtained from system.", "metadata/mspan/inuse metadata/mspan/free"},
		{KindGauge, "go_memstats_mcache_inuse_bytes", "Number of bytes in use by mcache structures.", "metadata/mcache/inuse"},
		{KindGauge, "go_memstats_mcache_sys_bytes", "Number of bytes used for mcache structures obtained from system.", "metadata/mcache/inuse metadata/mcache/free"},
		{KindGauge, "go_memstats_buck_hash_sys_bytes", "Number of bytes used by the profiling bucket hash table.", "profiling/buckets"},
		{KindGauge, "go_memstats_gc_sys_bytes", "Number of bytes used for garbage collection system metadata.", "metadata/other"},
		{KindGauge, "go_memstats_other_sys_bytes", "Number of bytes used for other system allocations.", "other"},
		{KindGauge, "go_memstats_next_gc_bytes", "Number of heap bytes when next garbage collection will take place.", "/gc/heap/goal:bytes"},
		{KindGauge, "go_gc_gogc_percent", "Heap size target percentage configured by the user, otherwise 100.", "/gc/gogc:percent"},
		{KindGauge, "go_gc_gomemlimit_bytes", "Go runtime memory limit configured by the user, otherwise math.MaxInt64.", "/gc/gomemlimit:bytes"},
		{KindGauge, "go_sched_gomaxprocs_threads", "The current runtime.GOMAXPROCS setting.", "/sched/gomaxprocs:threads"},
	}
	families, samples := make([]*Family, len(figures)), make([][]metrics.Sample, len(figures))
	for i, figure := range figures {
		names := strings.Fields(figure.of)
		for j, name := range names {
			if name[0] != '/' {
				names[j] = "/memory/classes/" + name + ":bytes"
			}
			samples[i] = append(samples[i], metrics.Sample{Name: names[j]})
		}
		families[i] = m.Family(figure.kind, figure.name, figure.help+" Equals to "+strings.Join(names, " + ")+".")
	}
	m.Collect(func(s *Scrape) {
		read := slices.Concat(samples...)
		metrics.Read(read)
		for i, f := range families {
			var sum uint64
			for range samples[i] {
				sum += read[0].Value.Uint64()
				read = read[1:]
			}
			s.Put(f, float64(sum))
		}
	})
}

// resources are the figures of a process. What cannot be read is left out.
func (m *Set) resources(p procfs.Proc) {
	cpu := m.Family(KindCounter, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
	open := m.Family(KindGauge, "process_open_fds", "Number of open file descriptors.")
	most := m.Family(KindGauge, "process_max_fds", "Maximum number of open file descriptors.")
	virtual := m.Family(KindGauge, "process_virtual_memory_bytes", "Virtual memory size in bytes.")
	mostVirtual := m.Family(KindGauge, "process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.")
	resident := m.Family(KindGauge, "process_resident_memory_bytes", "Resident memory size in bytes.")
	started := m.Family(KindGauge, "process_start_time_seconds", "Start time of the process since unix epoch in seconds.")
	received := m.Family(KindCounter, "process_network_receive_bytes_total", "Number of bytes received by the process over the network.")
	sent := m.Family(KindCounter, "process_network_transmit_bytes_total", "Number of bytes sent by the process over the network.")
	m.Collect(func(s *Scrape) {
		if stat, err := p.Stat(); err == nil {
			s.Put(cpu, stat.CPUTime())
			s.Put(virtual, float64(stat.VirtualMemory()))
			s.Put(resident, float64(stat.ResidentMemory()))
			if at, err := stat.StartTime(); err == nil {
				s.Put(started, at)
			}
		}
		if n, err := p.FileDescriptorsLen(); err == nil {
			s.Put(open, float64(n))
		}
		if limits, err := p.Limits(); err == nil {
			s.Put(most, float64(limits.OpenFiles))
			s.Put(mostVirtual, float64(limits.AddressSpace))
		}
		if net, err := p.Netstat(); err == nil && net.InOctets != nil && net.OutOctets != nil {
			s.Put(received, *net.InOctets)
			s.Put(sent, *net.OutOctets)
		}
	})
}
