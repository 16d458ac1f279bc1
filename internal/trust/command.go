package trust

import (
	"context"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/api/anchor"
	"fairway/internal/console"
	"fairway/internal/fleet/agent/command"
)

// no is the exit code where a store could not be changed.
const no console.Exit = 1

// Client connects to the admin API.
type Client func() (*api.Client, error)

// Command is fairway trust.
type Command struct {
	PEM bool `name:"print" help:"Print the root in PEM and change nothing."`
}

// Help is the detail in its help.
func (Command) Help() string {
	return `Fairway issues certificates by itself for names that no public authority issues for, as app.localhost, and for routes with the label
fairway.tls=internal. Browsers and other programs of this machine take them once the root is in its stores: that of the system, which needs
root, and those of Chromium and Firefox, which need certutil.

The root is fetched from the admin API, also from another machine. What is trusted already is left alone.`
}

// Run has the root trusted.
func (f Command) Run(ctx context.Context, h *command.Host, connect Client) error {
	a, err := connect()
	if err != nil {
		return err
	}
	found, err := anchor.Get(ctx, a)
	if err != nil {
		return err
	}
	r, err := parse(found.Certificate, time.Now())
	if err != nil {
		return err
	}
	if f.PEM {
		h.Printf("%s", r.pem)
		return nil
	}
	return show(h, thisMachine(h).install(ctx, r), func() {
		h.Note("Root: %s, until %s", r.subject, h.Time(r.until))
		h.Note("SHA-256: %s", r.fingerprint)
	})
}

// Undo is fairway untrust.
type Undo struct{}

// Help is the detail in its help.
func (Undo) Help() string {
	return `It removes every root of Fairway that fairway trust has put into the stores of this machine, and asks no Fairway.`
}

// Run takes the roots back.
func (Undo) Run(ctx context.Context, h *command.Host) error {
	return show(h, thisMachine(h).remove(ctx), func() {})
}

// thisMachine is the machine that the command runs on; with sudo the browsers are those of
// the person who asked.
func thisMachine(h *command.Host) Machine {
	m := Machine{Root: "/", Home: h.Env["HOME"]}
	if name := h.Env["SUDO_USER"]; name != "" && os.Geteuid() == 0 {
		if who, err := user.Lookup(name); err == nil {
			m.Home, m.Sudo = who.HomeDir, true
		}
	}
	return m
}

// show prints what became of the stores.
func show(h *command.Host, all []Outcome, more func()) error {
	err := h.Print(all, func() {
		t := h.Columns("STORE", "OF", "RESULT")
		for _, o := range all {
			result := console.Plain.Cell(o.Result)
			if o.Result == Failed {
				result = console.Bad.Cell(o.Result + ": " + o.Text)
			}
			t.Add(o.Store, o.Of, result)
		}
		t.Print()
		more()
		var hints []string
		for _, o := range all {
			if o.Hint != "" && !slices.Contains(hints, o.Hint) {
				hints = append(hints, o.Hint)
			}
		}
		if len(hints) > 0 {
			h.Note("To do: %s", strings.Join(hints, "; "))
		}
	})
	if err == nil && slices.ContainsFunc(all, func(o Outcome) bool { return o.Result == Failed }) {
		return no
	}
	return err
}
