package driver

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"fairway/internal/dockerapi"
)

// ErrNoReading says that the container has no way to ask HAProxy for what it
// counts.
var ErrNoReading = errors.New("no way to HAProxy's statistics: put fairway into the image, or give the host a stats URL")

// AbsentError says that a host could not be reached, or has no such container
// that runs, and that nothing was done to it.
type AbsentError struct{ Err error }

// Error implements error.
func (e *AbsentError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *AbsentError) Unwrap() error { return e.Err }

// RefusedError says that a change was refused or has failed, and that the host
// is as it was before.
type RefusedError struct{ Err error }

// Error implements error.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns why, in HAProxy's words where it had some.
func (e *RefusedError) Unwrap() error { return e.Err }

// asAbsent makes an error before anything was changed an *AbsentError, unless it is a
// *RefusedError. nil is nil.
func asAbsent(err error) error {
	var refused *RefusedError
	var absent *AbsentError
	if err == nil || errors.As(err, &refused) || errors.As(err, &absent) {
		return err
	}
	return &AbsentError{err}
}

// noProgram reports whether a command failed because there is no such program in
// the container: Docker says so with these codes, or as an error.
func noProgram(r dockerapi.ExecResult, err error) bool {
	if err != nil {
		return strings.Contains(err.Error(), "executable file not found") || strings.Contains(err.Error(), "no such file or directory")
	}
	return (r.ExitCode == 126 || r.ExitCode == 127) && strings.Contains(string(r.Stdout)+string(r.Stderr), "exec")
}

// killed is the exit code of a command that was ended from outside.
const killed = 128 + 9

// failure says why a command has failed.
func failure(r dockerapi.ExecResult) string {
	if r.ExitCode == killed {
		return "the command was killed while it was at work: the container has ended, or has no memory left"
	}
	text := strings.Join(strings.Fields(string(r.Stderr)), " ")
	if text == "" {
		text = strings.Join(strings.Fields(string(r.Stdout)), " ")
	}
	if text == "" {
		text = "it says nothing"
	}
	if len(text) > 500 {
		text = text[:500] + "…"
	}
	return fmt.Sprintf("%s (exit code %d)", text, r.ExitCode)
}

// readableError is an error in a text without what only Docker and Go know.
type readableError struct{ error }

// hasEnded is what Docker says when a container ends under a command.
var hasEnded = regexp.MustCompile(`(Error response from daemon: )?(No such exec instance: [0-9a-f]+|Container [0-9a-f]+ is not running)`)

// Error implements error.
func (e readableError) Error() string {
	text := strings.ReplaceAll(e.error.Error(), context.DeadlineExceeded.Error(), "no answer in time")
	return hasEnded.ReplaceAllString(text, "the container has ended")
}

// Unwrap returns the error as it was.
func (e readableError) Unwrap() error { return e.error }

// readable makes the text of an error one for people; nil is nil.
func readable(err error) error {
	if err == nil {
		return nil
	}
	return readableError{err}
}
