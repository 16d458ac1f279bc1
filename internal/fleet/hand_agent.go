package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/engine/haproxy/socket"
)

// The commands that a container with the agent is given; what they print is the
// agent's Status, Result and Statistics.
func agentStatus() []string { return []string{"fairway", "haproxy", "status", "-o", "json"} }

func agentContent() []string {
	return []string{"fairway", "haproxy", "status", "--content", "-o", "json"}
}
func agentStats() []string { return []string{"fairway", "haproxy", "stats", "-o", "json"} }
func agentCheck() []string { return []string{"fairway", "haproxy", "apply", "--check", "-o", "json"} }
func agentApply() []string { return []string{"fairway", "haproxy", "apply", "-o", "json"} }
func agentTrust() []string { return []string{"fairway", "haproxy", "apply", "--trust", "-o", "json"} }

// agentHand is a container with the agent, which does the whole of a change by
// itself: it goes on also when Fairway does not.
type agentHand struct {
	engine Engine
	place  Place
}

// errNoAgent says that a container has no agent, errAgentUnset that it has one
// that cannot say what is asked.
var (
	errNoAgent    = errors.New("no agent in the container")
	errAgentUnset = errors.New("the agent says")
)

// ask runs a command of the agent and decodes what it prints.
func (h *agentHand) ask(ctx context.Context, id string, args []string, stdin []byte, into any) error {
	r, err := h.engine.ContainerExec(ctx, id, dockerapi.Exec{Args: args, Stdin: stdin, MaxOutput: 4 * maxContent, Timeout: left(ctx)})
	if noProgram(r, err) {
		return errNoAgent
	}
	if err != nil {
		return err
	}
	if r.ExitCode == killed {
		return errors.New(failure(r))
	}
	if r.Truncated || json.Unmarshal(r.Stdout, into) != nil {
		return fmt.Errorf("%w: %s", errAgentUnset, strings.TrimPrefix(failure(r), "fairway: "))
	}
	return nil
}

// agentSaid is the agent's Status.
type agentSaid struct {
	Name    string        `json:"name"`
	Digest  string        `json:"digest"`
	Content []byte        `json:"content"`
	Running string        `json:"running"`
	Version string        `json:"version"`
	Worker  int           `json:"worker"`
	Uptime  time.Duration `json:"uptime"`
	Old     int           `json:"old"`
	Trouble string        `json:"trouble"`
}

func (h *agentHand) look(ctx context.Context, content bool) (Sight, error) {
	c, err := find(ctx, h.engine, h.place)
	if err != nil {
		return Sight{}, err
	}
	args := agentStatus()
	if content {
		args = agentContent()
	}
	var said agentSaid
	if err := h.ask(ctx, c.ID, args, nil, &said); err != nil {
		return Sight{}, err
	}
	if content {
		said.Digest = digestOf(said.Content)
	}
	if said.Name != h.place.Document {
		return Sight{}, fmt.Errorf("the agent there has document %q, not %q", said.Name, h.place.Document)
	}
	if said.Worker == 0 {
		return Sight{}, fmt.Errorf("HAProxy does not serve: %s", said.Trouble)
	}
	return Sight{
		Time: time.Now(), Content: said.Content, Digest: said.Digest, Running: said.Running, Container: c.ID, Transport: "agent",
		Version: said.Version, Uptime: said.Uptime, Old: said.Old,
	}, nil
}

func (h *agentHand) check(ctx context.Context, content []byte) error {
	return asAbsent(h.change(ctx, agentCheck(), content))
}

func (h *agentHand) apply(ctx context.Context, content []byte, trust bool) error {
	args := agentApply()
	if trust {
		args = agentTrust()
	}
	return h.change(ctx, args, content)
}

// change has the agent do something with a configuration. An error that says
// nothing about what came of it is as it is.
func (h *agentHand) change(ctx context.Context, args []string, content []byte) error {
	c, err := find(ctx, h.engine, h.place)
	if err != nil {
		return err
	}
	var result struct {
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
		Back    bool   `json:"back"`
	}
	if err := h.ask(ctx, c.ID, args, content, &result); err != nil {
		if errors.Is(err, errNoAgent) {
			return &AbsentError{err}
		}
		return err
	}
	switch result.Outcome {
	case "updated", "same":
		return nil
	case "refused":
		return &RefusedError{Err: errors.New(result.Reason), Back: result.Back, Told: true}
	default:
		return errors.New(result.Reason)
	}
}

func (h *agentHand) read(ctx context.Context) (Reading, error) {
	c, err := find(ctx, h.engine, h.place)
	if err != nil {
		return Reading{}, err
	}
	var said struct {
		Stat string `json:"stat"`
	}
	if err := h.ask(ctx, c.ID, agentStats(), nil, &said); err != nil {
		return Reading{}, err
	}
	stats, err := socket.ParseStats(said.Stat)
	if err != nil {
		return Reading{}, err
	}
	return NewReading(time.Now(), stats), nil
}

// eitherHand finds out whether a container has the agent, once for each
// container.
type eitherHand struct {
	agent *agentHand
	shell *shell

	mu  sync.Mutex
	id  string // of the container that was found out about
	way hand
}

func newHand(engine Engine, p Place, pages *http.Client) hand {
	return &eitherHand{
		agent: &agentHand{engine: engine, place: p},
		shell: &shell{engine: engine, place: p, stats: statsPage{client: pages, url: p.Stats, user: p.StatsUser}},
	}
}

// known is how the container was last worked on; nil before the first look.
func (h *eitherHand) known() hand {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.way
}

// find finds out how to work on the container that is there now.
func (h *eitherHand) find(ctx context.Context) (hand, error) {
	c, err := find(ctx, h.agent.engine, h.agent.place)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	way := h.way
	if h.id != c.ID {
		way = nil
	}
	h.mu.Unlock()
	if way != nil {
		return way, nil
	}
	return h.choose(ctx, c.ID)
}

func (h *eitherHand) look(ctx context.Context, content bool) (Sight, error) {
	way, err := h.find(ctx)
	if err != nil {
		return Sight{}, worded(err)
	}
	sight, err := way.look(ctx, content)
	return sight, worded(err)
}

// choose asks for the agent. A container in which fairway is there but not set up
// to run HAProxy is worked on with the shell, and asked again the next time.
func (h *eitherHand) choose(ctx context.Context, id string) (hand, error) {
	var said agentSaid
	var way hand = h.agent
	switch err := h.agent.ask(ctx, id, agentStatus(), nil, &said); {
	case errors.Is(err, errAgentUnset):
		return h.shell, nil
	case errors.Is(err, errNoAgent):
		way = h.shell
	case err != nil:
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.id, h.way = id, way
	return way, nil
}

// chosen is how to work on the container.
func (h *eitherHand) chosen(ctx context.Context) (hand, error) {
	if way := h.known(); way != nil {
		return way, nil
	}
	way, err := h.find(ctx)
	return way, asAbsent(err)
}

func (h *eitherHand) check(ctx context.Context, content []byte) error {
	way, err := h.chosen(ctx)
	if err == nil {
		err = way.check(ctx, content)
	}
	return worded(err)
}

func (h *eitherHand) apply(ctx context.Context, content []byte, trust bool) error {
	way, err := h.chosen(ctx)
	if err == nil {
		err = way.apply(ctx, content, trust)
	}
	return worded(err)
}

func (h *eitherHand) read(ctx context.Context) (Reading, error) {
	way, err := h.chosen(ctx)
	if err != nil {
		return Reading{}, worded(err)
	}
	reading, err := way.read(ctx)
	return reading, worded(err)
}
