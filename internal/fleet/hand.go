package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"fairway/internal/dockerapi"
)

// Engine is what is asked of a host's Docker engine. *dockerapi.Client is one.
type Engine interface {
	ContainerList(ctx context.Context, all bool) ([]dockerapi.Container, error)
	ContainerExec(ctx context.Context, id string, e dockerapi.Exec) (dockerapi.ExecResult, error)
	ContainerSignal(ctx context.Context, id, signal string) error
	ContainerLog(ctx context.Context, id string, tail int) ([]dockerapi.LogLine, error)
}

// hand is what can be done to the HAProxy of one container.
type hand interface {
	// look says what is there, and changes nothing. Without content the Sight has
	// the digest of the configuration alone.
	look(ctx context.Context, content bool) (Sight, error)
	// check asks HAProxy there whether it takes a configuration, and whether its
	// addresses are free. Nothing is changed. A refusal is a *RefusedError.
	check(ctx context.Context, content []byte) error
	// apply puts a configuration in place, reloads and proves it, and puts back
	// what was there when that fails. With trust the configuration is one that
	// ran before, and is not checked. The error is a *RefusedError when the
	// container is as it was, an *AbsentError when nothing was done to it at
	// all, and anything else when that is not known.
	apply(ctx context.Context, content []byte, trust bool) error
	// read takes a reading; ErrNoReading when there is no way to.
	read(ctx context.Context) (Reading, error)
}

// Sight is what was seen of one HAProxy.
type Sight struct {
	// Time is when.
	Time time.Time `json:"time"`
	// Content is its configuration, byte by byte, where it was asked for, and
	// Digest its SHA-256 in hexadecimal.
	Content []byte `json:"-"`
	Digest  string `json:"digest"`
	// Running is the digest of what the worker that serves has read, where it can
	// say; empty otherwise.
	Running string `json:"running,omitempty"`
	// Container is the ID of the container and Transport how it is reached: "agent"
	// or "shell".
	Container string `json:"container"`
	Transport string `json:"transport"`
	// Version is HAProxy's, Uptime the age of the worker that serves and Old the
	// number of workers that finish what they have.
	Version string        `json:"version"`
	Uptime  time.Duration `json:"uptime"`
	Old     int           `json:"old"`
}

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
type RefusedError struct {
	// Err is why, in HAProxy's words where it had some.
	Err error
	// Back is true when the change had begun and was taken back; Told that Err
	// says so itself.
	Back, Told bool
}

// Error implements error.
func (e *RefusedError) Error() string {
	if e.Back && !e.Told {
		return e.Err.Error() + "; what was there before runs again"
	}
	return e.Err.Error()
}

// Unwrap returns why.
func (e *RefusedError) Unwrap() error { return e.Err }

// digestOf is the digest of a configuration.
func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// find returns the container that a place names. All errors are *AbsentError.
func find(ctx context.Context, engine Engine, p Place) (dockerapi.Container, error) {
	list, err := engine.ContainerList(ctx, true)
	if err != nil {
		return dockerapi.Container{}, &AbsentError{err}
	}
	var found []dockerapi.Container
	for _, c := range list {
		if p.matches(c) {
			found = append(found, c)
		}
	}
	running := found[:0:0]
	for _, c := range found {
		if c.Status == "running" {
			running = append(running, c)
		}
	}
	switch {
	case len(running) == 1:
		return running[0], nil
	case len(running) > 1:
		return dockerapi.Container{}, &AbsentError{fmt.Errorf("%d containers that run have %s; name one", len(running), p.Selector())}
	case len(found) > 0:
		return dockerapi.Container{}, &AbsentError{fmt.Errorf("container %s is %s", found[0].Name, found[0].Status)}
	default:
		return dockerapi.Container{}, &AbsentError{fmt.Errorf("no container has %s", p.Selector())}
	}
}

// noProgram tells whether a command failed because there is no such program in
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
	return fmt.Sprintf("%s (exit code %d)", words(r), r.ExitCode)
}

// wordedError says what went wrong with less of what only Docker and Go know.
type wordedError struct{ error }

// hasEnded is what Docker says when a container ends under a command.
var hasEnded = regexp.MustCompile(`(Error response from daemon: )?(No such exec instance: [0-9a-f]+|Container [0-9a-f]+ is not running)`)

// Error implements error.
func (e wordedError) Error() string {
	text := strings.ReplaceAll(e.error.Error(), context.DeadlineExceeded.Error(), "no answer in time")
	return hasEnded.ReplaceAllString(text, "the container has ended")
}

// Unwrap returns the error as it was.
func (e wordedError) Unwrap() error { return e.error }

// worded puts an error into words; nil is nil.
func worded(err error) error {
	if err == nil {
		return nil
	}
	return wordedError{err}
}

// words makes one line of what a command wrote.
func words(r dockerapi.ExecResult) string {
	text := strings.Join(strings.Fields(string(r.Stderr)), " ")
	if text == "" {
		text = strings.Join(strings.Fields(string(r.Stdout)), " ")
	}
	if text == "" {
		return "it says nothing"
	}
	if len(text) > 500 {
		text = text[:500] + "…"
	}
	return text
}

// runs tells whether HAProxy runs what is in the file, as far as that can be said.
func (s Sight) runs() bool { return s.Running == "" || s.Running == s.Digest }
