package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// failure is the panic of check, which run returns.
type failure struct{ error }

// check ends the measurement with an error, and with it all that was started.
func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// must is check for what returns a value.
func must[T any](v T, err error) T {
	check(err)
	return v
}

// process is a program that is measured.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
}

// start runs a program on the given CPUs ("0", or "" for all), with its output
// in a file of dir.
func start(dir, cpus string, args ...string) *process {
	args = pinned(cpus, args)
	log := must(os.CreateTemp(dir, filepath.Base(args[len(args)-1])+"-log-"))
	defer log.Close()
	p := &process{cmd: exec.Command(args[0], args[1:]...), log: log.Name(), ended: make(chan struct{})} //nolint:gosec,noctx // ended by stop
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	check(p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p
}

// pinned are the arguments of a program that runs on the given CPUs.
func pinned(cpus string, args []string) []string {
	if cpus == "" {
		return args
	}
	return append([]string{"taskset", "-c", cpus}, args...)
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
func (p *process) await(ctx context.Context, within time.Duration, what string, ok func() bool) {
	deadline := time.Now().Add(within)
	for !ok() {
		select {
		case <-p.ended:
			check(p.failure(fmt.Errorf("%s: the program has ended", what)))
		case <-ctx.Done():
			check(ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			check(p.failure(fmt.Errorf("%s: not within %s", what, within)))
		}
	}
}

// cpu returns the CPU time that the program and its children have used, all
// threads.
func (p *process) cpu() time.Duration {
	stats := map[int]procfs.ProcStat{}
	for _, one := range must(procfs.AllProcs()) {
		if stat, err := one.Stat(); err == nil { // else it has just ended
			stats[one.PID] = stat
		}
	}
	seconds := 0.0
	for pid, stat := range stats {
		for pid > 1 && pid != p.cmd.Process.Pid {
			pid = stats[pid].PPID
		}
		if pid == p.cmd.Process.Pid {
			seconds += stat.CPUTime()
		}
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}

// memory returns the resident memory of the program, now and at its highest, in
// bytes.
func (p *process) memory() (now, most uint64) {
	status := must(must(procfs.NewProc(p.cmd.Process.Pid)).NewStatus())
	return status.VmRSS, status.VmHWM
}

func mib(bytes uint64) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }
