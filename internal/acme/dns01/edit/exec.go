package edit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// Exec has a program of the operator's own change records:
//
//	PROGRAM present|cleanup NAME. TEXT
//
// It has to have done so when it ends, with the status 0. What it writes is shown where it
// fails.
type Exec struct {
	// Program is the path of an executable file.
	Program string
}

// Check says why the program cannot be run.
func (e Exec) Check() error {
	_, err := exec.LookPath(e.Program)
	if found := (*exec.Error)(nil); errors.As(err, &found) {
		return found.Err
	}
	return err
}

// Add runs the program with present.
func (e Exec) Add(ctx context.Context, r Record) error { return e.run(ctx, "present", r) }

// Remove runs it with cleanup.
func (e Exec) Remove(ctx context.Context, r Record) error { return e.run(ctx, "cleanup", r) }

func (e Exec) run(ctx context.Context, do string, r Record) error {
	cmd := exec.CommandContext(ctx, e.Program, do, r.Name, r.Text)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with what it has started
	cmd.WaitDelay = time.Second
	said := &tail{}
	cmd.Stdout, cmd.Stderr = said, said
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s took too long", e.Program, do)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay): // what it left running keeps its output open
		return fmt.Errorf("%s %s: %w: %s", e.Program, do, err, words(said.String(), ""))
	}
	return nil
}

// tail keeps the end of what is written.
type tail struct{ bytes.Buffer }

// Write keeps what is last.
func (t *tail) Write(p []byte) (int, error) {
	if len(p) > maxSaid {
		_, _ = t.Buffer.Write(p[len(p)-maxSaid:])
	} else {
		_, _ = t.Buffer.Write(p)
	}
	if extra := t.Len() - maxSaid; extra > 0 {
		t.Next(extra)
	}
	return len(p), nil
}
