package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/fleet/agent/report"
)

// agentTransport is a container with the agent, which finishes a change by itself.
type agentTransport struct {
	engine       Engine
	id, document string
}

// errNoAgent: there is no agent; errAgentUnset: it cannot say what is asked.
var (
	errNoAgent    = errors.New("no agent in the container")
	errAgentUnset = errors.New("the agent says")
)

// ask runs a command of the agent and decodes what it prints.
func (t *agentTransport) ask(ctx context.Context, stdin []byte, into any, command ...string) error {
	args := slices.Concat([]string{"fairway", "haproxy"}, command, []string{"-o", "json"})
	r, err := t.engine.ContainerExec(ctx, t.id, dockerapi.Exec{Args: args, Stdin: stdin, MaxOutput: 4 * MaxContent, Timeout: left(ctx)})
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

func (t *agentTransport) observe(ctx context.Context, content bool) (Observation, error) {
	command := []string{"status"}
	if content {
		command = append(command, "--content")
	}
	var s report.Status
	if err := t.ask(ctx, nil, &s, command...); err != nil {
		return Observation{}, err
	}
	if content {
		s.Digest = Digest(s.Content)
	}
	if s.Name != t.document {
		return Observation{}, fmt.Errorf("the agent there has document %q, not %q", s.Name, t.document)
	}
	if s.Worker == 0 {
		return Observation{}, fmt.Errorf("HAProxy does not serve: %s", s.Trouble)
	}
	return Observation{
		Time: time.Now(), Content: s.Content, Digest: s.Digest, Running: s.Running, Transport: "agent",
		Version: s.Version, Uptime: s.Uptime, Old: s.Old,
	}, nil
}

func (t *agentTransport) check(ctx context.Context, content []byte) error {
	return asAbsent(t.change(ctx, content, "apply", "--check"))
}

func (t *agentTransport) apply(ctx context.Context, content []byte, trust bool) error {
	if trust {
		return t.change(ctx, content, "apply", "--skip-check")
	}
	return t.change(ctx, content, "apply")
}

// change has the agent do something with a configuration. Any error but a refusal and
// an absent agent leaves open what came of it.
func (t *agentTransport) change(ctx context.Context, content []byte, command ...string) error {
	var result report.Result
	err := t.ask(ctx, content, &result, command...)
	if errors.Is(err, errNoAgent) {
		return &AbsentError{err}
	}
	if err != nil {
		return err
	}
	switch result.Outcome {
	case report.Updated, report.Same:
		return nil
	case report.Refused:
		return &RefusedError{errors.New(result.Reason)}
	default:
		return errors.New(result.Reason)
	}
}

func (t *agentTransport) read(ctx context.Context) (Reading, error) {
	var s report.Statistics
	if err := t.ask(ctx, nil, &s, "stats"); err != nil {
		return Reading{}, err
	}
	stats, err := socket.ParseStats(s.Stat)
	if err != nil {
		return Reading{}, err
	}
	return newReading(time.Now(), stats), nil
}
