package docker

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"fairway/internal/dockerapi"
)

// event takes in an event. What the event says by itself is believed at once,
// the rest is left to an inspection. It returns true when the event is about a
// container that should be known and is not.
func (w *world) event(e dockerapi.Event, now time.Time) (unknown bool) {
	id := e.ID
	if e.Type == "network" {
		if e.Action != "connect" && e.Action != "disconnect" {
			return false
		}
		id = e.Attributes["container"]
	}
	if id == "" || e.Type != "container" && e.Type != "network" {
		return false
	}
	w.events++
	if e.Type == "container" && e.Action == "destroy" {
		w.gone[id] = w.mark(now)
		w.remove(id)
		return false
	}
	c := w.containers[id]
	if c == nil {
		c = &entry{facts: dockerapi.Container{ID: id}}
		w.containers[id] = c
		unknown = e.Type == "container" && e.Action != "create"
	}
	c.number, c.at = w.events, now
	w.doubt(id, true)
	switch {
	case e.Type != "container":
	case c.known:
		w.believe(c, e)
		w.refresh(c, false)
	case e.Action == "kill":
		// Whether it runs, and what the signal means to it, is still to be read.
		c.undecided, c.undecidedAt = cmp.Or(e.Attributes["signal"], "SIGKILL"), e.Time
	}
	return unknown
}

// believe changes what an event says by itself.
func (w *world) believe(c *entry, e dockerapi.Event) {
	action, detail, _ := strings.Cut(e.Action, ":")
	running := c.facts.Status == "running" || c.facts.Status == "paused"
	switch action {
	case "kill":
		signal := e.Attributes["signal"]
		switch {
		case !running:
		case isStopping(signal, c.facts.StopSignal):
			c.leaving, c.signal = e.Time, signal
		case !c.facts.Inspected:
			c.undecided, c.undecidedAt = signal, e.Time
		}
	case "stop":
		if running && c.leaving.IsZero() {
			c.leaving = e.Time
		}
	case "start":
		c.leaving, c.undecided = time.Time{}, ""
	case "die":
		w.believeStopped(c)
	case "pause":
		if running {
			c.facts.Status = "paused"
		}
	case "health_status":
		switch health := strings.TrimSpace(detail); health {
		case "healthy", "unhealthy", "starting":
			c.facts.Health = health
		}
	}
}

func (w *world) believeStopped(c *entry) {
	c.leaving, c.undecided = time.Time{}, ""
	c.facts.Status = "exited"
	c.facts.Health = ""
}

// leavingRunning tells whether an event removes a container that, as far as is
// known, still runs.
func (w *world) leavingRunning(e dockerapi.Event) bool {
	if e.Type != "container" || e.Action != "destroy" {
		return false
	}
	c := w.containers[e.ID]
	return c != nil && c.facts.Status == "running" && c.leaving.IsZero()
}

// stopped notes that a container does not run any more.
func (w *world) stopped(id string) {
	if c := w.containers[id]; c != nil {
		w.believeStopped(c)
		w.refresh(c, false)
	}
}

// isStopping tells whether a signal asks a container to end: one of the three
// that do by custom, or the one the container was configured with. Others, such
// as SIGHUP, or SIGQUIT to a Java program, ask for something else. Both are written as the engine does: by
// number, or by name with or without SIG.
func isStopping(signal, configured string) bool {
	switch n := signalNumber(signal); n {
	case 0:
		// Not told: engines that leave it out mean the default, SIGKILL.
		return signal == ""
	case 2, 9, 15:
		return true
	default:
		return n == signalNumber(configured)
	}
}

// signalNumber returns Linux's number of a signal; zero when it is unknown.
func signalNumber(s string) int {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n <= 64 {
		return n
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if offset, ok := strings.CutPrefix(name, "RTMIN"); ok {
		n, err := strconv.Atoi("0" + strings.TrimPrefix(offset, "+"))
		if err == nil && n <= 30 {
			return 34 + n
		}
		return 0
	}
	switch name {
	case "HUP":
		return 1
	case "INT":
		return 2
	case "QUIT":
		return 3
	case "ABRT":
		return 6
	case "KILL":
		return 9
	case "USR1":
		return 10
	case "USR2":
		return 12
	case "ALRM":
		return 14
	case "TERM":
		return 15
	case "CONT":
		return 18
	case "STOP":
		return 19
	case "PWR":
		return 30
	case "WINCH":
		return 28
	default:
		return 0
	}
}

// signalName is signalNumber's way back, for people.
func signalName(s string) string {
	for _, name := range []string{"HUP", "INT", "QUIT", "ABRT", "KILL", "USR1", "USR2", "ALRM", "TERM", "CONT", "STOP", "PWR", "WINCH"} {
		if n := signalNumber(name); n == signalNumber(s) {
			return "SIG" + name
		}
	}
	if n := signalNumber(s); n > 0 {
		return "signal " + strconv.Itoa(n)
	}
	return ""
}
