// Package containerlog reads what instances write, from the Docker engines and the managers
// of a Swarm that sources watch.
package containerlog

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
	"fairway/internal/human"
)

// maxText is how many characters of a line are given.
const maxText = 4096

// Logs knows where the logs of instances are. Engines and managers are added before it is
// used; then it is for any goroutine.
type Logs struct {
	engines  map[string]*dockerapi.Client
	managers map[string][]*dockerapi.Client
	marks    *regexp.Regexp // colours, and the rest of a line that is erased
}

// New returns Logs that know of none.
func New() *Logs {
	return &Logs{
		engines: map[string]*dockerapi.Client{}, managers: map[string][]*dockerapi.Client{},
		marks: regexp.MustCompile("\x1b\\[[0-9;:]*[mK]"),
	}
}

// AddEngine has the containers of a source read from its engine.
func (l *Logs) AddEngine(source string, engine *dockerapi.Client) { l.engines[source] = engine }

// AddManagers has the tasks of a source read from the first of its managers that answers.
func (l *Logs) AddManagers(source string, managers []*dockerapi.Client) {
	l.managers[source] = managers
}

// Read calls got with the newest tail lines that an instance has written, and with follow
// goes on with those that come, until the instance or ctx ends or got fails. Colours are taken
// out of text, and other control characters are made visible; it is cut at 4096 characters.
// The error says what to do.
func (l *Logs) Read(ctx context.Context, in *catalog.Instance, tail int, follow bool, got func(at time.Time, text string, stderr bool) error) error {
	var stopped error
	o := dockerapi.LogOptions{Tail: tail, Follow: follow}
	each := func(line dockerapi.LogLine) error {
		stopped = got(line.Time, l.shown(line.Text), line.Stderr)
		return stopped
	}
	engine, managers := l.engines[in.Source], l.managers[in.Source]
	var err error
	switch {
	case engine != nil:
		err = engine.ContainerLogs(ctx, in.ID, o, each)
	case len(managers) > 0:
		err = ofTask(ctx, managers, in.ID, o, each)
	default:
		return fmt.Errorf("the log of %s is not read here: source %s is no Docker engine", in.Name, in.Source)
	}
	switch {
	case stopped != nil:
		return stopped
	case err == nil || ctx.Err() != nil:
		return ctx.Err()
	case dockerapi.IsNotFound(err) && engine != nil:
		return fmt.Errorf("the container of %s is gone", in.Name)
	case engine != nil:
		return fmt.Errorf("the log of %s cannot be read: %w; on its machine: docker logs %s", in.Name, err, in.Name)
	}
	return fmt.Errorf("the log of %s cannot be read: %w; on a manager: docker service logs %s", in.Name, err, in.ID)
}

// ofTask asks one manager after the other, until one has given a line or ends well.
func ofTask(ctx context.Context, managers []*dockerapi.Client, id string, o dockerapi.LogOptions, got func(dockerapi.LogLine) error) (err error) {
	some := false
	for _, manager := range managers {
		next := manager.TaskLogs(ctx, id, o, func(line dockerapi.LogLine) error {
			some = true
			return got(line)
		})
		if err = errors.Join(err, next); next == nil || some || ctx.Err() != nil {
			return next
		}
	}
	return err
}

// shown is a line as people may see it.
func (l *Logs) shown(text string) string {
	text = l.marks.ReplaceAllString(text, "")
	return human.Excerpt(strings.ReplaceAll(text, "\t", "    "), maxText)
}
