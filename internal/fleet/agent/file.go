package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fairway/internal/atomicfile"
	"fairway/internal/clock"
)

// replace puts content at the path as a whole.
func replace(path string, content []byte, mode fs.FileMode) error {
	err := atomicfile.Write(path, content, mode)
	if errors.Is(err, syscall.EBUSY) {
		return fmt.Errorf("%w: mount the directory into the container, not the single file", err)
	}
	return err
}

// modeOf is the mode of a file; a configuration that is not there yet is for
// its owner alone, because it may hold passwords.
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

// lock waits for its turn to change files or to reload. Nobody holds it longer
// than a check and a reload take.
func (a *Agent) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(a.o.Dir, "."+a.o.Name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		// The lock belongs to the open file, so that it holds between goroutines
		// as well, and it ends with the process.
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

// stamp is the form of the time in the names of copies.
const stamp = "2006-01-02-150405"

// keep copies the file that is about to be replaced and drops the oldest copies
// beyond those that are to be kept.
func (a *Agent) keep(content []byte, mode fs.FileMode) error {
	names, err := a.copies()
	if err != nil {
		return err
	}
	name := a.o.Name + "_" + time.Now().Format(stamp)
	// A second one within the second gets a number, also when the first is gone.
	next := -1
	for _, known := range names {
		if stamped, number := age(known); stamped == name {
			next = max(next, number)
		}
	}
	if next >= 0 {
		name += "-" + strconv.Itoa(next+1)
	}
	path := filepath.Join(a.dir("backup"), name+".cfg")
	if err := replace(path, content, mode); err != nil {
		return err
	}
	a.say("Backup of %s to %s: success.", a.current(), path)
	for _, old := range names[:max(len(names)+1-max(a.o.Keep, 1), 0)] {
		if err := os.Remove(filepath.Join(a.dir("backup"), old)); err != nil {
			return err
		}
	}
	return nil
}

// copies are the names of the copies there are, the oldest first. Names tell the
// age: the clock of files is not kept by every copy of a directory.
func (a *Agent) copies() ([]string, error) {
	entries, err := os.ReadDir(a.dir("backup"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), a.o.Name+"_")
		if ok && strings.HasSuffix(rest, ".cfg") && len(rest) >= len(stamp) {
			if _, err := time.Parse(stamp, rest[:len(stamp)]); err == nil {
				names = append(names, e.Name())
			}
		}
	}
	slices.SortFunc(names, byAge)
	return names, nil
}

// byAge sorts names of copies: those of one second have a number behind it.
func byAge(a, b string) int {
	timeA, numberA := age(a)
	timeB, numberB := age(b)
	return cmp.Or(strings.Compare(timeA, timeB), cmp.Compare(numberA, numberB))
}

func age(name string) (stamped string, number int) {
	name = strings.TrimSuffix(name, ".cfg")
	at := strings.LastIndexByte(name, '_') + 1 + len(stamp)
	number, _ = strconv.Atoi(strings.TrimPrefix(name[min(at, len(name)):], "-")) // none is 0
	return name[:min(at, len(name))], number
}
