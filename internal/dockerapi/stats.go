package dockerapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// maxStats is the largest answer taken about what one container uses.
const maxStats = 1 << 20

// Stats is what a container has used since it was started, and what it holds
// now.
type Stats struct {
	// Read is when the engine measured, by its clock; zero for a container that
	// does not run, which uses nothing.
	Read time.Time
	CPU  CPU
	// MemoryUsed is in bytes, without the page cache that the kernel would give
	// back; MemoryLimit is the container's limit, or the machine's memory for
	// one without.
	MemoryUsed, MemoryLimit uint64
	// NetworkReceived and NetworkSent are in bytes, over all interfaces; zero in
	// the network stack of the machine, which is not counted.
	NetworkReceived, NetworkSent uint64
	// BlockRead and BlockWritten are in bytes.
	BlockRead, BlockWritten uint64
	// Processes is how many processes and threads it has.
	Processes uint64
}

// CPU is one reading of the clocks from which the share of the CPUs is computed:
// the time the container used and the time all CPUs of the machine passed, both
// in nanoseconds, and the number of CPUs that are online.
type CPU struct {
	Used, System uint64
	Online       uint32
}

// ContainerStats returns what a container uses now. GET
// /containers/{id}/stats?stream=false&one-shot=true. Older engines answer at the
// next tick of their own second; a container that does not run answers, too.
func (c *Client) ContainerStats(ctx context.Context, id string) (Stats, error) {
	ctx, cancel := c.call(ctx, 1)
	defer cancel()
	r, err := c.api.ContainerStats(ctx, id, client.ContainerStatsOptions{})
	if err != nil {
		return Stats{}, fmt.Errorf("docker container stats: %w", err)
	}
	defer r.Body.Close()
	var wire container.StatsResponse
	if err := json.NewDecoder(io.LimitReader(r.Body, maxStats)).Decode(&wire); err != nil {
		if errors.Is(err, io.EOF) {
			// The container ended between the list and this call.
			return Stats{}, nil
		}
		return Stats{}, fmt.Errorf("docker container stats: %w", err)
	}
	return fromStats(wire), nil
}

// fromStats translates an answer the way docker stats reads it.
func fromStats(wire container.StatsResponse) Stats {
	s := Stats{
		Read: wire.Read.UTC(),
		CPU: CPU{
			Used:   wire.CPUStats.CPUUsage.TotalUsage,
			System: wire.CPUStats.SystemUsage,
			Online: wire.CPUStats.OnlineCPUs,
		},
		MemoryUsed:  memoryUsed(wire.MemoryStats),
		MemoryLimit: wire.MemoryStats.Limit,
		Processes:   wire.PidsStats.Current,
	}
	if s.CPU.Online == 0 {
		s.CPU.Online = uint32(len(wire.CPUStats.CPUUsage.PercpuUsage))
	}
	for _, n := range wire.Networks {
		s.NetworkReceived += n.RxBytes
		s.NetworkSent += n.TxBytes
	}
	for _, e := range wire.BlkioStats.IoServiceBytesRecursive {
		switch e.Op {
		case "read", "Read":
			s.BlockRead += e.Value
		case "write", "Write":
			s.BlockWritten += e.Value
		}
	}
	return s
}

// memoryUsed leaves out the inactive page cache, which cgroup v1 calls
// total_inactive_file and v2 inactive_file.
func memoryUsed(m container.MemoryStats) uint64 {
	for _, key := range []string{"total_inactive_file", "inactive_file"} {
		if cache, ok := m.Stats[key]; ok {
			if cache < m.Usage {
				return m.Usage - cache
			}
			return m.Usage
		}
	}
	return m.Usage
}
