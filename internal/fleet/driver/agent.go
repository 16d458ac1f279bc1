package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/fleet/agent/report"
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
func agentTrust() []string {
	return []string{"fairway", "haproxy", "apply", "--skip-check", "-o", "json"}
}

// agentTransport is a container with the agent, which does the whole of a change by
// itself: it goes on also when Fairway does not.
type agentTransport struct {
	engine   Engine
	document string
}

// errNoAgent says that a container has no agent, errAgentUnset that it has one
// that cannot say what is asked.
var (
	errNoAgent    = errors.New("no agent in the container")
	errAgentUnset = errors.New("the agent says")
)

// ask runs a command of the agent and decodes what it prints.
func (t *agentTransport) ask(ctx context.Context, id string, args []string, stdin []byte, into any) error {
	r, err := t.engine.ContainerExec(ctx, id, dockerapi.Exec{Args: args, Stdin: stdin, MaxOutput: 4 * MaxContent, Timeout: left(ctx)})
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

func (t *agentTransport) observe(ctx context.Context, id string, content bool) (Observation, error) {
	args := agentStatus()
	if content {
		args = agentContent()
	}
	var s report.Status
	if err := t.ask(ctx, id, args, nil, &s); err != nil {
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

func (t *agentTransport) check(ctx context.Context, id string, content []byte) error {
	return asAbsent(t.change(ctx, id, agentCheck(), content))
}

func (t *agentTransport) apply(ctx context.Context, id string, content []byte, trust bool) error {
	args := agentApply()
	if trust {
		args = agentTrust()
	}
	return t.change(ctx, id, args, content)
}

// change has the agent do something with a configuration. Any error but a refusal and
// an absent agent leaves open what came of it.
func (t *agentTransport) change(ctx context.Context, id string, args []string, content []byte) error {
	var result report.Result
	if err := t.ask(ctx, id, args, content, &result); err != nil {
		if errors.Is(err, errNoAgent) {
			return &AbsentError{err}
		}
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

func (t *agentTransport) read(ctx context.Context, id string) (Reading, error) {
	var s report.Statistics
	if err := t.ask(ctx, id, agentStats(), nil, &s); err != nil {
		return Reading{}, err
	}
	stats, err := socket.ParseStats(s.Stat)
	if err != nil {
		return Reading{}, err
	}
	return newReading(time.Now(), stats), nil
}
