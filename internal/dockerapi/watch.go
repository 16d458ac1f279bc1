package dockerapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// maxStats is the largest answer taken about what one container uses.
const maxStats = 1 << 20

// Stats is what a container has used since it was started, and what it holds now.
type Stats struct {
	// Read is when the engine measured, by its clock; zero for a container that does not run.
	Read time.Time
	CPU  CPU
	// MemoryUsed is in bytes, without page cache that the kernel would give back;
	// MemoryLimit is the machine's memory for a container without a limit.
	MemoryUsed, MemoryLimit uint64
	// NetworkReceived and NetworkSent are in bytes; zero in the network stack of the machine.
	NetworkReceived, NetworkSent uint64
	BlockRead, BlockWritten      uint64 // in bytes
	Processes                    uint64 // and threads
}

// CPU is the time that a container used and that all CPUs of the machine passed, both in
// nanoseconds, and how many CPUs are online.
type CPU struct {
	Used, System uint64
	Online       uint32
}

// ContainerStats returns what a container uses now. GET
// /containers/{id}/stats?stream=false&one-shot=true. Older engines answer within a second.
func (c *Client) ContainerStats(ctx context.Context, id string) (_ Stats, err error) {
	ctx, end := c.begin(ctx, "container stats", c.timeout, &err)
	defer end()
	r, err := c.api.ContainerStats(ctx, id, client.ContainerStatsOptions{})
	if err != nil {
		return Stats{}, err
	}
	defer r.Body.Close()
	var wire container.StatsResponse
	err = json.NewDecoder(io.LimitReader(r.Body, maxStats)).Decode(&wire)
	switch {
	case errors.Is(err, io.EOF):
		return Stats{}, nil // the container ended between the list and this call
	case err != nil:
		return Stats{}, err
	}
	return fromStats(wire), nil
}

// fromStats translates an answer the way docker stats reads it.
func fromStats(wire container.StatsResponse) Stats {
	s := Stats{
		Read:        wire.Read.UTC(),
		CPU:         CPU{wire.CPUStats.CPUUsage.TotalUsage, wire.CPUStats.SystemUsage, wire.CPUStats.OnlineCPUs},
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

// memoryUsed leaves out the inactive page cache, by its name in cgroup v1, else in v2.
func memoryUsed(m container.MemoryStats) uint64 {
	cache, v1 := m.Stats["total_inactive_file"]
	if !v1 {
		cache = m.Stats["inactive_file"]
	}
	if cache >= m.Usage {
		return m.Usage
	}
	return m.Usage - cache
}

// queueLength is how many events may wait for the reader; one that falls further behind
// gets ErrSlowReader. The engine throws events away in silence when they are not taken.
const queueLength = 4096

// ErrSlowReader ends a stream whose reader fell too far behind.
var ErrSlowReader = errors.New("event stream: reader fell behind")

// Event is something that happened on the engine.
type Event struct {
	// Type is "container", "network", …; Action is Docker's word, such as "start" or
	// "health_status: healthy"; ID is the full ID of the container or network.
	Type, Action, ID string
	// Attributes are more details, mixed with the container's labels.
	Attributes map[string]string
	Time       time.Time // by the engine's clock
}

// Stream is an open event stream.
type Stream struct {
	// C yields the events in order. It is closed when the stream ends; Err says why.
	C <-chan Event

	err error
}

// Err returns why the stream ended, never nil, once C is closed.
func (s *Stream) Err() error { return s.err }

// Events opens the event stream. It returns when the engine has accepted it, or after
// Timeout; from then on the stream lives as long as ctx. since asks for a replay of the
// newest few hundred events from that time on; zero for none. filters restrict the stream by
// Docker's filter names, such as "type" and "event"; nil for no restriction. GET /events.
//
// What happens in the moment after the engine has accepted it is not in the stream, so list
// once more after a while.
func (c *Client) Events(ctx context.Context, since time.Time, filters map[string][]string) (*Stream, error) {
	o := client.EventsListOptions{Filters: client.Filters{}}
	if !since.IsZero() {
		o.Since = strconv.FormatInt(since.Unix(), 10) + "." + fmt.Sprintf("%09d", since.Nanosecond())
	}
	for name, values := range filters {
		o.Filters.Add(name, values...)
	}
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(c.timeout, cancel)
	r := c.api.Events(ctx, o)
	if !late.Stop() {
		cancel()
		return nil, fmt.Errorf("docker events: no answer within %v", c.timeout)
	}
	queue := make(chan Event, queueLength)
	s := &Stream{C: queue}
	go func() {
		s.err = fmt.Errorf("docker events: %w", pump(r, queue))
		close(queue)
		cancel()
	}()
	return s, nil
}

// pump moves events to queue until the stream ends, and returns why.
func pump(r client.EventsResult, queue chan<- Event) error {
	for {
		select {
		case m := <-r.Messages:
			at := time.Unix(m.Time, 0)
			if m.TimeNano != 0 {
				at = time.Unix(0, m.TimeNano)
			}
			select {
			case queue <- Event{string(m.Type), string(m.Action), m.Actor.ID, m.Actor.Attributes, at.UTC()}:
			default:
				return ErrSlowReader
			}
		case err, ok := <-r.Err:
			if !ok || errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF // the stream has no proper end
			}
			return err
		}
	}
}
