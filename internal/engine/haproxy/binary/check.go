package binary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// CheckOptions say what `haproxy -c` looks at.
type CheckOptions struct {
	// Files are the configuration files, in order (one -f each). At least one.
	Files []string
	// Dir is the working directory, against which HAProxy resolves relative
	// paths. Empty means this process's own.
	Dir string
	// MasterWorker checks as for master-worker mode (-W).
	MasterWorker bool
	// Known are more files whose content may be shown in a message: maps and
	// certificate lists of the same author.
	Known []string
	// Shown returns the text of a file as people may see it; false for a file that may
	// be shown as it is. A line that differs from the one in Shown holds a secret: a
	// message about it has HAProxy's words alone. Nil shows all files as they are.
	Shown func(file string) (text string, ok bool)
	// Environ is the environment in which "${NAME}" is expanded, as os.Environ
	// gives it. Nil means an empty one: no secret of another program comes into a
	// configuration by mistake.
	Environ []string
}

// Report is what HAProxy said of a configuration.
type Report struct {
	// OK means that HAProxy takes it. It does not mean that its addresses are
	// free: see Taken.
	OK bool
	// Alerts are why it does not; Warnings do not hinder it. In HAProxy's order.
	Alerts, Warnings []Message
}

// Message is one thing that HAProxy said.
type Message struct {
	// File and Line are the place, when HAProxy named one: File as given in
	// CheckOptions, Line from 1. Empty and 0 otherwise.
	File string
	Line int
	// Text is HAProxy's own words without the place. They may quote the
	// checked files as far as CheckOptions.Shown allows, never another file: what
	// HAProxy quotes out of other files and the environment is left out.
	Text string
}

// String is the message on one line: place and HAProxy's words.
func (m Message) String() string {
	text := strings.Join(strings.Fields(m.Text), " ")
	if m.File == "" {
		return text
	}
	return fmt.Sprintf("%s:%d: %s", filepath.Base(m.File), m.Line, text)
}

// RefusedError says that HAProxy does not take a configuration, and why.
type RefusedError struct {
	// Alerts are HAProxy's reasons, at least one.
	Alerts []Message
}

// Error is the first reason in HAProxy's words, and how many more there are.
func (e *RefusedError) Error() string {
	text := "haproxy refuses the configuration: " + e.Alerts[0].String()
	if more := len(e.Alerts) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Err is nil for a configuration that HAProxy takes, otherwise a *RefusedError.
func (r *Report) Err() error {
	if r.OK {
		return nil
	}
	alerts := r.Alerts
	if len(alerts) == 0 {
		alerts = []Message{{Text: "haproxy gave no reason"}}
	}
	return &RefusedError{Alerts: alerts}
}

// Check runs `haproxy -c`. The error is about running it (not found, deadline);
// what HAProxy thinks of the files is in the report. Without a deadline in ctx it
// ends after 30 s.
func (b *Binary) Check(ctx context.Context, o CheckOptions) (*Report, error) {
	if len(o.Files) == 0 {
		return nil, errors.New("haproxy: nothing to check")
	}
	ctx, cancel := context.WithTimeout(ctx, askDeadline)
	defer cancel()
	args := []string{"-c"}
	if o.MasterWorker {
		args = append(args, "-W")
	}
	for _, f := range o.Files {
		args = append(args, "-f", f)
	}
	cmd := exec.CommandContext(ctx, b.Path, args...) //nolint:gosec // the operator's own haproxy, fixed arguments
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.WaitDelay = o.Dir, append([]string{}, o.Environ...), outputWait
	cmd.Stderr = &limited{to: &out, left: maxOutput}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && (ctx.Err() != nil || !errors.As(err, &exit) || exit.ExitCode() < 0) {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer in time: %w", ctx.Err())
		}
		return nil, fmt.Errorf("haproxy: check: %w", err)
	}
	r := Messages(out.String(), o)
	r.OK = err == nil
	return r, nil
}
