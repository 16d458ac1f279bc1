package agent

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fairway/internal/clock"
)

// reap waits for processes whose parents have ended: in a container they become
// children of the first process, and would stay as zombies. Our own children are waited
// for at once by the code that started them, so what is still a zombie a second after
// it was first seen is an orphan.
func reap(ctx context.Context) {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGCHLD)
	defer signal.Stop(ends)
	var seen map[int]bool
	for {
		var again <-chan time.Time
		if len(seen) > 0 {
			again = time.After(time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-ends:
			// Those that are seen now have their second yet to come.
			if clock.Sleep(ctx, time.Second) != nil {
				return
			}
		case <-again:
		}
		next := map[int]bool{}
		for _, pid := range zombies(os.Getpid()) {
			if seen[pid] {
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			} else {
				next[pid] = true
			}
		}
		seen = next
	}
}

// zombies are the children of a process that have ended and were not waited for.
func zombies(parent int) []int {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // a path in /proc
		if err != nil {
			continue
		}
		if pid, ppid, state := parseStat(string(text)); state == "Z" && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parseStat reads the number, the parent and the state of a process. Its name,
// in brackets, may hold anything.
func parseStat(text string) (pid, parent int, state string) {
	before, _, _ := strings.Cut(text, " ")
	after := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(after) < 2 {
		return 0, 0, ""
	}
	pid, err := strconv.Atoi(before)
	if err != nil {
		return 0, 0, ""
	}
	if parent, err = strconv.Atoi(after[1]); err != nil {
		return 0, 0, ""
	}
	return pid, parent, after[0]
}
