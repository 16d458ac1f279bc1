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
	"github.com/moby/moby/api/types/events"
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
	BlockRead, BlockWritten      uint64 // in bytes
	Processes                    uint64 // and threads
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

// queueLength is how many events may wait for the reader. The engine throws
// events away in silence when they are not taken, so they are taken at once, and
// a reader that falls this far behind gets ErrSlowReader.
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
	// C yields the events in order. It is closed when the stream ends; Err says
	// why.
	C <-chan Event

	err error
}

// Err returns why the stream ended. It may be called once C is closed, and
// never returns nil then.
func (s *Stream) Err() error { return s.err }

// Events opens the event stream. It returns when the engine has accepted it,
// or after Timeout; from then on the stream lives as long as ctx. since asks for
// a replay of what happened from that time on (the engine remembers only the
// newest few hundred events); zero for none. filters restrict the stream by
// Docker's filter names, such as "type" and "event"; nil for no restriction.
// GET /events.
//
// The engine accepts a stream a moment before it takes part in it: what happens
// in that moment is not in the stream, so list once more after a while.
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
			select {
			case queue <- fromMessage(m):
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

// fromMessage translates an event.
func fromMessage(m events.Message) Event {
	at := time.Unix(m.Time, 0)
	if m.TimeNano != 0 {
		at = time.Unix(0, m.TimeNano)
	}
	return Event{
		Type:       string(m.Type),
		Action:     string(m.Action),
		ID:         m.Actor.ID,
		Attributes: m.Actor.Attributes,
		Time:       at.UTC(),
	}
}
