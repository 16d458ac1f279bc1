package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fairway/internal/atomicfile"
	"fairway/internal/clock"
	"fairway/internal/engine/haproxy/binary"
)

// replace puts content at the path as a whole.
func replace(path string, content []byte, mode fs.FileMode) error {
	err := atomicfile.Write(path, content, mode)
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%w: mount the directory into the container, not the single file", err)
	}
	return err
}

// modeOf is the mode of a file; that of a new one is for its owner alone.
func modeOf(path string) fs.FileMode {
	if info, err := os.Stat(path); err == nil {
		return info.Mode().Perm()
	}
	return 0o600
}

// read is the content of a file; nil without an error when there is none.
func read(path string) ([]byte, error) {
	content, err := os.ReadFile(path) //nolint:gosec // a path of the agent's own
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && content == nil {
		content = []byte{}
	}
	return content, err
}

// lock waits for its turn to change files or to reload.
func (a *Agent) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(a.o.Dir, "."+a.o.Name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		// The lock belongs to the open file: it holds between goroutines, too.
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock: %w", err)
		}
		if err := clock.Sleep(ctx, 20*time.Millisecond); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("another change is still going on: %w", err)
		}
	}
}

const stampForm = "2006-01-02-150405"

// copied is a copy of a file that was replaced, with its time, and a number within a second.
type copied struct {
	name, stamp string
	number      int
}

var copyName = regexp.MustCompile(`^(\d{4}-\d\d-\d\d-\d{6})(?:-(\d+))?\.cfg$`)

func (a *Agent) copies() ([]copied, error) {
	entries, err := os.ReadDir(a.dir("backup"))
	var list []copied
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), a.o.Name+"_")
		if m := copyName.FindStringSubmatch(rest); ours && m != nil {
			number, _ := strconv.Atoi(m[2]) // none is 0
			list = append(list, copied{e.Name(), m[1], number})
		}
	}
	slices.SortFunc(list, func(a, b copied) int {
		return cmp.Or(strings.Compare(a.stamp, b.stamp), cmp.Compare(a.number, b.number))
	})
	return list, err
}

// keep copies the file that is about to be replaced and drops the oldest copies.
func (a *Agent) keep(content []byte, mode fs.FileMode) error {
	list, err := a.copies()
	if err != nil {
		return err
	}
	stamp := time.Now().Format(stampForm)
	name := a.o.Name + "_" + stamp
	for _, c := range list {
		if c.stamp == stamp { // it gets a number, also when the first is gone
			name = fmt.Sprintf("%s_%s-%d", a.o.Name, stamp, c.number+1)
		}
	}
	path := filepath.Join(a.dir("backup"), name+".cfg")
	if err := replace(path, content, mode); err != nil {
		return err
	}
	a.say("Backup of %s to %s: success.", a.current(), path)
	for _, old := range list[:max(len(list)+1-max(a.o.Keep, 1), 0)] {
		if err := os.Remove(filepath.Join(a.dir("backup"), old.name)); err != nil {
			return err
		}
	}
	return nil
}

// reap waits for orphans, which in a container become children of the first process. Our
// own children are waited for at once: what is a zombie for a second is an orphan.
func reap(ctx context.Context) {
	var seen []int
	for clock.Sleep(ctx, time.Second) == nil {
		seen = slices.DeleteFunc(zombies(os.Getpid()), func(pid int) bool {
			orphan := slices.Contains(seen, pid)
			if orphan {
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			}
			return orphan
		})
	}
}

// zombies are the children of a process that have ended and were not waited for.
func zombies(parent int) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is sound
	var pids []int
	for _, file := range files {
		text, _ := os.ReadFile(file) //nolint:gosec // a path in /proc; one that is gone has no fields
		if f := binary.StatFields(string(text)); f != nil && f[0] == "Z" && f[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}
