package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Master talks to the socket of HAProxy's master process. All methods may be
// called from any goroutine.
type Master struct {
	path    string
	timeout time.Duration
}

// NewMaster returns a client for the master socket at path, a file. timeout bounds
// each command, with its dial; zero means 5 s.
func NewMaster(path string, timeout time.Duration) *Master {
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	return &Master{path: path, timeout: timeout}
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
	answer, err := m.ask(ctx, "show proc", "")
	if err != nil {
		return Processes{}, err
	}
	return ParseProcesses(answer)
}

// Reload asks the master to start a new worker from the files on disk. The answer
// is HAProxy's own: from 2.7 on "Success=1" or "Success=0" and why, before that
// nothing. That a reload came about is to be read back from the new worker.
func (m *Master) Reload(ctx context.Context) (string, error) {
	return m.ask(ctx, "reload", "")
}

// Worker sends a command to the worker with this process ID, whichever of them
// the runtime socket belongs to.
func (m *Master) Worker(ctx context.Context, pid int, cmd Command) (string, error) {
	if len(cmd.payload) > 0 {
		return "", errors.New("socket: no payload through the master")
	}
	return m.ask(ctx, cmd.line, fmt.Sprintf("@!%d ", pid))
}

// WorkerVar reads a variable, a string, of the worker with this process ID.
func (m *Master) WorkerVar(ctx context.Context, pid int, name string) (value string, ok bool, err error) {
	get, err := Cmd("get", "var", name)
	if err != nil {
		return "", false, err
	}
	answer, err := m.Worker(ctx, pid, get)
	if err != nil {
		return "", false, err
	}
	value, ok = ParseVar(name, answer)
	return value, ok, nil
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
		answer = growBuffer(answer)
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

// refusedByMaster says whether an answer is none.
func refusedByMaster(answer string) bool {
	for _, refusal := range []string{"Unknown command", "Can't find the target", "Permission denied"} {
		if strings.HasPrefix(answer, refusal) {
			return true
		}
	}
	return false
}

// ParseProcesses takes the answer to `show proc` apart.
func ParseProcesses(answer string) (Processes, error) {
	var p Processes
	old := false
	for line := range strings.Lines(answer) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "#"); ok {
			old = strings.HasPrefix(strings.TrimSpace(heading), "old workers")
			continue
		}
		// "26922  master  0 [failed: 0]  0d00h00m19s  2.6.12"
		line, failed, err := cutFailed(line)
		if err != nil {
			return Processes{}, err
		}
		f := strings.Fields(line)
		if len(f) < 2 || f[1] != "master" && f[1] != "worker" {
			continue // programs, and what later versions may add
		}
		proc, err := parseProcess(f)
		if err != nil {
			return Processes{}, fmt.Errorf("haproxy: show proc: %q: %w", line, err)
		}
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

func cutFailed(line string) (rest string, failed int, err error) {
	before, after, ok := strings.Cut(line, "[failed:")
	if !ok {
		return line, 0, nil
	}
	number, after, ok := strings.Cut(after, "]")
	failed, err = strconv.Atoi(strings.TrimSpace(number))
	if !ok || err != nil {
		return "", 0, fmt.Errorf("haproxy: show proc: %q: a number of failures was expected", line)
	}
	return before + " " + after, failed, nil
}

func parseProcess(f []string) (p Process, err error) {
	if p.PID, err = strconv.Atoi(f[0]); err != nil || p.PID <= 0 {
		return p, errors.New("no process ID")
	}
	if len(f) > 2 {
		if p.Reloads, err = strconv.Atoi(f[2]); err != nil {
			return p, errors.New("no number of reloads")
		}
	}
	if len(f) > 3 {
		if p.Uptime, err = parseUptime(f[3]); err != nil {
			return p, err
		}
	}
	if len(f) > 4 {
		p.Version = f[4]
	}
	return p, nil
}

// parseUptime reads "1d02h03m04s".
func parseUptime(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	n, err := strconv.Atoi(days)
	if !ok || err != nil || n < 0 || n > 100_000 {
		return 0, fmt.Errorf("%q is not an uptime", s)
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, fmt.Errorf("%q is not an uptime", s)
	}
	return time.Duration(n)*24*time.Hour + d, nil
}
