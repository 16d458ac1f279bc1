package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that is measured.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
}

// start runs a program on the given CPUs ("0", or "" for all), with its output
// in a file of dir.
func start(dir, cpus string, args ...string) (*process, error) {
	if cpus != "" {
		args = append([]string{"taskset", "-c", cpus}, args...)
	}
	log, err := os.CreateTemp(dir, filepath.Base(args[len(args)-1])+"-log-")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(args[0], args[1:]...), log: log.Name(), ended: make(chan struct{})} //nolint:gosec,noctx // ended by stop
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop ends the program and waits for that.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// failure is err with the end of what the program has printed.
func (p *process) failure(err error) error {
	text, _ := os.ReadFile(p.log)
	return fmt.Errorf("%w; it printed: %s", err, text[max(0, len(text)-2000):])
}

// await polls ok until it is true; it gives up when the program ends.
func (p *process) await(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	deadline := time.Now().Add(within)
	for !ok() {
		select {
		case <-p.ended:
			return p.failure(fmt.Errorf("%s: the program has ended", what))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return p.failure(fmt.Errorf("%s: not within %s", what, within))
		}
	}
	return nil
}

// cpu returns the CPU time that the program and its children have used, all
// threads.
func (p *process) cpu() (time.Duration, error) {
	parents := map[int]int{}
	times := map[int]time.Duration{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		pid, parent, used, err := parseStat(string(text))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		parents[pid], times[pid] = parent, used
	}
	total := time.Duration(0)
	for pid := range times {
		for p1 := pid; p1 > 1; p1 = parents[p1] {
			if p1 == p.cmd.Process.Pid {
				total += times[pid]
				break
			}
		}
	}
	return total, nil
}

// tick is the unit of times in /proc/PID/stat. It is 100 per second on every
// Linux that Go runs on.
const tick = 10 * time.Millisecond

// parseStat reads process, parent, and user and system time from the text of
// /proc/PID/stat. See proc(5).
func parseStat(text string) (pid, parent int, used time.Duration, err error) {
	head, rest, ok := strings.Cut(text, " (")
	end := strings.LastIndexByte(rest, ')') // a name may hold parentheses
	if !ok || end < 0 {
		return 0, 0, 0, errors.New("not in the form of /proc/PID/stat")
	}
	fields := strings.Fields(rest[end+1:])
	if len(fields) < 13 {
		return 0, 0, 0, errors.New("too few fields")
	}
	var numbers [4]int
	for i, s := range []string{head, fields[1], fields[11], fields[12]} {
		if numbers[i], err = strconv.Atoi(s); err != nil {
			return 0, 0, 0, err
		}
	}
	return numbers[0], numbers[1], time.Duration(numbers[2]+numbers[3]) * tick, nil
}

// memory returns the resident memory of the program, now and at its highest, in
// bytes.
func (p *process) memory() (now, most int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		switch {
		case scan(line, "VmRSS: %d kB", &kib):
			now = kib << 10
		case scan(line, "VmHWM: %d kB", &kib):
			most = kib << 10
		}
	}
	return now, most, nil
}

func scan(line, format string, v *int64) bool {
	n, _ := fmt.Sscanf(line, format, v)
	return n == 1
}

func mib(bytes int64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }
