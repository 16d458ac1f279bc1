package docker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"pgregory.net/rapid"

	"fairway/internal/dockerapi/dockertest"
)

// TestModel runs random operations, with faults in between, and demands that
// after a quiet time the source's answer is the engine's truth: long enough for a
// frozen connection to be noticed and for a lost event to be made up for.
func TestModel(t *testing.T) { model(t, slices.Concat(operations, faults), 35*time.Second) }

// TestModelPrompt does the same without faults, but with answers that come so late
// that they are no longer true. The truth must be there at once then, not only
// after the next list.
func TestModelPrompt(t *testing.T) { model(t, slices.Concat(operations, lateness), 5*time.Second) }

// step is one operation of a model run.
type step struct {
	op    operation
	id    string
	pause time.Duration
}

func (s step) String() string { return fmt.Sprintf("%s %s, %v", s.op.name, s.id, s.pause) }

func model(t *testing.T, operations []operation, quiet time.Duration) {
	rapid.Check(t, func(rt *rapid.T) {
		ids := []string{"a", "b", "c", "d"}
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{
				op:    operations[rapid.IntRange(0, len(operations)-1).Draw(rt, "op")],
				id:    rapid.SampledFrom(ids).Draw(rt, "id"),
				pause: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 50, 700, 4000}).Draw(rt, "ms")) * time.Millisecond,
			}
		}), 1, 30).Draw(rt, "steps")
		failure := ""
		bubble(t, func(e *engine) { e.run("a") }, func(e *engine, w *watch) {
			for _, s := range steps {
				s.op.run(e, s.id)
				time.Sleep(s.pause)
			}
			e.Restore()
			e.Calm()
			time.Sleep(quiet)
			synctest.Wait()
			failure = cmp.Diff(e.truth(), w.last())
		})
		if failure != "" {
			rt.Fatalf("answer (-truth +got):\n%s", failure)
		}
	})
}

// operation is something that can happen to an engine.
type operation struct {
	name string
	run  func(e *engine, id string)
}

var operations = []operation{
	{"create", func(e *engine, id string) {
		if !e.has(id) {
			e.create(id)
		}
	}},
	{"run", func(e *engine, id string) {
		if !e.has(id) {
			e.run(id, func(b *box) { b.health = container.Starting })
		}
	}},
	{"run compose", func(e *engine, id string) {
		if !e.has(id) {
			e.run(id, func(b *box) { b.labels = map[string]string{labelComposeProject: "shop", labelComposeService: "web"} })
		}
	}},
	{"run named", func(e *engine, id string) {
		if !e.has(id) {
			e.run(id, func(b *box) { b.labels = map[string]string{labelService: "shop"} })
		}
	}},
	{"run on host", func(e *engine, id string) {
		if !e.has(id) {
			e.run(id, func(b *box) { b.mode, b.networks = "host", nil })
		}
	}},
	{"run beside a", func(e *engine, id string) {
		if !e.has(id) && id != "a" {
			e.run(id, func(b *box) { b.mode, b.networks = "container:a", nil })
		}
	}},
	{"start", (*engine).start},
	{"stop", func(e *engine, id string) { e.kill(id, "15"); e.die(id) }},
	{"die", (*engine).die},
	{"remove", func(e *engine, id string) { e.kill(id, "9"); e.die(id); e.remove(id) }},
	{"vanish", (*engine).remove},
	{"healthy", func(e *engine, id string) { e.setHealth(id, container.Healthy) }},
	{"unhealthy", func(e *engine, id string) { e.setHealth(id, container.Unhealthy) }},
	{"pause", func(e *engine, id string) { e.pause(id, true) }},
	{"unpause", func(e *engine, id string) { e.pause(id, false) }},
	{"connect", func(e *engine, id string) { e.connect(id, "mac", true) }},
	{"disconnect", func(e *engine, id string) { e.connect(id, "mac", false) }},
	{"rename", func(e *engine, id string) { e.rename(id, id+"-renamed") }},
	{"hang up", func(e *engine, id string) { e.kill(id, "1") }},
}

var lateness = []operation{
	{"late", func(e *engine, _ string) { e.Disturb("/containers", dockertest.Late) }},
	{"calm", func(e *engine, _ string) { e.Calm() }},
	{"ghost", func(e *engine, _ string) { e.Emit("container", "start", "ghost") }},
}

var faults = []operation{
	{"cut", func(e *engine, _ string) { e.Cut() }},
	{"restore", func(e *engine, _ string) { e.Restore() }},
	{"slow", func(e *engine, _ string) { e.Disturb("", dockertest.Slow) }},
	{"truncate", func(e *engine, _ string) { e.Disturb("", dockertest.Truncate) }},
	{"freeze", func(e *engine, _ string) { e.Freeze() }},
	{"calm", func(e *engine, _ string) { e.Calm() }},
}

func (e *engine) has(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.containers[id] != nil
}

// truth says what the source should answer, in the words of describe.
func (e *engine) truth() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var lines []string
	for _, b := range e.containers {
		id := b.name + "@docker"
		switch {
		case b.labels[labelService] != "":
			id = b.labels[labelService] + "~-"
		case b.labels[labelComposeProject] != "":
			id = "shop-web@docker"
		}
		state := "stopped"
		switch {
		case b.status == container.StatePaused:
			state = "paused"
		case b.status == container.StateRunning && b.health == container.Starting:
			state = "starting"
		case b.status == container.StateRunning && b.health == container.Unhealthy:
			state = "unhealthy"
		case b.status == container.StateRunning:
			state = "ready"
		}
		line := fmt.Sprintf("%s: %s %s", id, b.name, state)
		stack := b
		if b.mode == "container:a" {
			stack = e.containers["a"]
		}
		if b.up() && stack != nil && (stack == b || stack.status == container.StateRunning) {
			if stack.mode == "host" {
				line += " host/127.0.0.1/bridge"
			}
			if ip, ok := stack.networks["mac"]; ok {
				line += " mac/" + ip.String() + "/none"
			}
			if ip, ok := stack.networks["web"]; ok {
				line += " web/" + ip.String() + "/bridge"
			}
		}
		lines = append(lines, line+" 8080")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
