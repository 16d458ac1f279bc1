package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Master talks to HAProxy's master process. Any goroutine may call its methods.
type Master struct {
	path    string
	timeout time.Duration
}

// NewMaster returns a client for the master socket at path; see New.
func NewMaster(path string, timeout time.Duration) *Master {
	return &Master{path, cmp.Or(timeout, defaultTimeout)}
}

// Process is one process under a master.
type Process struct {
	PID int
	// Reloads is how many reloads ago it was started.
	Reloads int
	Uptime  time.Duration
	Version string
}

// Processes is the answer to `show proc`.
type Processes struct {
	Master Process
	// Failed is how many reloads in a row have failed.
	Failed int
	// Workers are those that serve; one, or none while it starts.
	Workers []Process
	// Old are those that were replaced and finish what they have.
	Old []Process
}

// Processes asks the master for its processes.
func (m *Master) Processes(ctx context.Context) (Processes, error) {
	return parsed(parseProcesses)(m.ask(ctx, "show proc", ""))
}

// Reload asks the master to start a new worker from the files on disk. From 2.7 on the
// answer is "Success=1" or "Success=0" and why. It is no proof: ask the new worker.
func (m *Master) Reload(ctx context.Context) (string, error) {
	return m.ask(ctx, "reload", "")
}

// Show asks the worker with this process ID for what the word of a `show` command names.
func (m *Master) Show(ctx context.Context, pid int, what string) (string, error) {
	return m.worker(ctx, pid, "show", what)
}

// Stopping says whether a worker only finishes what it has.
func (m *Master) Stopping(ctx context.Context, pid int) (bool, error) {
	answer, err := m.Show(ctx, pid, "info")
	return strings.Contains("\n"+answer, "\nStopping: 1"), err
}

// WorkerVar reads a variable, a string, of the worker with this process ID.
func (m *Master) WorkerVar(ctx context.Context, pid int, name string) (value string, ok bool, err error) {
	answer, err := m.worker(ctx, pid, "get", "var", name)
	value, ok = parseVar(name, answer)
	return value, ok, err
}

func (m *Master) worker(ctx context.Context, pid int, words ...string) (string, error) {
	c, err := Cmd(words...)
	if err != nil {
		return "", err
	}
	return m.ask(ctx, c.line, fmt.Sprintf("@!%d ", pid))
}

// ask sends one command on a connection of its own. The master keeps connections
// open, so a quit follows the command.
func (m *Master) ask(ctx context.Context, line, to string) (string, error) {
	conn, err := dial(ctx, m.path, m.timeout)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	stop, err := deadline(ctx, conn, m.timeout)
	if err != nil {
		return "", fmt.Errorf("haproxy master socket: %w", err)
	}
	defer stop()
	if _, err := io.WriteString(conn, to+line+";quit\n"); err != nil {
		return "", fmt.Errorf("haproxy master socket: %q: %w", line, errors.Join(context.Cause(ctx), err))
	}
	var answer []byte
	for err == nil {
		var n int
		answer = slices.Grow(answer, 4<<10)
		n, err = conn.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
		// After a refusal later versions forget the quit.
		if text := string(answer); refusedByMaster(text) && strings.HasSuffix(text, "\n") {
			return "", &CommandError{Command: to + line, Answer: oneLine(text)}
		}
	}
	if !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("haproxy master socket: %q: %w", line, errors.Join(context.Cause(ctx), err))
	}
	return strings.Trim(string(answer), "\n"), nil
}

func refusedByMaster(answer string) bool {
	return slices.ContainsFunc([]string{"Unknown command", "Can't find the target", "Permission denied"}, func(refusal string) bool {
		return strings.HasPrefix(answer, refusal)
	})
}

// processLine is "26922  master  0 [failed: 0]  0d00h00m19s  2.6.12".
var processLine = regexp.MustCompile(`^([1-9]\d{0,9})\s+(?:master|worker)\s+(\d{1,9})(?:\s*\[failed:\s*(\d{1,9})\])?\s+(\d{1,5})d(\d\d?h\d\d?m\d\d?s)(?:\s+(\S+))?`)

// parseProcesses takes the answer to `show proc` apart.
func parseProcesses(answer string) (Processes, error) {
	var p Processes
	old := false
	for line := range strings.Lines(answer) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "#"); ok {
			old = strings.HasPrefix(strings.TrimSpace(heading), "old workers")
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 || f[1] != "master" && f[1] != "worker" {
			continue // programs, and what later versions may add
		}
		m := processLine.FindStringSubmatch(line)
		if m == nil {
			return Processes{}, fmt.Errorf("haproxy: show proc: %q: not a process with its reloads and uptime", line)
		}
		// The expression has only numbers that fit.
		proc := Process{Version: m[6]}
		proc.PID, _ = strconv.Atoi(m[1])
		proc.Reloads, _ = strconv.Atoi(m[2])
		failed, _ := strconv.Atoi(m[3])
		days, _ := strconv.Atoi(m[4])
		proc.Uptime, _ = time.ParseDuration(m[5])
		proc.Uptime += time.Duration(days) * 24 * time.Hour
		switch {
		case f[1] == "master":
			p.Master, p.Failed = proc, failed
		case old:
			p.Old = append(p.Old, proc)
		default:
			p.Workers = append(p.Workers, proc)
		}
	}
	if p.Master.PID == 0 {
		return Processes{}, errors.New("haproxy: show proc: no master")
	}
	// From 3.1 on the worker that serves on after a failed reload is among the old.
	if p.Failed > 0 && len(p.Workers) == 0 && len(p.Old) > 0 {
		slices.SortFunc(p.Old, func(a, b Process) int { return b.Reloads - a.Reloads })
		p.Workers, p.Old = p.Old[len(p.Old)-1:], p.Old[:len(p.Old)-1]
	}
	return p, nil
}
